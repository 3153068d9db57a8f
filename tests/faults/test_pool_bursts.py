"""Bursts against many accounts of which few or none are good: who is asked, and what everybody is told."""

from __future__ import annotations

import pytest

from providers.simulator.server import Simulator
from providers.transport.pyreqwest_transport import PyreqwestTransport
from tests.dialects import DIALECTS
from tests.faults.stage import World, together
from tests.gateway.playbook import Client

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNTS = 50
BURST = 200
DIALECT_OF = list(DIALECTS)


async def burst(world: World, size: int = BURST) -> list[Client]:
    """Ask `size` times at once, in all dialects, every second time for a stream."""
    return await together(
        *(
            world.ask(
                DIALECT_OF[number % len(DIALECT_OF)], f"[[SAY:number-{number}]]", stream=number % 2 == 0,
                request_id=f"req_{number}",
            )
            for number in range(size)
        )
    )  # fmt: skip


async def test_with_one_healthy_account_among_fifty_every_request_of_a_burst_succeeds(
    simulator: Simulator, transport: PyreqwestTransport
) -> None:
    world = World(simulator, transport, "one-of-fifty", size=ACCOUNTS, max_concurrency=BURST)
    world.fails("F1", accounts=range(ACCOUNTS - 1), times=None)
    clients = await burst(world)
    assert [client.status for client in clients] == [200] * BURST
    assert all(f"number-{number}" in client.text for number, client in enumerate(clients))
    assert await world.leases() == 0
    records = world.usage.take(BURST + 1)
    assert sorted(record.request_id for record in records) == sorted(f"req_{number}" for number in range(BURST))
    assert {(record.outcome, record.account_id) for record in records} == {("ok", world.known[-1].id)}
    again = await burst(world, 50)
    assert [client.status for client in again] == [200] * 50
    assert world.asked()[-1] == BURST + 50  # the limits are known by now: nobody else is asked


async def test_with_no_healthy_account_everybody_is_told_when_the_soonest_is_back(
    simulator: Simulator, transport: PyreqwestTransport
) -> None:
    world = World(simulator, transport, "none-of-fifty", size=ACCOUNTS, max_concurrency=BURST)
    for number in range(ACCOUNTS):
        world.fails("F1", accounts=(number,), times=None, seconds=3600 + 60 * ((number + 20) % ACCOUNTS))
    clients = await burst(world)
    assert [client.status for client in clients] == [429] * BURST
    assert {client.headers["retry-after"] for client in clients} <= {"3599", "3600"}
    assert all(client.failure is not None and "resting until" in client.failure.message for client in clients)
    assert await world.leases() == 0
    assert {record.outcome for record in world.usage.take(BURST + 1)} <= {"rate_limited", "no_capacity"}
    asked = sum(world.asked())
    await burst(world, 50)
    assert sum(world.asked()) == asked  # nobody is asked before then


@pytest.mark.parametrize(("fault", "variant"), [("F4", "account_deactivated"), ("F6", "ban")])
async def test_a_banned_account_gets_no_further_request(
    simulator: Simulator, transport: PyreqwestTransport, fault: str, variant: str
) -> None:
    world = World(simulator, transport, f"banned-{fault}", max_concurrency=BURST)
    world.fails(fault, accounts=(0,), variant=variant, times=None)
    while not world.asked()[0]:
        assert [client.status for client in await burst(world, 1)] == [200]
    assert world.asked()[0] == 1
    clients = await burst(world)
    assert [client.status for client in clients] == [200] * BURST
    assert world.asked()[0] == 1
    assert await world.leases() == 0
