"""The values that pass between a log-in flow and whoever moves its bytes, and how a flow fails. Pure.

A flow is a generator: it yields `OAuthRequest`, receives `OAuthResponse`, returns its result. Flows never touch the
network, the clock or rows. `NotSent` against `MaybeSent` is what keeps single-use tokens alive (wire.md §7.4).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Literal, TypeVar

from msgspec import Struct

from providers.contract import Secret


class OAuthRequest(Struct, frozen=True, kw_only=True):
    """One request to the auth server, ready to leave."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        return f"OAuthRequest({self.method} {self.url}, {len(self.body)} bytes)"


class OAuthResponse(Struct, frozen=True, kw_only=True):
    """A whole answer; header names are lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        return f"OAuthResponse({self.status}, {len(self.body)} bytes)"


class TokenSet(Struct, frozen=True, kw_only=True):
    """What a token endpoint handed out; None where it was silent."""

    access_token: Secret | None = None
    refresh_token: Secret | None = None
    id_token: Secret | None = None


class OAuthError(Exception):
    """A flow cannot go on. The message is one sentence for people and holds no secret."""


class NotSent(OAuthError):
    """The request provably never reached the server (refused, DNS, TLS handshake): asking again is safe."""


class MaybeSent(OAuthError):
    """The connection broke after the request may have left: a single-use token may be used up."""


class Unavailable(OAuthError):
    """The server answered that it cannot say now (429, 5xx, a challenge page). Nothing is known about the token."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(OAuthError):
    """The server said no for good. `verdict` is what the account becomes, `code` the server's own word."""

    def __init__(self, message: str, *, code: str, verdict: Literal["needs_login", "banned"]) -> None:
        super().__init__(message)
        self.code = code
        self.verdict: Literal["needs_login", "banned"] = verdict


Result = TypeVar("Result")
Flow = Generator[OAuthRequest, OAuthResponse, Result]
Send = Callable[[OAuthRequest], OAuthResponse]
"""Moves one request. Raises: NotSent, MaybeSent."""


def drive(flow: Flow[Result], send: Send) -> Result:
    """Run a flow to its end. Raises: OAuthError."""
    try:
        request = next(flow)
        while True:
            request = flow.send(send(request))
    except StopIteration as done:
        result: Result = done.value
        return result
    finally:
        flow.close()
