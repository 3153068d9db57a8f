"""Upstream WebSockets: one for each agent of a conversation, one request at a time. An optimisation, never a need.

The request stays the HTTP request it was (`UpstreamRequest.socket` says that a socket would do): whatever goes wrong
before the answer begins, it leaves over HTTP, whole. After that a lost socket is a broken connection like any other.
States of a socket: dialing → idle ⇄ busy → closed; only completed answers lead back to idle with something to continue.
Facts: spec/wire.md §1.3, spec/operations.md §2.10 and §22, ADR-0019. Next: `socket_stream.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.protocol import State

from providers.contract import SocketCall, Transport, UpstreamRequest, UpstreamStream
from providers.transport.socket_stream import SocketStream
from providers.transport.socket_turns import Memory, Turn, read_turn

_library_log = logging.getLogger("websockets.client")
_library_log.setLevel(logging.WARNING)  # below that it writes handshakes, tokens and all

DIAL_TIMEOUT_S = 10.0
DIAL_GAP_S = 1.0
"""Between two dials of one account; upstreams take bursts for an attack (spec/wire.md §1.3.1)."""
PING_S = 25.0
PONG_PATIENCE_S = 37.5
"""A socket that gave no sign of life for 2.5 pings is dead."""
REFUSED = frozenset({403, 404, 405, 426, 501})
"""Handshakes that are not worth another try: no sockets there, or not for us."""
NO_SOCKETS_S = 3600.0
"""How long an account stays on HTTP after such an answer, and after any other failure."""
DIAL_FAILED_S = 60.0
IDLE_S = 600.0
SWEEP_S = 60.0
MAX_SOCKETS = 512
MAX_MESSAGE_BYTES = 15 * 1024 * 1024
"""Upstreams close at 16 MiB (spec/wire.md §1.3.5)."""
MAX_FRAME_BYTES = 64 * 1024 * 1024


class SocketLimits(Struct, frozen=True):
    """What operators may set. The upstream's own limit is 60 minutes."""

    max_age_s: float = 3300.0
    max_per_account: int = 8


class _Account(Struct):
    """What is known of dialing for one account. Times are the loop's."""

    dialed_at: float = -DIAL_GAP_S
    http_until: float = 0.0


