"""What a non-2xx answer of the Codex backend means: the only place that reads its error texts.

Order of tests: codes first, then status, then texts; the order is load-bearing (spec/wire.md §6.2). In-stream codes
are the codec's business (§6.4); both arrive at the same types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from providers.adapters.codex.limits import number, read_limits
from translation import errors
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

CHALLENGE_SIGNS = (b"cf-mitigated", b"cf-chl-bypass", b"_cf_chl", b"cf_chl", b"attention required", b"just a moment")
TRY_AGAIN = re.compile(r"try again in\s*(\d+(?:\.\d+)?)\s*(ms|s\b|seconds?)", re.IGNORECASE)
MODEL_MISSING = re.compile(r"model.*(not[ _](supported|available)|does not exist)", re.IGNORECASE | re.DOTALL)
MAX_MESSAGE_CHARS = 2000
EXTRA_FIELDS = ("plan_type", "resets_at", "resets_in_seconds", "eligible_promo")


class Failure(Struct, frozen=True, kw_only=True):
    """A non-2xx answer, taken apart once."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    is_json: bool
    code: str
    message: str
    param: str | None
    fields: Mapping[str, Any]
    now_s: float

    @property
    def shown(self) -> str:
        """What a client may read of it."""
        return self.message or f"The upstream answered with status {self.status}."


