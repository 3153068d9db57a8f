"""The output items of an answer on their way to a Responses client: which frames each block becomes.

One class per item kind; `Writer` numbers frames and items. Text and refusal blocks with one item id are parts of one
message, which is closed when another item starts or the answer ends. Facts: spec/wire.md §4.3-4.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from translation.ir import events as ev
from translation.ir.response import ContentBlock, GenerateResponse
from translation.protocols.openai_responses.names import proof_to_wire
from translation.wire.ids import Ids
from translation.wire.jsonio import dumps

Json = dict[str, Any]


class Entry(Protocol):
    """One block on its way to the client."""

    def delta(self, event: Any) -> None: ...

    def detail(self, event: Any) -> None: ...

    def close(self, event: ev.BlockStop) -> None: ...


class Writer:
    """Numbers and collects frames. Invariant: `output_index` is dense in the order items opened."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._frames: list[bytes] = []
        self._sequence = 0
        self._items: list[Json] = []
        self._entries: dict[int, Entry] = {}
        self._messages: list[MessageItem] = []

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = b"".join(self._frames)
        self._frames.clear()
        return data

    def frame(self, name: str, fields: Json) -> None:
        """Write one event."""
        payload = {"type": name, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        self._frames.append(b"event: %b\ndata: %b\n\n" % (name.encode(), dumps(payload)))

    def delta_frame(self, template: tuple[bytes, bytes], text: str) -> None:
        """Write a delta: two constant pieces around the sequence number and the text."""
        head, tail = template
        self._frames.append(b"%b%d%b%b%b" % (head, self._sequence, tail, _json_text(text), b"}\n\n"))
        self._sequence += 1

    def raw(self, name: str, data: Json) -> None:
        """Write a foreign event as it came, outside the count."""
        self._frames.append(b"event: %b\ndata: %b\n\n" % (name.encode(), dumps(data)))

    def entry(self, index: int) -> Entry:
        """Return the open block `index`."""
        return self._entries[index]

    def open(self, event: ev.BlockStart) -> None:
        """Open a block, and the item around it when it is the first of it."""
        if event.kind in ("text", "refusal"):
            message = self._message(event)
            self._entries[event.index] = message.part(event)
            return
        self._close_messages(keep=None)
        self._entries[event.index] = _ENTRIES[event.kind](self, event)

    def close(self, event: ev.BlockStop) -> None:
        """Close a block."""
        self._entries.pop(event.index).close(event)

    def finish(self) -> None:
        """Close what is still open around blocks."""
        self._close_messages(keep=None, even_busy=True)

    def output(self) -> list[Json]:
        """Return the finished items in output order."""
        return [item for item in self._items if item]

    def add_item(self, item: Json) -> int:
        """Announce an item; return its output index."""
        index = len(self._items)
        self._items.append({})
        self.frame("response.output_item.added", {"output_index": index, "item": item})
        return index

    def finish_item(self, index: int, item: Json) -> None:
        """Write the final form of an item."""
        self._items[index] = item
        self.frame("response.output_item.done", {"output_index": index, "item": item})

    def _message(self, event: ev.BlockStart) -> MessageItem:
        for message in self._messages:
            if event.item_id and message.source_id == event.item_id:
                return message
        self._close_messages(keep=None)
        message = MessageItem(self, event)
        self._messages.append(message)
        return message

    def _close_messages(self, keep: None, *, even_busy: bool = False) -> None:
        for message in list(self._messages):
            if even_busy or not message.is_busy:
                message.finish()
                self._messages.remove(message)


def _json_text(text: str) -> bytes:
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return dumps(text)


def _template(name: str, item_id: str, output_index: int, extra: str = "") -> tuple[bytes, bytes]:
    """The constant pieces of a delta frame; `extra` are further fields, each with its comma in front."""
    head = f'event: {name}\ndata: {{"type":"{name}","sequence_number":'
    tail = f',"item_id":{dumps(item_id).decode()},"output_index":{output_index}{extra},"delta":'
    return head.encode(), tail.encode()


def _item_id(writer: Writer, event: ev.BlockStart, prefix: str) -> str:
    """Keep an id that this wire could have minted, so that it survives a round trip; else mint one."""
    return event.item_id if event.item_id.startswith(prefix) else writer.ids.mint(prefix)


class MessageItem:
    """A message and its parts."""

    def __init__(self, writer: Writer, event: ev.BlockStart) -> None:
        self.writer = writer
        self.source_id = event.item_id
        self.id = _item_id(writer, event, "msg_")
        self._phase = event.phase
        self._parts: list[Json] = []
        self._busy = 0
        self.index = writer.add_item(self._item("in_progress", []))

    @property
    def is_busy(self) -> bool:
        """Whether a part is still open."""
        return self._busy > 0

    def part(self, event: ev.BlockStart) -> MessagePart:
        """Open the next part."""
        self._busy += 1
        self._parts.append({})
        return MessagePart(self, len(self._parts) - 1, event.kind)

    def part_done(self, index: int, part: Json) -> None:
        """Note a finished part."""
        self._parts[index] = part
        self._busy -= 1

    def finish(self) -> None:
        """Write the final item."""
        parts = [part for part in self._parts if part]
        self.writer.finish_item(self.index, self._item("completed", parts))

    def _item(self, status: str, content: list[Json]) -> Json:
        item: Json = {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}
        if self._phase is not None:
            item["phase"] = self._phase
        return item


class MessagePart:
    """A text or refusal part."""

    def __init__(self, message: MessageItem, content_index: int, kind: ev.BlockKind) -> None:
        self._message = message
        self._writer = message.writer
        self._kind = kind
        self._pieces: list[str] = []
        self._annotations: list[Json] = []
        self._place: Json = {"item_id": message.id, "output_index": message.index, "content_index": content_index}
        extra = f',"content_index":{content_index}'
        if kind == "text":
            extra += ',"logprobs":[]'
        name = "response.output_text.delta" if kind == "text" else "response.refusal.delta"
        self._template = _template(name, message.id, message.index, extra)
        self._writer.frame("response.content_part.added", {**self._place, "part": self._part("")})

    def delta(self, event: ev.TextDelta | ev.RefusalDelta) -> None:
        """Write more text."""
        self._pieces.append(event.text)
        self._writer.delta_frame(self._template, event.text)

    def detail(self, event: ev.Citation) -> None:
        """Write an annotation."""
        fields = {**self._place, "annotation_index": len(self._annotations), "annotation": event.data}
        self._annotations.append(event.data)
        self._writer.frame("response.output_text.annotation.added", fields)

    def close(self, event: ev.BlockStop) -> None:
        """Write the complete text, then the complete part."""
        text = "".join(self._pieces)
        part = self._part(text)
        if self._kind == "text":
            self._writer.frame("response.output_text.done", {**self._place, "text": text, "logprobs": []})
        else:
            self._writer.frame("response.refusal.done", {**self._place, "refusal": text})
        self._writer.frame("response.content_part.done", {**self._place, "part": part})
        self._message.part_done(self._place["content_index"], part)

    def _part(self, text: str) -> Json:
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "annotations": list(self._annotations), "logprobs": [], "text": text}


