"""The measurements: each function is one row of the report, or the few rows that come from one load.

All take the targets of one round and return figures by row and by target. Times are ms, memory is KB or MB, as the
row's unit in `report.py` says. Targets are interleaved wherever a difference between them is the result.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.perf import processes
from tests.perf.load import Answer, Client, Endpoint, Tally, closed_loop
from tests.perf.plan import Plan
from tests.perf.shape import Shape

Figures = dict[str, dict[str, float]]
"""Row → target → figure; not a number when a target gave no right answer."""

ALONE_SHAPE = Shape(8, 1)
WARM_UP = 10
DELTAS_OF_THE_FIGURE = 100_000
SAMPLE_S = 0.25
AFTERMATH_S = 0.5
"""What a request leaves to be done, such as the record of its use, belongs to its cost."""


@dataclass(frozen=True)
class Target:
    """Somebody who answers. `pid` is 0 where use of CPU is not asked for: the upstream itself."""

    name: str
    endpoint: Endpoint
    pid: int = 0


async def warm_up(tally: Tally, targets: Sequence[Target]) -> None:
    """Let every target answer a few requests, so that no row pays for first times."""
    for target in targets:
        await closed_loop(
            tally, target.endpoint, Shape(8), clients=4, answers_each=WARM_UP, at_most_s=10.0, spread_s=0.0
        )


async def first_delta_alone(tally: Tally, targets: Sequence[Target], plan: Plan) -> Figures:
    """Measure the median time to the first delta for one client that asks each target in turn."""
    times = await _in_turn(tally, targets, ALONE_SHAPE, plan.alone_requests, 0)
    return {"alone_p50": _added(targets, times, 50)}


async def first_delta_in_a_crowd(tally: Tally, targets: Sequence[Target], plan: Plan) -> Figures:
    """Measure the 99th percentile of the time to the first delta while many clients read at once."""
    times: dict[str, list[float]] = {target.name: [] for target in targets}
    for block in range(plan.crowd_blocks):
        # Every other block backwards: what one load leaves behind must not always meet the same target.
        for target in targets if block % 2 == 0 else reversed(targets):
            answers = await closed_loop(
                tally, target.endpoint, plan.crowd_shape,
                clients=plan.crowd_clients, answers_each=plan.crowd_answers, at_most_s=plan.loop_s,
                spread_s=plan.crowd_shape.duration_s,
            )  # fmt: skip
            times[target.name] += [answer.first_delta_s * 1000 for answer in answers]
    return {"crowd_p99": _added(targets, times, 99), "crowd_p50": _added(targets, times, 50)}


async def bodies(tally: Tally, targets: Sequence[Target], plan: Plan) -> Figures:
    """Measure what long requests add to the time to the first delta."""
    figures: Figures = {}
    for row, size_bytes, count in plan.bodies:
        times = await _in_turn(tally, targets, Shape(8), count, size_bytes)
        figures[row] = _added(targets, times, 50)
    return figures


async def paced(tally: Tally, targets: Sequence[Target], plan: Plan) -> Figures:
    """Measure CPU seconds for deltas that arrive one by one, each in a packet of its own."""
    costs: dict[str, float] = {}
    for target in _with_process(targets):
        cpu_s, answers = await _cpu_of(
            target, tally, plan.paced_shape,
            clients=plan.paced_streams, answers_each=1, at_most_s=plan.loop_s, spread_s=1.0,
        )  # fmt: skip
        deltas = len(answers) * plan.paced_shape.deltas
        costs[target.name] = cpu_s / deltas * DELTAS_OF_THE_FIGURE if deltas else math.nan
    return {"paced_cpu": costs}


async def burst(tally: Tally, targets: Sequence[Target], plan: Plan) -> Figures:
    """Measure how many deltas a second of CPU passes on when whole answers arrive at once."""
    rates: dict[str, float] = {}
    for target in _with_process(targets):
        cpu_s, answers = await _cpu_of(
            target, tally, plan.burst_shape,
            clients=plan.burst_clients, answers_each=plan.burst_answers, at_most_s=plan.loop_s, spread_s=0.0,
        )  # fmt: skip
        rates[target.name] = len(answers) * plan.burst_shape.deltas / cpu_s if cpu_s else math.nan
    return {"burst_deltas": rates}


async def small(tally: Tally, targets: Sequence[Target], plan: Plan) -> Figures:
    """Measure how many small streamed requests a second of CPU serves."""
    rates: dict[str, float] = {}
    for target in _with_process(targets):
        cpu_s, answers = await _cpu_of(
            target, tally, plan.small_shape,
            clients=plan.small_clients, answers_each=plan.small_answers, at_most_s=plan.loop_s, spread_s=0.0,
        )  # fmt: skip
        rates[target.name] = len(answers) / cpu_s if cpu_s else math.nan
    return {"small_requests": rates}


async def slow_streams(tally: Tally, target: Target, plan: Plan) -> Figures:
    """Measure many slow streams at once: delay and jitter of deltas, memory, threads, failures.

    The memory of a stream is what the process grew by, so the process should be a fresh one.
    """
    failed_before = tally.failures.total()
    peak = _Peak(target.pid)
    sampler = asyncio.create_task(peak.watch())
    answers = await closed_loop(
        tally, target.endpoint, plan.slow_shape,
        clients=plan.slow_streams, answers_each=1, at_most_s=plan.loop_s, spread_s=plan.slow_ramp_s,
    )  # fmt: skip
    sampler.cancel()
    delays = [delay / 1000 for answer in answers for delay in answer.delays_us]
    period_ms = float(plan.slow_shape.period_ms)
    jitter = [abs(gap - period_ms) for answer in answers for gap in _gaps_ms(answer)]
    figures = {
        "slow_failed": float(tally.failures.total() - failed_before),
        "slow_delay_p50": percentile(delays, 50),
        "slow_delay_p99": percentile(delays, 99),
        "slow_jitter_p99": percentile(jitter, 99),
    }
    if target.pid:
        figures["slow_memory"] = peak.grown_bytes / plan.slow_streams / 1024
        figures["slow_threads"] = float(peak.threads)
    return {row: {target.name: figure} for row, figure in figures.items()}


class _Peak:
    """The most memory and threads that were seen of a process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._first_bytes = self._most_bytes = processes.rss_bytes(pid) if pid else 0
        self.threads = 0

    @property
    def grown_bytes(self) -> int:
        return self._most_bytes - self._first_bytes

    async def watch(self) -> None:
        while self._pid:
            self._most_bytes = max(self._most_bytes, processes.rss_bytes(self._pid))
            self.threads = max(self.threads, processes.thread_count(self._pid))
            await asyncio.sleep(SAMPLE_S)


