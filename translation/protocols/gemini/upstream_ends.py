"""What Google's frames say of an answer's end: reasons and counts; shared by the decoder and the relay's reader.

Facts: spec/translation.md §11.5, ADR-0006 (counts are inclusive). Reference:
https://ai.google.dev/api/generate-content (checked 2026-11-23).
"""

from __future__ import annotations

from typing import Any

from translation import errors
from translation.ir.events import FinishReason
from translation.ir.usage import Usage
from translation.protocols.gemini.fields import get, listed, whole
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

Json = dict[str, Any]

_REASONS: dict[str, FinishReason] = {
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "LANGUAGE": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
_BROKEN = ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS")


def finish_of(raw: str, *, has_calls: bool) -> FinishReason:
    """Return the end that Google's word names; a word we do not know is an end all the same."""
    reason = _REASONS.get(raw)
    return reason or ("tool_calls" if has_calls else "stop")


def failure_of(raw: str) -> errors.GatewayError | None:
    """Return what went wrong when Google's word says that the answer is no answer."""
    if raw == "MISSING_THOUGHT_SIGNATURE":
        return errors.ReasoningRejected("The upstream misses a thought signature in the conversation.")
    if raw in _BROKEN:
        return errors.UpstreamFailed(f"The model's answer broke off ({raw}). Try again.", detail=raw)
    return None


def usage_of(counts: Json) -> Usage:
    """Return inclusive counts: Google counts thoughts beside the answer, and tool results beside the prompt."""
    thoughts = whole(counts, "thoughtsTokenCount") or 0
    return Usage(
        input_tokens=(whole(counts, "promptTokenCount") or 0) + (whole(counts, "toolUsePromptTokenCount") or 0),
        cached_tokens=whole(counts, "cachedContentTokenCount") or 0,
        output_tokens=(whole(counts, "candidatesTokenCount") or 0) + thoughts,
        reasoning_tokens=thoughts,
        total_tokens=whole(counts, "totalTokenCount") or 0,
        image_input_tokens=_of_images(get(counts, "promptTokensDetails")),
        image_output_tokens=_of_images(get(counts, "candidatesTokensDetails")),
    )


def _of_images(details: Any) -> int:
    entries = (entry for entry in listed(details) if is_object(entry) and entry.get("modality") == "IMAGE")
    return sum(whole(entry, "tokenCount") or 0 for entry in entries)


def chunks_of(data: bytes) -> list[Json]:
    """Return the response objects that one frame, or a body that is no event stream, holds.

    Raises: ValueError when it is no JSON.
    """
    value = jsonio.loads(data)
    return [entry for entry in (value if is_array(value) else [value]) if is_object(entry)]
