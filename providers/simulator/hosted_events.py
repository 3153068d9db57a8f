"""Hosted tools as events: image generation and web search (wire.md §4.7).

Pure; a part of `events.py`, which hands its writer over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.simulator.picture import picture_base64
from providers.simulator.scenario import Image, Search

if TYPE_CHECKING:
    from providers.simulator.events import Scriptwriter


def write_image(writer: Scriptwriter, output: Image) -> None:
    """Write an image generation; the picture is only in the finished item."""
    asked = next((tool for tool in writer.body.get("tools") or [] if tool.get("type") == "image_generation"), {})
    picture, size = picture_base64(output.size)
    item_id = writer.ids.item("ig")
    where = {"item_id": item_id, "output_index": writer.index}
    look = {
        "output_format": asked.get("output_format", "png"),
        "size": size,
        "quality": asked.get("quality", "medium"),
        "background": asked.get("background", "opaque"),
    }
    opened = {"id": item_id, "type": "image_generation_call", "status": "in_progress", "result": None}
    writer.emit("response.output_item.added", "open", output_index=writer.index, item=opened)
    writer.emit("response.image_generation_call.in_progress", "hosted", **where)
    writer.emit("response.image_generation_call.generating", "hosted", **where)
    for number in range(int(asked.get("partial_images") or 0)):
        partial = picture_base64("64x64")[0]
        writer.emit(
            "response.image_generation_call.partial_image",
            "text",
            **where,
            partial_image_index=number,
            partial_image_b64=partial,
            **look,
        )
    writer.emit("response.image_generation_call.completed", "hosted", **where)
    writer.close(
        {
            "id": item_id,
            "type": "image_generation_call",
            "status": "completed",
            "result": picture,
            "revised_prompt": output.prompt or "a plain blue square",
            **look,
        }
    )
    writer.images += 1


def write_search(writer: Scriptwriter, output: Search) -> None:
    """Write a web search."""
    item_id = writer.ids.item("ws")
    where = {"item_id": item_id, "output_index": writer.index}
    opened = {"id": item_id, "type": "web_search_call", "status": "in_progress"}
    writer.emit("response.output_item.added", "open", output_index=writer.index, item=opened)
    for state in ("in_progress", "searching", "completed"):
        writer.emit(f"response.web_search_call.{state}", "hosted", **where)
    action = {
        "type": "search",
        "query": output.query,
        "queries": [output.query],
        "sources": [{"type": "url", "url": "https://example.com/"}],
    }
    writer.close({"id": item_id, "type": "web_search_call", "status": "completed", "action": action})
    writer.searches += 1
