"""Streams killed at random moments by the client, by the upstream and by shutting down: nothing leaks, sums add up.

Every request has a usage of its own, so a token that is counted twice, or for somebody else, shows.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from accounts.values import PoolRules
from codexproxy.gateway.snapshot import GatewaySettings
from providers.simulator.faults import Point
from providers.simulator.server import Simulator
from providers.transport.pyreqwest_transport import PyreqwestTransport
from stats.meter import UsageQueue, UsageRecord
from tests.dialects import DIALECTS
from tests.faults.stage import World
from tests.gateway.playbook import Client

KILLERS = ("nobody", "client", "upstream")
BREAKS = ("fin", "rst", "clean_end")
CUTS: tuple[Point, ...] = ("start", "created", "text", "item")
ANSWER_S = 0.15
LAST_DELTA = "tok00029"
PATIENT = GatewaySettings(first_event_timeout_s=30, idle_timeout_s=30, pool=PoolRules(pace_s=0))
"""Without pacing: a thousand requests at once on a few accounts would wait for their turn longer than they live."""


class Ledger(UsageQueue):
    """A usage queue that keeps what it was given, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[UsageRecord] = []

    def put(self, record: UsageRecord) -> None:
        self.records.append(record)


def tokens_of(number: int) -> tuple[int, int]:
    """The usage that the simulator states for request `number`."""
    return 1000 + number, 1 + number


class Massacre:
    """`size` streams of all dialects, half of them at once; a shutdown meets those that run and those that come."""

    def __init__(self, world: World, ledger: Ledger, size: int) -> None:
        self.world = world
        self.ledger = ledger
        self.size = size
        self.chance = random.Random(size)
        self.seats = asyncio.Semaphore(size // 2)
        self.clients = {number: Client() for number in range(size)}
        self.begun: set[int] = set()

    async def run(self) -> None:
        """Let them all live and die."""
        running = [asyncio.create_task(self._stream(number)) for number in range(self.size)]
        while len(self.ledger.records) < self.size // 4 or not any(r.outcome == "ok" for r in self.ledger.records):
            await asyncio.sleep(0.01)  # on a slow machine those who leave are counted long before anybody is served
        # SIGTERM: what runs goes on, what comes is refused; and after the deadline what still runs is cancelled
        self.world.gateway.is_draining = True
        await asyncio.sleep(ANSWER_S / 2)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        assert not [task for task in running if not task.cancelled() and task.exception()]

    async def _stream(self, number: int) -> None:
        async with self.seats:
            killer = KILLERS[number % len(KILLERS)]
            dialect = list(DIALECTS)[number % len(DIALECTS)]
            prompt = "[[STREAM:30x5ms]] [[USAGE:{} {}]]".format(*tokens_of(number))
            if killer == "upstream":
                prompt += f" [[FAULT:F12 variant={self.chance.choice(BREAKS)} after={self.chance.choice(CUTS)}]]"
            self.begun.add(number)
            asking = self.world.ask(
                dialect, prompt, stream=True, client=self.clients[number], request_id=f"req_{number}"
            )
            if killer != "client":
                await asking
                return
            try:
                async with asyncio.timeout(self.chance.random() * ANSWER_S):
                    await asking
            except TimeoutError:
                pass  # it left

    async def check(self) -> None:
        """No lease; one record for each; and the tokens of every whole answer, once and where they belong."""
        assert await self.world.leases() == 0
        records = {int(record.request_id.removeprefix("req_")): record for record in self.ledger.records}
        assert len(records) == len(self.ledger.records), "a request was counted twice"
        assert set(records) == self.begun, "a request was not counted"
        outcomes = Counter(record.outcome for record in records.values())
        assert set(outcomes) == {"ok", "client_gone", "upstream_error", "no_capacity"}, outcomes
        for number, record in records.items():
            counted = (record.input_tokens, record.output_tokens)
            assert counted in ((0, 0), tokens_of(number)), f"{number}: {record}"
            if record.outcome == "ok":
                assert counted == tokens_of(number)
                assert LAST_DELTA in self.clients[number].text
            if record.outcome == "no_capacity":
                assert (record.error_code, record.attempts, counted) == ("shutting_down", 0, (0, 0))
        whole = [number for number, record in records.items() if record.output_tokens]
        assert sum(record.output_tokens for record in self.ledger.records) == sum(tokens_of(n)[1] for n in whole)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_thousand_streams_at_once_killed_at_random_moments_leave_nothing_behind(
    simulator: Simulator, transport: PyreqwestTransport
) -> None:
    ledger = Ledger()
    world = World(simulator, transport, "kill", size=40, max_concurrency=30, usage=ledger, settings=PATIENT)
    streams = Massacre(world, ledger, size=2000)
    await streams.run()
    await streams.check()
    assert not simulator.errors