class ReasoningItem:
    """Summary parts, raw text, and the proof in the end."""

    def __init__(self, writer: Writer, event: ev.BlockStart) -> None:
        self._writer = writer
        self._id = _item_id(writer, event, "rs_")
        self._pieces: dict[tuple[str, int], list[str]] = {}
        self._order: dict[str, list[int]] = {"summary": [], "text": []}
        self._current: tuple[str, int] | None = None
        self._template: tuple[bytes, bytes] = (b"", b"")
        self._index = writer.add_item({"id": self._id, "type": "reasoning", "summary": []})

    def delta(self, event: ev.ReasoningDelta) -> None:
        """Write more reasoning; a change of part ends the part before."""
        key = (event.channel, event.part)
        if key != self._current:
            self._end_part()
            self._begin_part(key)
        self._pieces[key].append(event.text)
        self._writer.delta_frame(self._template, event.text)

    def detail(self, event: Any) -> None:
        """Reasoning has no details."""

    def close(self, event: ev.BlockStop) -> None:
        """Write the final item with its proof."""
        self._end_part()
        item: Json = {
            "id": self._id,
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text} for text in self._texts("summary")],
        }
        if self._order["text"]:
            item["content"] = [{"type": "reasoning_text", "text": text} for text in self._texts("text")]
        if event.proof is not None:
            item["encrypted_content"] = proof_to_wire(event.proof)
        self._writer.finish_item(self._index, item)

    def _texts(self, channel: str) -> list[str]:
        return ["".join(self._pieces[channel, part]) for part in self._order[channel]]

    def _place(self, key: tuple[str, int]) -> Json:
        channel, part = key
        name = "summary_index" if channel == "summary" else "content_index"
        return {"item_id": self._id, "output_index": self._index, name: self._order[channel].index(part)}

    def _begin_part(self, key: tuple[str, int]) -> None:
        channel, part = key
        self._current = key
        is_new = key not in self._pieces
        if is_new:
            self._pieces[key] = []
            self._order[channel].append(part)
        place = self._place(key)
        if channel == "summary":
            if is_new:
                part_fields = {**place, "part": {"type": "summary_text", "text": ""}}
                self._writer.frame("response.reasoning_summary_part.added", part_fields)
            name, extra = "response.reasoning_summary_text.delta", f',"summary_index":{place["summary_index"]}'
        else:
            name, extra = "response.reasoning_text.delta", f',"content_index":{place["content_index"]}'
        self._template = _template(name, self._id, self._index, extra)

    def _end_part(self) -> None:
        if self._current is None:
            return
        place, text = self._place(self._current), "".join(self._pieces[self._current])
        if self._current[0] == "summary":
            self._writer.frame("response.reasoning_summary_text.done", {**place, "text": text})
            part = {"type": "summary_text", "text": text}
            self._writer.frame("response.reasoning_summary_part.done", {**place, "part": part})
        else:
            self._writer.frame("response.reasoning_text.done", {**place, "text": text})
        self._current = None


