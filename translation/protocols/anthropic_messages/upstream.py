"""Anthropic as an upstream: what its models can do, how much they think, the relayed body, errors inside a stream.

Depends on nothing but the model's name, because Anthropic lists no abilities; an unknown name gets what every server of
this wire understands. Never does I/O. Next: `upstream_request.py` (IR → body), `upstream_decoder.py` (stream → IR),
`tap.py` (relayed stream). Facts: spec/translation.md §11.1, §11.4, §12. Reference:
https://platform.claude.com/docs/en/build-with-claude/extended-thinking, …/effort, …/structured-outputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from translation import errors as err
from translation.codec import OpenedRequest, Quirks, RelayTarget
from translation.shared import efforts
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_array, is_object

Json = dict[str, Any]

ORIGIN = "anthropic-messages"
"""The codec's name; also the origin of its proofs and opaque parts."""
REDACTED = "redacted_thinking:"
"""Begins the proof of thinking that Anthropic hid, which goes back in a block of its own."""

MIN_BUDGET_TOKENS = 1024
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 32_000, "max": 32_000}
_GATEWAY_FIELDS = ("prompt_cache_key", "promptCacheKey")
THOUGHTS = frozenset({"thinking", "redacted_thinking"})


class Abilities(Struct, frozen=True, kw_only=True):
    """What a model takes. `efforts` are those of `output_config`, empty where only budgets are known.

    `max_output_tokens` is what is asked for when the client sets no limit, and the most a budget may raise it to.
    """

    max_output_tokens: int = 32_000
    efforts: tuple[str, ...] = ()
    has_formats: bool = False
    has_sampling: bool = True
    has_prefill: bool = True


_NAME = re.compile(r"claude-(?:(opus|sonnet|haiku)-)?(\d)(?:[-.](\d{1,2}))?(?!\d)")
_EFFORTS = ("low", "medium", "high", "max")


def abilities(model: str, quirks: Quirks) -> Abilities:
    """Return what `model` can do; efforts of the catalogue go before those known here."""
    found = _NAME.search(model.lower())
    if found is None:
        return Abilities(efforts=quirks.efforts)
    family, version = found[1], (int(found[2]), int(found[3] or 0))
    adaptive = version >= (4, 6)
    known = ("low", "medium", "high", "xhigh", "max") if version >= (4, 7) else _EFFORTS
    return Abilities(
        max_output_tokens=_output_limit(family, version),
        efforts=quirks.efforts or (known if adaptive else ()),
        has_formats=version >= (4, 5) or (family == "opus" and version == (4, 1)),
        has_sampling=version < (4, 7),
        has_prefill=not adaptive,
    )


def _output_limit(family: str | None, version: tuple[int, int]) -> int:
    if version < (3, 5):
        return 4096
    if version < (3, 7):
        return 8192
    if family == "opus" and version < (4, 5):
        return 32_000
    return 128_000 if family == "opus" and version >= (4, 6) else 64_000


class Thinking(Struct, frozen=True, kw_only=True):
    """How a request thinks: the fields to write. `is_on` bars sampling, forced tools and prefills."""

    is_on: bool
    max_tokens: int
    thinking: Json | None = None
    effort: str | None = None


def plan_thinking(
    able: Abilities, *, effort: str | None, budget_tokens: int | None, limit: int | None, shows_text: bool
) -> Thinking:
    """Turn an effort or a budget into what the model takes, with a `max_tokens` that leaves room for an answer.

    `limit` is the client's own; where a budget would not fit below it, it is raised by the budget (row 243).
    """
    ceiling = max(able.max_output_tokens, limit or 0)
    plain = Thinking(is_on=False, max_tokens=limit or able.max_output_tokens)
    if effort == "none" or budget_tokens == 0:
        return Thinking(is_on=False, max_tokens=plain.max_tokens, thinking={"type": "disabled"})
    if effort is None and budget_tokens is None:
        return plain
    if able.efforts:
        word = effort or efforts.from_budget(budget_tokens or -1)
        thinking = {"type": "adaptive", "display": "summarized" if shows_text else "omitted"}
        return Thinking(
            is_on=True, max_tokens=plain.max_tokens, thinking=thinking, effort=efforts.clamp(word, able.efforts)
        )
    budget = budget_tokens if budget_tokens is not None and budget_tokens > 0 else _BUDGETS.get(effort or "", 8192)
    budget = max(MIN_BUDGET_TOKENS, budget)
    max_tokens = plain.max_tokens
    if budget >= max_tokens:
        max_tokens = min(ceiling, max_tokens + budget)
        budget = min(budget, max_tokens - 1)
    if budget < MIN_BUDGET_TOKENS:
        return plain
    return Thinking(is_on=True, max_tokens=max_tokens, thinking={"type": "enabled", "budget_tokens": budget})


