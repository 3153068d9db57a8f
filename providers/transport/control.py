"""Sends the few calls of the control plane with httpx: usage, banked resets, probes. Never used for answers.

Synchronous, for Celery and commands. Never follows redirects, never reads proxy variables of the environment, reads no
more than a bounded body, keeps no cookies, logs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from providers.contract import UpstreamRequest
from translation.errors import UpstreamUnreachable

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 15.0
MAX_BODY_BYTES = 1024 * 1024


class ControlAnswer(Struct, frozen=True, kw_only=True):
    """A whole answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


SendControl = Callable[[UpstreamRequest, str | None], ControlAnswer]
"""`send(request, egress)`; see `send_control`. Tests give their own."""


def send_control(
    request: UpstreamRequest, egress: str | None, transport: httpx.BaseTransport | None = None
) -> ControlAnswer:
    """Send one request through the proxy URL `egress`, if given. Raises: UpstreamUnreachable."""
    # Imported here: a gateway process that never asks saves 8 MB.
    import httpx

    try:
        with (
            httpx.Client(proxy=egress, transport=transport, timeout=TIMEOUT_S, trust_env=False) as client,
            client.stream(
                request.method, request.url, headers=list(request.headers), content=request.body or None
            ) as answer,
        ):
            pieces: list[bytes] = []
            size = 0
            for piece in answer.iter_bytes():
                pieces.append(piece)
                size += len(piece)
                if size > MAX_BODY_BYTES:
                    raise UpstreamUnreachable("The upstream's answer is larger than 1 MB; it was not read.")
            return ControlAnswer(status=answer.status_code, headers=dict(answer.headers), body=b"".join(pieces))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UpstreamUnreachable(f"The upstream could not be reached ({type(error).__name__}).") from None
