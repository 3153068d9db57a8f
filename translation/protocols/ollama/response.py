"""A collected answer → one object: exactly what the lines of the same events add up to.

Facts: spec/translation.md §9.
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest
from translation.ir.response import ContentBlock, GenerateResponse
from translation.protocols.ollama import shapes
from translation.wire import jsonio


def encode_ollama_response(response: GenerateResponse, opened: OpenedRequest) -> bytes:
    """Write the body of an answer to `stream: false`."""
    shape = shapes.shape_of(opened)
    ending: dict[str, Any] = {
        "done_reason": shapes.done_reason(response.finish_reason),
        **shapes.durations(opened.context, None),
        **shapes.counts(response.usage),
    }
    return jsonio.dumps(shape.whole(_said(response.blocks, shape), ending))


def _said(blocks: tuple[ContentBlock, ...], shape: shapes.Shape) -> dict[str, Any]:
    fields: dict[str, Any] = {"content": "".join(block.text for block in blocks if block.kind in ("text", "refusal"))}
    thinking = shapes.PARAGRAPH.join(part for block in blocks if block.kind == "reasoning" for part in block.parts)
    if thinking and shape.shows_thinking:
        fields["thinking"] = thinking
    images = [image.data for block in blocks for image in block.images if image.data]
    if images:
        fields["images"] = images
    calls: list[dict[str, Any]] = []
    for block in blocks:
        call = shapes.tool_call(block.start, block.text, len(calls)) if block.kind == "tool_call" else None
        if call is not None:
            calls.append(call)
    if calls:
        fields["tool_calls"] = calls
    return fields
