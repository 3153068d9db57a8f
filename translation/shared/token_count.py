"""What of a request is counted as input tokens: its texts, and a fixed sum for all that is no text.

Pictures count by their size in tiles, documents by pages; base64 is never text and proofs of reasoning count nothing.
The texts go to a real tokenizer where one runs (`gateway/tokenizer.py`), else to the estimate here. Monotonic: adding
to a request never lowers either. Facts: spec/translation.md §6.4, row 148; errors measured: docs/token-counting.md.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from translation.ir import request as ir
from translation.shared.image_size import image_size
from translation.wire.jsonio import dumps

_ASCII_MILLITOKENS = 260
_OTHER_MILLITOKENS = 360
_WIDE_MILLITOKENS = 730
"""Thousandths of a token per character, fitted to o200k_base over prose, code, JSON and ten languages."""
BYTES_PER_TOKEN = 4
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
"""Chinese, Japanese, Korean and pictographs."""
_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")


class Countable(Struct, frozen=True):
    """`texts` are to be counted, `fixed` is the tokens of everything else."""

    texts: tuple[str, ...]
    fixed: int

    def estimate(self) -> int:
        """Return about how many tokens this is, without a tokenizer."""
        return self.fixed + sum(map(estimate_text, self.texts))


def countable(request: ir.GenerateRequest) -> Countable:
    """Return what counts of `request`."""
    tally = _Tally()
    for text in request.instructions:
        tally.text(text)
    tally.fixed += MESSAGE_TOKENS if request.instructions else 0
    for item in request.items:
        tally.fixed += MESSAGE_TOKENS
        _ITEMS[type(item)](item, tally)
    for tool in request.tools or ():
        tally.fixed += TOOL_TOKENS
        _tool(tool, tally)
    if request.output_format is not None and request.output_format.schema is not None:
        tally.json(request.output_format.schema)
    return Countable(tuple(tally.texts), tally.fixed)


def estimate_tokens(request: ir.GenerateRequest) -> int:
    """Return about how many input tokens `request` has."""
    return countable(request).estimate()


def estimate_text(text: str) -> int:
    """Return about how many tokens `text` is; two spaces in a row, indentation, count as one."""
    length = len(text)
    narrow = length if text.isascii() else len(text.encode("ascii", "ignore"))
    millitokens = (narrow - text.count("  ")) * _ASCII_MILLITOKENS
    if narrow < length:
        wide = len(_WIDE.findall(text))
        millitokens += wide * _WIDE_MILLITOKENS + (length - narrow - wide) * _OTHER_MILLITOKENS
    return -(-millitokens // 1000)


class _Tally:
    """Collects what counts."""

    __slots__ = ("fixed", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.fixed = 0

    def text(self, text: str) -> None:
        if text:
            self.texts.append(text)

    def json(self, value: Any) -> None:
        self.texts.append(dumps(value).decode())


# ---- items ---------------------------------------------------------------------------------------------------------


def _message(item: ir.Message | ir.ToolResult, tally: _Tally) -> None:
    for part in item.parts:
        _PARTS[type(part)](part, tally)


def _reasoning(item: ir.Reasoning, tally: _Tally) -> None:
    """Proofs stand for thoughts that are counted when they were thought."""
    for text in (*item.summary, *item.text):
        tally.text(text)


def _call(item: ir.ToolCall, tally: _Tally) -> None:
    tally.text(item.name)
    tally.text(item.arguments)


def _opaque(item: ir.OpaqueItem | ir.OpaquePart, tally: _Tally) -> None:
    tally.json(item.data)


def _tool(tool: ir.Tool, tally: _Tally) -> None:
    match tool:
        case ir.FunctionTool():
            tally.text(tool.name)
            tally.text(tool.description or "")
            tally.json(tool.parameters or {})
        case ir.CustomTool():
            tally.text(tool.name)
            tally.text(tool.description or "")
            tally.json(tool.format or {})
        case ir.HostedTool():
            tally.text(tool.name)
            tally.json(tool.options)
        case ir.OpaqueTool():
            tally.json(tool.data)


# ---- parts ---------------------------------------------------------------------------------------------------------


def _text_part(part: ir.TextPart | ir.RefusalPart, tally: _Tally) -> None:
    tally.text(part.text)


def _image_part(part: ir.ImagePart, tally: _Tally) -> None:
    payload = _payload(part.url)
    size = image_size(_decode(payload[:_HEADER_CHARS])) if payload is not None else None
    tally.fixed += UNKNOWN_IMAGE_TOKENS if size is None else image_tokens(*size)


def image_tokens(width: int, height: int) -> int:
    """Return the tokens of a picture: it is scaled down to 2048 pixels, then to 768 on its short side, then tiled."""
    scale = min(1.0, _MAX_SIDE / max(width, height, 1))
    scale = min(scale, _SHORT_SIDE / max(min(width, height), 1))
    tiles = math.ceil(max(1, width * scale) / _TILE_PIXELS) * math.ceil(max(1, height * scale) / _TILE_PIXELS)
    return _IMAGE_BASE_TOKENS + _TILE_TOKENS * tiles


def _file_part(part: ir.FilePart, tally: _Tally) -> None:
    tally.fixed += _file_tokens(part.data)


def _file_tokens(data: str | None) -> int:
    payload = _payload(data)
    if data is None or payload is None:
        return PAGE_TOKENS
    size_bytes = len(payload) * 3 // 4
    if data.startswith("data:text/"):
        return -(-size_bytes // BYTES_PER_TOKEN)
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


_ITEMS: dict[type, Callable[[Any, _Tally], None]] = {
    ir.Message: _message,
    ir.ToolResult: _message,
    ir.Reasoning: _reasoning,
    ir.ToolCall: _call,
    ir.OpaqueItem: _opaque,
}

_PARTS: dict[type, Callable[[Any, _Tally], None]] = {
    ir.TextPart: _text_part,
    ir.RefusalPart: _text_part,
    ir.ImagePart: _image_part,
    ir.FilePart: _file_part,
    ir.OpaquePart: _opaque,
}
