"""Responses over WebSocket through a real uvicorn and the `websockets` client: upgrade, compression, size, ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from codexproxy.serving.gateway import MAX_WEBSOCKET_MESSAGE
from tests.api.sockets import AUTHORIZED, CODEX, Stage, user
from tests.gateway.playbook import CREATED, HELLO, ITEM, completed, text

# uvicorn's own wsproto glue is what `serve` uses
SERVER = {"ws": "wsproto", "loop": "asyncio", "lifespan": "off", "log_config": None, "access_log": False}


class Running:
    """A door behind a server, and where it listens."""

    def __init__(self, stage: Stage, url: str, server: uvicorn.Server) -> None:
        self.stage = stage
        self.url = url
        self.server = server

    def connect(self, headers: dict[str, str] = CODEX, **options: Any) -> connect:
        return connect(f"{self.url}/v1/responses", additional_headers=headers, max_size=None, **options)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    stage = Stage()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(stage.door, ws_max_size=MAX_WEBSOCKET_MESSAGE, **SERVER))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    yield Running(stage, f"ws://127.0.0.1:{listener.getsockname()[1]}", server)
    server.should_exit = True
    await task


async def ask(ws: ClientConnection, given: Any = "hi", **fields: Any) -> list[dict[str, Any]]:
    """Send one request and return the frames of its answer."""
    items = [user(given)] if isinstance(given, str) else given
    message = {"type": "response.create", "model": "gpt-5.5", "input": items, "stream": True, **fields}
    await ws.send(orjson.dumps(message).decode())
    return await answer(ws)


async def answer(ws: ClientConnection) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] not in ("response.completed", "response.failed", "error"):
        frame = await ws.recv()
        assert isinstance(frame, str)
        frames.append(orjson.loads(frame))
    return frames


async def test_a_stranger_gets_a_401_that_says_why(running: Running) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with running.connect({}):
            pass
    assert caught.value.response.status_code == 401
    assert orjson.loads(caught.value.response.body or b"")["error"]["code"] == "missing_api_key"


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_a_conversation_of_several_turns(running: Running, compression: str | None) -> None:
    async with running.connect(compression=compression) as ws:
        agreed = ws.response is not None and "permessage-deflate" in ws.response.headers.get(
            "sec-websocket-extensions", ""
        )
        assert agreed == (compression is not None)
        response_id = (await ask(ws, [], generate=False))[-1]["response"]["id"]
        for _ in range(2):
            running.stage.play.upstream.answers().sends(HELLO)
            frames = await ask(ws, previous_response_id=response_id)
            response_id = frames[-1]["response"]["id"]
    kinds = [item["role"] for item in running.stage.play.upstream.bodies[-1]["input"]]
    assert kinds == ["user", "assistant", "user"]


async def test_a_large_request_goes_through_and_a_too_large_one_closes_the_socket(running: Running) -> None:
    running.stage.play.upstream.answers().sends(HELLO)
    async with running.connect(AUTHORIZED, compression=None) as ws:
        frames = await ask(ws, "x" * (8 * 1024 * 1024))
        assert frames[-1]["type"] == "response.completed"
        with pytest.raises(ConnectionClosed) as caught:
            await ws.send("x" * (MAX_WEBSOCKET_MESSAGE + 1))
            await ws.recv()
    assert caught.value.rcvd is None or caught.value.rcvd.code == 1009


async def test_a_client_that_vanishes_in_mid_stream_frees_its_account(running: Running) -> None:
    play = running.stage.play
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).hangs()
    async with running.connect() as ws:
        await ws.send(orjson.dumps({"type": "response.create", "model": "gpt-5.5", "input": "hi"}).decode())
        await ws.recv()
        ws.transport.abort()
    async with asyncio.timeout(5):
        while not len(play.usage):
            await asyncio.sleep(0.01)
    assert play.record().outcome == "client_gone"
    await play.check_nothing_is_left(requests=0)


async def test_a_drain_ends_idle_sockets_with_1012_and_finishes_running_turns(running: Running) -> None:
    running.stage.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).pauses(0.2).sends(
        text("lo") + completed("Hello")
    )
    async with running.connect() as idle, running.connect() as busy:
        turn = asyncio.create_task(ask(busy))
        while not running.stage.play.upstream.streams:
            await asyncio.sleep(0.005)
        running.stage.play.gateway.is_draining = True
        running.stage.door.start_drain()
        with pytest.raises(ConnectionClosed) as caught:
            await idle.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1012
        assert (await turn)[-1]["type"] == "response.completed"
        with pytest.raises(ConnectionClosed) as caught:
            await busy.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1012
        while running.server.server_state.tasks:  # what the gateway process waits for before it ends
            await asyncio.sleep(0.005)


async def test_pings_are_answered(running: Running) -> None:
    async with running.connect() as ws:
        await asyncio.wait_for(await ws.ping(), 5)
