"""One connection to Redis with a queue before it, drained by one task: what is queued together travels together.

`call` waits for its answer, `post` does not: posts are idempotent, kept through an outage and sent again. Both are sent
in the order they were queued in, so that a process always reads what it wrote. While Redis does not answer, calls fail
at once; the task goes on trying, and all works again without a restart. Never opens a second connection.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from codexproxy.gateway.state.redis_scripts import Script
from codexproxy.gateway.tasks import spawn
from translation.errors import StateUnavailable

log = logging.getLogger(__name__)

CONNECT_S = 1.0
ANSWER_S = 2.0
"""Saving to disk may stop Redis for a moment; longer than this, clients had better try again."""
PAUSES_S = (0.1, 0.25, 0.5, 1.0)
"""Between attempts to connect; the last one for good."""
PROBE_S = 2.0
"""An idle connection is asked for the time this often, which notices an outage before a request does."""
MEASURE_S = 30.0
"""A busy one is asked this often how far the clocks are apart."""
FLUSH_S = 3.0
MAX_BATCH = 256
MAX_CALLS = 10_000
"""Calls that wait; a request makes a few, one after the other."""
MAX_POSTS = 100_000
RETRY_AFTER_S = 2.0

Words = tuple[bytes | str | int, ...]
Answer = Any
"""What Redis says: bytes, int, None or a list of those."""


class _Entry:
    """One command in the queue; without a `future` it is a post. `script` is what to send when Redis forgot it."""

    __slots__ = ("future", "script", "words")

    def __init__(self, words: Words, script: Script | None, future: asyncio.Future[Answer] | None) -> None:
        self.words = words
        self.script = script
        self.future = future


class RedisLink:
    """Invariant: one task owns the connection; `problem` is empty exactly while the connection works.

    `offset_s` is what the server's clock is ahead of `clock`: add it to a time of ours to get one of the server's.
    """

    def __init__(self, url: str, scripts: Sequence[Script], *, clock: Callable[[], float] = time.time) -> None:
        self.problem = "Redis has not been asked yet."
        self.offset_s = 0.0
        self.dropped = 0
        """Posts given up because too many waited; leases among them are freed by their time."""
        self.exchanges = 0
        self.clock = clock
        self._connection = _connection(url)
        self._scripts = scripts
        self._queue: deque[_Entry] = deque()
        self._calls = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._measured_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    # ---- for everyone ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, if that is possible now, and begin to drain the queue."""
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        await self._connect()
        self._task = spawn(self._drain(), "redis link")

    async def close(self) -> None:
        """Send what is queued, for a moment at most, and disconnect."""
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=FLUSH_S)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)
        if self._queue:
            log.warning("%d changes of the shared state were not written: %s", len(self._queue), self.problem)
        await self._connection.disconnect(nowait=True)

    def call(self, words: Words, script: Script | None = None) -> asyncio.Future[Answer]:
        """Queue a command; the future gets its answer. Raises: StateUnavailable, also through the future."""
        if self.problem:
            raise unavailable(self.problem)
        if self._calls >= MAX_CALLS:
            raise unavailable("More requests wait for Redis than it can answer.")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls += 1
        self._queue.append(_Entry(words, script, future))
        self._wake.set()
        return future

    def post(self, words: Words, script: Script | None = None) -> None:
        """Queue a command whose answer nobody needs. Thread-safe, never fails; idempotent commands only."""
        if len(self._queue) >= MAX_POSTS:
            self.dropped += 1
            return
        self._queue.append(_Entry(words, script, None))
        if threading.get_ident() == self._thread_id:
            self._wake.set()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    # ---- the task ----------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        failures = 0
        while not (self._is_closing and (self.problem or not self._queue)):
            if self.problem:
                await self._sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
                await self._connect()
                failures = failures + 1 if self.problem else 0
                if not failures:
                    log.info("Redis answers again; %d changes were waiting for it", len(self._queue))
                continue
            is_idle = not self._queue and not await self._is_woken()
            if is_idle or time.monotonic() - self._measured_at > MEASURE_S:
                await self._measure_clocks()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
            if batch:
                await self._send(batch)

    async def _is_woken(self) -> bool:
        try:
            await asyncio.wait_for(self._wake.wait(), PROBE_S)
        except TimeoutError:
            return False
        finally:
            self._wake.clear()
        return True

    async def _sleep(self, seconds: float) -> None:
        """Wait out a pause; closing ends it."""
        if not self._is_closing:
            await asyncio.sleep(seconds)

    async def _send(self, batch: list[_Entry]) -> None:
        self._calls -= sum(entry.future is not None for entry in batch)
        try:
            answers = await self._exchange([entry.words for entry in batch])
            forgotten = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if forgotten:
                again = await self._exchange([_whole(batch[number]) for number in forgotten])
                for number, answer in zip(forgotten, again, strict=True):
                    answers[number] = answer
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(batch, error)
            return
        for entry, answer in zip(batch, answers, strict=True):
            _deliver(entry, answer)

    async def _exchange(self, commands: Sequence[Words]) -> list[Answer]:
        """Send commands and read as many answers; errors of single commands are among them."""
        connection = self._connection
        self.exchanges += 1
        answers: list[Answer] = []
        async with asyncio.timeout(ANSWER_S):
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in commands:
                try:
                    answers.append(await connection.read_response())
                except ReadOnlyError:
                    raise  # the server became a replica: the address now means another one
                except ResponseError as error:
                    answers.append(error)
        return answers

    async def _measure_clocks(self) -> None:
        before = self.clock()
        answers = await self._ask([("TIME",)])
        if answers:
            [(seconds, microseconds)] = answers
            self._measured_at = time.monotonic()
            self.offset_s = int(seconds) + int(microseconds) / 1e6 - (before + self.clock()) / 2

    async def _ask(self, commands: Sequence[Words]) -> list[Answer]:
        """Exchange commands of the link's own; empty, with `problem` set, when that does not work."""
        try:
            answers = await self._exchange(commands)
            refused = next((answer for answer in answers if isinstance(answer, ResponseError)), None)
            if refused is not None:
                raise refused
        except (RedisError, OSError, TimeoutError) as error:
            self._fail([], error)
            return []
        return answers

    # ---- when it does not work ---------------------------------------------------------------------------------

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._connection.disconnect(nowait=True)  # answers that were not read must not be read now
                await self._connection.connect()
        except (RedisError, OSError, TimeoutError) as error:
            self._note(error)
            return
        self.problem = ""
        # Here rather than when Redis does not know one: what is sent again then would overtake what stood before it.
        if await self._ask([("SCRIPT", "LOAD", script.source) for script in self._scripts]):
            await self._measure_clocks()

    def _fail(self, batch: list[_Entry], error: Exception) -> None:
        """Fail everyone who waits, keep the posts in their order, and let the task connect again."""
        self._note(error)
        waiting = [*batch, *self._queue]
        self._queue = deque(entry for entry in waiting if entry.future is None)
        self._calls = 0
        for entry in waiting:
            if entry.future is not None and not entry.future.done():
                entry.future.set_exception(unavailable(self.problem))

    def _note(self, error: Exception) -> None:
        self.problem = f"Redis does not answer: {type(error).__name__}."
        log.warning("%s %s", self.problem, error)


def unavailable(problem: str) -> StateUnavailable:
    """Return the error that clients see, with the reason for operators."""
    return StateUnavailable(
        "The gateway cannot reach the server on which its processes share their limits. Try again in a moment; "
        "if this stays, tell your operator.",
        retry_after_s=RETRY_AFTER_S,
        detail=problem,
    )


def _connection(url: str) -> AbstractConnection:
    pool: ConnectionPool = ConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] -- its **kwargs
        url,
        socket_connect_timeout=CONNECT_S,
        socket_timeout=None,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return pool.make_connection()


def _whole(entry: _Entry) -> Words:
    assert entry.script is not None  # only EVALSHA is answered with NOSCRIPT
    return ("EVAL", entry.script.source, *entry.words[2:])


def _deliver(entry: _Entry, answer: Answer) -> None:
    if isinstance(answer, ResponseError):
        log.error("Redis refused a command of the shared state: %s", answer)
        if entry.future is not None and not entry.future.done():
            entry.future.set_exception(unavailable("Redis refuses commands; the log says why."))
    elif entry.future is not None and not entry.future.done():
        entry.future.set_result(answer)
