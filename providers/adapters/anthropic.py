"""Anthropic's API, or a server that speaks its wire: where it is, how it is signed, what its failures mean.

The client's version and betas are passed on, because the relayed body depends on them. No translation here: the codec
speaks the wire. Facts: spec/translation.md §11.1, §11.6, §12. Reference: https://platform.claude.com/docs/en/api/errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.contract import Conversation, Credential, RateLimits, Target, UpstreamRequest
from translation import errors
from translation.protocols.anthropic_messages.upstream import error_of
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

DEFAULT_VERSION = "2023-06-01"
"""The only version there is so far; the API refuses requests without one."""
RELAYED_RESPONSE_PREFIXES = ("anthropic-ratelimit-", "request-id")
MAX_MESSAGE_CHARS = 2000

_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error",
    504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
"""What a status means where the body does not say."""


class AnthropicProvider:
    """Implements `providers.contract.Provider` for the API below `base_url`, which has no `/v1`."""

    name = "anthropic"
    codec = "anthropic-messages"

    def __init__(self, base_url: str = "https://api.anthropic.com") -> None:
        self._messages_url = f"{base_url.rstrip('/')}/v1/messages"

    def build(self, body: bytes, credential: Credential, target: Target, conversation: Conversation) -> UpstreamRequest:
        """Sign `body`; see the contract."""
        client = conversation.headers
        headers = [
            ("x-api-key", credential.token.reveal()),
            ("anthropic-version", client.get("anthropic-version") or DEFAULT_VERSION),
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
        ]
        betas = client.get("anthropic-beta")
        if betas:
            headers.insert(2, ("anthropic-beta", betas))
        return UpstreamRequest(method="POST", url=self._messages_url, headers=tuple(headers), body=body)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> errors.GatewayError:
        """See the contract."""
        return classify(status, headers, body, now_s)

    def limits(self, headers: Mapping[str, str], now_s: float) -> RateLimits | None:
        """Return None: the API tells limits per minute, which are no quota of a plan."""
        return None

    def told_limits(self, asides: Mapping[str, bytes], now_s: float) -> RateLimits | None:
        """Return None: streams say nothing about limits."""
        return None

    def relayed_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return request id and limits, which Anthropic's SDKs show; not the organization, which is the operator's."""
        return {name: value for name, value in headers.items() if name.startswith(RELAYED_RESPONSE_PREFIXES)}


def classify(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> errors.GatewayError:
    """Return the typed error of an answer with `status`."""
    fields = _error_fields(body)
    kind, message = fields.get("type"), fields.get("message")
    shown = message[:MAX_MESSAGE_CHARS] if isinstance(message, str) else ""
    shown = shown or f"The upstream answered with status {status}."
    if status == 403 and not fields:
        return errors.UpstreamBlocked("The upstream's edge blocked the request (firewall).", reason="firewall")
    if status in (408, 409, 423, 425):
        return errors.UpstreamTransient(shown)
    known = _TYPES.get(status)
    error = error_of(kind if isinstance(kind, str) and kind != "error" else known or "", shown)
    if type(error) is errors.UpstreamFailed and known is not None and known != kind:
        error = error_of(known, shown)  # a word we do not know, on a status we do
    elif type(error) is errors.UpstreamFailed and status < 500:
        error = errors.UpstreamRefused(shown, status=status)
    _tell_wait(error, headers, now_s)
    return error


def _error_fields(body: bytes) -> dict[str, Any]:
    try:
        value = jsonio.loads(body)
    except ValueError:
        return {}
    if not is_object(value):
        return {}
    fields = value.get("error")
    if isinstance(fields, str):
        return {"message": fields}
    return fields if is_object(fields) else value


def _tell_wait(error: errors.GatewayError, headers: Mapping[str, str], now_s: float) -> None:
    try:
        wait_s = float(headers.get("retry-after", ""))
    except ValueError:
        return
    if 0 <= wait_s <= 86_400:
        error.retry_after_s = max(1.0, wait_s)
        if isinstance(error, errors.RateLimited):
            error.until = now_s + wait_s
