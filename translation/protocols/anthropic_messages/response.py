"""A collected answer → one message. Says exactly what the stream of the same events adds up to.

Facts: spec/translation.md §6.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from translation.codec import OpenedRequest
from translation.ir.response import ContentBlock, GenerateResponse
from translation.protocols.anthropic_messages import shapes
from translation.protocols.anthropic_messages.shapes import Dialect
from translation.shared.pictures import picture_note
from translation.wire import jsonio

Json = dict[str, Any]


def encode_response(response: GenerateResponse, opened: OpenedRequest) -> bytes:
    """Write the body of a non-streaming answer."""
    dialect = Dialect(opened)
    content: list[Json] = []
    kinds: list[str] = []
    searches: set[str] = set()
    for block in response.blocks:
        is_search = block.kind == "search"
        if not dialect.shows(block.kind) or (is_search and block.start.item_id in searches):
            continue
        written = _WRITERS[block.kind](block, dialect)
        if written:
            content += written
            kinds.append(block.kind)
            if is_search and block.start.item_id:
                searches.add(block.start.item_id)
    usage = response.usage
    message = {
        "id": dialect.mint("msg_"),
        "type": "message",
        "role": "assistant",
        "model": opened.model,
        "content": content,
        "stop_reason": shapes.stop_reason(
            response.finish_reason, kinds=kinds, stop_sequence=response.stop_sequence
        ),
        "stop_sequence": response.stop_sequence,
        "usage": dialect.estimated_usage() if usage is None
        else shapes.usage_object(usage, searches=kinds.count("search")),
    }  # fmt: skip
    return jsonio.dumps(message)


def _text(block: ContentBlock, dialect: Dialect) -> list[Json]:
    citations = [found for found in map(shapes.citation, block.citations) if found is not None]
    if not (block.text or citations):
        return []
    text: Json = {"type": "text", "text": block.text}
    return [{**text, "citations": citations} if citations else text]


def _thinking(block: ContentBlock, dialect: Dialect) -> list[Json]:
    text = "" if dialect.omits_text else shapes.PARAGRAPH.join(block.parts)
    if not text and (block.proof is None or dialect.hides_empty_thinking):
        return []
    signature = block.proof.value if block.proof is not None else ""
    return [{"type": "thinking", "thinking": text, "signature": signature}]


def _tool_use(block: ContentBlock, dialect: Dialect) -> list[Json]:
    start = block.start
    is_custom = start.tool_kind == "custom"
    return [
        {
            "type": "tool_use",
            "id": shapes.tool_use_id(start.call_id, dialect),
            "name": start.name,
            "input": shapes.custom_input(block.text) if is_custom else shapes.arguments_object(block.text),
        }
    ]


def _image(block: ContentBlock, dialect: Dialect) -> list[Json]:
    pictures = [picture for picture in block.images if picture.data]
    return [{"type": "text", "text": picture_note(pictures[-1])}] if pictures else []


def _search(block: ContentBlock, dialect: Dialect) -> list[Json]:
    query = shapes.search_query(block.action)
    if query is None or block.action is None:
        return []
    use_id = shapes.search_id(block.start, dialect)
    return [
        {"type": "server_tool_use", "id": use_id, "name": "web_search", "input": {"query": query}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": use_id,
            "content": shapes.search_results(block.action),
        },
    ]


_WRITERS: dict[str, Callable[[ContentBlock, Dialect], list[Json]]] = {
    "text": _text,
    "refusal": _text,
    "reasoning": _thinking,
    "tool_call": _tool_use,
    "image": _image,
    "search": _search,
}
