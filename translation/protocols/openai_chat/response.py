"""A collected answer → one Chat completion. Says exactly what the stream of the same events adds up to.

Facts: spec/translation.md §5.3.
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.response import ContentBlock, GenerateResponse
from translation.ir.usage import NO_USAGE
from translation.protocols.openai_chat import shapes
from translation.wire import jsonio


def encode_chat_response(response: GenerateResponse, opened: OpenedRequest) -> bytes:
    """Write the body of a non-streaming answer."""
    dialect = shapes.Dialect(opened)
    message = _message(response, dialect)
    has_calls = "tool_calls" in message or "function_call" in message
    completion = {
        "id": opened.context.ids.mint("chatcmpl-"),
        "object": "chat.completion",
        "created": int(opened.context.now_s),
        "model": opened.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": dialect.finish_reason(
                    response.finish_reason, has_calls=has_calls, stop_sequence=response.stop_sequence
                ),
            }
        ],
        "usage": shapes.usage_object(response.usage or NO_USAGE),
    }
    return jsonio.dumps(completion)


def _message(response: GenerateResponse, dialect: shapes.Dialect) -> dict[str, Any]:
    blocks = response.blocks
    text = "".join(block.text for block in blocks if block.kind == "text")
    refusal = "".join(block.text for block in blocks if block.kind == "refusal")
    calls = [_call(block, dialect) for block in blocks if block.kind == "tool_call"]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if text or not (calls or refusal) else None,
        "refusal": refusal or None,
    }
    optional: dict[str, Any] = {
        "reasoning_content": _reasoning(blocks),
        "reasoning_details": _details(blocks),
        "annotations": _annotations(blocks),
        "images": _images(blocks),
    }
    message.update((key, value) for key, value in optional.items() if value)
    if calls and dialect.is_legacy:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def _call(block: ContentBlock, dialect: shapes.Dialect) -> dict[str, Any]:
    is_custom = dialect.is_custom(block.start)
    call = shapes.call_header(block.start, is_custom=is_custom)
    if is_custom:
        call["custom"]["input"] = block.text
    else:
        call["function"]["arguments"] = block.text
    return call


def _reasoning(blocks: tuple[ContentBlock, ...]) -> str:
    return shapes.PARAGRAPH.join(part for block in blocks if block.kind == "reasoning" for part in block.parts)


def _details(blocks: tuple[ContentBlock, ...]) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    for block in blocks:
        detail = shapes.reasoning_detail(len(details), block.start, block.proof)
        if detail is not None:
            details.append(detail)
    return details


def _annotations(blocks: tuple[ContentBlock, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    offset = 0
    for block in blocks:
        if block.kind != "text":
            continue
        entries = (shapes.annotation(data, offset) for data in block.citations)
        found += [entry for entry in entries if entry is not None]
        offset += len(block.text)
    return found


def _images(blocks: tuple[ContentBlock, ...]) -> list[dict[str, Any]]:
    found: dict[str, ev.ImageDelta] = {}
    for block in blocks:
        for picture in block.images:
            if picture.data:
                found.setdefault(picture.data, picture)
    return [shapes.image(index, picture) for index, picture in enumerate(found.values())]
