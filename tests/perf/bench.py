"""`make bench`: measures this gateway against a direct connection and, where installed, against nginx, in one run.

`python -m tests.perf.bench [--quick] [--rounds N] [--write docs/benchmark.md] [--json FILE]`. What the rows mean and
how to read them: docs/benchmark.md. Linux only; loopback only. Ends with 1 if any answer was wrong.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from collections.abc import Coroutine
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import uvloop

from tests.perf import processes, report, rows
from tests.perf.load import Tally
from tests.perf.plan import FULL, QUICK, Plan
from tests.perf.rows import Figures, Target
from tests.perf.stand import DIALECTS, LANES, Gateway, NotReady, Stand

ROUND_ROWS = (rows.first_delta_alone, rows.first_delta_in_a_crowd, rows.paced, rows.burst, rows.small, rows.bodies)
REDIS_ROWS = (rows.first_delta_alone, rows.first_delta_in_a_crowd, rows.small)
HTTPS_ROWS = (rows.first_delta_alone, rows.first_delta_in_a_crowd, rows.paced)

QUIET_LOAD = 0.5


@dataclass
class Result:
    """What a run found, round by round."""

    tally: Tally = field(default_factory=Tally)
    plain: list[Figures] = field(default_factory=list)
    https: list[Figures] = field(default_factory=list)
    redis: list[Figures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Run:
    """One run of the benchmark on a stand."""

    def __init__(self, stand: Stand, plan: Plan) -> None:
        self._stand = stand
        self._plan = plan
        self._direct = Target("direct", stand.direct)
        self._nginx = self._find_nginx()
        self.result = Result()

    def everything(self) -> Result:
        """Measure all rounds, then the rows over TLS and HTTP/2, then those with the state on Redis."""
        self._take_notes()
        gateway = self._stand.gateway()
        for number in range(self._plan.rounds):
            say(f"round {number + 1} of {self._plan.rounds}")
            self.result.plain.append(self._round(gateway))
        if self._plan.with_https:
            self._https_rounds(gateway)
        self._redis_rounds(gateway)
        return self.result

    def _round(self, gateway: Gateway) -> Figures:
        """Measure slow streams on a fresh process for each lane, then everything else on the last of them."""
        figures: Figures = {}
        tally = self.result.tally
        for other in (self._direct, *self._nginx):
            say(f"  slow streams: {other.name}")
            report.merge(figures, run(rows.slow_streams(tally, other, self._plan)))
        starts: list[Figures] = []
        for lane in LANES:
            say(f"  slow streams: {lane}")
            starts.append(self._start(gateway))
            fresh = Target(lane, gateway.endpoint(lane), gateway.pid)
            report.merge(figures, run(rows.slow_streams(tally, fresh, self._plan)))
        report.merge(figures, report.medians(starts))
        targets = [self._direct, *self._nginx, *self._lanes(gateway), *self._dialects(gateway)]
        run(rows.warm_up(tally, targets))
        for measure in ROUND_ROWS:
            say(f"  {measure.__name__}")
            report.merge(figures, run(measure(tally, targets, self._plan)))
        gateway.stop()
        return figures

    def _https_rounds(self, gateway: Gateway) -> None:
        found = self._stand.nginx_as_https()
        if found is None:
            self.result.notes.append("No rows over TLS and HTTP/2: they need an nginx with both, to stand in for it.")
            return
        base_url, authority, baseline = found
        other = self._stand.gateway_over_https(gateway, base_url, authority)
        self._start(other)
        # The baseline goes through the same nginx without TLS, so that nginx itself is no part of the difference.
        targets = [Target("direct", baseline), *self._lanes(other)]
        run(rows.warm_up(self.result.tally, targets))
        for number in range(self._plan.rounds):
            say(f"TLS and HTTP/2, round {number + 1} of {self._plan.rounds}")
            figures: Figures = {}
            for measure in HTTPS_ROWS:
                report.merge(figures, run(measure(self.result.tally, targets, self._plan)))
            self.result.https.append(figures)
        other.stop()

    def _redis_rounds(self, gateway: Gateway) -> None:
        """Measure two gateways in turn that differ in one thing: where their slots and affinities are."""
        other = self._stand.gateway_with_redis()
        if other is None:
            self.result.notes.append("No rows with the state on Redis: redis-server is not installed.")
            return
        self._start(gateway)
        self._start(other)
        targets = [
            self._direct,
            Target("translate", gateway.endpoint("translate"), gateway.pid),
            Target("redis", other.endpoint("translate"), other.pid),
        ]
        run(rows.warm_up(self.result.tally, targets))
        for number in range(self._plan.rounds):
            say(f"state on Redis, round {number + 1} of {self._plan.rounds}")
            figures: Figures = {}
            for measure in REDIS_ROWS:
                report.merge(figures, run(measure(self.result.tally, targets, self._plan)))
            self.result.redis.append(figures)
        gateway.stop()
        other.stop()

    def _start(self, gateway: Gateway) -> Figures:
        """Start a fresh process; return how long that took and what it weighs when nothing happens."""
        gateway.stop()
        start_s = gateway.start()
        gateway.settle()
        idle_mb = processes.rss_bytes(gateway.pid) / 1e6
        return {"start": {"gateway": start_s}, "idle_memory": {"gateway": idle_mb}}

    def _lanes(self, gateway: Gateway) -> list[Target]:
        return [Target(lane, gateway.endpoint(lane), gateway.pid) for lane in LANES]

    def _dialects(self, gateway: Gateway) -> list[Target]:
        return [Target(name, gateway.endpoint(name), gateway.pid) for name in DIALECTS]

    def _find_nginx(self) -> list[Target]:
        found = self._stand.nginx_beside()
        return [Target("nginx", *found)] if found else []

    def _take_notes(self) -> None:
        notes = self.result.notes
        notes.append(report.machine())
        load_before = os.getloadavg()[0]
        if load_before > QUIET_LOAD:
            notes.append(
                f"Not a quiet machine: its load was {load_before:.1f} before the run. Do not quote these figures."
            )
        measured, load = self._stand.measured_processor, self._stand.load_processor
        if measured is None:
            notes.append("One processor only: load, upstream and gateway share it, so times are too long.")
        else:
            notes.append(f"Gateway and nginx on processor {measured}; load and fake upstream on processor {load}.")
        if not self._nginx:
            notes.append("nginx is not installed, so its column is empty and there are no ratios.")
        if self._stand.open_files < 2 * self._plan.slow_streams + 500:
            notes.append(f"Only {self._stand.open_files} open files are allowed; slow streams may fail for that.")


def run(work: Coroutine[Any, Any, Figures | None]) -> Any:
    """Run one measurement; the garbage collector rests meanwhile, it would show as delay."""
    gc.collect()
    gc.disable()
    try:
        return uvloop.run(work)
    finally:
        gc.enable()


def say(words: str) -> None:
    """Tell the person at the terminal what is going on; the report itself goes to standard output."""
    sys.stderr.write(f"{words} …\n")


def main() -> int:
    """Run the benchmark and report."""
    options = _options()
    if not sys.platform.startswith("linux"):
        sys.stderr.write("The benchmark reads /proc and pins processes, so it runs on Linux only.\n")
        return 2
    plan = QUICK if options.quick else FULL
    plan = replace(plan, rounds=options.rounds or plan.rounds, with_https=plan.with_https or options.https)
    try:
        with tempfile.TemporaryDirectory(prefix="codexproxy-bench-") as folder, Stand(Path(folder)) as stand:
            result = Run(stand, plan).everything()
    except NotReady as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    plain, https, redis = (report.medians(rounds) for rounds in (result.plain, result.https, result.redis))
    text = report.render(plain, https, redis, result.tally, plan, result.notes)
    sys.stdout.write(text)
    if options.write:
        report.write_between_marks(options.write, text)
    if options.json:
        found = {"plain": plain, "https": https, "redis": redis, "tally": asdict(result.tally), "rounds": result.plain}
        options.json.write_text(json.dumps(found, indent=1))
    return 1 if result.tally.failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.perf.bench", description="Measure the gateway.")
    parser.add_argument("--quick", action="store_true", help="one small round; the figures are rough")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="rounds to take the median of")
    parser.add_argument("--https", action="store_true", help="also in a quick run: the rows over TLS and HTTP/2")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures between the marks of this document")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    options = parser.parse_args()
    if options.write:
        try:
            report.around_marks(options.write)  # now rather than after ten minutes
        except (OSError, ValueError) as problem:
            parser.error(str(problem))
    return options


if __name__ == "__main__":
    raise SystemExit(main())
