"""Moves the requests of log-in flows with httpx, and says whether a failed one may have arrived. Control plane only.

Never follows redirects, never reads proxy variables of the environment, never logs a body. Next: `codex.py`.
"""

from __future__ import annotations

from types import TracebackType

import httpx

from providers.oauth.contract import MaybeSent, NotSent, OAuthRequest, OAuthResponse

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
"""Connection refused, DNS, TLS handshake, a proxy that does not open the tunnel: the request never left."""


class OAuthClient:
    """A `Send` over HTTP; close it, or use it as a context manager. `proxy` is an egress URL."""

    def __init__(self, proxy: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(
            proxy=proxy, transport=transport, timeout=TIMEOUT, trust_env=False, follow_redirects=False
        )

    def __call__(self, request: OAuthRequest) -> OAuthResponse:
        """Send one request. Raises: NotSent, MaybeSent."""
        try:
            answer = self._http.request(
                request.method, request.url, headers=list(request.headers), content=request.body
            )
        except _NEVER_LEFT as error:
            raise NotSent(f"The log-in server could not be reached ({type(error).__name__}).") from error
        except httpx.HTTPError as error:
            raise MaybeSent(f"The connection to the log-in server broke ({type(error).__name__}).") from error
        return OAuthResponse(status=answer.status_code, headers=dict(answer.headers), body=answer.content)

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def __enter__(self) -> OAuthClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
