"""Call ids that are longer than the upstream allows, replaced by a stable short form on the call and its result.

The upstream never sends old ids back, so there is nothing to undo. Facts: spec/translation.md §4.5.
"""

from __future__ import annotations

from msgspec.structs import replace

from translation.ir.request import GenerateRequest, Item, ToolCall, ToolResult
from translation.shared.call_ids import short_call_id


def shorten(request: GenerateRequest, max_chars: int) -> GenerateRequest:
    """Return `request` with call ids of at most `max_chars`; the same object when all fit."""
    items: list[Item] = []
    changed = False
    for item in request.items:
        if isinstance(item, ToolCall | ToolResult) and len(item.call_id) > max_chars:
            item = replace(item, call_id=short_call_id(item.call_id, max_chars))
            changed = True
        items.append(item)
    return replace(request, items=tuple(items)) if changed else request
