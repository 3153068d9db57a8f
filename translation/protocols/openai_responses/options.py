"""The knobs of an upstream body, and the order its keys leave in; shared by the relay and the translate lane.

An allow-list by construction: a key that is not in `KEY_ORDER` cannot leave the gateway. Facts: spec/wire.md §3.1,
spec/translation.md §1.1 and §2.2.
"""

from __future__ import annotations

from typing import Any

from translation.codec import Quirks
from translation.shared import efforts
from translation.wire.jsontypes import is_object

KEY_ORDER = (
    "model",
    "instructions",
    "input",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "store",
    "stream",
    "include",
    "service_tier",
    "prompt_cache_key",
    "text",
    "client_metadata",
)

FULL_WIRE_KEYS = (
    "max_output_tokens",
    "temperature",
    "top_p",
    "truncation",
    "metadata",
    "user",
    "max_tool_calls",
    "top_logprobs",
    "safety_identifier",
)
"""What a full Responses upstream takes and the Codex backend refuses (`Quirks.subset`)."""

INCLUDABLE = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
    }
)

ENCRYPTED_REASONING = "reasoning.encrypted_content"

_EFFORT_ALIASES = {"ultra": "max"}
_TIER_ALIASES = {"fast": "priority"}


def ordered_body(values: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that have a value, in the order that every lane sends them."""
    return {key: values[key] for key in (*KEY_ORDER, *FULL_WIRE_KEYS) if values.get(key) is not None}


def clamp_effort(effort: str | None, quirks: Quirks) -> str | None:
    """Return the effort the model knows: itself, else the nearest lower one, else the model's lowest."""
    effort = (effort or "").strip().lower()
    return efforts.clamp(_EFFORT_ALIASES.get(effort, effort) or None, quirks.efforts)


def wire_tier(asked: str | None, default: str | None, quirks: Quirks) -> str | None:
    """Return the service tier to send. The client's word goes first; tiers that mean "default" are left out."""
    tier = (asked or "").strip().lower() or (default or "")
    tier = _TIER_ALIASES.get(tier, tier)
    return tier if tier in quirks.service_tiers else None


def wire_include(asked: list[str], reasoning: dict[str, Any] | None) -> list[str] | None:
    """Return `include`: what was asked, and encrypted reasoning whenever the model reasons, else it is lost."""
    wanted = list(dict.fromkeys(asked))
    if reasoning and ENCRYPTED_REASONING not in wanted:
        wanted.append(ENCRYPTED_REASONING)
    return wanted or None


def wire_metadata(value: Any) -> dict[str, str] | None:
    """Return the string entries of `client_metadata`; the backend refuses any other type."""
    if not is_object(value):
        return None
    kept = {key: item for key, item in value.items() if isinstance(item, str)}
    return kept or None
