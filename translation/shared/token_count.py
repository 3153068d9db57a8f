"""An honest estimate of a request's input tokens, without a tokenizer and without a network.

Text by characters, pictures by their size in tiles, documents by pages; base64 is never text and proofs of reasoning
count nothing. Monotonic: adding to a request never lowers the estimate. Facts: spec/translation.md §6.4, row 148.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from typing import Any

from translation.ir import request as ir
from translation.shared.image_size import image_size
from translation.wire.jsonio import dumps

CHARS_PER_TOKEN = 4
MESSAGE_TOKENS = 4
TOOL_TOKENS = 16
UNKNOWN_IMAGE_TOKENS = 1600
"""A picture whose size we cannot see: behind an address, or of an unknown format."""
PAGE_TOKENS = 1500
BYTES_PER_PAGE = 50_000
"""What stands for one page where the pages cannot be counted."""

_TILE_PIXELS = 512
_TILE_TOKENS = 170
_IMAGE_BASE_TOKENS = 85
_MAX_SIDE = 2048
_SHORT_SIDE = 768
_HEADER_CHARS = 4 * 16_384
"""How much base64 of a picture is decoded to find its size; JPEGs may hold a thumbnail first."""

_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
    "\U0001f300-\U0001faff\U00020000-\U0003ffff]"
)
"""Characters that are about one token each: Chinese, Japanese, Korean and pictographs."""
_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")


def estimate_tokens(request: ir.GenerateRequest) -> int:
    """Return about how many input tokens `request` has."""
    units = sum(_text(text) for text in request.instructions)
    total = MESSAGE_TOKENS if request.instructions else 0
    for item in request.items:
        total += MESSAGE_TOKENS + _ITEMS[type(item)](item)
    for tool in request.tools or ():
        total += TOOL_TOKENS + _tool(tool)
    if request.output_format is not None and request.output_format.schema is not None:
        total += _json(request.output_format.schema)
    return total + units


def _text(text: str) -> int:
    """A quarter of a token per character, one per wide character; ASCII, the usual case, is not even looked at."""
    if text.isascii():
        return -(-len(text) // CHARS_PER_TOKEN)
    wide = len(_WIDE.findall(text))
    narrow = len(text) - wide
    return wide + -(-narrow // CHARS_PER_TOKEN)


def _json(value: Any) -> int:
    return _text(dumps(value).decode())


# ---- items ---------------------------------------------------------------------------------------------------------


def _message(item: ir.Message | ir.ToolResult) -> int:
    return sum(_PARTS[type(part)](part) for part in item.parts)


def _reasoning(item: ir.Reasoning) -> int:
    """Proofs stand for thoughts that are counted when they were thought."""
    return sum(_text(text) for text in (*item.summary, *item.text))


def _call(item: ir.ToolCall) -> int:
    return _text(item.name) + _text(item.arguments)


def _opaque_item(item: ir.OpaqueItem) -> int:
    return _json(item.data)


def _tool(tool: ir.Tool) -> int:
    match tool:
        case ir.FunctionTool():
            return _text(tool.name) + _text(tool.description or "") + _json(tool.parameters or {})
        case ir.CustomTool():
            return _text(tool.name) + _text(tool.description or "") + _json(tool.format or {})
        case ir.HostedTool():
            return _text(tool.name) + _json(tool.options)
        case ir.OpaqueTool():
            return _json(tool.data)


# ---- parts ---------------------------------------------------------------------------------------------------------


def _text_part(part: ir.TextPart | ir.RefusalPart) -> int:
    return _text(part.text)


def _image_part(part: ir.ImagePart) -> int:
    payload = _payload(part.url)
    if payload is None:
        return UNKNOWN_IMAGE_TOKENS
    size = image_size(_decode(payload[:_HEADER_CHARS]))
    return UNKNOWN_IMAGE_TOKENS if size is None else image_tokens(*size)


def image_tokens(width: int, height: int) -> int:
    """Return the tokens of a picture: it is scaled down to 2048 pixels, then to 768 on its short side, then tiled."""
    scale = min(1.0, _MAX_SIDE / max(width, height, 1))
    scale = min(scale, _SHORT_SIDE / max(min(width, height), 1))
    tiles = math.ceil(max(1, width * scale) / _TILE_PIXELS) * math.ceil(max(1, height * scale) / _TILE_PIXELS)
    return _IMAGE_BASE_TOKENS + _TILE_TOKENS * tiles


def _file_part(part: ir.FilePart) -> int:
    payload = _payload(part.data)
    if payload is None:
        return PAGE_TOKENS
    size_bytes = len(payload) * 3 // 4
    if part.data is not None and part.data.startswith("data:text/"):
        return -(-size_bytes // CHARS_PER_TOKEN)
    return PAGE_TOKENS * (_count_pages(payload) or max(1, -(-size_bytes // BYTES_PER_PAGE)))


def _count_pages(payload: str) -> int:
    """Count the page objects of a PDF; 0 when it has none in clear, or is none."""
    if not payload.startswith("JVBERi0"):
        return 0
    return len(_PAGE.findall(_decode(payload)))


def _payload(url: str | None) -> str | None:
    if url is None or not url.startswith("data:"):
        return None
    _, marker, payload = url.partition(";base64,")
    return payload if marker else None


def _decode(payload: str) -> bytes:
    try:
        return binascii.a2b_base64(payload[: len(payload) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _opaque_part(part: ir.OpaquePart) -> int:
    return _json(part.data)


_ITEMS: dict[type, Callable[[Any], int]] = {
    ir.Message: _message,
    ir.ToolResult: _message,
    ir.Reasoning: _reasoning,
    ir.ToolCall: _call,
    ir.OpaqueItem: _opaque_item,
}

_PARTS: dict[type, Callable[[Any], int]] = {
    ir.TextPart: _text_part,
    ir.RefusalPart: _text_part,
    ir.ImagePart: _image_part,
    ir.FilePart: _file_part,
    ir.OpaquePart: _opaque_part,
}
