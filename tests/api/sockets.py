"""A client of the WebSocket door at ASGI level: what an ASGI server would pass on, and what it was told to send."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from accounts.keys import digest
from accounts.values import ApiKeyView
from codexproxy.api.websocket import SocketDoor
from tests.gateway.playbook import KEY, NOW, Play

REVOKED, EXPIRED = "cpx-revoked-revoked-revoked-revoked-00", "cpx-expired-expired-expired-expired-00"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
CODEX = {**AUTHORIZED, "originator": "codex_exec", "x-codex-window-id": "thread-1:0", "session-id": "thread-1"}


class Stage:
    """A gateway on the stage with a WebSocket door in front."""

    def __init__(self, **settings: Any) -> None:
        self.play = Play("responses", **settings)
        self.play.change(
            keys={
                digest(KEY): self.play.key,
                digest(REVOKED): ApiKeyView(
                    id=8, user_id=3, name="r", prefix="cpx-", is_active=False, inactive_reason="revoked"
                ),
                digest(EXPIRED): ApiKeyView(id=9, user_id=3, name="e", prefix="cpx-", expires_at=NOW - 1),
            }
        )
        self.door = SocketDoor(self.play.gateway)

    async def connect(self, headers: Mapping[str, str] = CODEX, path: str = "/v1/responses", **scope: Any) -> Socket:
        """Knock, and wait for the answer to the handshake."""
        socket = Socket(self.door, headers, path, scope)
        await socket.until(lambda: bool(socket.messages) or socket.task.done())
        return socket


class Socket:
    """One connection."""

    def __init__(self, door: SocketDoor, headers: Mapping[str, str], path: str, more: Mapping[str, Any]) -> None:
        self.messages: list[dict[str, Any]] = []
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.is_broken = False
        self.seen = 0
        scope = {
            "type": "websocket", "path": path, "query_string": b"", "client": ("127.0.0.1", 5), "subprotocols": [],
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "extensions": {"websocket.http.response": {}}, **more,
        }  # fmt: skip
        self.task = asyncio.create_task(door(scope, self.incoming.get, self._send))

    async def _send(self, message: Any) -> None:
        await asyncio.sleep(0)
        if self.is_broken:
            raise OSError("the client is gone")
        self.messages.append(dict(message))
        if message["type"] == "websocket.close":
            self.incoming.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    # ---- what the client does

    def says(self, **message: Any) -> None:
        """Send a `response.create`, or whatever `type` says."""
        self.incoming.put_nowait(
            {"type": "websocket.receive", "text": orjson.dumps({"type": "response.create", **message}).decode()}
        )

    def asks(self, given: Any, **fields: Any) -> None:
        """Send a request in the way Codex CLI does."""
        items = [user(given)] if isinstance(given, str) else given
        self.says(model="gpt-5.5", input=items, stream=True, store=False, **fields)

    async def turn(self, given: Any, **fields: Any) -> list[dict[str, Any]]:
        """Ask, and return the frames of the answer."""
        self.asks(given, **fields)
        return await self.answer()

    def leaves(self) -> None:
        """Hang up."""
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})

    # ---- what the client sees

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [orjson.loads(message["text"]) for message in self.messages if message["type"] == "websocket.send"]

    @property
    def close_code(self) -> int | None:
        return next((message["code"] for message in self.messages if message["type"] == "websocket.close"), None)

    async def answer(self) -> list[dict[str, Any]]:
        """Return the frames that are new, up to the terminal one."""
        ends = {"response.completed", "response.incomplete", "response.failed", "error"}
        await self.until(lambda: any(frame["type"] in ends for frame in self.frames[self.seen :]))
        new = self.frames[self.seen :]
        self.seen += len(new)
        return new

    async def until(self, is_so: Any) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(5):
            while not is_so():
                await asyncio.sleep(0.001)

    async def ends(self) -> None:
        """Wait until the application has let go of the connection."""
        async with asyncio.timeout(5):
            await self.task


def user(text: str) -> dict[str, Any]:
    """A user message."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
