"""The error envelope of Anthropic's API: `{"type":"error","error":{"type","message"},"request_id"}`.

The kind of an error chooses type and status, never its text. Claude Code waits `retry-after` and compacts on messages
that begin "prompt is too long:". Facts: spec/translation.md §6.5, §12. Reference:
https://platform.claude.com/docs/en/api/errors.
"""

from __future__ import annotations

from typing import Any

from translation.codec import WireError
from translation.errors import GatewayError
from translation.shared.openai_errors import error_headers
from translation.wire.jsonio import dumps

OVERLOADED_STATUS = 529
_PROMPT_TOO_LONG = "prompt is too long:"

_BY_KIND: dict[str, tuple[int, str]] = {
    "no_capacity": (OVERLOADED_STATUS, "overloaded_error"),
    "account_rejected": (OVERLOADED_STATUS, "overloaded_error"),
    "overloaded": (OVERLOADED_STATUS, "overloaded_error"),
    "model_unsupported": (404, "not_found_error"),
    "context_length": (400, "invalid_request_error"),
    "timeout": (504, "timeout_error"),
    "disconnected": (504, "api_error"),
}
"""Kinds whose status differs from the error's own, or does not tell the type."""

_BY_STATUS: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED_STATUS: "overloaded_error",
}
"""`type` per status; any other below 500 is the request's fault, any other above the server's."""


def encode_error(error: GatewayError) -> WireError:
    """Write `error` as Anthropic's clients read it."""
    status, _ = _status_and_type(error)
    return WireError(status, error_headers(error), dumps(error_object(error)))


def error_object(error: GatewayError) -> dict[str, Any]:
    """Return the whole envelope, which is also the data of an `error` event."""
    _, kind = _status_and_type(error)
    envelope: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": _message(error)}}
    if error.request_id:
        envelope["request_id"] = error.request_id
    return envelope


def _status_and_type(error: GatewayError) -> tuple[int, str]:
    if error.status in (402, 429):  # a limit with a reset, whatever kind of error reports it
        return error.status, _BY_STATUS[error.status]
    known = _BY_KIND.get(error.kind)
    other = "invalid_request_error" if error.status < 500 else "api_error"
    return known or (error.status, _BY_STATUS.get(error.status, other))


def _message(error: GatewayError) -> str:
    if error.kind == "context_length" and not error.message.startswith(_PROMPT_TOO_LONG):
        return f"{_PROMPT_TOO_LONG} {error.message}"
    return error.message
