"""One answer that comes over a WebSocket, read as if it came over HTTP: status, headers, then the events.

Next: `socket_turns.py` for what frames mean, `arrivals.py` for how they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from providers.transport.arrivals import Arrived
from providers.transport.socket_turns import (
    METADATA,
    RATE_LIMITS,
    TERMINALS,
    UNSAID,
    Memory,
    Turn,
    as_sse,
    headers_of,
    name_of,
    refusal_of,
)
from translation.errors import UpstreamUnreachable
from translation.protocols.openai_responses.decoder import tolerant_object
from translation.wire.jsontypes import is_array, is_object

MAX_METADATA_FRAMES = 16
"""So many frames may precede the first event (spec/wire.md §1.3.3)."""
NOT_HERE = frozenset({404, 405, 426, 501})
"""What may be true of sockets only."""
RESEND = frozenset({"previous_response_not_found", "websocket_connection_limit_reached"})
"""Refusals that say something about the socket and nothing about the request."""
UNANSWERED = b"No tool output found"


class SocketStream:
    """Implements `providers.contract.UpstreamStream`: frames in, the events of an HTTP answer out.

    It is its own `reader`; the attributes of `Arriving` are explained there. `on_end` is told once, as soon as the
    answer has ended, whether the socket may be used again; the turn was sent from item `start` on, None: whole.
    """

    __slots__ = (
        "_connection",
        "_held",
        "_is_over",
        "_is_returned",
        "_memory",
        "_on_end",
        "_output",
        "_start",
        "_turn",
        "broken",
        "headers",
        "is_at_end",
        "reader",
        "status",
        "step",
        "waiting_on",
    )
    failures = ConnectionClosed

    def __init__(
        self,
        connection: ClientConnection,
        memory: Memory,
        turn: Turn,
        start: int | None,
        *,
        on_end: Callable[[bool], None],
    ) -> None:
        self._connection = connection
        self._memory = memory
        self._turn = turn
        self._start = start
        self._on_end = on_end
        self._held: list[bytes] = []
        self._output: list[Any] = []
        self._is_over = False
        self._is_returned = False
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self.is_at_end = False
        self.reader: Any = self
        self.step: Any = None
        self.waiting_on: Any = None
        self.broken: Exception | None = None

    async def begin(self) -> None:
        """Read to the first event; what precedes it are the headers. Raises: ConnectionClosed."""
        headers: dict[str, str] = {}
        for _ in range(MAX_METADATA_FRAMES):
            frame = await self._connection.recv(decode=False)
            name = name_of(frame)
            if name == b"error" and (refusal := refusal_of(frame)) is not None:
                self.status, told, body = refusal
                self.headers = {**headers, **told}
                self._held, self._is_over = [body], True
                return
            if name in METADATA or name == RATE_LIMITS:
                headers |= headers_of(name, frame)
            data = self._event(name, frame)
            if data:
                self._held.append(data)
            if name not in METADATA and name != RATE_LIMITS and name not in UNSAID:
                break
        self.headers = headers

    def is_about_the_socket(self) -> bool:
        """Tell whether a refusal would not have come over HTTP."""
        if self.status in NOT_HERE:
            return True
        error = (tolerant_object(self._held[0]) or {}).get("error")
        code = error.get("code") if is_object(error) else None
        return code in RESEND or (self._start is not None and UNANSWERED in self._held[0])

    def read(self) -> Arrived:
        """Return, when awaited, all events that have arrived, at least one; b"" at the end."""
        return Arrived(self)

    async def read_chunk(self) -> bytes | None:
        """Return what is next, None at the end. Raises: ConnectionClosed."""
        if self._held:
            held, self._held = b"".join(self._held), []
            return held
        while not self._is_over:
            frame = await self._connection.recv(decode=False)
            data = self._event(name_of(frame), frame)
            if data:
                return data
        return None

    def named(self, failure: Exception) -> UpstreamUnreachable:
        """Return the typed error of a lost socket."""
        return UpstreamUnreachable(
            "The upstream closed the WebSocket in the middle of the answer.", detail=str(failure)
        )

    async def close(self) -> None:
        """Give the socket back, or break it when its answer has not ended: that frees the upstream at once."""
        step, self.step, self.waiting_on = self.step, None, None
        if step is not None:
            step.close()
        self.is_at_end = True
        if not self._is_returned:
            self._return(is_good=False)

    def _event(self, name: bytes, frame: bytes) -> bytes:
        """Learn from an event and return it as it would have come over HTTP; empty for what would not have come."""
        if name in METADATA or name in UNSAID:
            return b""
        if name == b"response.output_item.done":
            self._output.append((tolerant_object(frame) or {}).get("item"))
        elif name in TERMINALS:
            self._end(name, frame)
        return as_sse(name, frame)

    def _end(self, name: bytes, frame: bytes) -> None:
        self._is_over = True
        response = (tolerant_object(frame) or {}).get("response")
        if name in (b"response.completed", b"response.done") and is_object(response):
            output = response.get("output")
            items = output if is_array(output) and output else self._output
            self._memory.learn(self._turn, self._start, str(response.get("id") or ""), items)
        else:
            self._memory.forget()
        self._return(is_good=name not in (b"error", b"response.failed"))

    def _return(self, *, is_good: bool) -> None:
        self._is_returned = True
        self._on_end(is_good)
