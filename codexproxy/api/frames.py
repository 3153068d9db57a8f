"""The way back to a client over WebSocket: the relay's or encoder's SSE bytes in, one text frame per event out.

Implements `gateway.types.ClientStream`, so that the flow does not know which edge a request came from. Frames carry
the JSON of `data:` lines; `event:` lines and comments stay behind (the server's own pings keep the socket alive).
Facts: spec/wire.md §1.3.3, §1.3.6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from codexproxy.api.limit_frames import rate_limits_frame
from translation.wire import jsonio
from translation.wire.sse import parse_frame

SendMessage = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TERMINALS = tuple(
    b"event: %b\n" % name for name in (b"response.completed", b"response.incomplete", b"response.failed", b"error")
)
SHOWN_HEADERS = ("x-codex-", "openai-model", "x-models-etag", "x-reasoning-included", "x-request-id")
"""What of an HTTP answer's headers a Codex client reads from a metadata frame."""


class FrameSender:
    """Sends frames over ASGI; a client that is gone is noticed by the reader, so nothing raises here."""

    __slots__ = ("_send", "is_gone")

    def __init__(self, send: SendMessage) -> None:
        self._send = send
        self.is_gone = False

    async def text(self, data: bytes) -> None:
        """Send one frame; returns when the client can take more (back-pressure)."""
        if not self.is_gone:
            await self.message({"type": "websocket.send", "text": data.decode("utf-8", "replace")})

    async def message(self, message: MutableMapping[str, Any]) -> None:
        """Send any ASGI message."""
        try:
            await self._send(message)
        except OSError:  # what ASGI servers raise when the connection is lost
            self.is_gone = True


class FrameClient:
    """One turn's `ClientStream`. `is_ended` turns true with the terminal frame, before it leaves.

    `on_start` learns the answer's headers.
    """

    __slots__ = ("_clock", "_on_start", "_sender", "_shows_metadata", "is_ended", "is_writing", "started")

    def __init__(
        self,
        sender: FrameSender,
        on_start: Callable[[Mapping[str, str]], None],
        *,
        shows_metadata: bool,
        clock: Callable[[], float],
    ) -> None:
        self._sender = sender
        self._on_start = on_start
        self._shows_metadata = shows_metadata
        self._clock = clock
        self.started = False
        self.is_writing = False
        self.is_ended = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Say what would have been the status line: frames of metadata and limits, for clients that know them."""
        self.started = True
        self._on_start(headers)
        if self._shows_metadata:
            shown = {name: value for name, value in headers.items() if name.startswith(SHOWN_HEADERS)}
            frames = [jsonio.dumps({"type": "codex.response.metadata", "headers": shown})]
            limits = rate_limits_frame(headers, self._clock())
            await self._write(frames if limits is None else [*frames, limits])

    async def write(self, data: bytes) -> None:
        """See `ClientStream.write`; `data` holds whole SSE frames."""
        await self._write(self._frames(data))

    async def end(self, data: bytes) -> None:
        """See `ClientStream.end`."""
        frames = self._frames(data)
        self.is_ended = True
        await self._write(frames)

    async def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send an error answer as the frame that stands for it."""
        self.started = self.is_ended = True
        await self._write([error_frame(status, headers, body)])

    async def _write(self, frames: list[bytes]) -> None:
        self.is_writing = True
        try:
            for frame in frames:
                await self._sender.text(frame)
        finally:
            self.is_writing = False

    def _frames(self, data: bytes) -> list[bytes]:
        frames: list[bytes] = []
        for block in data.split(b"\n\n"):
            parsed = parse_frame(block) if block else None
            if parsed is None or not parsed[1]:
                continue
            if block.startswith(TERMINALS):
                self.is_ended = True
            frames.append(parsed[1].replace(b"\n", b" ") if b"\n" in parsed[1] else parsed[1])
        return frames


def error_frame(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the frame of an error answer; `body` is the envelope `{"error": {…}}`."""
    shown = {name: value for name, value in headers.items() if name not in ("content-type", "content-length")}
    return jsonio.dumps({"type": "error", "status": status, **jsonio.loads(body), "headers": shown})
