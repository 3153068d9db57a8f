"""The load: a raw HTTP/1.1 client on asyncio's protocol interface, request bodies, and the check of every answer.

Raw because the client shares a processor with the fake upstream and must cost less than what it measures. An answer
counts only if `why_wrong` finds all deltas, once and in order, and the end mark of the dialect.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.perf.bodies import body_of
from tests.perf.shape import FIRST_TOKEN, TIMED_TOKEN, TOKEN, Shape, now_us

CHUNKED_END = b"\r\n0\r\n\r\n"
GRACE_S = 30.0
"""How much longer than its own duration an answer may take before it counts as lost."""
END_MARKS = {
    "responses": b'"type":"response.completed"', "chat": b"data: [DONE]", "messages": b'"type":"message_stop"',
    "gemini": b'"finishReason":"STOP"',
}  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """Where requests go and how they are spoken: `dialect` is a key of `END_MARKS`."""

    port: int
    path: str
    dialect: str
    key: str = ""

    def request(self, shape: Shape, size_bytes: int = 0) -> bytes:
        """Return a whole request; its conversation is about `size_bytes` long."""
        body = json.dumps(body_of(self.dialect, shape.marker, size_bytes), ensure_ascii=False).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
            f"accept: text/event-stream\r\nuser-agent: perf/1\r\nauthorization: Bearer {self.key or 'none'}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(slots=True)
class Answer:
    """One answer as it came. Times are seconds of `perf_counter`; `delays_us` are one-way, from write to arrival."""

    started_at: float
    status: int = 0
    first_delta_at: float = 0.0
    ended_at: float = 0.0
    pieces: list[bytes] = field(default_factory=list)
    delays_us: list[int] = field(default_factory=list)
    arrivals_us: list[int] = field(default_factory=list)

    @property
    def first_delta_s(self) -> float:
        """Return the time from the request to the first delta."""
        return self.first_delta_at - self.started_at

    def body(self) -> bytes:
        """Return the body with its chunks put together."""
        raw = b"".join(self.pieces)
        parts: list[bytes] = []
        at = 0
        while (line_end := raw.find(b"\r\n", at)) >= 0:
            size = int(raw[at:line_end].split(b";")[0] or b"0", 16)
            if size == 0:
                break
            parts.append(raw[line_end + 2 : line_end + 2 + size])
            at = line_end + 2 + size + 2
        return b"".join(parts)


class Connection(asyncio.Protocol):
    """One keep-alive connection; one exchange at a time. Answers must be chunked: anything else is a failure."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer(0.0)
        self._head: bytes | None = b""
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the running exchange."""
        self.transport = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionError(f"closed in the middle of an answer: {exc}"))

    def exchange(self, request: bytes) -> asyncio.Future[Answer]:
        """Send `request`; the future holds the whole answer."""
        self._waiter = asyncio.get_running_loop().create_future()
        self._head, self._tail = b"", b""
        self._answer = Answer(time.perf_counter())
        self.transport.write(request)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        """Take what arrived: note the first delta, the delays of timed ones, and the end."""
        arrived_at = time.perf_counter()
        if self._head is not None:
            data = self._read_head(self._head + data)
            if not data:
                return
        answer = self._answer
        answer.pieces.append(data)
        if not answer.first_delta_at and FIRST_TOKEN in self._tail + data:
            answer.first_delta_at = arrived_at
        if b"@" in data:
            self._note_delays(data)
        size = len(CHUNKED_END)
        self._tail = data[-size:] if len(data) >= size else (self._tail + data)[-size:]
        if self._tail == CHUNKED_END:
            answer.ended_at = arrived_at
            self._finish(answer)

    def _read_head(self, data: bytes) -> bytes:
        """Read status and headers; return what follows them, empty as long as they are incomplete."""
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            self._head = data
            return b""
        self._head = None
        self._tail = b"\r\n"
        self._answer.status = int(head[9:12])
        if b"transfer-encoding: chunked" not in head.lower():
            self._answer.pieces.append(b"%x\r\n%s\r\n" % (len(rest), rest))
            self._finish(self._answer)
            self.transport.close()
            return b""
        return rest

    def _note_delays(self, data: bytes) -> None:
        now = now_us()
        answer = self._answer
        for number, sent_at in TIMED_TOKEN.findall(data):
            # The closing events repeat the text, so only the next expected delta counts.
            if int(number) == len(answer.arrivals_us):
                answer.delays_us.append(now - int(sent_at))
                answer.arrivals_us.append(now)

    def _finish(self, answer: Answer) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)


class Client:
    """Connections to one endpoint, reused as soon as they are free."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._idle: list[Connection] = []

    async def ask(self, request: bytes, at_most_s: float) -> Answer:
        """Send one request and return its answer. Raises: OSError, TimeoutError."""
        connection = await self._connection()
        try:
            async with asyncio.timeout(at_most_s):
                answer = await connection.exchange(request)
        except BaseException:
            if connection.transport is not None:
                connection.transport.abort()
            raise
        self._idle.append(connection)
        return answer

    async def open(self, count: int) -> None:
        """Open connections before they are needed, so that no measurement holds a connect."""
        self._idle += [await self._connection() for _ in range(count)]

    def close(self) -> None:
        """Close what is open."""
        for connection in self._idle:
            if connection.transport is not None:
                connection.transport.close()
        self._idle.clear()

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self.endpoint.port)
        return connection


