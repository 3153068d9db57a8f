"""The simulator as an egress proxy: `CONNECT` tunnels to loopback, and F22's ways to fail (wire.md §13.3 F22).

Plain-HTTP proxying needs nothing here: an absolute-form request is answered as if it had been sent directly.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from providers.simulator.http import Connection, Exchange
from providers.simulator.recorder import ReceivedRequest

if TYPE_CHECKING:
    from providers.simulator.server import Simulator

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Tunnel(asyncio.Protocol):
    """Both directions of a tunnel: the far side is an asyncio protocol, the near side feeds us."""

    def __init__(self, near: Connection) -> None:
        self.near = near
        self._far: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._far = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.near.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.near.hang_up()

    def feed(self, data: bytes) -> None:
        """Pass the client's bytes on."""
        if self._far is not None:
            self._far.write(data)

    def lost(self) -> None:
        """Close the far side with the near one."""
        if self._far is not None:
            self._far.close()


class Garbage:
    """A peer that answers a TLS hello with nonsense."""

    def __init__(self, near: Connection) -> None:
        self.near = near

    def feed(self, data: bytes) -> None:
        """Answer nonsense and hang up."""
        self.near.write(b"this is not TLS\r\n")
        self.near.hang_up()

    def lost(self) -> None:
        """Nothing to close."""


async def refuse_by_fault(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> bool:
    """Do what F22 asks of a proxied request; return whether it was answered."""
    fault = sim.draw_plain(record).get("F22")
    if fault is None:
        return False
    if fault.has("407"):
        exchange.reply(407, b"", [("proxy-authenticate", 'Basic realm="simulator"'), ("connection", "close")])
        exchange.connection.hang_up()
        return True
    if fault.has("refuse"):
        exchange.connection.reset()
        return True
    if fault.has("slow"):
        await asyncio.sleep(float(fault.params.get("seconds", 5)))
    if fault.has("tls_failure"):
        exchange.connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        exchange.connection.take_over(Garbage(exchange.connection))
        return True
    return False


async def connect(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Open a tunnel; nothing but loopback can be reached through it."""
    if await refuse_by_fault(sim, exchange, record):
        return
    host, _, port = exchange.path.rpartition(":")
    if host.strip("[]") not in _LOOPBACK:
        exchange.reply(403, b"only loopback can be reached through the simulator")
        return
    try:
        _, tunnel = await asyncio.get_running_loop().create_connection(
            lambda: Tunnel(exchange.connection), host.strip("[]"), int(port)
        )
    except (OSError, ValueError):
        exchange.reply(502, b"")
        return
    exchange.status = 200
    exchange.connection.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    exchange.connection.take_over(tunnel)
