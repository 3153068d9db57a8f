"""The simulator's faults through the gateway over real connections: what the client gets, once and for good.

Each row of `OUTCOMES` is a fault; each runs for both dialects, streamed and collected, once (on the first account) and
always (on all three). All cases of a row run side by side, each with accounts, shared state and usage of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest

from accounts.keys import digest
from accounts.pool import AccountPool
from accounts.values import AccountView, ApiKeyView
from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.snapshot import GatewaySettings, Snapshot, SnapshotStore
from codexproxy.gateway.state.contract import Candidate
from codexproxy.gateway.state.memory import MemoryState
from codexproxy.gateway.types import ClientRequest
from providers.adapters.codex import CodexProvider
from providers.catalog import bundled_models
from providers.contract import Credential, Secret
from providers.simulator.server import Fault, Simulator
from providers.transport.pyreqwest_transport import PyreqwestTransport
from stats.meter import UsageQueue, UsageRecord
from tests.gateway.playbook import Client
from translation import registry

KEY = ApiKeyView(id=1, user_id=1, name="laptop", prefix="cpx-")
PROMPT = "[[STREAM:10x1ms]]"
LAST_DELTA = "tok00009"
SETTINGS = GatewaySettings(first_event_timeout_s=1.5, idle_timeout_s=1.5, heartbeat_s=5, gate_patience_s=5)
SERVED = "served"
"""The whole answer arrives, whatever it took."""
DIALECTS = {"openai-chat": "messages", "openai-responses": "input"}

OUTCOMES: dict[tuple[str, str], tuple[str | int, str | int]] = {
    # (fault, variant): (once, always); a status stands for an error answer with it
    **{("F1", variant): (SERVED, 429) for variant in ("both", "at", "in", "none", "past")},
    **{("F2", variant): (SERVED, 429) for variant in ("ms", "s", "seconds")},
    ("F3", "capacity"): (SERVED, 429),
    ("F3", "usage_not_included"): (SERVED, 429),
    **{
        ("F4", variant): (SERVED, 503)
        for variant in ("token_expired", "token_invalidated", "account_deactivated", "unauthorized", "unparsable")
    },
    ("F4", "region"): (SERVED, 502),
    **{("F5", variant): (SERVED, 503) for variant in ("detail", "error")},
    **{("F6", variant): (SERVED, 502) for variant in ("challenge", "challenge_html_only", "blocked", "region")},
    **{("F6", variant): (SERVED, 503) for variant in ("ban", "account_suspended")},
    ("F7", "empty"): (SERVED, 502),
    ("F7", "json"): (404, 404),
    ("F8", "model_unsupported"): (SERVED, 400),
    ("F8", "invalid_encrypted_content"): (SERVED, 400),
    **{
        ("F8", variant): (400, 400)
        for variant in (
            "unsupported_parameter", "version_gate", "previous_response_not_found", "missing_tool_output",
            "missing_tool_call", "context_length", "policy", "invalid_prompt", "image",
        )
    },
    ("F9", "413"): (413, 413),
    ("F9", "415"): (415, 415),
    ("F9", "500"): (SERVED, 500),
    ("F9", "502"): (SERVED, 502),
    ("F9", "503"): (SERVED, 503),
    ("F9", "503_slow_down"): (SERVED, 503),
    ("F9", "520"): (SERVED, 502),
    ("F11", "json_body"): (SERVED, 502),
    ("F11", "empty_body"): (SERVED, 504),
    ("F11", "error_json"): (SERVED, 500),
    ("F12", "fin"): (SERVED, 502),
    ("F12", "rst"): (SERVED, 502),
    ("F12", "clean_end"): (SERVED, 504),
    ("F13", "silence"): (504, 504),
    ("F13", "no_headers"): (504, 504),
    **{
        ("F14", variant): (SERVED, SERVED)
        for variant in (
            "crlf", "comments", "keepalive", "multiline", "no_event_name", "unknown_event", "bytewise",
            "no_final_blank", "done_marker",
        )
    },
    **{("F16", variant): (SERVED, SERVED) for variant in ("no_usage", "null_details", "non_empty_output")},
    **{
        ("F18", variant): (SERVED, SERVED)
        for variant in ("missing", "malformed", "nan", "only_secondary", "extra_family", "weekly_primary")
    },
    ("F23", "reset_far"): (SERVED, SERVED),
    ("F24", "max_age_zero"): (SERVED, SERVED),
}  # fmt: skip

IN_STREAM: dict[tuple[str, str, str], str | int] = {
    # (fault, variant, after): what a fault that comes once, after output, makes of the answer
    ("F10", "server_error", "text"): "server_error",
    ("F10", "context_length_exceeded", "text"): "context_length_exceeded",
    ("F10", "something_new", "text"): "something_new",
    ("F12", "fin", "text"): "cut",
    ("F12", "rst", "text"): "cut",
    ("F12", "clean_end", "text"): "cut",
    ("F12", "mid_utf8", "text"): "cut",
    ("F12", "mid_event", "text"): "cut",
    ("F12", "clean_end", "item"): "cut",
}


@dataclass
class Ended:
    """How one case went."""

    client: Client
    record: UsageRecord
    leases: int

    @property
    def text(self) -> str:
        return self.client.body.decode("utf-8", "replace")


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(accounts=0) as running:
        yield running
        assert not list(running.errors), "the simulator itself failed"


@pytest.fixture
async def transport() -> AsyncIterator[PyreqwestTransport]:
    opened = PyreqwestTransport()
    yield opened
    await opened.close()


async def play(
    simulator: Simulator, transport: PyreqwestTransport, name: str, dialect: str, *, stream: bool, faults: list[Fault]
) -> Ended:
    """Run one request against three fresh accounts; `faults` name the accounts 0, 1, 2 by position."""
    known = [simulator.add_account(id=f"{name}-{number}") for number in range(3)]
    for fault in faults:
        fault.account = known[int(fault.account or 0)].id
        simulator.faults.add(fault)
    state, usage = MemoryState(), UsageQueue()
    views = tuple(
        AccountView(
            id=each.id,
            provider="codex",
            credential=Credential(
                token=Secret(each.access_token), scope=each.id, upstream_account_id=each.chatgpt_account_id
            ),
        )
        for each in known
    )

    async def no_refresh(account_id: str) -> bool:
        return False

    gateway = Gateway(
        snapshots=SnapshotStore(
            Snapshot(keys={digest("k"): KEY}, accounts=views, models=bundled_models(), settings=SETTINGS)
        ),
        state=state,
        usage=usage,
        transport=transport,
        pool=AccountPool(state, Candidate, lambda *_: None, lease_ttl_s=900),
        providers={"codex": CodexProvider(simulator.codex_base_url)},
        on_report=lambda _: None,
        refresher=no_refresh,
    )
    body = {"model": "gpt-5.5", "stream": stream, DIALECTS[dialect]: [{"role": "user", "content": PROMPT}]}
    request = ClientRequest(method="POST", path="/", headers={}, body=orjson.dumps(body), request_id=f"req_{name}")
    client = Client()
    async with asyncio.timeout(30):
        await gateway.generate(registry.get(dialect), KEY, request, client)
    (record,) = usage.take(10)
    leases = sum([await state.slots_taken(view.id, now=0) for view in views])
    return Ended(client, record, leases)


def every_way() -> list[tuple[str, bool]]:
    return [(dialect, stream) for dialect in DIALECTS for stream in (True, False)]


def check(ended: Ended, expected: str | int, dialect: str, *, stream: bool) -> None:
    assert ended.leases == 0
    assert ended.record.outcome != "gateway_bug"
    if expected == SERVED:
        assert ended.client.status == 200 and ended.record.outcome == "ok", ended.text[-500:]
        assert LAST_DELTA in ended.text and ended.record.output_tokens >= 0
        if stream:
            terminal = "data: [DONE]" if dialect == "openai-chat" else "event: response.completed"
            assert ended.text.count(terminal) == 1
        return
    assert ended.client.status == expected, ended.text[-500:]
    assert orjson.loads(ended.client.body)["error"]["message"]
    assert ended.record.error_code


@pytest.mark.parametrize(("code", "variant"), OUTCOMES, ids=lambda value: value)
async def test_a_fault_before_any_output(
    simulator: Simulator, transport: PyreqwestTransport, code: str, variant: str
) -> None:
    once, always = OUTCOMES[code, variant]
    cases = [
        (
            dialect,
            stream,
            expected,
            [Fault(code, variant=variant, times=times, account=str(number)) for number in where],
        )
        for dialect, stream in every_way()
        for expected, times, where in ((once, 1, (0,)), (always, None, (0, 1, 2)))
    ]
    ended = await asyncio.gather(
        *(
            play(simulator, transport, f"c{position}", dialect, stream=stream, faults=faults)
            for position, (dialect, stream, _, faults) in enumerate(cases)
        )
    )
    for (dialect, stream, expected, _), result in zip(cases, ended, strict=True):
        check(result, expected, dialect, stream=stream)


@pytest.mark.parametrize(("code", "variant", "after"), IN_STREAM, ids=lambda value: value)
async def test_a_fault_after_output_is_told_in_the_stream_and_never_replayed(
    simulator: Simulator, transport: PyreqwestTransport, code: str, variant: str, after: str
) -> None:
    results = await asyncio.gather(
        *(
            play(
                simulator, transport, dialect, dialect, stream=True,
                faults=[Fault(code, variant=variant, after=after, account="0")],
            )
            for dialect in DIALECTS
        )
    )  # fmt: skip
    for dialect, ended in zip(DIALECTS, results, strict=True):
        assert (ended.client.status, ended.leases, ended.record.attempts) == (200, 0, 1)
        assert ended.record.outcome in ("upstream_error", "client_error")
        assert ended.client.text.count("tok00000") == 1
        if dialect == "openai-chat":
            assert '"finish_reason":"stop"' not in ended.text
            assert re.search(r'data: \{"error":\{[^\n]*\}\}\n\ndata: \[DONE\]\n\n$', ended.text)
        else:
            assert "event: response.completed" not in ended.text
            assert ended.text.count("event: response.failed") + ended.text.count("event: error") == 1
        told = IN_STREAM[code, variant, after]
        if told != "cut":
            assert f'"code":"{told}"' in ended.text.replace('"code": "', '"code":"')


async def test_one_healthy_account_among_twenty_serves_every_request(
    simulator: Simulator, transport: PyreqwestTransport
) -> None:
    """The limit of nineteen accounts is learned once each; nobody is told."""
    known = [simulator.add_account(id=f"a{number:02d}") for number in range(20)]
    for account in known[:-1]:
        simulator.faults.add(Fault("F1", times=None, account=account.id))
    state, usage = MemoryState(), UsageQueue()
    views = tuple(
        AccountView(
            id=each.id, provider="codex", max_concurrency=100,
            credential=Credential(
                token=Secret(each.access_token), scope=each.id, upstream_account_id=each.chatgpt_account_id
            ),
        )
        for each in known
    )  # fmt: skip

    async def no_refresh(account_id: str) -> bool:
        return False

    gateway = Gateway(
        snapshots=SnapshotStore(Snapshot(accounts=views, models=bundled_models())),
        state=state, usage=usage, transport=transport,
        pool=AccountPool(state, Candidate, lambda *_: None, lease_ttl_s=900),
        providers={"codex": CodexProvider(simulator.codex_base_url)},
        on_report=lambda _: None, refresher=no_refresh,
    )  # fmt: skip

    async def ask(number: int) -> int:
        body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": f"[[SAY:{number}]]"}]}
        client = Client()
        request = ClientRequest(method="POST", path="/", headers={}, body=orjson.dumps(body), request_id=f"r{number}")
        await gateway.generate(registry.get("openai-chat"), KEY, request, client)
        return client.status

    assert await asyncio.gather(*(ask(number) for number in range(60))) == [200] * 60
