"""Google's error object → our types: for frames inside a stream, and for the adapter that classifies whole answers.

The word (`status`) and the details decide, the text only where Google has no word of its own. Matrix:
spec/translation.md §12, §11.6. Reference: https://ai.google.dev/gemini-api/docs/troubleshooting (checked 2026-11-23).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from translation import errors
from translation.protocols.gemini.fields import get, listed
from translation.wire.jsontypes import is_array, is_object

MAX_MESSAGE_CHARS = 2000
_MAX_DELAY_S = 7 * 24 * 3600.0
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_TOO_LONG = re.compile(r"token count.{0,40}exceeds the maximum|exceeds the maximum number of tokens", re.DOTALL)
_BY_WORD = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class _Failure(Struct, frozen=True, kw_only=True):
    """An error, taken apart once. `reasons` are those of its ErrorInfo details, `quotas` the ids of used-up quotas."""

    status: int
    word: str
    message: str
    reasons: tuple[str, ...]
    quotas: tuple[str, ...]
    retry_after_s: float | None

    @property
    def shown(self) -> str:
        """What a client may read of it."""
        return self.message[:MAX_MESSAGE_CHARS] or f"The upstream answered with status {self.status}."


def error_from_payload(
    payload: Any, *, status: int = 0, retry_after_s: float | None = None, now_s: float | None = None
) -> errors.GatewayError:
    """Return the typed error of a parsed body or frame, `{"error": {...}}` or a list of it.

    `status` is the answer's, 0 inside a stream; `retry_after_s` what its header said; `now_s` lets limits have an end.
    """
    failure = _take_apart(payload, status, retry_after_s)
    text = failure.message.lower()
    if failure.status == 400:
        return _bad_request(failure, text)
    build = _BY_STATUS.get(failure.status)
    if build is not None:
        return build(failure)
    if failure.status == 429:
        return _limited(failure, now_s)
    if failure.status == 404 and "model" in text:
        return errors.ModelUnsupported(failure.shown, status=404)
    if failure.status >= 500:
        return errors.UpstreamBusy(failure.shown, retry_after_s=failure.retry_after_s)
    return errors.UpstreamRefused(failure.shown, status=failure.status)


def _take_apart(payload: Any, status: int, retry_after_s: float | None) -> _Failure:
    if is_array(payload):
        payload = payload[0] if payload else None
    error = payload.get("error") if is_object(payload) else None
    fields: dict[str, Any] = error if is_object(error) else {}
    code, word, message = fields.get("code"), fields.get("status"), fields.get("message")
    if not isinstance(message, str):
        message = error if isinstance(error, str) else ""
    word = word if isinstance(word, str) else ""
    if not status:
        status = code if isinstance(code, int) and 400 <= code < 600 else _BY_WORD.get(word, 502)
    reasons: list[str] = []
    quotas: list[str] = []
    for detail in listed(fields.get("details")):
        if not is_object(detail):
            continue
        if isinstance(detail.get("reason"), str):
            reasons.append(detail["reason"])
        quotas += [
            violation["quotaId"]
            for violation in listed(detail.get("violations"))
            if is_object(violation) and isinstance(violation.get("quotaId"), str)
        ]
        delay = _DELAY.fullmatch(str(get(detail, "retryDelay") or ""))
        if delay is not None:
            retry_after_s = min(float(delay[1]), _MAX_DELAY_S)
    return _Failure(
        status=status,
        word=word,
        message=message,
        reasons=tuple(reasons),
        quotas=tuple(quotas),
        retry_after_s=retry_after_s,
    )


def _bad_request(failure: _Failure, text: str) -> errors.GatewayError:
    """A 400 may be about the key, the place, the length or the request; only the last is for the caller to read."""
    if "API_KEY_INVALID" in failure.reasons or "api key not valid" in text or "api key expired" in text:
        return errors.AccountRejected(failure.shown, reason="invalidated")
    if failure.word == "FAILED_PRECONDITION" and "location" in text:
        return errors.UpstreamBlocked(failure.shown, reason="region")
    if failure.word == "FAILED_PRECONDITION" and "billing" in text:
        return errors.AccountRejected(failure.shown, reason="payment")
    if _TOO_LONG.search(text):
        return errors.ContextTooLong(failure.shown)
    if "thought signature" in text or "thought_signature" in text or "thoughtsignature" in text:
        return errors.ReasoningRejected(failure.shown)
    return errors.UpstreamRefused(failure.shown)


def _limited(failure: _Failure, now_s: float | None) -> errors.GatewayError:
    """A quota of the day belongs to the key; one of the minute passes."""
    is_daily = any("perday" in quota.lower() for quota in failure.quotas)
    delay_s = failure.retry_after_s
    return errors.RateLimited(
        failure.shown,
        scope="account" if is_daily else "transient",
        until=now_s + delay_s if now_s is not None and delay_s is not None else None,
        retry_after_s=delay_s,
    )


def _rejected(reason: str) -> Callable[[_Failure], errors.GatewayError]:
    return lambda failure: errors.AccountRejected(failure.shown, reason=reason)


def _forbidden(failure: _Failure) -> errors.GatewayError:
    """A suspended consumer is a ban; a key of too few rights is not."""
    is_banned = "CONSUMER_SUSPENDED" in failure.reasons or "suspended" in failure.message.lower()
    return errors.AccountRejected(failure.shown, reason="banned" if is_banned else "forbidden")


def _transient(failure: _Failure) -> errors.GatewayError:
    return errors.UpstreamTransient(failure.shown, retry_after_s=failure.retry_after_s)


_BY_STATUS: dict[int, Callable[[_Failure], errors.GatewayError]] = {
    401: _rejected("invalidated"),
    402: _rejected("payment"),
    403: _forbidden,
    408: _transient,
    409: _transient,
    413: lambda failure: errors.ContextTooLong(failure.shown),
    423: _transient,
    425: _transient,
    499: _transient,
    500: lambda failure: errors.UpstreamFailed(failure.shown),
    504: lambda failure: errors.UpstreamTimeout(failure.shown),
}
