"""Conversations over upstream WebSockets, through the whole gateway and against the simulated upstream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from accounts.crypto import KeyRing
from accounts.pool import AccountPool
from accounts.values import AccountReport, AccountView, ApiKeyView
from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.journal import Journal
from codexproxy.gateway.snapshot import GatewaySettings, Snapshot, SnapshotStore, SocketSettings
from codexproxy.gateway.state.contract import Candidate
from codexproxy.gateway.state.memory import MemoryState
from codexproxy.gateway.types import ClientRequest
from providers.adapters.codex import CodexProvider
from providers.catalog import bundled_models
from providers.contract import Credential, Secret
from providers.simulator.server import Fault, Simulator
from providers.transport import socket_pool
from providers.transport.pyreqwest_transport import PyreqwestTransport
from providers.transport.socket_pool import SocketLimits, SocketTransport
from stats.meter import UsageQueue
from tests.faults.table import BEFORE, SERVED, rows, verdicts
from tests.gateway.playbook import Client
from translation import registry

KEY = ApiKeyView(id=1, user_id=1, name="laptop", prefix="cpx-")
SHELL = {
    "type": "function", "name": "bash",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}  # fmt: skip


class Conversation:
    """A gateway over one simulator, and a client that sends its whole history each time, as Codex does over HTTP."""

    def __init__(self, sim: Simulator, http: PyreqwestTransport, *, accounts: int = 1, enabled: bool = True) -> None:
        self.sim = sim
        self.limits = SocketLimits()
        self.transport = SocketTransport(http, lambda: self.limits)
        self.reports: list[AccountReport] = []
        known = [sim.add_account(id=f"a{number}") for number in range(accounts)]
        self.snapshots = SnapshotStore(
            Snapshot(
                accounts=tuple(
                    AccountView(
                        id=each.id, provider="codex",
                        credential=Credential(
                            token=Secret(each.access_token), scope=each.id, upstream_account_id=each.chatgpt_account_id
                        ),
                    )
                    for each in known
                ),
                models=bundled_models(),
                settings=GatewaySettings(
                    first_event_timeout_s=3, idle_timeout_s=3, heartbeat_s=5, gate_patience_s=5,
                    sockets=SocketSettings(enabled=enabled),
                ),
            )
        )  # fmt: skip
        self.state = MemoryState()
        self.usage = UsageQueue()
        self.gateway = Gateway(
            snapshots=self.snapshots, state=self.state, usage=self.usage, transport=self.transport,
            pool=AccountPool(self.state, Candidate, lambda *_: None, lease_ttl_s=900),
            providers={"codex": CodexProvider(sim.codex_base_url)},
            on_report=self.reports.append, refresher=self._refresh, journal=Journal(self.state, KeyRing(["0" * 32])),
        )  # fmt: skip
        self.history: list[Any] = []

    async def _refresh(self, account_id: str) -> bool:
        return False

    async def ask(self, body: dict[str, Any], *, dialect: str = "openai-responses", **headers: str) -> Client:
        request = ClientRequest(
            method="POST", path="/v1/responses", request_id="req_t",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            body=orjson.dumps({"model": "gpt-5.5", "stream": True, **body}),
        )  # fmt: skip
        client = Client()
        async with asyncio.timeout(20):
            await self.gateway.generate(registry.get(dialect), KEY, request, client)
        return client

    async def say(self, said: str | list[Any], **fields: Any) -> Client:
        """One turn of the conversation, with everything that was said before."""
        items = [_user(said)] if isinstance(said, str) else said
        client = await self.ask({"input": self.history + items, "store": False, "prompt_cache_key": "conv-1", **fields})
        if client.status == 200:
            [final] = [each for each in client.events() if each["type"] == "response.completed"]
            self.history += items + final["response"]["output"]
        return client

    @property
    def ways(self) -> list[str]:
        """How each request reached the upstream."""
        return ["socket" if each.method == "WS" else "http" for each in self._asked()]

    def sent(self) -> list[dict[str, Any]]:
        """The bodies the upstream got."""
        return [orjson.loads(each.body) for each in self._asked()]

    def _asked(self) -> list[Any]:
        return [each for each in self.sim.received if each.method == "WS" or each.route == "responses"]

    @property
    def open_sockets(self) -> int:
        return self.sim.counters["websockets.opened"] - self.sim.counters["websockets.closed"]


def _user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


Starter = Callable[..., Awaitable[Conversation]]


@pytest.fixture(autouse=True)
def no_pause_between_dials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_pool, "DIAL_GAP_S", 0.0)


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    running: list[Simulator] = []
    transports: list[Any] = []

    async def begin(*, accounts: int = 1, enabled: bool = True, **options: Any) -> Conversation:
        sim = Simulator(**options)
        await sim.start()
        running.append(sim)
        http = PyreqwestTransport()
        conversation = Conversation(sim, http, accounts=accounts, enabled=enabled)
        transports.extend([conversation.transport, http])
        return conversation

    yield begin
    for transport in transports:
        await transport.close()
    for sim in running:
        assert not list(sim.errors), "the simulator itself failed"
        assert sim.counters["violation.concurrent_turn"] == 0, "two turns on one socket"
        await sim.stop()


# ---- the good path --------------------------------------------------------------------------------------------------


async def test_a_conversation_moves_to_a_socket_and_then_only_what_is_new_is_sent(start: Starter) -> None:
    talk = await start()
    for number in range(4):
        client = await talk.say(f"turn {number} [[SAY:answer {number}]]")
        assert client.text == f"answer {number}"
    assert talk.ways == ["http", "socket", "socket", "socket"]
    assert talk.sim.counters["websockets.opened"] == 1 and talk.sim.counters["websockets.continued"] == 2
    inputs = [len(body["input"]) for body in talk.sent()]
    assert inputs == [1, 3, 1, 1]
    assert all(body["store"] is False for body in talk.sent())


async def test_nothing_leaves_over_a_socket_unless_the_operator_wants_it(start: Starter) -> None:
    talk = await start(enabled=False)
    for number in range(3):
        await talk.say(f"turn {number}")
    assert talk.ways == ["http"] * 3 and talk.sim.counters["websockets.opened"] == 0


async def test_a_client_that_names_its_last_answer_gets_the_same_savings(start: Starter) -> None:
    talk = await start()
    previous = None
    for number in range(4):
        more = {"previous_response_id": previous} if previous else {}
        client = await talk.ask({"input": f"turn {number} [[SAY:{number}]]", **more})
        assert client.text == str(number)
        previous = [each for each in client.events() if "response" in each][-1]["response"]["id"]
    assert talk.ways == ["http", "socket", "socket", "socket"]
    assert [len(body["input"]) for body in talk.sent()] == [1, 3, 1, 1]


async def test_chat_clients_who_replay_no_reasoning_are_continued_too(start: Starter) -> None:
    talk = await start()
    messages: list[Any] = []
    for number in range(4):
        messages.append({"role": "user", "content": f"turn {number} [[REASON:hmm]] [[SAY:{number}]]"})
        client = await talk.ask({"messages": messages, "reasoning_effort": "high"}, dialect="openai-chat")
        assert client.text == str(number)
        messages.append({"role": "assistant", "content": client.text})
    assert talk.ways == ["http", "socket", "socket", "socket"]
    assert [len(body["input"]) for body in talk.sent()] == [1, 3, 1, 1]


async def test_tool_calls_and_their_outputs_are_continued(start: Starter) -> None:
    talk = await start()
    await talk.say("hi", tools=[SHELL])
    await talk.say('run [[TOOL:bash {"command": "ls"}]]', tools=[SHELL])
    call = talk.history[-1]
    assert call["type"] == "function_call"
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "a.txt"}
    assert (await talk.say([output], tools=[SHELL])).status == 200
    assert talk.ways == ["http", "socket", "socket"]
    assert [item["type"] for item in talk.sent()[-1]["input"]] == ["function_call_output"]


async def test_limits_that_came_in_a_frame_are_reported_like_headers(start: Starter) -> None:
    talk = await start()
    await talk.say("one")
    talk.reports.clear()
    client = await talk.say("two")
    assert talk.reports
    for report in talk.reports:
        assert report.limits is not None and report.limits.windows["codex"]["primary"].window_minutes == 300
    assert client.headers["x-codex-primary-window-minutes"] == "300"


async def test_the_turn_state_travels_inside_the_message_and_back(start: Starter) -> None:
    talk = await start()
    await talk.say("one")
    state = (await talk.say("two")).headers["x-codex-turn-state"]
    talk.history.append(_user("three"))
    client = await talk.ask(
        {"input": talk.history, "store": False, "prompt_cache_key": "conv-1"}, x_codex_turn_state=state
    )
    assert talk.ways[-1] == "socket"
    assert talk.sent()[-1]["client_metadata"]["x-codex-turn-state"] == state
    assert "x-codex-turn-state" not in client.headers, "an echoed state is not issued again"


# ---- what must not be continued -------------------------------------------------------------------------------------


async def test_row_222_an_edited_history_is_sent_whole(start: Starter) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    talk.history[2] = _user("rewritten")
    await talk.say("go on")
    assert talk.ways[-1] == "socket"
    assert "previous_response_id" not in talk.sent()[-1] and len(talk.sent()[-1]["input"]) == 7


async def test_a_rewound_conversation_is_sent_whole(start: Starter) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    del talk.history[-2:]
    await talk.say("another way")
    assert "previous_response_id" not in talk.sent()[-1] and len(talk.sent()[-1]["input"]) == 5


@pytest.mark.parametrize("change", [{"tools": [SHELL]}, {"instructions": "Other."}, {"reasoning": {"effort": "low"}}])
async def test_other_knobs_are_sent_whole(start: Starter, change: dict[str, Any]) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    await talk.say("go on", **change)
    assert "previous_response_id" not in talk.sent()[-1] and len(talk.sent()[-1]["input"]) == 7


async def test_agents_that_share_a_session_do_not_share_a_socket(start: Starter) -> None:
    talk = await start()
    agents = {"main": [], "reviewer": []}
    for _ in range(3):
        for name, history in agents.items():
            history.append(_user(f"[[SAY:{name}]]"))
            body = {"input": history, "instructions": f"You are {name}.", "prompt_cache_key": "shared", "store": False}
            client = await talk.ask(body)
            assert client.text == name
            [final] = [each for each in client.events() if each["type"] == "response.completed"]
            history += final["response"]["output"]
    assert talk.sim.counters["websockets.opened"] == 2
    for body in talk.sent():
        said = {item["content"][0]["text"] for item in body["input"] if item.get("role") == "assistant"}
        assert said <= {body["instructions"].removeprefix("You are ").rstrip(".")}, "one agent heard the other"


async def test_a_second_request_of_a_busy_conversation_goes_over_http(start: Starter) -> None:
    talk = await start()
    await talk.say("one")
    await talk.say("two")
    body = {"input": [*talk.history, _user("[[STREAM:10x20ms]]")], "store": False, "prompt_cache_key": "conv-1"}
    await asyncio.gather(talk.ask(body), talk.ask(body))
    assert sorted(talk.ways[-2:]) == ["http", "socket"]
    assert await talk.state.slots_taken("a0", now=0) == 0


# ---- sockets that fail ----------------------------------------------------------------------------------------------


async def test_a_socket_that_died_between_turns_costs_nothing_but_the_whole_history(start: Starter) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    for connection in list(talk.sim._live):
        connection.reset()
    await asyncio.sleep(0.05)
    client = await talk.say("still there? [[SAY:yes]]")
    assert client.text == "yes"
    assert len(talk.sent()[-1]["input"]) == 7 and "previous_response_id" not in talk.sent()[-1]


@pytest.mark.parametrize("after", ["start", "created"])
@pytest.mark.parametrize("variant", ["close_1000", "close_1006", "close_1011", "limit"])
async def test_a_socket_that_closes_before_any_output_is_not_noticed(start: Starter, variant: str, after: str) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    talk.sim.faults.add(Fault("F15", variant=variant, after=after, transport="websocket"))
    client = await talk.say("go on [[SAY:fine]]")
    assert (client.status, client.text) == (200, "fine")
    whole = talk.sent()[-1]
    assert len(whole["input"]) == 7 and "previous_response_id" not in whole
    assert talk.usage.take(99)[-1].outcome == "ok"


@pytest.mark.parametrize("variant", ["close_1000", "close_1006", "close_1011", "limit"])
async def test_a_socket_that_closes_after_output_is_told_and_never_replayed(start: Starter, variant: str) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    asked = len(talk.sent())
    talk.sim.faults.add(Fault("F15", variant=variant, after="text", transport="websocket"))
    client = await talk.ask({"input": [*talk.history, _user("[[STREAM:10x1ms]]")], "prompt_cache_key": "conv-1"})
    assert client.status == 200 and client.error is not None
    assert len(talk.sent()) == asked + 1
    assert (await talk.say("again [[SAY:fine]]")).text == "fine"
    assert "previous_response_id" not in talk.sent()[-1], "what broke is not continued"


@pytest.mark.parametrize("variant", ["refuse_401", "refuse_403", "refuse_426", "refuse_429", "refuse_503"])
async def test_a_refused_handshake_goes_over_http_and_is_not_tried_again_at_once(start: Starter, variant: str) -> None:
    talk = await start()
    await talk.say("one")
    talk.sim.faults.add(Fault("F15", variant=variant))
    for number in range(3):
        assert (await talk.say(f"[[SAY:{number}]]")).text == str(number)
    assert talk.ways == ["http"] * 4


async def test_an_upstream_without_sockets_is_asked_once(start: Starter) -> None:
    talk = await start(websockets=False)
    for number in range(4):
        assert (await talk.say(f"[[SAY:{number}]]")).text == str(number)
    upgrades = [each for each in talk.sim.received if each.method == "GET"]
    assert talk.ways == ["http"] * 4 and len(upgrades) == 1


@pytest.mark.parametrize("variant", ["status_code", "body_error"])
async def test_a_limit_in_the_first_frame_moves_on_to_another_account(start: Starter, variant: str) -> None:
    talk = await start(accounts=2)
    for number in range(3):
        await talk.say(f"turn {number}")
    talk.sim.faults.add(Fault("F15", variant=variant, after="start", transport="websocket"))
    client = await talk.say("go on [[SAY:fine]]")
    assert client.text == "fine"
    accounts = [each.account_id for each in talk._asked()]
    assert accounts[-1] != accounts[-2] == accounts[0]
    assert len(talk.sent()[-1]["input"]) == 7


@pytest.mark.parametrize(
    ("code", "variant"), [("F1", "both"), ("F2", "s"), ("F3", "capacity"), ("F4", "unauthorized"), ("F9", "503")]
)
async def test_statuses_over_a_socket_mean_what_they_mean_over_http(start: Starter, code: str, variant: str) -> None:
    talk = await start(accounts=2)
    for number in range(3):
        await talk.say(f"turn {number}")
    talk.sim.faults.add(Fault(code, variant=variant, transport="websocket"))
    assert (await talk.say("go on [[SAY:fine]]")).text == "fine"


async def test_an_old_socket_is_replaced(start: Starter) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    talk.limits = SocketLimits(max_age_s=0.0)
    assert (await talk.say("go on [[SAY:fine]]")).text == "fine"
    assert talk.sim.counters["websockets.opened"] == 2 and len(talk.sent()[-1]["input"]) == 7


async def test_the_upstreams_own_lifetime_is_answered_with_the_whole_history(start: Starter) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    talk.sim.options.ws_lifetime_s = 0.0
    assert (await talk.say("go on [[SAY:fine]]")).text == "fine"
    assert (talk.ways[-1], len(talk.sent()[-1]["input"])) == ("http", 7)


async def test_a_continuation_the_upstream_forgot_is_sent_whole(start: Starter) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    [session] = [each._takeover for each in talk.sim._live if each._takeover is not None]
    session.latest_id = "resp_other"
    assert (await talk.say("go on [[SAY:fine]]")).text == "fine"
    assert len(talk.sent()[-1]["input"]) == 7


async def test_a_new_token_opens_a_new_socket(start: Starter) -> None:
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    account = talk.sim.accounts.find("a0")
    assert account is not None
    account.mint()
    [view] = talk.snapshots.current.accounts
    renewed = replace(view, credential=replace(view.credential, token=Secret(account.access_token)))
    talk.snapshots.current = replace(talk.snapshots.current, accounts=(renewed,))
    assert (await talk.say("go on [[SAY:fine]]")).text == "fine"
    assert talk.sim.counters["websockets.opened"] == 2 and talk.ways[-1] == "socket"
    assert dict(talk._asked()[-1].headers)["authorization"] == f"Bearer {account.access_token}"
    await asyncio.sleep(0.05)
    assert talk.open_sockets == 1


async def test_the_sockets_of_an_account_are_bounded_and_the_least_used_goes_first(start: Starter) -> None:
    talk = await start()
    talk.limits = SocketLimits(max_per_account=2)
    for _ in range(2):
        for name in "abc":
            await talk.ask({"input": f"[[SAY:{name}]]", "prompt_cache_key": name})
    await asyncio.sleep(0.05)
    assert talk.sim.counters["websockets.opened"] == 3 and talk.open_sockets == 2
    assert len(talk.transport._sockets) == 2


async def test_a_client_that_leaves_breaks_the_socket_and_frees_the_upstream(start: Starter) -> None:
    talk = await start()
    await talk.say("one")
    await talk.say("two")
    body = {"input": [*talk.history, _user("[[STREAM:100x20ms]]")], "prompt_cache_key": "conv-1"}
    request = ClientRequest(
        method="POST", path="/v1/responses", headers={}, request_id="r",
        body=orjson.dumps({"model": "gpt-5.5", "stream": True, **body}),
    )  # fmt: skip
    client = Client()
    leaving = asyncio.create_task(talk.gateway.generate(registry.get("openai-responses"), KEY, request, client))
    while not client.writes:
        await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.wait({leaving})
    await asyncio.sleep(0.05)
    assert talk.open_sockets == 0 and not talk.transport._sockets
    assert await talk.state.slots_taken("a0", now=0) == 0
    assert (await talk.say("back [[SAY:yes]]")).text == "yes"


async def test_no_token_is_logged_at_any_level(start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    talk = await start()
    for number in range(3):
        await talk.say(f"turn {number}")
    talk.sim.faults.add(Fault("F15", variant="close_1011", after="start", transport="websocket"))
    await talk.say("go on")
    account = talk.sim.accounts.find("a0")
    assert account is not None and talk.ways.count("socket") == 3
    assert account.access_token not in caplog.text
    [request] = [each for each in talk.sim.received if each.method == "GET"]
    assert account.access_token in str(request.headers), "there was something to log"


async def test_an_idle_socket_is_closed_after_a_while(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_pool, "SWEEP_S", 0.05)
    monkeypatch.setattr(socket_pool, "IDLE_S", 0.1)
    talk = await start()
    await talk.say("one")
    await talk.say("two")
    assert talk.open_sockets == 1
    await asyncio.sleep(0.4)
    assert talk.open_sockets == 0 and not talk.transport._sockets and not talk.transport._accounts
    assert (await talk.say("still there? [[SAY:yes]]")).text == "yes"


async def test_dials_of_one_account_are_paced(start: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_pool, "DIAL_GAP_S", 60.0)
    talk = await start()
    for _ in range(2):
        for name in "abc":
            await talk.ask({"input": "hi", "prompt_cache_key": name})
    assert talk.sim.counters["websockets.opened"] == 1 and talk.ways.count("http") == 5


async def test_closing_the_transport_closes_every_socket(start: Starter) -> None:
    talk = await start()
    await talk.say("one")
    await talk.say("two")
    assert talk.open_sockets == 1
    await talk.transport.close()
    await asyncio.sleep(0.05)
    assert talk.open_sockets == 0


# ---- the table of faults --------------------------------------------------------------------------------------------


FAULTS = [(row.fault, variant, when, row.once) for row in rows(BEFORE) for variant in row.variants for when in row.when]


@pytest.mark.parametrize(("code", "variant", "when", "once"), FAULTS, ids=str)
async def test_a_fault_on_a_socket_before_any_output_ends_like_the_same_fault_over_http(
    start: Starter, code: str, variant: str, when: str, once: str
) -> None:
    talk = await start(accounts=3)
    for number in range(3):
        await talk.say(f"turn {number}")
    assert talk.ways[-1] == "socket"
    talk.sim.faults.add(Fault(code, variant=variant, after=when, times=1, transport="websocket"))
    client = await talk.say("go on [[SAY:fine]]")
    if client.status != 200:
        assert once != SERVED and client.status == verdicts()[once]["responses"].status
    else:
        assert client.text == "fine", "HTTP may know better than the socket, never worse"
    for number in range(3):
        assert await talk.state.slots_taken(f"a{number}", now=0) == 0
    assert (await talk.say("and again [[SAY:fine]]")).text == "fine"
