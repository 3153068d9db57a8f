"""The listener for Ollama apps: who may call, which key is presented, and starting and stopping while others run."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import msgspec
import orjson
import pytest

from codexproxy.api.ollama_door import OllamaDoor, is_loopback
from codexproxy.gateway.snapshot import OllamaBridgeSettings
from codexproxy.serving.ollama_listener import OllamaListener
from providers.contract import Secret
from tests.api.asgi import Reply
from tests.api.test_lean_door import Server
from tests.gateway.playbook import CREATED, HELLO, ITEM, KEY, text
from translation.codec import ModelInfo

LOCAL = {"host": "127.0.0.1:11434"}


class Bridge:
    """The door on top of a gateway without a database; `settings` may be replaced at any time."""

    def __init__(self) -> None:
        self.server = Server()
        self.server.play.change(models={"gpt-5.5": ModelInfo(id="gpt-5.5")})
        self.settings = OllamaBridgeSettings(enabled=True, port=free_port(), key=Secret(KEY))
        self.door = OllamaDoor(self.server.door, lambda: self.settings)

    async def call(
        self, method: str = "GET", path: str = "/api/tags", *, headers: Mapping[str, str] = LOCAL, body: Any = None
    ) -> Reply:
        reply = Reply()
        pieces = [b"" if body is None else orjson.dumps(body)]

        async def receive() -> dict[str, Any]:
            while not pieces and not reply.is_complete:
                await asyncio.sleep(0.001)
            if not pieces:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": pieces.pop(), "more_body": False}

        scope = {
            "type": "http", "method": method, "path": path, "query_string": b"", "client": ("127.0.0.1", 5),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        await self.door(scope, receive, reply)
        return reply


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


def chat(**body: Any) -> dict[str, Any]:
    return {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hi"}], **body}


# ---- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra", [{}, {"authorization": "Bearer ollama"}, {"x-api-key": "none"}, {"x-goog-api-key": "x", "cookie": "a=b"}]
)
async def test_who_brings_no_key_of_ours_gets_the_operators(bridge: Bridge, extra: dict[str, str]) -> None:
    reply = await bridge.call(headers={**LOCAL, **extra})
    assert reply.status == 200 and [model["name"] for model in reply.json["models"]] == ["gpt-5.5"]


async def test_a_key_of_ours_counts_even_when_it_is_wrong(bridge: Bridge) -> None:
    reply = await bridge.call(headers={**LOCAL, "authorization": "Bearer cpx-wrong"})
    assert reply.status == 401 and isinstance(reply.json["error"], str)


async def test_without_a_key_to_present_nobody_gets_in(bridge: Bridge) -> None:
    bridge.settings = msgspec.structs.replace(bridge.settings, key=Secret(""))
    assert (await bridge.call()).status == 401


async def test_the_key_is_in_no_answer_and_no_log(bridge: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bridge.server.play.upstream.answers().sends(HELLO)
    replies = [
        await bridge.call(),
        await bridge.call("POST", "/api/chat", body=chat()),
        await bridge.call("POST", "/api/chat", body={}),
        await bridge.call("GET", "/v1/nothing"),
    ]
    said = b"".join(reply.body for reply in replies) + repr([reply.headers for reply in replies]).encode()
    assert KEY.encode() not in said and KEY not in caplog.text and KEY not in repr(bridge.settings)
    sent = bridge.server.play.upstream.requests[0]
    assert KEY not in repr(sent)


# ---- who may call ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    ["http://localhost", "http://localhost:3000", "https://127.0.0.1:8443", "http://[::1]:5", "http://a.localhost"],
)
async def test_pages_of_this_machine_may_call(bridge: Bridge, origin: str) -> None:
    reply = await bridge.call(headers={**LOCAL, "origin": origin})
    assert reply.status == 200 and reply.headers["access-control-allow-origin"] == origin
    assert "origin" in reply.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "null",
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "file://",
        "",
        "http://[::",
    ],
)
async def test_pages_of_others_may_not_even_ask(bridge: Bridge, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        reply = await bridge.call(method, "/api/tags", headers={**LOCAL, "origin": origin})
        assert reply.status == 403 and "access-control-allow-origin" not in reply.headers
    assert bridge.server.play.upstream.requests == []


@pytest.mark.parametrize("host", ["evil.test", "evil.test:11434", "", "[::"])
async def test_a_name_that_only_points_here_is_refused(bridge: Bridge, host: str) -> None:
    assert (await bridge.call(headers={"host": host})).status == 403


@pytest.mark.parametrize("host", ["localhost:11434", "127.0.0.1", "[::1]:11434"])
async def test_the_names_of_this_machine_are_answered(bridge: Bridge, host: str) -> None:
    assert (await bridge.call(headers={"host": host})).status == 200


async def test_an_operator_who_opens_it_is_reached_by_other_names(bridge: Bridge) -> None:
    bridge.settings = msgspec.structs.replace(bridge.settings, host="0.0.0.0")
    assert (await bridge.call(headers={"host": "box.lan:11434"})).status == 200


async def test_a_browser_asks_before_it_calls(bridge: Bridge) -> None:
    headers = {**LOCAL, "origin": "http://localhost:3000", "access-control-request-headers": "content-type, x-mine"}
    reply = await bridge.call("OPTIONS", "/api/chat", headers=headers)
    assert reply.status == 204 and reply.headers["access-control-allow-headers"] == "content-type, x-mine"
    assert "POST" in reply.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("host", "answer"),
    [("localhost", True), ("::1", True), ("127.9.9.9", True), ("10.0.0.1", False), (None, False), ("x", False)],
)
def test_what_means_this_machine(host: str | None, answer: bool) -> None:
    assert is_loopback(host) is answer


# ---- paths ----------------------------------------------------------------------------------------------------------


async def test_it_says_what_clients_look_for(bridge: Bridge) -> None:
    reply = await bridge.call("GET", "/")
    assert (reply.status, reply.body) == (200, b"Ollama is running")
    head = await bridge.call("HEAD", "/")
    assert (head.status, head.body) == (200, b"")


async def test_openais_routes_pass(bridge: Bridge) -> None:
    bridge.server.play.upstream.answers().sends(HELLO)
    assert (await bridge.call("GET", "/v1/models")).json["object"] == "list"
    reply = await bridge.call("POST", "/v1/chat/completions", body=chat())
    assert reply.json["choices"][0]["message"]["content"] == "Hello"


@pytest.mark.parametrize("path", ["/admin/", "/api/proxies", "/health", "/static/x.css", "/metrics", "/responses"])
async def test_nothing_but_models_is_behind_it(bridge: Bridge, path: str) -> None:
    reply = await bridge.call("GET", path)
    assert reply.status == 404 and isinstance(reply.json["error"], str)
    assert bridge.server.django_calls == []


# ---- starting and stopping ------------------------------------------------------------------------------------------


@pytest.fixture
async def listener(bridge: Bridge) -> AsyncIterator[OllamaListener]:
    found = OllamaListener(bridge.door)
    yield found
    await found.stop()


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url)


async def test_it_starts_and_stops_with_the_setting(bridge: Bridge, listener: OllamaListener) -> None:
    url = f"http://127.0.0.1:{bridge.settings.port}"
    await listener.apply(OllamaBridgeSettings())
    assert not listener.status.running and listener.status.endpoint == ""
    await listener.apply(bridge.settings)
    assert listener.status.running and listener.status.endpoint == url and listener.status.started_at
    assert (await get(url)).text == "Ollama is running"
    await listener.apply(msgspec.structs.replace(bridge.settings, enabled=False))
    assert not listener.status.running
    with pytest.raises(httpx.ConnectError):
        await get(url)


async def test_it_streams_over_a_real_connection(bridge: Bridge, listener: OllamaListener) -> None:
    bridge.server.play.upstream.answers().sends(HELLO)
    await listener.apply(bridge.settings)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{listener.status.endpoint}/api/chat", json=chat())
    lines = [orjson.loads(line) for line in answer.content.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "Hello" and lines[-1]["done"] is True


async def test_the_same_setting_changes_nothing(bridge: Bridge, listener: OllamaListener) -> None:
    await listener.apply(bridge.settings)
    before = listener.status
    await listener.apply(msgspec.structs.replace(bridge.settings, key=Secret("cpx-other")))
    assert listener.status is before


async def test_it_moves_to_another_port(bridge: Bridge, listener: OllamaListener) -> None:
    await listener.apply(bridge.settings)
    old = listener.status.endpoint
    await listener.apply(msgspec.structs.replace(bridge.settings, port=free_port()))
    assert (await get(listener.status.endpoint)).status_code == 200
    with pytest.raises(httpx.ConnectError):
        await get(old)


async def test_a_port_in_use_is_told_once_and_tried_again(
    bridge: Bridge, listener: OllamaListener, caplog: pytest.LogCaptureFixture
) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", bridge.settings.port))
    taken.listen()
    for _ in range(3):
        await listener.apply(bridge.settings)
    assert not listener.status.running and str(bridge.settings.port) in listener.status.error
    assert caplog.text.count("are not served") == 1
    taken.close()
    await listener.apply(bridge.settings)
    assert listener.status.running and listener.status.error == ""


async def test_an_address_of_another_machine_is_no_failure_of_ours(bridge: Bridge, listener: OllamaListener) -> None:
    await listener.apply(msgspec.structs.replace(bridge.settings, host="192.0.2.1"))
    assert not listener.status.running and "192.0.2.1" in listener.status.error


async def test_stopping_twice_is_stopping(listener: OllamaListener) -> None:
    await listener.stop()
    await listener.stop()


async def test_after_the_end_nothing_starts_again(bridge: Bridge, listener: OllamaListener) -> None:
    await listener.stop()
    await listener.apply(bridge.settings)
    assert not listener.status.running


async def test_it_knows_when_there_is_nothing_to_do(bridge: Bridge, listener: OllamaListener) -> None:
    assert listener.agrees_with(OllamaBridgeSettings()) and not listener.agrees_with(bridge.settings)
    await listener.apply(bridge.settings)
    assert listener.agrees_with(bridge.settings) and not listener.agrees_with(OllamaBridgeSettings())


async def test_a_listener_without_a_key_says_that_it_is_of_no_use(
    bridge: Bridge, listener: OllamaListener, caplog: pytest.LogCaptureFixture
) -> None:
    await listener.apply(msgspec.structs.replace(bridge.settings, key=Secret("")))
    assert "ollama.key" in caplog.text


async def test_an_answer_that_runs_is_cut_when_its_time_is_over(
    bridge: Bridge, listener: OllamaListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codexproxy.serving.ollama_listener.GRACE_S", 1)
    bridge.server.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).hangs()
    await listener.apply(bridge.settings)
    url = f"{listener.status.endpoint}/api/chat"
    async with httpx.AsyncClient(trust_env=False) as client, client.stream("POST", url, json=chat()) as answer:
        lines = answer.aiter_lines()
        assert orjson.loads(await anext(lines))["message"]["content"] == "Hel"
        await listener.apply(msgspec.structs.replace(bridge.settings, enabled=False))
    assert not listener.status.running
    await bridge.server.play.check_nothing_is_left()
