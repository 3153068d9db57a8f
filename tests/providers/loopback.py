"""A raw loopback server for the transport's tests: it sees bytes as they come and says bytes when it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from providers.contract import UpstreamRequest

HEADERS = (
    ("x-codex-window-id", "conv:0"), ("session-id", "conv"), ("accept", "text/event-stream"),
    ("content-type", "application/json"), ("authorization", "Bearer at-canary"), ("originator", "o"),
    ("user-agent", "u/1"),
)  # fmt: skip
Talk = Callable[["Connection"], Awaitable[None]]


class Connection:
    """One accepted connection: raw lines in, raw bytes out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[str, list[tuple[str, str]], bytes]:
        """Read one request as (request line, headers as written, body)."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        length = int({name.lower(): value for name, value in headers}.get("content-length", "0"))
        return head[0], headers, await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def open_answer(self, status: str = "200 OK", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", "content-type: text/event-stream", "transfer-encoding: chunked", *headers]
        await self.say("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def chunk(self, data: bytes) -> None:
        await self.say(b"%x\r\n%b\r\n" % (len(data), data))

    async def finish(self) -> None:
        await self.say(b"0\r\n\r\n")

    async def is_closed_by_peer(self) -> bool:
        try:
            return not await self.reader.read(1)
        except ConnectionError:
            return True


class Server:
    """Counts connections and hands each to `talk`."""

    def __init__(self) -> None:
        self.connections = 0
        self.url = ""
        self.talk: Talk | None = None
        self.failures: list[BaseException] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        assert self.talk is not None
        try:
            await self.talk(Connection(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def post(url: str, body: bytes = b"{}", headers: tuple[tuple[str, str], ...] = HEADERS) -> UpstreamRequest:
    return UpstreamRequest(method="POST", url=url, headers=headers, body=body)


async def within(seconds: float, awaitable: Awaitable[object]) -> object:
    async with asyncio.timeout(seconds):
        return await awaitable
