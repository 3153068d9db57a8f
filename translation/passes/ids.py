"""Call ids that are longer than the upstream allows, replaced by a stable short form on the call and its result.

The upstream never sends old ids back, so there is nothing to undo. Facts: spec/translation.md §4.5.
"""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from translation.ir.request import GenerateRequest, Item, ToolCall, ToolResult

_DIGEST_CHARS = 16


def shorten(request: GenerateRequest, max_chars: int) -> GenerateRequest:
    """Return `request` with call ids of at most `max_chars`; the same object when all fit."""
    items: list[Item] = []
    changed = False
    for item in request.items:
        if isinstance(item, ToolCall | ToolResult) and len(item.call_id) > max_chars:
            item = replace(item, call_id=short_id(item.call_id, max_chars))
            changed = True
        items.append(item)
    return replace(request, items=tuple(items)) if changed else request


def short_id(call_id: str, max_chars: int = 64) -> str:
    """Return the first characters and a digest of the whole: equal ids stay equal, different ones different."""
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{call_id[: max_chars - _DIGEST_CHARS - 1]}_{digest}"
