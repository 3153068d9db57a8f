"""What both lanes to a Chat provider share: the relayed body, token counts, ends and in-stream errors read back.

Errors are typed by code and numeric status, never by text, except for a context that is too long, which most vendors
tell in words only. HTTP statuses are judged by the provider's adapter with the same tables.
Facts: spec/translation.md §11.1, §11.2, §12.
"""

from __future__ import annotations

import re
from typing import Any

from translation import errors as err
from translation.codec import OpenedRequest, RelayTarget
from translation.ir.events import FinishReason
from translation.ir.usage import Usage
from translation.protocols.openai_chat.request import wants_usage
from translation.protocols.openai_chat.upstream_request import reasoning_keys
from translation.wire.jsonio import dumps, loads
from translation.wire.jsontypes import is_array, is_object

Json = dict[str, Any]

_MAX_MESSAGE_CHARS = 2000
_MAX_COUNT = 2**53
_REASONING_KEYS = frozenset({"reasoning_effort", "reasoning", "thinking", "enable_thinking"})


def needs_translation(opened: OpenedRequest) -> str | None:
    """Return why the body cannot be relayed: Cursor's agent sends a Responses payload to this route."""
    return None if opened.body.get("messages") else "a body without messages"


def relay_request(opened: OpenedRequest, target: RelayTarget) -> bytes:
    """Write the client's own body with the model renamed; a stream also counts its tokens, for the books.

    The key order and every key stay, known or not. An effort that the model's name stood for is added where the client
    did not say one itself.
    """
    body = {**opened.body, "model": target.model}
    if target.effort is not None and not _REASONING_KEYS & body.keys():
        body.update(reasoning_keys(None, target))
    if opened.stream and not wants_usage(opened.body):
        options = opened.body.get("stream_options")
        body["stream_options"] = {**(options if is_object(options) else {}), "include_usage": True}
    return dumps(body)


# ---- counts and ends -----------------------------------------------------------------------------------------------


def read_usage(usage: Any) -> Usage | None:
    """Return the counts of a `usage` object; None when it is none. DeepSeek has a key of its own for cache hits."""
    if not is_object(usage):
        return None
    into = _object(usage.get("prompt_tokens_details"))
    out = _object(usage.get("completion_tokens_details"))
    written = into.get("cached_creation_tokens")
    return Usage(
        input_tokens=read_count(usage.get("prompt_tokens")),
        cached_tokens=read_count(into.get("cached_tokens")) or read_count(usage.get("prompt_cache_hit_tokens")),
        cache_write_tokens=read_count(written) if written is not None else None,
        output_tokens=read_count(usage.get("completion_tokens")),
        reasoning_tokens=read_count(out.get("reasoning_tokens")),
        total_tokens=read_count(usage.get("total_tokens")),
    )


_REASONS: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "safety": "content_filter",
}
"""Words of OpenAI, Mistral, GLM and compatible servers; any other word ends an answer as "stop" does."""

_FAILURES = frozenset({"error", "network_error", "insufficient_system_resource", "abort"})
"""`finish_reason`s of OpenRouter, GLM, DeepSeek and vLLM that mean the answer was not finished."""


def read_reason(word: str, *, has_calls: bool, has_refusal: bool) -> FinishReason:
    """Return what `finish_reason` means; a call that was made is told, whatever the vendor called the end."""
    reason = _REASONS.get(word, "stop")
    if reason == "stop" and has_calls:
        return "tool_calls"
    if reason == "stop" and has_refusal:
        return "refusal"
    return reason


def failure_of(word: str) -> err.GatewayError | None:
    """Return the error that a `finish_reason` stands for; None for ordinary ends."""
    if word not in _FAILURES:
        return None
    return err.UpstreamFailed(f"The provider gave up in the middle of the answer ({word}).")


# ---- errors --------------------------------------------------------------------------------------------------------

_TOO_LONG = re.compile(
    r"maximum context length|context (length|window)|prompt is too long|too many (input )?tokens|input is too long",
    re.IGNORECASE,
)
_NO_KEY = "The provider did not accept the key that served this request."
_KEY_CODES = {
    "invalid_api_key": "invalidated",
    "authentication_error": "invalidated",
    "invalid_authentication": "invalidated",
    "account_deactivated": "banned",
    "permission_denied": "forbidden",
    "payment_required": "payment",
}
_STATUS = re.compile(r"[1-5][0-9][0-9]", re.ASCII)
_KEY_STATUSES = {401: "invalidated", 402: "payment", 403: "forbidden"}
_QUOTA_CODES = frozenset({"insufficient_quota", "quota_exceeded", "exceeded_current_quota_error", "billing_not_active"})
_RATE_CODES = frozenset({"rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error", "too_many_requests"})
_BUSY_CODES = frozenset({"overloaded_error", "engine_overloaded_error", "server_is_overloaded", "service_unavailable"})
_CONTEXT_CODES = frozenset({"context_length_exceeded", "context_too_large", "string_above_max_length"})
_TRANSIENT = frozenset({408, 409, 423, 425})


