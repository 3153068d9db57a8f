"""Real PNG bytes of any size or weight, so that image clients have something to decode (wire.md §4.7)."""

from __future__ import annotations

import base64
import random
import re
import struct
import zlib

MAX_EDGE = 4_096


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *, padding_bytes: int = 0) -> bytes:
    """Return a one-color picture; padding goes into a private chunk of noise that decoders skip."""
    row = b"\0" + b"\x33\x66\x99" * width
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    noise = _chunk(b"siMp", random.Random(0).randbytes(padding_bytes)) if padding_bytes else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + noise
        + _chunk(b"IDAT", zlib.compress(row * height, 1))
        + _chunk(b"IEND", b"")
    )


def picture_base64(size: str) -> tuple[str, str]:
    """Return the picture and its WxH; `size` is WxH or a weight like 15MB or 200KB."""
    if match := re.fullmatch(r"(\d+)x(\d+)", size):
        width, height = (max(1, min(MAX_EDGE, int(edge))) for edge in match.groups())
        return base64.b64encode(png(width, height)).decode(), f"{width}x{height}"
    if match := re.fullmatch(r"(\d+)\s*(KB|MB)", size, re.IGNORECASE):
        weight = int(match.group(1)) * (1024 if match.group(2).upper() == "KB" else 1024 * 1024)
        return base64.b64encode(png(64, 64, padding_bytes=weight * 3 // 4)).decode(), "64x64"
    return base64.b64encode(png(64, 64)).decode(), "64x64"