def classify(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> errors.GatewayError:
    """Return the typed error of an answer with `status`."""
    failure = _take_apart(status, headers, body, now_s)
    by_code = BY_CODE.get(failure.code)
    if by_code is not None:
        return by_code(failure)
    if 400 <= status < 500 and status not in (401, 403, 429) and MODEL_MISSING.search(failure.message):
        return _model_unsupported(failure)
    by_status = BY_STATUS.get(status)
    if by_status is not None:
        return by_status(failure)
    return _edge_failed(failure) if status >= 500 else _refused(failure)


# ---- one function a meaning ----------------------------------------------------------------------------------------


def _usage_limit(failure: Failure) -> errors.UpstreamError:
    until = _reset_time(failure)
    extra = {name: failure.fields[name] for name in EXTRA_FIELDS if name in failure.fields}
    wait_s = max(1.0, until - failure.now_s) if until is not None else None
    return errors.RateLimited(
        failure.shown,
        scope="account",
        until=until,
        retry_after_s=wait_s,
        code=failure.code or "usage_limit_reached",
        error_type=failure.code or None,
        extra=extra,
    )


def _rate_limit(failure: Failure) -> errors.UpstreamError:
    if "at capacity" in failure.message.lower():
        return errors.ModelAtCapacity(failure.shown, retry_after_s=2.0)
    hinted = TRY_AGAIN.search(failure.message)
    if hinted:
        wait_s = float(hinted[1]) / (1000 if hinted[2].lower() == "ms" else 1)
        return errors.RateLimited(
            failure.shown, scope="transient", until=failure.now_s + wait_s, retry_after_s=max(1.0, wait_s)
        )
    if failure.code == "rate_limit_exceeded":
        return errors.RateLimited(failure.shown, scope="transient", retry_after_s=2.0)
    return _usage_limit(failure)


def _no_plan(failure: Failure) -> errors.UpstreamError:
    return errors.RateLimited(
        failure.shown,
        scope="account",
        until=failure.now_s + 3600,
        retry_after_s=3600,
        code=failure.code,
        error_type=failure.code,
    )


def _rejected(reason: str) -> Callable[[Failure], errors.UpstreamError]:
    def build(failure: Failure) -> errors.UpstreamError:
        return errors.AccountRejected(
            "No available accounts: the upstream did not accept this account.", reason=reason, detail=failure.shown
        )

    return build


def _unauthorized(failure: Failure) -> errors.UpstreamError:
    text = failure.message.lower()
    if "deactivated" in text:
        return _rejected("banned")(failure)
    if "not authorized in this region" in text:
        return _blocked("region")(failure)
    return _rejected("invalidated")(failure)


def _forbidden(failure: Failure) -> errors.UpstreamError:
    haystack = failure.raw[:20_000].lower() + b"".join(name.encode() for name in failure.headers)
    if any(sign in haystack for sign in CHALLENGE_SIGNS):
        return _blocked("challenge")(failure)
    if not failure.is_json:
        return _blocked("firewall")(failure)
    return _rejected("forbidden")(failure)


def _not_found(failure: Failure) -> errors.UpstreamError:
    return _refused(failure) if failure.raw.strip() else _blocked("path block")(failure)


def _blocked(reason: str) -> Callable[[Failure], errors.UpstreamError]:
    def build(failure: Failure) -> errors.UpstreamError:
        return errors.UpstreamBlocked(
            f"The upstream's edge blocked the request ({reason}).", reason=reason, detail=failure.shown[:300]
        )

    return build


def _busy(failure: Failure) -> errors.UpstreamError:
    return errors.UpstreamBusy(
        failure.shown,
        code="slow_down" if failure.code == "slow_down" else None,
        retry_after_s=number(failure.headers.get("retry-after")) or 2.0,
    )


def _server_error(failure: Failure) -> errors.UpstreamError:
    return errors.UpstreamFailed(failure.shown)


def _edge_failed(failure: Failure) -> errors.UpstreamError:
    return errors.UpstreamUnreachable(f"The upstream's edge answered with status {failure.status}.")


def _transient(failure: Failure) -> errors.UpstreamError:
    return errors.UpstreamTransient(failure.shown, retry_after_s=number(failure.headers.get("retry-after")))


def _too_large(failure: Failure) -> errors.UpstreamError:
    return errors.UpstreamRefused(failure.shown, status=413, code="context_too_large")


def _model_unsupported(failure: Failure) -> errors.UpstreamError:
    code = failure.code if failure.code == "model_not_found" else None
    return errors.ModelUnsupported(failure.shown, status=failure.status, code=code, param="model")


def _context_length(failure: Failure) -> errors.ContextTooLong:
    return errors.ContextTooLong(failure.shown, param=failure.param)


def _reasoning(failure: Failure) -> errors.UpstreamError:
    return errors.ReasoningRejected(failure.shown)


def _continuation(failure: Failure) -> errors.UpstreamError:
    return errors.ContinuationLost(failure.shown, param="previous_response_id")


def _refused(failure: Failure) -> errors.UpstreamError:
    if "encrypted content" in failure.message.lower() and "verif" in failure.message.lower():
        return _reasoning(failure)
    status = failure.status if 400 <= failure.status < 500 else 400
    return errors.UpstreamRefused(
        failure.shown, status=status, code=failure.code or "invalid_request_error", param=failure.param
    )


BY_CODE: dict[str, Callable[[Failure], errors.GatewayError]] = {
    "usage_limit_reached": _usage_limit,
    "rate_limit_reached": _usage_limit,
    "subscription_sharing_usage_limit_exceeded": _usage_limit,
    "usage_not_included": _no_plan,
    "insufficient_quota": _no_plan,
    "quota_exceeded": _no_plan,
    "rate_limit_exceeded": _rate_limit,
    "token_expired": _rejected("expired"),
    "token_invalidated": _rejected("invalidated"),
    "token_revoked": _rejected("invalidated"),
    "account_deactivated": _rejected("banned"),
    "account_suspended": _rejected("banned"),
    "deactivated_workspace": _rejected("payment"),
    "payment_required": _rejected("payment"),
    "unsupported_country_region_territory": _blocked("region"),
    "server_is_overloaded": _busy,
    "slow_down": _busy,
    "overloaded_error": _busy,
    "service_unavailable_error": _busy,
    "server_error": _server_error,
    "context_length_exceeded": _context_length,
    "context_too_large": _context_length,
    "invalid_encrypted_content": _reasoning,
    "thinking_signature_invalid": _reasoning,
    "previous_response_not_found": _continuation,
}

BY_STATUS: dict[int, Callable[[Failure], errors.GatewayError]] = {
    401: _unauthorized,
    402: _rejected("payment"),
    403: _forbidden,
    404: _not_found,
    407: _edge_failed,  # the egress refuses us; no client of ours can do anything about it
    408: _transient,
    409: _transient,
    413: _too_large,
    423: _transient,
    425: _transient,
    429: _rate_limit,
    500: _server_error,
    503: _busy,
    529: _busy,
}


# ---- taking apart --------------------------------------------------------------------------------------------------


def _take_apart(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> Failure:
    try:
        parsed = jsonio.loads(body) if body else None
    except ValueError:
        parsed = None
    answer: dict[str, Any] = parsed if is_object(parsed) else {}
    fields = _error_fields(answer)
    code = next((fields[name] for name in ("code", "type") if fields.get(name) and isinstance(fields[name], str)), "")
    param = fields.get("param")
    return Failure(
        status=status,
        headers=headers,
        raw=body,
        is_json=is_object(parsed),
        code=code.lower(),
        message=_message(answer, fields)[:MAX_MESSAGE_CHARS],
        param=param if isinstance(param, str) else None,
        fields=fields,
        now_s=now_s,
    )


def _error_fields(parsed: dict[str, Any]) -> dict[str, Any]:
    for name in ("error", "detail"):
        inner = parsed.get(name)
        if is_object(inner):
            return inner
    return {} if "detail" in parsed else parsed


def _message(parsed: dict[str, Any], fields: Mapping[str, Any]) -> str:
    detail = parsed.get("detail")
    if isinstance(detail, str):
        return detail
    for source in (fields, parsed):
        for name in ("message", "error_description", "detail"):
            text = source.get(name)
            if isinstance(text, str) and text:
                return text
    if isinstance(detail, list | dict):
        return jsonio.dumps(detail).decode()
    error = parsed.get("error")
    return error if isinstance(error, str) else ""


def _reset_time(failure: Failure) -> float | None:
    """Resets in seconds, else the absolute time, else the soonest exhausted window of the headers (§6.2)."""
    after = number(failure.fields.get("resets_in_seconds"))
    if after is not None and after > 0:
        return failure.now_s + after
    at = number(failure.fields.get("resets_at"))
    if at is not None and at > failure.now_s:
        return at
    limits = read_limits(failure.headers, failure.now_s)
    ends = [
        window.reset_at
        for windows in (limits.windows.values() if limits is not None else ())
        for window in windows.values()
        if window.used_percent >= 100 and window.reset_at is not None and window.reset_at > failure.now_s
    ]
    if ends:
        return max(ends)
    after = number(failure.headers.get("retry-after"))
    return failure.now_s + after if after else None