class CallItem:
    """A function call or a custom tool call."""

    def __init__(self, writer: Writer, event: ev.BlockStart) -> None:
        is_custom = event.tool_kind == "custom"
        self._writer = writer
        self._start = event
        self._type = "custom_tool_call" if is_custom else "function_call"
        self._field = "input" if is_custom else "arguments"
        self._event = "response.custom_tool_call_input" if is_custom else "response.function_call_arguments"
        self._id = _item_id(writer, event, "ctc_" if is_custom else "fc_")
        self._pieces: list[str] = []
        self._index = writer.add_item(self._item("in_progress", ""))
        self._template = _template(f"{self._event}.delta", self._id, self._index)

    def delta(self, event: ev.ToolCallDelta) -> None:
        """Write more arguments."""
        self._pieces.append(event.text)
        self._writer.delta_frame(self._template, event.text)

    def detail(self, event: Any) -> None:
        """Calls have no details."""

    def close(self, event: ev.BlockStop) -> None:
        """Write the complete arguments, then the complete item."""
        text = "".join(self._pieces)
        place = {"item_id": self._id, "output_index": self._index}
        self._writer.frame(f"{self._event}.done", {**place, self._field: text, "name": self._start.name})
        self._writer.finish_item(self._index, self._item("completed", text))

    def _item(self, status: str, text: str) -> Json:
        return {
            "id": self._id,
            "type": self._type,
            "status": status,
            self._field: text,
            "call_id": self._start.call_id,
            "name": self._start.name,
        }


