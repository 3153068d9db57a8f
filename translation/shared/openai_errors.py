"""The error envelope of OpenAI's protocols, and the headers that more vendors' SDKs read.

`{"error": {"message", "type", "param", "code", …}}` with the status of the error. The kind of an error chooses the
`type`, never its text. Responses has words of its own besides (`protocols/openai_responses/errors.py`). Matrix:
spec/translation.md §12. Reference: https://platform.openai.com/docs/guides/error-codes (checked 2026-11-20).
"""

from __future__ import annotations

import math
from typing import Any

from translation.codec import WireError
from translation.errors import GatewayError
from translation.wire.jsonio import dumps

_TYPES: dict[str, str] = {
    "bad_request": "invalid_request_error",
    "context_length": "invalid_request_error",
    "too_large": "invalid_request_error",
    "unauthenticated": "invalid_request_error",
    "forbidden": "invalid_request_error",
    "model_not_found": "invalid_request_error",
    "model_unsupported": "invalid_request_error",
    "not_found": "invalid_request_error",
    "rate_limited": "rate_limit_error",
}
"""`type` per error kind; every other kind is the server's fault."""

_PUBLIC_CODES = {
    "model_not_supported": "model_not_found",
    "server_is_overloaded": "server_overloaded",
    "usage_limit_reached": "rate_limit_exceeded",
    "rate_limit_reached": "rate_limit_exceeded",
    "subscription_sharing_usage_limit_exceeded": "rate_limit_exceeded",
}
"""Codes that are ours or the upstream's, and what OpenAI's clients know them as (§12)."""

_OWN_KEYS = frozenset({"message", "type", "param", "code"})

LONGEST_WAIT_S = 60.0
"""SDKs wait a `retry-after` up to a minute and ignore longer ones: they would come back within seconds, for nothing."""


def error_type(error: GatewayError) -> str:
    """Return the envelope's `type`."""
    if error.status == 402:
        return "insufficient_quota"
    if error.status == 429:
        return "rate_limit_error"
    return _TYPES.get(error.kind, "server_error")


def error_code(error: GatewayError) -> str:
    """Return the envelope's `code`."""
    return _PUBLIC_CODES.get(error.code, error.code)


def error_object(error: GatewayError) -> dict[str, Any]:
    """Return the object under `error`, with the vendor fields clients act on (`resets_at`, `plan_type`, …)."""
    body: dict[str, Any] = {
        "message": error.message,
        "type": error_type(error),
        "param": error.param,
        "code": error_code(error),
    }
    body.update((key, value) for key, value in error.extra.items() if key not in _OWN_KEYS)
    return body


def error_headers(error: GatewayError) -> dict[str, str]:
    """Return the headers of an error answer; `retry-after` is in whole seconds, rounded up, because clients wait it.

    `x-should-retry: false` is how OpenAI's and Anthropic's SDKs, and Claude Code, are told that coming back at once is
    of no use: they then show the error, which says when the limit ends, instead of trying for minutes.
    """
    headers = {"content-type": "application/json"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after_s)))
        if error.status == 429 and error.retry_after_s > LONGEST_WAIT_S:
            headers["x-should-retry"] = "false"
    return headers


def encode_openai_error(error: GatewayError) -> WireError:
    """Write `error` as OpenAI's clients read it."""
    return WireError(error.status, error_headers(error), dumps({"error": error_object(error)}))