def why_wrong(answer: Answer, shape: Shape, dialect: str) -> str:
    """Say what is wrong with an answer; empty when it is complete, in order and ended."""
    body = answer.body()
    if answer.status != 200:
        return f"status {answer.status}: {body[:160].decode(errors='replace')}"
    if dialect == "responses":
        events = body.split(b"\n\n")
        text = b"".join(event for event in events if b'"response.output_text.delta"' in event)
    else:
        text = body
    numbers = [int(number) for number in TOKEN.findall(text)]
    if numbers != list(range(shape.deltas)):
        return f"{len(numbers)} deltas, or not in order, where {shape.deltas} were sent"
    if END_MARKS[dialect] not in body:
        return "no end mark"
    return "" if answer.first_delta_at else "the first delta was not seen on arrival"


@dataclass
class Tally:
    """What became of all requests of a run. Every figure of the report rests on `verified` answers only."""

    verified: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    async def ask(self, client: Client, request: bytes, shape: Shape) -> Answer | None:
        """Send one request; return its answer if it is right, else count why not."""
        try:
            answer = await client.ask(request, shape.duration_s * 2 + GRACE_S)
            reason = why_wrong(answer, shape, client.endpoint.dialect)
        except (OSError, TimeoutError, ValueError) as error:
            reason = f"{type(error).__name__} {error}"
        if reason:
            self.failures[f"{client.endpoint.path}: {reason}"] += 1
            return None
        self.verified += 1
        return answer


async def closed_loop(
    tally: Tally,
    endpoint: Endpoint,
    shape: Shape,
    *,
    clients: int,
    answers_each: int,
    at_most_s: float,
    spread_s: float,
) -> list[Answer]:
    """Let `clients` ask again as soon as they are answered; the first requests are spread over `spread_s`.

    Ends after `answers_each` answers per client, or when `at_most_s` have passed and the running ones are done.
    """
    client = Client(endpoint)
    await client.open(clients)
    request = endpoint.request(shape)
    ends_at = time.monotonic() + at_most_s
    answers: list[Answer] = []

    async def run(number: int) -> None:
        await asyncio.sleep(spread_s * number / clients)
        for _ in range(answers_each):
            if time.monotonic() > ends_at:
                return
            answer = await tally.ask(client, request, shape)
            if answer is None:
                await asyncio.sleep(0.05)  # what fails at once must not be hammered
                continue
            answer.pieces.clear()  # checked by now
            answers.append(answer)

    await asyncio.gather(*(run(number) for number in range(clients)))
    client.close()
    return answers
