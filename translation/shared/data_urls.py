"""Data URLs: repair what clients write sloppily, guess media types, measure without decoding.

Touches a payload only when a cheap scan shows that it must. Facts: spec/translation.md §4.2.
"""

from __future__ import annotations

import binascii
from urllib.parse import unquote

MAX_INLINE_IMAGE_BYTES = 8 * 1024 * 1024
"""Decoded size of one inline picture; upstreams refuse larger ones without saying why."""

_SIGNATURES = (
    ("/9j/", "image/jpeg"),
    ("iVBORw0KGgo", "image/png"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", "application/pdf"),
)

_SUFFIXES = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "json": "application/json",
    "html": "text/html",
    "xml": "application/xml",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

_URL_SAFE = str.maketrans("-_", "+/")


def normalize(url: str) -> str:
    """Return `url` with a canonical base64 payload: percent-decoded, unfolded, standard alphabet, padded.

    Anything that is not a base64 data URL, and what stays invalid after the repair, is returned as it came.
    """
    head, marker, payload = url.partition(";base64,")
    if not marker or not head.startswith("data:"):
        return url
    fixed = payload
    if "%" in fixed:
        fixed = unquote(fixed)
    if "\n" in fixed or "\r" in fixed or " " in fixed or "\t" in fixed:
        fixed = "".join(fixed.split())
    if "-" in fixed or "_" in fixed:
        fixed = fixed.translate(_URL_SAFE)
    if len(fixed) % 4:
        fixed = fixed.rstrip("=")
        fixed += "=" * (-len(fixed) % 4)
    if fixed is payload:
        return url
    try:
        binascii.a2b_base64(fixed, strict_mode=True)
    except (binascii.Error, ValueError):
        return url
    return f"{head};base64,{fixed}"


def sniff(payload: str, filename: str | None = None) -> str:
    """Guess the media type of bare base64 from its first characters, then from the file name."""
    for signature, media_type in _SIGNATURES:
        if payload.startswith(signature):
            return media_type
    suffix = (filename or "").rpartition(".")[2].lower()
    return _SUFFIXES.get(suffix, "application/octet-stream")


def from_base64(payload: str, filename: str | None = None) -> str:
    """Make a data URL of bare base64; a data URL is only repaired."""
    if payload.startswith("data:"):
        return normalize(payload)
    return normalize(f"data:{sniff(payload, filename)};base64,{payload}")


class ImageTooLarge(ValueError):
    """An inline picture beyond the limit; codecs turn it into their 400. `problem` is the sentence after the path."""

    code = "image_too_large"

    def __init__(self, size_bytes: int) -> None:
        limit = MAX_INLINE_IMAGE_BYTES // (1024 * 1024)
        self.problem = (
            f"holds an image of {size_bytes / 1048576:.1f} MiB; inline images may have at most {limit} MiB. "
            "Send a smaller one, or an https URL."
        )
        super().__init__(self.problem)


def check_image_size(url: str) -> None:
    """Refuse an inline picture that is too large. Raises: ImageTooLarge."""
    if not url.startswith("data:") or len(url) * 3 // 4 <= MAX_INLINE_IMAGE_BYTES:
        return
    size = (len(url) - url.find(",") - 1) * 3 // 4
    if size > MAX_INLINE_IMAGE_BYTES:
        raise ImageTooLarge(size)
