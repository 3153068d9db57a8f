"""Google's error envelope: `{"error": {"code", "message", "status", "details"}}` with the status of the error.

The kind of an error chooses the word, never its text. Matrix: spec/translation.md §12, §7.3. Reference:
https://cloud.google.com/apis/design/errors (checked 2026-11-23).
"""

from __future__ import annotations

import math
from typing import Any

from translation.codec import WireError
from translation.errors import GatewayError
from translation.wire.jsonio import dumps

_BY_KIND: dict[str, tuple[int | None, str]] = {
    "model_unsupported": (404, "NOT_FOUND"),
    "transport": (None, "UNAVAILABLE"),
    "no_capacity": (None, "UNAVAILABLE"),
}
"""Status to answer with (None keeps the error's own) and word, where the status alone does not say it."""

_BY_STATUS: dict[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_DETAIL = "type.googleapis.com/google.rpc."
_DOMAIN = "codexproxy"


def encode_gemini_error(error: GatewayError) -> WireError:
    """Write `error` as Google's clients read it."""
    headers = {"content-type": "application/json; charset=utf-8"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(_seconds(error.retry_after_s))
    body = error_object(error)
    return WireError(body["code"], headers, dumps({"error": body}))


def error_object(error: GatewayError) -> dict[str, Any]:
    """Return the object under `error`."""
    status, word = _words(error)
    body: dict[str, Any] = {"code": status, "message": error.message, "status": word}
    details: list[dict[str, Any]] = [
        {"@type": f"{_DETAIL}ErrorInfo", "reason": error.code.upper(), "domain": _DOMAIN},
    ]
    if error.param is not None and status == 400:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_DETAIL}BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": f"{_DETAIL}RetryInfo", "retryDelay": f"{_seconds(error.retry_after_s)}s"})
    body["details"] = details
    return body


def _words(error: GatewayError) -> tuple[int, str]:
    status, word = _BY_KIND.get(error.kind, (None, ""))
    status = status or error.status
    if not word or (error.kind == "no_capacity" and status != 503):
        word = _BY_STATUS.get(status) or ("INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    return status, word


def _seconds(delay_s: float) -> int:
    return max(0, math.ceil(delay_s))
