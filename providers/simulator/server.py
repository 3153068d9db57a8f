"""The simulator itself: one listening server with its accounts, faults and records. Tests begin here.

    async with Simulator(reply="PONG") as sim:
        sim.faults.add(Fault("F1", times=1))
        ... point something at sim.codex_base_url ...

Next: `routes.py` for what is answered where, `responses.py` for a model call.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import zstandard

from providers.simulator import connect, routes
from providers.simulator.accounts import Registry, SimAccount
from providers.simulator.failures import Failure, Refused, detail
from providers.simulator.faults import Drawn, Fault, FaultBoard
from providers.simulator.headers import edge_headers
from providers.simulator.http import MAX_BODY_BYTES, Connection, Exchange, Headers
from providers.simulator.ids import Ids
from providers.simulator.oauth import LoginDesk
from providers.simulator.options import Options
from providers.simulator.prefix_cache import PrefixCache
from providers.simulator.recorder import ReceivedRequest, Recorder

__all__ = ["Fault", "Options", "Simulator", "run_in_thread"]

log = logging.getLogger(__name__)


def decode_body(encoding: str | None, body: bytes) -> bytes:
    """Undo the content encoding; the backend knows gzip and zstd."""
    match (encoding or "identity").strip().lower():
        case "identity" | "":
            return body
        case "gzip":
            return gzip.decompress(body)
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        case _:
            raise ValueError("unknown content encoding")


class Simulator:
    """A simulated Codex upstream. Invariant: everything it holds dies with it; two simulators share nothing."""

    def __init__(
        self,
        *,
        accounts: list[dict[str, Any]] | int = 0,
        clock: Callable[[], float] = time.time,
        options: Options | None = None,
        **overrides: Any,
    ) -> None:
        self.options = options or Options()
        for name, value in overrides.items():
            if not hasattr(self.options, name):
                raise TypeError(f"unknown option {name!r}")
            setattr(self.options, name, value)
        self.clock = clock
        self.ids = Ids(self.options.seed)
        self.accounts = Registry(clock, is_strict=self.options.strict_accounts)
        self.faults = FaultBoard(self.options.seed)
        self.recorder = Recorder()
        self.cache = PrefixCache()
        self.logins = LoginDesk()
        self.files: dict[str, dict[str, Any]] = {}
        self.last_usage: dict[str, dict[str, Any]] = {}
        self.redeemed: dict[tuple[str, str], dict[str, Any]] = {}
        self.marker_uses: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        """Exceptions inside the simulator itself; a test may assert that there are none."""
        self._running: Counter[str] = Counter()
        self._live: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = self.options.port
        for fields in [{}] * accounts if isinstance(accounts, int) else accounts:
            self.add_account(**fields)

    # life

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self.handle, self._live),
            self.options.host,
            self.options.port,
            ssl=self.options.tls,
            backlog=1024,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._live):
            connection.hang_up()
        await asyncio.sleep(0)
        for connection in list(self._live):
            connection.reset()
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # addresses

    @property
    def origin(self) -> str:
        """Return scheme, host and port."""
        return f"{'https' if self.options.tls else 'http'}://{self.options.host}:{self.port}"

    base_url = origin
    auth_url = origin

    @property
    def codex_base_url(self) -> str:
        """Return what `CODEX_BASE_URL` shall be."""
        return f"{self.origin}/backend-api"

    # what tests look at and turn

    @property
    def received(self) -> deque[ReceivedRequest]:
        """Return the last requests, oldest first."""
        return self.recorder.received

    @property
    def counters(self) -> Counter[str]:
        """Return the counts of everything."""
        return self.recorder.counters

    def requests_to(self, route: str) -> list[ReceivedRequest]:
        """Return the requests of one route (`responses`, `websocket`, `token`, `usage`, `models` …)."""
        return [record for record in self.received if record.route == route]

    def add_account(self, **fields: Any) -> SimAccount:
        """Register an account."""
        return self.accounts.add(fields.pop("id", None), **fields)

    def approve_device(self, user_code: str, *, account: str | None = None) -> bool:
        """Approve a device login for an account (default: the first)."""
        for grant in self.logins.devices.values():
            if grant.user_code == user_code:
                grant.is_approved = True
                grant.account = self.accounts.find(account) if account else grant.account
                return True
        return False

    # for handlers

    def draw(
        self,
        record: ReceivedRequest,
        account: SimAccount,
        *,
        only: frozenset[str] | None = None,
        is_handshake: bool = False,
    ) -> Drawn:
        """Take the faults due for this request."""
        drawn = self.faults.draw(
            record.route, account.id, account.chatgpt_account_id, account.email, only=only, is_handshake=is_handshake
        )
        record.faults += drawn.names
        return drawn

    def draw_plain(self, record: ReceivedRequest) -> Drawn:
        """Take the faults due for a request that belongs to no account."""
        drawn = self.faults.draw(record.route)
        record.faults += drawn.names
        return drawn

    def refuse(self, exchange: Exchange, failure: Failure, quota: Headers) -> None:
        """Send a refusal; quota headers go with those the backend sends them with."""
        headers = [("content-type", failure.content_type), *edge_headers(self.ids, self.clock()), *failure.headers]
        if failure.status == 429:
            headers += quota
        exchange.reply(failure.status, failure.payload, headers)

    @contextmanager
    def in_flight(self, account: SimAccount) -> Iterator[None]:
        """Count a model call while it is under way."""
        self._running[account.id] += 1
        key = f"peak_in_flight.{account.id}"
        self.counters[key] = max(self.counters[key], self._running[account.id])
        try:
            yield
        finally:
            self._running[account.id] -= 1

    def is_crowded(self, account: SimAccount) -> bool:
        """Whether the account has more calls under way than it may."""
        limit = self.options.max_in_flight
        return limit is not None and self._running[account.id] > limit

    # requests

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        is_proxied = exchange.path.startswith("http://")
        if is_proxied:
            exchange.path = "/" + exchange.path.split("/", 3)[3] if exchange.path.count("/") > 2 else "/"
        record = ReceivedRequest(
            exchange.method,
            exchange.path,
            exchange.query,
            exchange.headers,
            exchange.body,
            exchange.connection.id,
            self.clock(),
        )
        found = routes.find(exchange.method, exchange.path)
        record.route = found[0] if found else "unknown"
        if record.route != "control":
            self.recorder.add(record)
        try:
            if is_proxied and await self._refused_as_proxy(exchange, record):
                return
            record.body = self._decoded(exchange)
            if found is None:
                raise Refused(detail("Not Found", 404))
            await found[1](self, exchange, record)
        except Refused as refused:
            self.refuse(exchange, refused.failure, [])
        except Exception as problem:  # the simulator's own fault must be seen, not taken for a simulated one
            log.exception("simulator error on %s %s", exchange.method, exchange.path)
            self.errors.append(problem)
            if exchange.status is None:
                exchange.reply_json(500, {"detail": f"simulator error: {problem!r}"})
            else:
                exchange.connection.reset()
        finally:
            if exchange.status is not None:
                self.recorder.finish(record, exchange.status)

    async def _refused_as_proxy(self, exchange: Exchange, record: ReceivedRequest) -> bool:
        route, record.route = record.route, "connect"
        try:
            return await connect.refuse_by_fault(self, exchange, record)
        finally:
            record.route = route

    def _decoded(self, exchange: Exchange) -> bytes:
        try:
            body = decode_body(exchange.header("content-encoding"), exchange.body)
        except (ValueError, OSError, EOFError, zlib.error, zstandard.ZstdError):
            raise Refused(detail("Unsupported content encoding", 415)) from None
        if len(body) > MAX_BODY_BYTES:
            raise Refused(Failure(413, b"<html><title>413 Request Entity Too Large</title></html>"))
        return body


@contextmanager
def run_in_thread(**settings: Any) -> Iterator[Simulator]:
    """Run a simulator in a thread of its own, for tests and tools that are not asynchronous."""
    sim = Simulator(**settings)
    is_ready = threading.Event()
    stop: list[Callable[[], None]] = []
    problems: list[BaseException] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        finished = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(finished.set))
        async with sim:
            is_ready.set()
            await finished.wait()

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as problem:  # handed to the thread that waits
            problems.append(problem)
            is_ready.set()

    thread = threading.Thread(target=main, name="simulator", daemon=True)
    thread.start()
    is_ready.wait(10)
    if problems:
        raise problems[0]
    try:
        yield sim
    finally:
        stop[0]()
        thread.join(5)
