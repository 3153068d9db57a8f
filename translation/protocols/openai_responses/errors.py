"""Failures inside a stream (`response.failed`, `error`, JSON instead of SSE) → typed errors, by exact code; and back.

No HTTP status is judged here, that is the provider's. Text is read for two hints only that have no code: how long to
wait, and "model at capacity". Facts: spec/wire.md §4.9, §6.1, §6.4; spec/translation.md §12, rows 182, 229-231.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from translation import errors as err
from translation.codec import WireError
from translation.errors import GatewayError
from translation.shared import openai_errors
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_object

Json = dict[str, Any]
_Build = Callable[[str, str, Json], GatewayError]

_EVENT_NAMES = frozenset({"error", "response.failed", "response.error"})
_KEPT_FIELDS = ("plan_type", "resets_at", "resets_in_seconds", "eligible_promo", "rate_limit_reached_type")
_WAIT = re.compile(r"try again in\s*(\d+(?:\.\d+)?)\s*(ms|s|seconds?)\b", re.IGNORECASE)
_ACCOUNT_MESSAGE = "The upstream did not accept the account that served this request."
_MAX_TEXT = 2000


def error_from_payload(payload: Json) -> GatewayError:
    """Return the typed error of a failure payload in any of its known forms."""
    fields = _error_fields(payload)
    message = _message(fields) or _message(payload)
    code = _code(fields)
    if "at capacity" in message.lower() and code in ("", "rate_limit_exceeded", "server_error"):
        return err.ModelAtCapacity(message)
    build = _BUILDERS.get(code) or _BUILDERS.get(_lower(fields.get("type")), _unknown)
    return build(message or "The upstream reported a failure without a message.", code, fields)


def error_from_text(text: str) -> GatewayError:
    """Return the error for an answer that is no event stream at all."""
    shown = text.strip()[:_MAX_TEXT]
    return err.ProtocolViolation(
        f"The upstream answered with something else than an event stream: {shown}"
        if shown
        else "The upstream answered with an empty body."
    )


def error_from_json_body(payload: Json) -> GatewayError:
    """Return the error for a JSON body where a stream was due; one without a known code blames the protocol."""
    error = error_from_payload(payload)
    return err.ProtocolViolation(error.message, detail=error.code) if type(error) is err.UpstreamError else error


def encode_error(error: GatewayError) -> WireError:
    """Write `error` as an answer, with the words Codex CLI acts on: a spent plan ends its turn, overload is told."""
    body = openai_errors.error_object(error)
    if error.error_type:
        body["type"] = error.error_type
    if error.code in _KEPT_CODES:
        body["code"] = error.code
    return WireError(error.status, openai_errors.error_headers(error), dumps({"error": body}))


_KEPT_CODES = frozenset(
    {
        "server_is_overloaded",
        "usage_limit_reached",
        "rate_limit_reached",
        "subscription_sharing_usage_limit_exceeded",
    }
)
"""Codes that OpenAI's public API does not know; its own client reads them as the backend writes them."""


def stream_error_object(error: GatewayError) -> Json:
    """Return `response.error` of a failed response: a code clients act on, or server_error (§8.2)."""
    if error.error_type == "usage_limit_reached":
        return {"code": error.error_type, "message": error.message, **error.extra}
    code = "server_error" if error.kind in _HIDDEN_KINDS else error.code
    return {"code": code, "message": error.message}


_HIDDEN_KINDS = frozenset({"upstream", "transport", "timeout", "disconnected", "empty", "internal", "upstream_blocked"})


def _error_fields(payload: Json) -> Json:
    response = payload.get("response")
    nested = response.get("error") if is_object(response) else None
    for candidate in (payload.get("error"), nested, payload.get("detail")):
        if is_object(candidate) and candidate:
            return candidate
        if isinstance(candidate, str) and candidate:
            return {"message": candidate}
    return payload


def _message(fields: Json) -> str:
    for key in ("message", "detail", "error_description"):
        value = fields.get(key)
        if is_object(value) and isinstance(value.get("message"), str):
            value = value["message"]
        if isinstance(value, (dict, list)) and value:
            value = dumps(value).decode()
        if isinstance(value, str) and value:
            return value[:_MAX_TEXT]
    return ""


def _code(fields: Json) -> str:
    return _lower(fields.get("code")) or _lower(fields.get("type"))


def _lower(value: Any) -> str:
    text = value.lower() if isinstance(value, str) else ""
    return "" if text in _EVENT_NAMES else text


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


