"""Google's Gemini API, with a key of its own: where it is, how it is signed, what its failures mean.

The key travels in a header, never in the address, because addresses are logged. Answers are always asked for as a
stream; the codec collects them. Facts: spec/wire.md §10, spec/translation.md §11.5, §11.6. Reference:
https://ai.google.dev/api (checked 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from providers.contract import Conversation, Credential, RateLimits, Target, UpstreamRequest
from translation.errors import GatewayError, UpstreamBlocked
from translation.protocols.gemini.upstream_errors import error_from_payload
from translation.wire import jsonio

BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
_MAX_RETRY_AFTER_S = 7 * 24 * 3600.0


class GeminiProvider:
    """Implements `providers.contract.Provider` for Gemini, or a server that speaks its wire, at `base_url`."""

    name = "gemini"
    codec = "gemini"

    def __init__(self, base_url: str = BASE_URL) -> None:
        self._base_url = base_url.rstrip("/")

    def build(self, body: bytes, credential: Credential, target: Target, conversation: Conversation) -> UpstreamRequest:
        """Sign `body`; nothing of the client's conversation leaves with it."""
        return UpstreamRequest(
            method="POST",
            url=f"{self._base_url}/{_resource(target.model)}:streamGenerateContent?alt=sse",
            headers=(
                ("content-type", "application/json"),
                ("accept", "text/event-stream"),
                ("x-goog-api-key", credential.token.reveal()),
            ),
            body=body,
        )

    def models_request(self, credential: Credential) -> UpstreamRequest:
        """Ask for the models this key may use."""
        return UpstreamRequest(
            method="GET",
            url=f"{self._base_url}/models?pageSize=1000",
            headers=(("accept", "application/json"), ("x-goog-api-key", credential.token.reveal())),
            body=b"",
        )

    def classify(self, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> GatewayError:
        """See the contract."""
        payload = _parsed(body)
        if payload is None and status in (403, 451):
            return UpstreamBlocked(f"The upstream's edge refused the call with status {status}.", reason="edge")
        return error_from_payload(payload, status=status, retry_after_s=_retry_after(headers), now_s=now_s)

    def limits(self, headers: Mapping[str, str], now_s: float) -> RateLimits | None:
        """Google tells limits in errors only."""
        return None

    def told_limits(self, asides: Mapping[str, bytes], now_s: float) -> RateLimits | None:
        """Google tells limits in errors only."""
        return None

    def relayed_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """No Gemini client acts on a header of an answer."""
        return {}


def _resource(model: str) -> str:
    """Tuned models have a collection of their own."""
    name = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
    return quote(name, safe="/-._~")


def _parsed(body: bytes) -> Any:
    try:
        return jsonio.loads(body)
    except ValueError:
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    value = headers.get("retry-after", "")
    return min(float(value), _MAX_RETRY_AFTER_S) if value.isascii() and value.isdecimal() and len(value) < 10 else None
