"""The interfaces of an upstream kind and of a transport, and the values that pass between them.

An adapter (`adapters/*.py`) says where, how to sign, and what a failure means; a transport (`transport/*.py`) moves
bytes. Neither knows rows, accounts or proxies: the flow unpacks those. Never imports Django.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from translation.codec import Quirks
from translation.errors import GatewayError


class Secret:
    """A string that never shows itself: repr and str are stars, `reveal()` is explicit."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the clear text. Call it only where it leaves for its one destination."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Credential(Struct, frozen=True, kw_only=True):
    """What signs one upstream call. `scope` is a stable id of the account, for hashes that must not cross accounts."""

    token: Secret
    scope: str
    upstream_account_id: str | None = None
    is_fedramp: bool = False


class Target(Struct, frozen=True, kw_only=True):
    """Where one attempt goes: an adapter, the codec it speaks, and the upstream's own model name.

    `effort` and `service_tier` come from suffixes of the name the client used. `operation` is the client's
    (`OpenedRequest.operation`); an upstream without an address for it answers as it can.
    """

    provider: str
    codec: str
    model: str
    quirks: Quirks = Quirks()
    effort: str | None = None
    service_tier: str | None = None
    operation: Literal["respond", "compact"] = "respond"


class Conversation(Struct, frozen=True, kw_only=True):
    """What an adapter may know of the client's conversation. `key` is already hashed per account.

    `keeps_account`: the conversation was on this account before; what the upstream bound to the account may go back.
    `may_use_socket`: the operator lets requests leave over WebSockets.
    """

    key: str
    headers: Mapping[str, str] = {}
    keeps_account: bool = False
    may_use_socket: bool = False


class SocketCall(Struct, frozen=True, kw_only=True):
    """How a request may also leave: over the WebSocket of its conversation.

    `headers` are the handshake's; `metadata` is what travels inside the message because it may change from request to
    request. `account` is the credential's scope, `authorization` what the handshake was signed with.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    account: str
    authorization: str
    conversation: str
    metadata: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"SocketCall({self.url})"


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """One HTTP request, ready to leave. Header order is wire order."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    socket: SocketCall | None = None

    def __repr__(self) -> str:
        return f"UpstreamRequest({self.method} {self.url}, {len(self.body)} bytes)"


class QuotaWindow(Struct, frozen=True, kw_only=True):
    """One metered window: percent used, length in minutes, reset in unix seconds; None where nothing was said."""

    used_percent: float
    window_minutes: int | None = None
    reset_at: float | None = None


class RateLimits(Struct, frozen=True, kw_only=True):
    """What an answer said about limits, per limit id (bucket); `codex` is the plan's own, `names` are for people.

    `blocked` and `allowed` are the buckets of which the upstream said so in words. `is_whole`: it told everything it
    knows, so a bucket it does not name is gone, and one it allows is open again whatever was known before.
    """

    plan: str | None = None
    active_limit: str | None = None
    windows: Mapping[str, Mapping[str, QuotaWindow]] = {}
    names: Mapping[str, str] = {}
    blocked: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    credits: Mapping[str, Any] = {}
    reset_credits: int | None = None
    is_whole: bool = False


class Provider(Protocol):
    """An upstream kind."""

    name: str
    codec: str

    def build(self, body: bytes, credential: Credential, target: Target, conversation: Conversation) -> UpstreamRequest:
        """Sign `body` for `target`."""
        ...

    def classify(self, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> GatewayError:
        """Return the typed error of a non-2xx answer. The only place that reads vendor error text."""
        ...

    def limits(self, headers: Mapping[str, str], now_s: float) -> RateLimits | None:
        """Return what the answer's headers say about quota, or None."""
        ...

    def told_limits(self, asides: Mapping[str, bytes], now_s: float) -> RateLimits | None:
        """Return what the stream itself said about quota (`StreamDecoder.asides`), or None."""
        ...

    def relayed_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the upstream's headers that same-protocol clients act on."""
        ...


@runtime_checkable
class KnowsLimits(Protocol):
    """A provider that can be asked for an account's limits without spending a request."""

    def limits_request(self, credential: Credential) -> UpstreamRequest:
        """Ask for all limits."""
        ...

    def limits_answer(self, body: bytes, now_s: float) -> RateLimits | None:
        """Return what a 200 answer to it says; None when it cannot be read."""
        ...


class UpstreamStream(Protocol):
    """An open answer. `headers` has lower-case names; the last of a repeated one counts, `set-cookie` is one a line."""

    status: int
    headers: Mapping[str, str]
    is_at_end: bool
    """The whole body has been read."""

    def read(self) -> Awaitable[bytes]:
        """Return, when awaited, the next network chunk, b"" at the end.

        Raises: UpstreamUnreachable when the connection breaks.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection; idempotent, frees the upstream at once."""
        ...


class Transport(Protocol):
    """Moves bytes to upstreams."""

    def open(self, request: UpstreamRequest, egress: str | None) -> Awaitable[UpstreamStream]:
        """Send `request`, through the proxy URL `egress` if given, and return once headers arrived.

        Raises: UpstreamUnreachable.
        """
        ...