class Socket:
    """One connection. `is_busy` from the moment it is reserved until its answer ended."""

    __slots__ = ("account", "authorization", "connection", "is_busy", "memory", "opened_at", "used_at")

    def __init__(self, account: str, authorization: str, now: float) -> None:
        self.account = account
        self.authorization = authorization
        self.connection: ClientConnection | None = None
        self.is_busy = True
        self.memory = Memory()
        self.opened_at = self.used_at = now

    def is_good(self, call: SocketCall, max_age_s: float, now: float) -> bool:
        """Tell whether a new request may go out on it: a token is bound to the handshake."""
        is_open = self.connection is not None and self.connection.state is State.OPEN
        return is_open and self.authorization == call.authorization and now - self.opened_at < max_age_s

    def drop(self) -> None:
        """Break the connection, which frees the upstream at once."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.transport.abort()


class SocketTransport:
    """Implements `providers.contract.Transport`: sockets where a request asks for one, `http` for everything else."""

    def __init__(self, http: Transport, limits: Callable[[], SocketLimits] = SocketLimits) -> None:
        self._http = http
        self._limits = limits
        self._sockets: OrderedDict[tuple[str, str, str], Socket] = OrderedDict()
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._sweeping: asyncio.TimerHandle | None = None

    def open(self, request: UpstreamRequest, egress: str | None) -> Awaitable[UpstreamStream]:
        """See the contract. No frame of our own stands in the way of plain HTTP."""
        if request.socket is None:
            return self._http.open(request, egress)
        return self._open(request, request.socket, egress)

    async def close(self) -> None:
        """Break all sockets."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        while self._sockets:
            self._sockets.popitem()[1].drop()

    async def _open(self, request: UpstreamRequest, call: SocketCall, egress: str | None) -> UpstreamStream:
        if self._account(call).http_until > _now():
            return await self._http.open(request, egress)
        turn = read_turn(request.body)
        key = (call.account, call.conversation, turn.variant)
        socket = self._idle(key, call) or await self._dialed(key, call, egress)
        if socket is not None:
            stream = await self._asked(key, socket, turn, call)
            if stream is not None:
                return stream
        return await self._http.open(request, egress)

    # ---- choosing a socket -------------------------------------------------------------------------------------

    def _idle(self, key: tuple[str, str, str], call: SocketCall) -> Socket | None:
        """Reserve the agent's own socket, if it has one that is good and free."""
        socket = self._sockets.get(key)
        if socket is None or socket.is_busy:
            return None
        if not socket.is_good(call, self._limits().max_age_s, _now()):
            self._drop(key, socket)
            return None
        socket.is_busy = True
        self._sockets.move_to_end(key)
        return socket

    async def _dialed(self, key: tuple[str, str, str], call: SocketCall, egress: str | None) -> Socket | None:
        """Open a socket for the agent; None when there may be none now, or it did not work."""
        now, account = _now(), self._account(call)
        if now - account.dialed_at < DIAL_GAP_S or key in self._sockets or not self._has_room(call.account):
            return None
        account.dialed_at = now
        socket = self._sockets[key] = Socket(call.account, call.authorization, now)  # counts from here on
        self._sweep_later()
        try:
            socket.connection = await connect(
                call.url,
                additional_headers=call.headers,
                user_agent_header=None,
                proxy=egress,
                open_timeout=DIAL_TIMEOUT_S,
                close_timeout=1.0,
                compression=None,  # inflating every small frame costs half as much again (ADR-0019)
                ping_interval=PING_S,
                ping_timeout=PONG_PATIENCE_S,
                max_size=MAX_FRAME_BYTES,
                max_queue=64,
                logger=_library_log,
            )
        except (OSError, TimeoutError, InvalidHandshake, ValueError, ImportError, EOFError) as failure:
            is_refused = isinstance(failure, InvalidStatus) and failure.response.status_code in REFUSED
            account.http_until = _now() + (NO_SOCKETS_S if is_refused else DIAL_FAILED_S)
            self._drop(key, socket)
            return None
        except BaseException:
            self._drop(key, socket)
            raise
        return socket

    def _account(self, call: SocketCall) -> _Account:
        return self._accounts.setdefault(call.account, _Account())

    def _has_room(self, account: str) -> bool:
        """Make room for one more socket of `account`, at the cost of the one unused for longest."""
        own = [(key, socket) for key, socket in self._sockets.items() if socket.account == account]
        crowd = own if len(own) >= self._limits().max_per_account else list(self._sockets.items())
        if crowd is not own and len(crowd) < MAX_SOCKETS:
            return True
        for key, socket in crowd:
            if not socket.is_busy:
                self._drop(key, socket)
                return True
        return False

    def _drop(self, key: tuple[str, str, str], socket: Socket) -> None:
        if self._sockets.get(key) is socket:
            del self._sockets[key]
        socket.drop()

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Close what nobody has used for long, and forget accounts about which there is nothing to know."""
        self._sweeping = None
        now, max_age_s = _now(), self._limits().max_age_s
        for key, socket in list(self._sockets.items()):
            if not socket.is_busy and (now - socket.used_at > IDLE_S or now - socket.opened_at > max_age_s):
                self._drop(key, socket)
        for name, account in list(self._accounts.items()):
            if now > account.http_until and now - account.dialed_at > DIAL_GAP_S:
                del self._accounts[name]
        if self._sockets or self._accounts:
            self._sweep_later()

    # ---- asking ------------------------------------------------------------------------------------------------

    async def _asked(
        self, key: tuple[str, str, str], socket: Socket, turn: Turn, call: SocketCall
    ) -> SocketStream | None:
        """Send a turn and wait until its answer begins; None when the request has to leave another way, whole."""
        connection = socket.connection
        assert connection is not None  # it is reserved, and was open a moment ago
        start = socket.memory.tail_of(turn)
        message = turn.message(call.metadata, socket.memory, start)
        if len(message) > MAX_MESSAGE_BYTES:
            socket.is_busy = False
            return None
        stream = SocketStream(
            connection, socket.memory, turn, start, on_end=lambda is_good: self._ended(key, socket, is_good=is_good)
        )
        try:
            await connection.send(message, text=True)
            await stream.begin()
        except ConnectionClosed:
            self._drop(key, socket)
            return None
        except BaseException:
            self._drop(key, socket)
            raise
        if stream.status >= 400:
            self._drop(key, socket)
            if stream.is_about_the_socket():
                return None
        return stream

    def _ended(self, key: tuple[str, str, str], socket: Socket, *, is_good: bool) -> None:
        """Take a socket back whose answer has ended; one that did not end well is closed."""
        if not is_good:
            self._drop(key, socket)
        else:
            socket.is_busy = False
            socket.used_at = _now()


def _now() -> float:
    return asyncio.get_running_loop().time()