def error_fields(payload: Json) -> Json:
    """Return the object that describes the error, wherever it stands (§12, error extraction)."""
    for candidate in (payload.get("error"), payload.get("detail")):
        if is_object(candidate) and candidate:
            return candidate
        if isinstance(candidate, str) and candidate:
            return {"message": candidate}
        if candidate and isinstance(candidate, list):
            return {"message": dumps(candidate).decode()}
    return payload


def error_from_payload(payload: Json, status: int | None = None) -> err.GatewayError:
    """Return the typed error of a failure payload. `status` is that of the answer; in a stream the code may be one."""
    fields = error_fields(payload)
    message = fields.get("message")
    message = message[:_MAX_MESSAGE_CHARS] if isinstance(message, str) and message else ""
    code, kind = fields.get("code"), fields.get("type")
    if status is None and _STATUS.fullmatch(str(code)):  # OpenRouter, vLLM: the status the answer would have had
        status = int(str(code))
    words = [word.lower() for word in (code, kind) if isinstance(word, str) and not word.isdecimal()]
    return typed_error(message, words, status, _param(fields))


def read_payload(data: bytes) -> Json | None:
    """Parse a frame's data, replacing bytes that are no UTF-8. None when it is no JSON object."""
    try:
        value = loads(data)
    except ValueError:
        try:
            value = loads(data.decode(errors="replace"))
        except ValueError:
            return None
    return value if is_object(value) else None


def failure_in(payload: Json, *, is_error: bool) -> err.GatewayError | None:
    """Return the error a frame tells; None for chunks, also for those with an empty `error`."""
    is_bare = "choices" not in payload and (payload.get("detail") or payload.get("object") == "error")  # vLLM
    return error_from_payload(payload) if payload.get("error") or is_error or is_bare else None


def typed_error(message: str, words: list[str], status: int | None, param: str | None = None) -> err.GatewayError:
    """Return the error for the vendor's `words` (its code, then its type) and `status`, the words first."""
    known = frozenset(words)
    shown = message or f"The provider answered with {f'status {status}' if status else 'an error without a message'}."
    detail = f"{words[0] if words else status}: {message}"
    if known & _CONTEXT_CODES or (status in (None, 400, 413, 422) and _TOO_LONG.search(message)):
        return err.ContextTooLong(shown, param="messages")
    if known & _QUOTA_CODES:
        return err.RateLimited(shown, scope="account", code="insufficient_quota", error_type="insufficient_quota")
    reason = next((_KEY_CODES[word] for word in words if word in _KEY_CODES), None) or _KEY_STATUSES.get(status or 0)
    if reason is not None:
        return err.AccountRejected(_NO_KEY, reason=reason, detail=detail)
    if status == 429 or known & _RATE_CODES:
        return err.RateLimited(shown, scope="transient")
    if status in (503, 529) or known & _BUSY_CODES:
        return err.UpstreamBusy(shown)
    if status in _TRANSIENT:
        return err.UpstreamTransient(shown)
    if status == 404 or "model_not_found" in known:
        return err.UpstreamRefused(shown, code="model_not_found", status=404, param=param)
    if status is not None and 400 <= status < 500:
        return err.UpstreamRefused(shown, code=words[0] if words else None, status=status, param=param)
    if status is None and known & {"invalid_request_error", "content_policy_violation", "content_filter"}:
        return err.UpstreamRefused(shown, code=words[0], param=param)
    return err.UpstreamFailed(shown, detail=detail)


def first_choice(choices: Any) -> Json | None:
    """Return the choice with index 0; several were never asked for. Null and empty lists come with usage."""
    for choice in choices if is_array(choices) else ():
        if is_object(choice) and not choice.get("index"):
            return choice
    return None


def objects_of(value: Any) -> list[Json]:
    """Return the objects of a list; of anything else nothing."""
    return [member for member in value if is_object(member)] if is_array(value) else []


def _param(fields: Json) -> str | None:
    param = fields.get("param")
    return param if isinstance(param, str) else None


def _object(value: Any) -> Json:
    return value if is_object(value) else {}


def read_count(value: Any) -> int:
    """Return a number of tokens or seconds; anything else is 0."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < _MAX_COUNT else 0
