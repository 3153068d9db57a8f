"""Moves the requests of log-in flows with httpx, and says whether a failed one may have arrived. Control plane only.

Never follows redirects, never reads proxy variables of the environment, never logs a body. Next: `codex.py`.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from providers.oauth.contract import MaybeSent, NotSent, OAuthRequest, OAuthResponse

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0


class OAuthClient:
    """A `Send` over HTTP; close it, or use it as a context manager. `proxy` is an egress URL."""

    def __init__(self, proxy: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        # Imported here: a gateway process that never logs in saves 0.1 s of its start and 8 MB.
        import httpx

        self._never_left = (
            # Connection refused, DNS, TLS handshake, a proxy that does not open the tunnel: the request never left.
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.PoolTimeout,
            httpx.ProxyError,
            httpx.UnsupportedProtocol,
            httpx.InvalidURL,
        )
        self._any_failure = httpx.HTTPError
        self._http = httpx.Client(
            proxy=proxy,
            transport=transport,
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
            follow_redirects=False,
        )

    def __call__(self, request: OAuthRequest) -> OAuthResponse:
        """Send one request. Raises: NotSent, MaybeSent."""
        try:
            answer = self._http.request(
                request.method, request.url, headers=list(request.headers), content=request.body
            )
        except self._never_left as error:
            raise NotSent(f"The log-in server could not be reached ({type(error).__name__}).") from error
        except self._any_failure as error:
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
