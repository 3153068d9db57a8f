"""The data plane: pooled connections through pyreqwest, one client per egress. Measured choice, see ADR-0002.

`read` returns everything that has already arrived, so that a burst of events costs one await and one write. Never
follows redirects, never decompresses (a buffering decompressor would hold back events), never reads environment
proxies, never keeps cookies.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Generator, Mapping
from datetime import timedelta
from typing import Any

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.proxy import ProxyBuilder

from providers.contract import UpstreamRequest
from providers.transport.arrivals import Arrived
from translation.errors import UpstreamUnreachable

CONNECT_TIMEOUT_S = 15.0
SILENCE_LIMIT_S = 1500.0
"""No upstream is silent for longer and lives; it bounds requests that were abandoned before their headers (ADR-0013).
The flow's own, much shorter limits decide before; twice the idle limit is what compaction may take."""
MAX_CLIENTS = 256
"""One per egress; the least recently used goes first."""


class PyreqwestTransport:
    """Implements `providers.contract.Transport`."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str | None, Client] = OrderedDict()
        self._abandoned: set[asyncio.Task[None]] = set()

    async def open(self, request: UpstreamRequest, egress: str | None) -> PyreqwestStream:
        """Send `request`; see the contract. Cancelled here, the connection is closed as soon as headers arrive."""
        try:
            outgoing = (
                self._client(egress)
                .request(request.method, request.url)
                .headers(list(request.headers))
                .body_bytes(request.body)
                .streamed_read_buffer_limit(0)  # anything else holds back the first event until the buffer is full
                .build_streamed()
            )
            opening = _Opening(outgoing.__aenter__())
            try:
                response = await opening
            except asyncio.CancelledError:
                self._abandon(outgoing, opening)
                raise
        except PyreqwestError as error:
            raise _unreachable(error) from None
        except ValueError as error:  # an egress or a header value that no request can carry
            raise UpstreamUnreachable(
                "The request could not be built: its proxy or one of its headers is malformed.",
                detail=f"{type(error).__name__} while building the request",
            ) from None
        return PyreqwestStream(outgoing, response)

    async def close(self) -> None:
        """Close all pooled connections."""
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()

    def _abandon(self, outgoing: Any, opening: _Opening) -> None:
        task = asyncio.get_running_loop().create_task(_close_when_open(outgoing, opening), name="abandoned request")
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)

    def _client(self, egress: str | None) -> Client:
        client = self._clients.get(egress)
        if client is None:
            client = self._clients[egress] = _build_client(egress)
            if len(self._clients) > MAX_CLIENTS:
                self._clients.popitem(last=False)  # its open streams keep it alive until they end
        else:
            self._clients.move_to_end(egress)
        return client


class _Opening:
    """Awaitable of a request until its headers; when it is cancelled, it may be awaited again.

    pyreqwest 0.15 cannot take back a request: one whose await is cancelled runs on, unseen, to the end of its body
    (checked 2026-11). So the await is not cancelled, and the flow of an abandoned request is closed with its headers.
    """

    __slots__ = ("_step",)

    def __init__(self, coroutine: Any) -> None:
        self._step = coroutine.__await__()

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            while True:
                yield self._step.send(None)
        except StopIteration as opened:
            return opened.value


async def _close_when_open(outgoing: Any, opening: _Opening) -> None:
    try:
        await opening
        await outgoing.__aexit__(None, None, None)
    except PyreqwestError:
        pass  # it has ended by itself


class PyreqwestStream:
    """Implements `providers.contract.UpstreamStream`; the attributes of `Arriving` are explained there."""

    __slots__ = ("_request", "broken", "headers", "is_at_end", "reader", "status", "step", "waiting_on")
    failures = PyreqwestError

    def __init__(self, request: Any, response: Any) -> None:
        self._request = request
        self.reader = response.body_reader
        self.step: Any = None
        self.waiting_on: Any = None
        self.broken: Exception | None = None
        self.is_at_end = False
        self.status: int = response.status
        headers = {name.lower(): value for name, value in response.headers.items()}
        if "set-cookie" in headers:
            headers["set-cookie"] = "\n".join(response.headers.getall("set-cookie"))
        self.headers: Mapping[str, str] = headers

    def read(self) -> Arrived:
        """Return, when awaited, all bytes that have arrived, at least one chunk; b"" at the end."""
        return Arrived(self)

    def named(self, failure: Exception) -> UpstreamUnreachable:
        """Return the typed error of a failed read."""
        return _unreachable(failure)

    async def close(self) -> None:
        """Let the connection go; a connection read to its end returns to the pool."""
        step, self.step, self.waiting_on = self.step, None, None
        if step is not None:
            step.close()
        self.is_at_end = True
        request, self._request = self._request, None
        if request is not None:
            await request.__aexit__(None, None, None)


def _build_client(egress: str | None) -> Client:
    builder = (
        ClientBuilder()
        .gzip(enable=False)
        .brotli(enable=False)
        .zstd(enable=False)
        .deflate(enable=False)
        .follow_redirects(enable=False)
        .referer(enable=False)
        .http2(enable=True)
        .http1_lower_case_headers()
        .connect_timeout(timedelta(seconds=CONNECT_TIMEOUT_S))
        .read_timeout(timedelta(seconds=SILENCE_LIMIT_S))
        .tcp_keepalive(timedelta(seconds=30))
        .pool_idle_timeout(timedelta(seconds=90))
    )
    builder = builder.no_proxy() if egress is None else builder.proxy(ProxyBuilder.all(egress))
    return builder.build()


def _unreachable(error: Exception) -> UpstreamUnreachable:
    """Name the kind of failure; the library's own text may hold addresses and stays in the operator's log."""
    return UpstreamUnreachable(
        f"The upstream could not be reached or broke the connection ({type(error).__name__}).", detail=str(error)
    )
