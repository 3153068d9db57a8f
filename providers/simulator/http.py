"""A small HTTP/1.1 server on `asyncio.Protocol`: httptools parses, we write (wire.md §13.3 needs byte-level control).

An `Exchange` is one request and its reply: whole, streamed in chunks, broken off or never sent. Must know nothing
about models or accounts. Next: `server.py` routes exchanges, `websocket.py` takes a connection over.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, unquote

import httptools
import orjson

Headers = list[tuple[str, str]]
MAX_BODY_BYTES = 64 * 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {520: "Web Server Returned an Unknown Error"}
_connection_ids = itertools.count(1)


class Takeover(Protocol):
    """Whoever owns a connection after an upgrade."""

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer."""

    def lost(self) -> None:
        """Learn that the peer is gone."""


class Exchange:
    """One request and its reply. Invariant: at most one reply head is written."""

    def __init__(self, connection: Connection, method: str, target: str, headers: Headers, body: bytes) -> None:
        self.connection = connection
        self.method = method
        path, _, self.query = target.partition("?")
        self.path = unquote(path)
        self.headers = headers
        self.body = body
        self.is_upgrade = False
        self._is_chunked = False
        self.status: int | None = None

    def header(self, name: str) -> str | None:
        """Return the first header of that name, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def params(self) -> dict[str, str]:
        """Return the query as a dictionary."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def _head(self, status: int, headers: Headers) -> bytes:
        self.status = status
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def reply(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        """Send a whole reply."""
        fields = [*(headers or []), ("content-length", str(len(body)))]
        if self.is_upgrade:
            fields.append(("connection", "close"))
        payload = b"" if self.method == "HEAD" else body
        self.connection.write(self._head(status, fields) + payload)
        if self.is_upgrade:
            self.connection.hang_up()

    def reply_json(self, status: int, value: Any, headers: Headers | None = None) -> None:
        """Send a JSON reply."""
        self.reply(status, orjson.dumps(value), [("content-type", "application/json"), *(headers or [])])

    def start(self, status: int, headers: Headers) -> None:
        """Send the head of a chunked reply."""
        self._is_chunked = True
        self.connection.write(self._head(status, [*headers, ("transfer-encoding", "chunked")]))

    def write(self, data: bytes) -> None:
        """Send one chunk as one write."""
        self.connection.write(b"%x\r\n%b\r\n" % (len(data), data))

    async def drain(self) -> None:
        """Wait while the peer does not read; always let others run."""
        await self.connection.drain()

    def finish(self) -> None:
        """End a chunked reply; the connection stays usable."""
        self.connection.write(b"0\r\n\r\n")


Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One TCP connection; requests on it are answered one after the other."""

    def __init__(self, handler: Handler, live: set[Connection]) -> None:
        self.id = next(_connection_ids)
        self._handler = handler
        self._live = live
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._takeover: Takeover | None = None
        self._early: list[bytes] = []
        self._is_upgrading = False
        self._writable = asyncio.Event()
        self._writable.set()
        self.is_closed = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._live.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._live.discard(self)
        self._writable.set()
        if self._task is not None:
            self._task.cancel()
        if self._takeover is not None:
            self._takeover.lost()

    def data_received(self, data: bytes) -> None:
        if self._takeover is not None:
            self._takeover.feed(data)
            return
        if self._is_upgrading:
            self._early.append(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._is_upgrading = True
            rest = data[upgrade.args[0] :]
            if rest:
                self._early.append(rest)
        except httptools.HttpParserError:
            self.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.hang_up()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))
        if name.lower() == b"expect":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= MAX_BODY_BYTES:
            self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        exchange = Exchange(self, method, self._target.decode("latin-1"), self._headers, b"".join(self._body))
        exchange.is_upgrade = bool(self._parser.should_upgrade())
        self._queue.append(exchange)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(
                self._serve(keep_alive=self._parser.should_keep_alive())
            )

    async def _serve(self, *, keep_alive: bool) -> None:
        while self._queue and not self.is_closed:
            exchange = self._queue.popleft()
            await self._handler(exchange)
        if not keep_alive and self._takeover is None:
            self.hang_up()

    # for handlers

    def take_over(self, takeover: Takeover) -> None:
        """Hand the connection's bytes to someone else, beginning with those that already came."""
        self._takeover = takeover
        for data in self._early:
            takeover.feed(data)
        self._early.clear()

    def write(self, data: bytes) -> None:
        """Send bytes; to a closed connection they are dropped."""
        if self._transport is not None and not self.is_closed:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the transport takes more; always yields to the loop."""
        if self._writable.is_set():
            await asyncio.sleep(0)
        else:
            await self._writable.wait()

    def hang_up(self) -> None:
        """Close after what was written has left (FIN)."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close at once with a RST."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    @property
    def peer_host(self) -> str:
        """Return the address of the peer."""
        peer = self._transport.get_extra_info("peername") if self._transport else None
        return str(peer[0]) if peer else "127.0.0.1"