# ---- the relayed body ----------------------------------------------------------------------------------------------


def relay_request(opened: OpenedRequest, target: RelayTarget) -> bytes:
    """Write the client's own body with the model renamed; fields keep their order, unknown ones their values.

    The upstream is always asked for a stream, because a long answer that says nothing for minutes is cut by the
    servers between; `tap.py` adds it up for clients that want it whole.
    """
    body = {key: value for key, value in opened.body.items() if key not in _GATEWAY_FIELDS}
    body["model"] = target.model
    body["stream"] = True
    if target.effort is not None:
        _apply_effort(body, target)
    if target.drops_reasoning and is_array(body.get("messages")):
        body["messages"] = [_without_thoughts(message) for message in body["messages"]]
    return dumps(body)


def _apply_effort(body: Json, target: RelayTarget) -> None:
    """Write the effort that a model name ended in, unless the body says itself how much to think."""
    config = body.get("output_config")
    if body.get("thinking") is not None or (is_object(config) and config.get("effort")):
        return
    limit = body.get("max_tokens")
    able = abilities(target.model, target.quirks)
    plan = plan_thinking(
        able, effort=target.effort, budget_tokens=None, limit=limit if type(limit) is int else None, shows_text=True
    )
    if plan.thinking is not None:
        body["thinking"], body["max_tokens"] = plan.thinking, plan.max_tokens
    if plan.effort is not None:
        body["output_config"] = {**(config if is_object(config) else {}), "effort": plan.effort}


def _without_thoughts(message: Any) -> Any:
    """Leave thinking out of a message whose proofs the upstream refused; a message of nothing else stays."""
    content = message.get("content") if is_object(message) else None
    if not is_array(content):
        return message
    kept = [block for block in content if not (is_object(block) and block.get("type") in THOUGHTS)]
    return {**message, "content": kept} if kept and len(kept) < len(content) else message


# ---- errors --------------------------------------------------------------------------------------------------------

_TOO_LONG = ("prompt is too long", "exceed context limit", "context window", "too many tokens")
_Build = Callable[[str], err.GatewayError]


def error_from_payload(payload: Json) -> err.GatewayError:
    """Return the typed error of an `{"type":"error","error":{"type","message"}}` object."""
    fields = payload.get("error")
    fields = fields if is_object(fields) else payload
    kind, message = fields.get("type"), fields.get("message")
    said = message if isinstance(message, str) and message else "The upstream reported a failure without a message."
    return error_of(kind if isinstance(kind, str) else "", said)


def error_of(kind: str, message: str) -> err.GatewayError:
    """Return the typed error that Anthropic's word for it means."""
    build = _BY_TYPE.get(kind)
    return build(message) if build is not None else err.UpstreamFailed(message)


def _invalid(message: str) -> err.GatewayError:
    text = message.lower()
    if any(sign in text for sign in _TOO_LONG):
        return err.ContextTooLong(message)
    if "signature" in text and "thinking" in text:
        return err.ReasoningRejected(message)
    if "credit balance" in text:
        return _rejected("payment")(message)
    return err.UpstreamRefused(message)


def _rejected(reason: str) -> _Build:
    def build(message: str) -> err.GatewayError:
        return err.AccountRejected(
            "The upstream did not accept the key that served this request.", reason=reason, detail=message
        )

    return build


def _limited(message: str) -> err.GatewayError:
    return err.RateLimited(message, scope="transient", retry_after_s=2.0)


def _missing(message: str) -> err.GatewayError:
    if message.lower().startswith("model"):
        return err.ModelUnsupported(message)
    return err.UpstreamRefused(message, status=404, code="not_found")


_BY_TYPE: dict[str, _Build] = {
    "invalid_request_error": _invalid,
    "authentication_error": _rejected("invalidated"),
    "permission_error": _rejected("forbidden"),
    "billing_error": _rejected("payment"),
    "not_found_error": _missing,
    "request_too_large": err.RequestTooLarge,
    "rate_limit_error": _limited,
    "timeout_error": err.UpstreamTimeout,
    "overloaded_error": err.UpstreamBusy,
    "api_error": err.UpstreamFailed,
}
