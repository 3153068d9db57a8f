"""The small objects that a Chat stream and a collected Chat answer both hold, so that the two cannot differ.

Pure builders: IR value in, JSON-ready dict out. Facts: spec/translation.md §5.2, §5.3.
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.openai_chat.tools import uses_legacy_functions
from translation.shared.proofs import CODEX_FORMAT, CODEX_ORIGIN

PARAGRAPH = "\n\n"
"""Stands between parts of reasoning; `reasoning_content` is one string."""

_REASONS: dict[str, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "stop",
}
"""OpenAI ends a refusal with "stop" and tells it by `message.refusal`; strict clients know no other word."""


class Dialect:
    """How this client reads calls: `is_legacy` as `function_call`, `is_cursor` custom ones in a function envelope."""

    __slots__ = ("is_cursor", "is_legacy")

    def __init__(self, opened: OpenedRequest) -> None:
        self.is_cursor = opened.context.headers.get("user-agent", "").lower().startswith("cursor")
        self.is_legacy = uses_legacy_functions(opened.body)

    def is_custom(self, block: ev.BlockStart) -> bool:
        """Say whether the call is written as a custom one."""
        return block.tool_kind == "custom" and not self.is_cursor

    def finish_reason(self, stop_reason: str, *, has_calls: bool, stop_sequence: str | None) -> str:
        """Return OpenAI's word; a call that was made is told, whatever the upstream called the end."""
        reason = _REASONS[stop_reason]
        if reason == "stop" and has_calls and stop_sequence is None:
            reason = "tool_calls"
        if reason == "tool_calls" and self.is_legacy:
            return "function_call"
        return reason


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return `usage`; detail objects are always there, because typed clients read them without asking."""
    prompt_details: dict[str, Any] = {"cached_tokens": usage.cached_tokens}
    if usage.cache_write_tokens is not None:
        prompt_details["cached_creation_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def annotation(data: dict[str, Any], offset: int) -> dict[str, Any] | None:
    """Return a Chat annotation, or None for kinds that Chat does not know.

    `offset` is where the block's text begins in the message: upstream positions count within the block.
    """
    if data.get("type") != "url_citation":
        return None
    citation: dict[str, Any] = {"url": data.get("url", ""), "title": data.get("title") or ""}
    for key in ("start_index", "end_index"):
        position = data.get(key)
        citation[key] = position + offset if isinstance(position, int) else offset
    return {"type": "url_citation", "url_citation": citation}


def image(index: int, delta: ev.ImageDelta) -> dict[str, Any]:
    """Return one entry of `images`, the convention OpenRouter introduced."""
    url = f"data:{delta.media_type};base64,{delta.data}"
    return {"type": "image_url", "index": index, "image_url": {"url": url}}


def reasoning_detail(index: int, start: ev.BlockStart, proof: ev.Proof | None) -> dict[str, Any] | None:
    """Return the entry of `reasoning_details` that carries a proof to the client and back (§3.4)."""
    if proof is None or proof.origin != CODEX_ORIGIN or not proof.value:
        return None
    detail: dict[str, Any] = {"type": "reasoning.encrypted", "index": index}
    if start.item_id:
        detail["id"] = start.item_id
    detail["data"] = proof.value
    detail["format"] = CODEX_FORMAT
    return detail


def call_header(block: ev.BlockStart, *, is_custom: bool) -> dict[str, Any]:
    """Return a call without its arguments."""
    if is_custom:
        return {"id": block.call_id, "type": "custom", "custom": {"name": block.name, "input": ""}}
    return {"id": block.call_id, "type": "function", "function": {"name": block.name, "arguments": ""}}
