"""Words and counts of Anthropic's answers, for the decoder and the tap alike.

Counts become inclusive here (ADR-0006). Facts: spec/translation.md §11.4, row 249.
"""

from __future__ import annotations

from typing import Any

from translation.ir.events import FinishReason
from translation.ir.usage import Usage
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

Json = dict[str, Any]

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
"""Anthropic's stop reasons; unknown ones are an ordinary end."""


def usage_of(counts: Json) -> Usage:
    """Return inclusive counts: Anthropic's input leaves out what was read from and written to the cache (row 249)."""
    read, written = _number(counts.get("cache_read_input_tokens")), counts.get("cache_creation_input_tokens")
    return Usage(
        input_tokens=_number(counts.get("input_tokens")) + read + _number(written),
        cached_tokens=read,
        cache_write_tokens=None if written is None else _number(written),
        output_tokens=_number(counts.get("output_tokens")),
        reasoning_tokens=_number(object_of(counts.get("output_tokens_details")).get("thinking_tokens")),
        web_searches=_number(object_of(counts.get("server_tool_use")).get("web_search_requests")),
    )


def tolerant_object(data: bytes) -> Json | None:
    """Parse a frame's data; None when it is no JSON object."""
    try:
        value = jsonio.loads(data)
    except ValueError:
        return None
    return value if is_object(value) else None


def object_of(value: Any) -> Json:
    """Return an object as it is, anything else as an empty one."""
    return value if is_object(value) else {}


def string_of(value: Any) -> str:
    """Return a string as it is, anything else as an empty one."""
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
