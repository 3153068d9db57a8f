"""The estimate of tokens: monotonic, near the truth for text, and blind to base64."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from translation.ir.events import Proof
from translation.ir.request import (
    FilePart,
    FunctionTool,
    GenerateRequest,
    ImagePart,
    Message,
    Part,
    Reasoning,
    TextPart,
    ToolCall,
    ToolResult,
)
from translation.shared.image_size import image_size
from translation.shared.token_count import PAGE_TOKENS, UNKNOWN_IMAGE_TOKENS, estimate_tokens, image_tokens

PARTS = st.one_of(
    st.builds(TextPart, st.text(max_size=40)),
    st.just(ImagePart(url="https://a/b.png")),
    st.just(FilePart(data="data:application/pdf;base64,JVBERi0xLjQ=")),
)
ITEMS = st.one_of(
    st.builds(Message, st.sampled_from(["user", "assistant", "developer"]), st.lists(PARTS, max_size=3).map(tuple)),
    st.builds(ToolCall, call_id=st.just("c"), name=st.text(max_size=9), arguments=st.text(max_size=30)),
    st.builds(ToolResult, call_id=st.just("c"), parts=st.lists(PARTS, max_size=3).map(tuple)),
    st.just(Reasoning(proof=Proof("openai-responses", "gAAAA" * 1000))),
)
TOOLS = st.builds(FunctionTool, name=st.text(max_size=9), description=st.none() | st.text(max_size=40))
REQUESTS = st.builds(
    GenerateRequest,
    model=st.just("m"),
    items=st.lists(ITEMS, max_size=5).map(tuple),
    instructions=st.lists(st.text(max_size=40), max_size=2).map(tuple),
    tools=st.lists(TOOLS, max_size=3).map(tuple),
)


def of(*parts: Part) -> int:
    """Return what these parts alone count."""
    request = GenerateRequest(model="m", items=(Message("user", parts),))
    return estimate_tokens(request) - estimate_tokens(replace(request, items=(Message("user", ()),)))


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def png(width: int, height: int, padding: int = 0) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + bytes(padding)


@given(REQUESTS, ITEMS, TOOLS, st.text(min_size=1, max_size=50))
def test_adding_to_a_request_never_lowers_the_estimate(request: GenerateRequest, item: Any, tool: Any, text: str):
    before = estimate_tokens(request)
    assert estimate_tokens(replace(request, items=(*request.items, item))) > before
    assert estimate_tokens(replace(request, tools=(*(request.tools or ()), tool))) > before
    assert estimate_tokens(replace(request, instructions=(*request.instructions, text))) > before


@given(st.text(max_size=80), st.text(min_size=1, max_size=80))
def test_a_longer_text_never_counts_less(text: str, more: str):
    assert of(TextPart(text + more)) >= of(TextPart(text))


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 180, 300),
        ("快速的棕色狐狸跳过懒狗。" * 10, 80, 130),
        ("速い茶色の狐が飛ぶ" * 10, 60, 95),
        ("빠른갈색여우" * 10, 35, 70),
        ("", 0, 0),
    ],
)
def test_text_counts_within_sensible_bounds(text: str, least: int, most: int):
    assert least <= of(TextPart(text)) <= most


@pytest.mark.parametrize(
    ("size", "tokens"),
    [((1, 1), 255), ((512, 512), 255), ((1024, 1024), 765), ((4096, 8192), 1105), ((100_000, 10), 765)],
)
def test_pictures_count_by_tiles(size: tuple[int, int], tokens: int):
    assert image_tokens(*size) == tokens


def test_the_weight_of_a_picture_does_not_matter():
    small, heavy = (data_url("image/png", png(800, 600, padding)) for padding in (10, 1_000_000))
    assert of(ImagePart(url=small)) == of(ImagePart(url=heavy)) == image_tokens(800, 600)


@pytest.mark.parametrize("url", ["https://a/b.png", "data:image/png;base64,!!!!", "data:image/x;base64,AAAA", None])
def test_a_picture_of_unknown_size_counts_the_same_whatever_it_is(url: str | None):
    assert of(ImagePart(url=url)) == UNKNOWN_IMAGE_TOKENS


def test_documents_count_by_pages():
    pages = b"%PDF-1.4\n" + b"<< /Type /Page >> << /Type/Page /Parent 1 0 R>> << /Type /Pages >>"
    assert of(FilePart(data=data_url("application/pdf", pages))) == 2 * PAGE_TOKENS
    packed = b"%PDF-1.7\n" + bytes(120_000)
    assert of(FilePart(data=data_url("application/pdf", packed))) == 3 * PAGE_TOKENS
    assert of(FilePart(url="https://a/b.pdf")) == PAGE_TOKENS


def test_proofs_of_reasoning_count_nothing():
    request = GenerateRequest(model="m", items=(Reasoning(),))
    proven = replace(request, items=(Reasoning(proof=Proof("o", "x" * 100_000)),))
    assert estimate_tokens(proven) == estimate_tokens(request)


def _jpeg(width: int, height: int) -> bytes:
    frame = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(10)
    return b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(10) + b"\xff\xc4\x00\x04ab\xff" + frame


def _webp(kind: bytes, rest: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + rest + bytes(10)


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (png(800, 600), (800, 600)),
        (_jpeg(640, 480), (640, 480)),
        (b"GIF89a" + struct.pack("<HH", 3, 4), (3, 4)),
        (_webp(b"VP8X", bytes(8) + b"\x1f\x03\x00\x57\x02\x00"), (800, 600)),
        (_webp(b"VP8L", bytes(4) + b"\x2f" + struct.pack("<I", 799 | 599 << 14)), (800, 600)),
        (_webp(b"VP8 ", bytes(10) + struct.pack("<HH", 800, 600)), (800, 600)),
        (png(0, 4), None),
        (b"BM" + bytes(40), None),
        (b"", None),
    ],
)
def test_sizes_are_read_from_headers(head: bytes, size: tuple[int, int] | None):
    assert image_size(head) == size


@given(st.sampled_from([png(8, 6), _jpeg(6, 8), _webp(b"VP8X", bytes(20))]), st.integers(0, 60), st.binary(max_size=40))
def test_broken_headers_give_a_size_or_none_and_never_fail(head: bytes, cut: int, junk: bytes):
    size = image_size(head[:cut] + junk)
    assert size is None or all(size)
