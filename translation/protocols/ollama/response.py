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
    told: list[str] = []
    images: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        if block.kind in ("text", "refusal"):
            told.append(block.text)
        elif block.kind == "tool_call":
            call = shapes.tool_call(block.start, block.text, len(calls))
            calls += [call] if call is not None else []
        for image in block.images:
            picture: dict[str, Any] = shape.picture(image) if image.data else {}
            told.append(picture.get("content", ""))
            images += picture.get("images", [])
    fields: dict[str, Any] = {"content": "".join(told)}
    thinking = shapes.PARAGRAPH.join(part for block in blocks if block.kind == "reasoning" for part in block.parts)
    if thinking and shape.shows_thinking:
        fields["thinking"] = thinking
    if images:
        fields["images"] = images
    if calls:
        fields["tool_calls"] = calls
    return fields