async def _in_turn(
    tally: Tally, targets: Sequence[Target], shape: Shape, count: int, size_bytes: int
) -> dict[str, list[float]]:
    """Ask each target once, `count` times over, one request at a time; return ms to the first delta."""
    clients = {target.name: Client(target.endpoint) for target in targets}
    requests = {target.name: target.endpoint.request(shape, size_bytes) for target in targets}
    times: dict[str, list[float]] = {target.name: [] for target in targets}
    for _ in range(count):
        for name, client in clients.items():
            answer = await tally.ask(client, requests[name], shape)
            if answer is not None:
                times[name].append(answer.first_delta_s * 1000)
    for client in clients.values():
        client.close()
    return times


async def _cpu_of(
    target: Target, tally: Tally, shape: Shape, *, clients: int, answers_each: int, at_most_s: float, spread_s: float
) -> tuple[float, list[Answer]]:
    """Run a load; return the CPU seconds the target's process used for it, and the right answers."""
    before = processes.cpu_s(target.pid)
    answers = await closed_loop(
        tally, target.endpoint, shape,
        clients=clients, answers_each=answers_each, at_most_s=at_most_s, spread_s=spread_s,
    )  # fmt: skip
    await asyncio.sleep(AFTERMATH_S)
    return processes.cpu_s(target.pid) - before, answers


def _with_process(targets: Sequence[Target]) -> list[Target]:
    return [target for target in targets if target.pid]


def _added(targets: Sequence[Target], times: dict[str, list[float]], percent: float) -> dict[str, float]:
    """Return the first target's own percentile, and of the others what they add to it."""
    baseline = percentile(times[targets[0].name], percent)
    others = {target.name: percentile(times[target.name], percent) - baseline for target in targets[1:]}
    return {targets[0].name: baseline, **others}


def _gaps_ms(answer: Answer) -> list[float]:
    arrivals = answer.arrivals_us
    return [(later - earlier) / 1000 for earlier, later in pairwise(arrivals)]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of `values` do not exceed; not a number when there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * percent / 100) - 1)]