class ImageItem:
    """A generated picture; partial ones are shown on the way."""

    def __init__(self, writer: Writer, event: ev.BlockStart) -> None:
        self._writer = writer
        self._id = _item_id(writer, event, "ig_")
        self._final: ev.ImageDelta | None = None
        self._partials = 0
        self._index = writer.add_item({"id": self._id, "type": "image_generation_call", "status": "in_progress"})
        self._place: Json = {"item_id": self._id, "output_index": self._index}
        writer.frame("response.image_generation_call.in_progress", self._place)
        writer.frame("response.image_generation_call.generating", self._place)

    def delta(self, event: Any) -> None:
        """Pictures have no text."""

    def detail(self, event: ev.ImageDelta) -> None:
        """Write a partial picture; keep the final one for the item."""
        if not event.partial:
            self._final = event
            return
        fields: Json = {"partial_image_index": self._partials, "partial_image_b64": event.data}
        fields["output_format"] = event.media_type.removeprefix("image/")
        self._partials += 1
        self._writer.frame("response.image_generation_call.partial_image", {**self._place, **fields})

    def close(self, event: ev.BlockStop) -> None:
        """Write the final item with the picture."""
        image = self._final
        self._writer.frame("response.image_generation_call.completed", self._place)
        item: Json = {
            "id": self._id,
            "type": "image_generation_call",
            "status": "completed" if image is not None else "failed",
            "result": image.data if image is not None else None,
        }
        if image is not None:
            item["output_format"] = image.media_type.removeprefix("image/")
            if image.revised_prompt is not None:
                item["revised_prompt"] = image.revised_prompt
        self._writer.finish_item(self._index, item)


class SearchItem:
    """A hosted web search."""

    def __init__(self, writer: Writer, event: ev.BlockStart) -> None:
        self._writer = writer
        self._id = _item_id(writer, event, "ws_")
        self._action: Json = {"type": "search", "query": ""}
        self._index = writer.add_item({"id": self._id, "type": "web_search_call", "status": "in_progress"})
        self._place: Json = {"item_id": self._id, "output_index": self._index}
        writer.frame("response.web_search_call.in_progress", self._place)
        writer.frame("response.web_search_call.searching", self._place)

    def delta(self, event: Any) -> None:
        """Searches have no text."""

    def detail(self, event: ev.SearchResult) -> None:
        """Note what was searched."""
        self._action = event.action

    def close(self, event: ev.BlockStop) -> None:
        """Write the final item with the action."""
        self._writer.frame("response.web_search_call.completed", self._place)
        item = {"id": self._id, "type": "web_search_call", "status": "completed", "action": self._action}
        self._writer.finish_item(self._index, item)


class OpaqueEntry:
    """An item known as a whole only: both frames are written when its snapshot is there."""

    def __init__(self, writer: Writer, event: ev.BlockStart) -> None:
        self._writer = writer

    def delta(self, event: Any) -> None:
        """Nothing is known of its pieces."""

    def detail(self, event: Any) -> None:
        """Nothing is known of its pieces."""

    def close(self, event: ev.BlockStop) -> None:
        """Write the snapshot."""
        if event.item:
            self._writer.finish_item(self._writer.add_item(event.item), event.item)


_ENTRIES: dict[str, Any] = {
    "reasoning": ReasoningItem,
    "tool_call": CallItem,
    "image": ImageItem,
    "search": SearchItem,
    "opaque": OpaqueEntry,
}


def replay(response: GenerateResponse) -> Iterator[ev.Event]:
    """Return the events a collected answer stands for."""
    yield ev.Start(id=response.id, model=response.model, created=response.created)
    for block in response.blocks:
        yield block.start
        yield from _replay_content(block)
        yield ev.BlockStop(index=block.start.index, proof=block.proof, item=block.item)
    yield ev.Stop(
        finish_reason=response.finish_reason,
        usage=response.usage,
        raw_reason=response.raw_reason,
        stop_sequence=response.stop_sequence,
        service_tier=response.service_tier,
    )


def _replay_content(block: ContentBlock) -> Iterator[ev.Event]:
    index = block.start.index
    counts = {"summary": 0, "text": 0}
    for channel, text in zip(block.channels, block.parts, strict=False):
        yield ev.ReasoningDelta(index, text, counts[channel], channel)
        counts[channel] += 1
    delta = {"text": ev.TextDelta, "refusal": ev.RefusalDelta, "tool_call": ev.ToolCallDelta}.get(block.kind)
    if delta is not None and block.text:
        yield delta(index, block.text)
    yield from (ev.Citation(index, citation) for citation in block.citations)
    yield from block.images
    if block.action is not None:
        yield ev.SearchResult(index, block.action)
