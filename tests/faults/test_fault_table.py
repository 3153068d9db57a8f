"""The simulator's faults through the gateway over real connections: what the client gets, once and for good.

Every row of `table.py` runs for every dialect, streamed and collected, once (on the first account) and always (on all
three). All cases of a row run side by side, each with accounts, shared state and usage of its own.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import pytest

from providers.simulator.faults import VARIANTS
from providers.simulator.server import Fault, Simulator
from providers.transport.pyreqwest_transport import PyreqwestTransport
from stats.meter import UsageRecord
from tests.dialects import DIALECTS
from tests.faults.stage import IMPATIENT, PATIENT, World, together
from tests.faults.table import AFTER, BEFORE, SERVED, Row, rows, verdicts
from tests.gateway.playbook import Client
from translation import registry

in_one_loop = pytest.mark.asyncio(loop_scope="module")

PROMPT = "[[STREAM:10x1ms]]"
FIRST_DELTA, LAST_DELTA = "tok00000", "tok00009"
VERDICTS = verdicts()
FIELDS = {"F13": {"seconds": 20, "tick": 1e-6}, "F14": {"size_mb": 2}}
"""Parameters of faults: longer than the patience of the settings; smaller than what makes a test slow."""


class Case(NamedTuple):
    """One request of a row, and what is to come of it."""

    dialect: str
    stream: bool
    variant: str
    when: str
    times: int | None
    expected: str


class Ended(NamedTuple):
    """How a case went."""

    client: Client
    record: UsageRecord
    leases: int
    asked: list[int]


async def play(simulator: Simulator, transport: PyreqwestTransport, name: str, fault: str, case: Case) -> Ended:
    """Run one case."""
    world = World(simulator, transport, name, settings=IMPATIENT if case.expected == "silent" else PATIENT)
    where = (0,) if case.times else (0, 1, 2)
    world.fails(fault, accounts=where, variant=case.variant, after=case.when, times=case.times, **FIELDS.get(fault, {}))
    client = await world.ask(case.dialect, PROMPT, stream=case.stream)
    (record,) = world.usage.take(10)
    return Ended(client, record, await world.leases(), world.asked())


def check(case: Case, ended: Ended) -> None:
    """What holds for every case, and what the table says of this one."""
    client, record = ended.client, ended.record
    assert client.ended
    assert ended.leases == 0
    assert record.outcome != "gateway_bug"
    if case.stream and client.status == 200:
        ends = DIALECTS[case.dialect].ends(client.body, client.media_type)
        assert ends == ["done" if case.expected == SERVED else "error"]
    if case.expected == SERVED:
        assert (client.status, client.failure, record.outcome) == (200, None, "ok")
        assert client.text.count(FIRST_DELTA) == client.text.count(LAST_DELTA) == 1
        return
    told = VERDICTS[case.expected][case.dialect]
    failure = DIALECTS[case.dialect].told(client.body, client.media_type)
    assert failure is not None and failure.message
    assert record.error_code and record.outcome not in ("ok", "client_gone")
    if client.status != 200:
        assert (client.status, failure.type, failure.code) == told
        assert client.media_type.startswith("application/json")
        if told.status == 429:
            assert int(client.headers["retry-after"]) >= 1


def check_told_in_stream(case: Case, ended: Ended) -> None:
    """After output the status has left: type and code say it, and nothing was tried again."""
    failure = DIALECTS[case.dialect].told(ended.client.body, ended.client.media_type)
    assert ended.client.status == 200 and failure is not None
    assert ended.client.text.count(FIRST_DELTA) == 1
    assert (ended.record.attempts, ended.asked) == (1, [1, 0, 0])
    assert ended.record.status == 200
    told = VERDICTS[case.expected][case.dialect]
    if case.dialect == "responses":  # `response.error` has no type, and our own codes are the server's error there
        own = told.code.startswith("upstream_")
        assert failure.code == ("server_error" if own else told.code)
    else:
        assert (failure.type, failure.code) == (told.type, told.code)


@in_one_loop
@pytest.mark.parametrize("row", rows(BEFORE), ids=lambda row: row.name)
async def test_a_fault_before_any_output(simulator: Simulator, transport: PyreqwestTransport, row: Row) -> None:
    cases = [
        Case(dialect, stream, variant, when, times, expected)
        for dialect, stream, variant, when, (times, expected) in product(
            DIALECTS, (True, False), row.variants, row.when, ways(row)
        )
    ]
    await run(simulator, transport, row, cases)


@in_one_loop
@pytest.mark.parametrize("row", rows(AFTER), ids=lambda row: row.name)
async def test_a_fault_after_output_is_told_in_the_stream_and_never_replayed(
    simulator: Simulator, transport: PyreqwestTransport, row: Row
) -> None:
    cases = [
        Case(dialect, True, variant, when, None, row.stream)
        for dialect, variant, when in product(DIALECTS, row.variants, row.when)
    ]
    for case, ended in await run(simulator, transport, row, cases):
        check_told_in_stream(case, ended)


@in_one_loop
@pytest.mark.parametrize("row", rows(AFTER), ids=lambda row: row.name)
async def test_a_fault_after_output_of_a_collected_answer(
    simulator: Simulator, transport: PyreqwestTransport, row: Row
) -> None:
    cases = [
        Case(dialect, False, variant, when, times, expected)
        for dialect, variant, when, (times, expected) in product(DIALECTS, row.variants, row.when, ways(row))
    ]
    await run(simulator, transport, row, cases)


@in_one_loop
@pytest.mark.parametrize("variant", ["407", "refuse"])
async def test_an_egress_that_fails_is_nobodys_fault_and_another_account_answers(
    simulator: Simulator, transport: PyreqwestTransport, variant: str
) -> None:
    """F22 cannot be given to an account: a proxy does not know whom it serves."""
    simulator.faults.clear()
    simulator.faults.add(Fault("F22", variant=variant, times=None, route="connect"))
    cases = [
        (World(simulator, transport, f"egress-{variant}-{dialect}-{len(behind)}", behind_proxy=behind), dialect, behind)
        for dialect, behind in product(DIALECTS, ((0,), (0, 1, 2)))
    ]
    clients = await together(*(world.ask(dialect, PROMPT, stream=True) for world, dialect, _ in cases))
    simulator.faults.clear()
    for (world, dialect, behind), client in zip(cases, clients, strict=True):
        if len(behind) == 1:
            assert LAST_DELTA in client.text
        else:
            failure = DIALECTS[dialect].told(client.body, client.media_type)
            assert failure is not None
            assert (client.status, failure.type, failure.code) == VERDICTS["transport"][dialect]
        assert world.asked()[0] == 0 and await world.leases() == 0


def ways(row: Row) -> list[tuple[int | None, str]]:
    """Once and always, as how often the fault comes and what is expected; once says nothing where always is served."""
    return [(1, row.once), (None, row.always)] if row.always != SERVED else [(None, SERVED)]


async def run(
    simulator: Simulator, transport: PyreqwestTransport, row: Row, cases: list[Case]
) -> list[tuple[Case, Ended]]:
    """Run all cases of a row side by side and check each; what is wrong is told for all of them at once."""
    simulator.faults.clear()
    name = f"{abs(hash(row.name)):x}-{len(cases)}"
    ended = await together(
        *(play(simulator, transport, f"{name}-{number}", row.fault, case) for number, case in enumerate(cases))
    )
    wrong: list[str] = []
    for case, result in zip(cases, ended, strict=True):
        try:
            check(case, result)
        except AssertionError as problem:
            client = result.client
            said = client.body[-300:].decode("utf-8", "replace")
            wrong.append(f"{case}\n  {client.status} {said}\n  {str(problem).splitlines()[0]}")
    assert not wrong, "\n".join(wrong)
    return list(zip(cases, ended, strict=True))


def test_the_table_knows_every_variant_that_meets_a_request() -> None:
    """A fault that the simulator learns must find its row."""
    apart = {"F15", "F17", "F19", "F20", "F21", "F22"}
    known = {(row.fault, variant) for row in (*rows(BEFORE), *rows(AFTER)) for variant in row.variants}
    shown_elsewhere = {("F16", "incomplete")}  # a good end; the codecs' tests know what it is called
    every = {(fault, variant) for fault, variants in VARIANTS.items() if fault not in apart for variant in variants}
    assert every - known == shown_elsewhere


def test_the_table_knows_every_dialect() -> None:
    assert all(set(told) == set(DIALECTS) for told in VERDICTS.values())
    spoken = {dialect.codec for dialect in DIALECTS.values()}
    assert spoken == set(registry.codecs()) - {"openai-completions", "openai-images"}