# ---- one builder per kind ------------------------------------------------------------------------------------------


def _unknown(message: str, code: str, fields: Json) -> GatewayError:
    return err.UpstreamError(message, code=code or None)


def _refused(message: str, code: str, fields: Json) -> GatewayError:
    return err.UpstreamRefused(message, code=code, param=_param(fields))


def _no_model(message: str, code: str, fields: Json) -> GatewayError:
    return err.UpstreamRefused(message, code=code, status=404, param=_param(fields))


def _param(fields: Json) -> str | None:
    param = fields.get("param")
    return param if isinstance(param, str) else None


def _context(message: str, code: str, fields: Json) -> GatewayError:
    return err.ContextTooLong(message, param="input")


def _usage_limit(message: str, code: str, fields: Json) -> GatewayError:
    """The plan's quota; the reset fields keep their spelling, because Codex CLI renders them."""
    return err.RateLimited(
        message,
        scope="account",
        until=_number(fields.get("resets_at")),
        code=code,
        error_type="usage_limit_reached",
        retry_after_s=_number(fields.get("resets_in_seconds")),
        extra={key: fields[key] for key in _KEPT_FIELDS if fields.get(key) is not None},
    )


def _quota(message: str, code: str, fields: Json) -> GatewayError:
    return err.RateLimited(message, scope="account", code=code, error_type=code)


def _per_minute(message: str, code: str, fields: Json) -> GatewayError:
    hint = _WAIT.search(message)
    wait_s = None
    if hint is not None:
        wait_s = float(hint[1]) / (1000 if hint[2].lower() == "ms" else 1)
    return err.RateLimited(message, scope="transient", retry_after_s=wait_s)


def _busy(message: str, code: str, fields: Json) -> GatewayError:
    return err.UpstreamBusy(message, code=code if code in ("server_is_overloaded", "slow_down") else None)


def _failed(message: str, code: str, fields: Json) -> GatewayError:
    return err.UpstreamFailed(message)


def _rejected(reason: str) -> _Build:
    def build(message: str, code: str, fields: Json) -> GatewayError:
        return err.AccountRejected(_ACCOUNT_MESSAGE, reason=reason, detail=f"{code}: {message}")

    return build


def _continuation(message: str, code: str, fields: Json) -> GatewayError:
    return err.ContinuationLost(message, param="previous_response_id")


def _reasoning(message: str, code: str, fields: Json) -> GatewayError:
    return err.ReasoningRejected(message)


def _unsupported_model(message: str, code: str, fields: Json) -> GatewayError:
    return err.ModelUnsupported(message, param="model")


def _new_socket(message: str, code: str, fields: Json) -> GatewayError:
    return err.UpstreamUnreachable(message)


_GROUPS: tuple[tuple[_Build, tuple[str, ...]], ...] = (
    (_context, ("context_length_exceeded", "context_too_large")),
    (_refused, ("invalid_prompt", "bio_policy", "cyber_policy", "misalignment_policy_violation")),
    (_refused, ("invalid_request_error", "invalid_value", "invalid_image", "content_policy_violation")),
    (_quota, ("insufficient_quota", "usage_not_included", "quota_exceeded", "quota_exhausted")),
    (_usage_limit, ("usage_limit_reached", "rate_limit_reached", "subscription_sharing_usage_limit_exceeded")),
    (_per_minute, ("rate_limit_exceeded",)),
    (_busy, ("server_is_overloaded", "slow_down", "overloaded_error", "service_unavailable_error")),
    (_failed, ("server_error", "internal_server_error")),
    (_rejected("expired"), ("token_expired",)),
    (_rejected("invalidated"), ("unauthorized", "token_invalid", "token_invalidated", "invalid_api_key")),
    (_rejected("banned"), ("account_deactivated", "account_banned", "banned")),
    (_rejected("forbidden"), ("forbidden",)),
    (_rejected("payment"), ("payment_required", "deactivated_workspace")),
    (_continuation, ("previous_response_not_found",)),
    (_reasoning, ("invalid_encrypted_content", "thinking_signature_invalid")),
    (_no_model, ("model_not_found",)),
    (_unsupported_model, ("model_not_supported",)),
    (_new_socket, ("websocket_connection_limit_reached",)),
)

_BUILDERS: dict[str, _Build] = {code: build for build, codes in _GROUPS for code in codes}
