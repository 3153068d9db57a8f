"""The upstream's items while they are being streamed: which block an event belongs to, and what is still missing.

An event finds its item by id, call id or output index, per item type; aliases are learned from every event, because
some upstreams change item ids from event to event and others leave them out. Snapshots (`….done`, `output`) add what
deltas did not bring. Blocks are written through the normalizer only. Facts: spec/translation.md §1.3 (the laws).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeGuard

from translation.ir import events as ev
from translation.ir.normalizer import Block, Normalizer
from translation.protocols.openai_responses.names import ORIGIN
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_array, is_object

Json = dict[str, Any]
TextKind = Literal["text", "refusal"]
Channel = Literal["summary", "text"]

CALL_TEXT = {"function_call": "arguments", "custom_tool_call": "input"}
"""Item type of a call → the field with its text."""

_TOOL_KINDS: dict[str, ev.ToolKind] = {"function_call": "function", "custom_tool_call": "custom"}
_PART_KINDS: dict[str, tuple[TextKind, str]] = {"output_text": ("text", "text"), "refusal": ("refusal", "refusal")}


class Item:
    """One output item of the upstream. `blocks` are its text parts by (kind, content index); other items have one.

    `settled` are the parts whose complete text is known: deltas that come later only repeat it.
    """

    __slots__ = (
        "announced",
        "block",
        "blocks",
        "call_id",
        "cited",
        "done",
        "item_id",
        "key",
        "kind",
        "phase",
        "said",
        "seed",
        "settled",
    )

    def __init__(self, kind: str, key: int) -> None:
        self.kind = kind
        self.key = key
        self.item_id = ""
        self.call_id = ""
        self.phase: str | None = None
        self.announced = False
        self.done = False
        self.block: Block | None = None
        self.blocks: dict[tuple[TextKind, int], Block] = {}
        self.said: dict[tuple[str, int], list[str]] = {}
        self.cited: dict[int, list[Json]] = {}
        self.seed: Json = {}
        self.settled: set[tuple[str, int]] = set()


class Assembly:
    """Invariant: everything the upstream said of an item appears once, in the item's own blocks."""

    def __init__(self, normalizer: Normalizer) -> None:
        self._normalizer = normalizer
        self._items: list[Item] = []
        self._known: dict[tuple[str, str, object], Item] = {}
        self._parts = 0

    # ---- finding -----------------------------------------------------------------------------------------------

    def find(self, kind: str, item_id: Any, index: Any, call_id: Any = None) -> Item | None:
        """Return the item of `kind` known under any alias, having learned the others."""
        aliases = self._aliases(kind, item_id, index, call_id)
        item = next((self._known[alias] for alias in aliases if alias in self._known), None)
        if item is not None:
            self._learn(item, aliases)
        return item

    def item(self, kind: str, event: Json) -> Item:
        """Return the item an event of `kind` belongs to, opening one that was never announced.

        An event without any address belongs to the last item of its kind; an unknown address is a new item.
        """
        item_id, index, call_id = event.get("item_id"), event.get("output_index"), event.get("call_id")
        found = self.find(kind, item_id, index, call_id)
        if found is None and not self._aliases(kind, item_id, index, call_id):
            found = next((item for item in reversed(self._items) if item.kind == kind and not item.done), None)
        return found or self._new(kind, item_id, index, call_id)

    def _new(self, kind: str, item_id: Any, index: Any, call_id: Any = None) -> Item:
        item = Item(kind, len(self._items))
        item.item_id = item_id if isinstance(item_id, str) else ""
        item.call_id = call_id if isinstance(call_id, str) else ""
        self._items.append(item)
        for alias in self._aliases(kind, item_id, index, call_id):
            self._known[alias] = item
        return item

    def _learn(self, item: Item, aliases: list[tuple[str, str, object]]) -> None:
        for alias in aliases:
            self._known.setdefault(alias, item)

    @staticmethod
    def _aliases(kind: str, item_id: Any, index: Any, call_id: Any) -> list[tuple[str, str, object]]:
        aliases: list[tuple[str, str, object]] = []
        if isinstance(item_id, str) and item_id:
            aliases.append((kind, "id", item_id))
        if isinstance(call_id, str) and call_id:
            aliases.append((kind, "call", call_id))
        if isinstance(index, int):
            aliases.append((kind, "index", index))
        return aliases

    # ---- items -------------------------------------------------------------------------------------------------

    def added(self, data: Json, index: Any) -> None:
        """Take in `output_item.added`."""
        kind = str(data.get("type") or "")
        item = self.find(kind, data.get("id"), index, data.get("call_id"))
        if item is None or (item.announced and data.get("id") != item.item_id):
            item = self._new(kind, data.get("id"), index, data.get("call_id"))
        item.announced = True
        item.seed = data
        self._describe(item, data)
        if kind != "message":
            self._open(item)

    def finished(self, data: Json, index: Any) -> None:
        """Take in `output_item.done`, the authoritative snapshot of an item."""
        kind = str(data.get("type") or "")
        item = self.find(kind, data.get("id"), index, data.get("call_id"))
        if item is None or (item.done and item.item_id and data.get("id") not in (None, "", item.item_id)):
            item = self._new(kind, data.get("id"), index, data.get("call_id"))
        self._describe(item, data)
        self._complete(item, data)

    def reconcile(self, output: list[Any]) -> None:
        """Take in the `output` of the terminal event: authoritative for what is missing, and for nothing else."""
        for index, data in enumerate(output):
            if not is_object(data):
                continue
            kind = str(data.get("type") or "")
            item = self.find(kind, data.get("id"), None, data.get("call_id")) or self.find(kind, None, index)
            item = item or self._new(kind, data.get("id"), index, data.get("call_id"))
            self._describe(item, data)
            self._complete(item, data)

    def close_all(self) -> None:
        """Complete what the upstream left open, with what its first announcement said."""
        for item in self._items:
            if not item.done and item.seed:
                self._complete(item, item.seed)

    def _describe(self, item: Item, data: Json) -> None:
        item.item_id = item.item_id or _text(data.get("id"))
        item.call_id = item.call_id or _text(data.get("call_id"))
        phase = data.get("phase")
        item.phase = item.phase or (phase if isinstance(phase, str) else None)

    def _open(self, item: Item) -> Block:
        """Return the item's only block; a call is announced once its name is known."""
        item.block = self._normalizer.open(
            _BLOCK_KINDS.get(item.kind, "opaque"),
            ("item", item.key),
            item_id=item.item_id,
            call_id=item.call_id,
            name=_text(item.seed.get("name")),
            tool_kind=_TOOL_KINDS.get(item.kind, "function"),
        )
        return item.block

    def _complete(self, item: Item, data: Json) -> None:
        self._COMPLETIONS.get(item.kind, Assembly._complete_opaque)(self, item, data)
        item.done = True

    # ---- text --------------------------------------------------------------------------------------------------

    def text_block(self, event: Json, kind: TextKind) -> Block | None:
        """Return the block of a text or refusal delta; None when the delta only repeats a snapshot."""
        item = self.item("message", event)
        index = _index(event.get("content_index"))
        return None if (kind, index) in item.settled else self._part(item, kind, index)

    def text_snapshot(self, event: Json, part: Any, *, last: bool = False) -> None:
        """Take in a part of a message as a whole; `last` says that nothing of it will follow."""
        if not is_known_part(part):
            return
        item, index = self.item("message", event), _index(event.get("content_index"))
        self._text_snapshot(item, index, part)
        if last:
            self._normalizer.close(item.blocks[_PART_KINDS[part["type"]][0], index])

    def cite(self, event: Json) -> None:
        """Take in `output_text.annotation.added`."""
        annotation = event.get("annotation")
        if is_object(annotation):
            self._cite(self.item("message", event), _index(event.get("content_index")), annotation)

    def _part(self, item: Item, kind: TextKind, index: int) -> Block:
        block = item.blocks.get((kind, index))
        if block is None or (block.closed and not block.pieces):
            block = item.blocks[kind, index] = self._new_part(item, kind)
        return block

    def _new_part(self, item: Item, kind: ev.BlockKind) -> Block:
        self._parts += 1
        return self._normalizer.open(kind, ("part", self._parts), item_id=item.item_id, phase=item.phase)

    def _cite(self, item: Item, index: int, annotation: Json) -> None:
        cited = item.cited.setdefault(index, [])
        block = self._part(item, "text", index)
        if annotation in cited or block.closed or self._normalizer.done:
            return
        cited.append(annotation)
        self._normalizer.out.append(ev.Citation(block.index, annotation))

    def _text_snapshot(self, item: Item, index: int, part: Json) -> None:
        kind, field = _PART_KINDS[part["type"]]
        full = _text(part.get(field))
        block = self._part(item, kind, index)
        if block.closed and len(full) > len(block.said) and full.startswith(block.said):
            # A closed block cannot grow: what came too late becomes one more part of the same message.
            said, block = block.said, self._new_part(item, kind)
            block.pieces.append(said)
            item.blocks[kind, index] = block
        self._normalizer.snapshot(block, full)
        if full:
            item.settled.add((kind, index))
        annotations = part.get("annotations")
        for annotation in annotations if is_array(annotations) else ():
            if is_object(annotation):
                self._cite(item, index, annotation)

    def _complete_message(self, item: Item, data: Json) -> None:
        content = data.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        for index, part in enumerate(content if is_array(content) else []):
            if is_known_part(part):
                self._text_snapshot(item, index, part)
        for block in item.blocks.values():
            self._normalizer.close(block)

    # ---- reasoning ---------------------------------------------------------------------------------------------

    def reason(self, event: Json, channel: Channel, text: str) -> None:
        """Add reasoning text to the part an event names, unless it only repeats a snapshot."""
        item, part = self.item("reasoning", event), _part_index(event, channel)
        if (channel, part) not in item.settled:
            self._reason(item, channel, part, text)

    def reason_snapshot(self, event: Json, channel: Channel, full: str) -> None:
        """Reconcile one part of the reasoning with its complete text."""
        self._reason_missing(self.item("reasoning", event), channel, _part_index(event, channel), full)

    def _reason(self, item: Item, channel: Channel, part: int, text: str) -> None:
        block = self._open(item)
        if text and not block.closed:
            item.said.setdefault((channel, part), []).append(text)
        self._normalizer.delta(block, text, part, channel)

    def _reason_missing(self, item: Item, channel: Channel, part: int, full: str) -> None:
        said = "".join(item.said.get((channel, part), ()))
        if full.startswith(said) and len(full) > len(said):
            self._reason(item, channel, part, full[len(said) :])
        if full:
            item.settled.add((channel, part))

    def _complete_reasoning(self, item: Item, data: Json) -> None:
        block = self._open(item)
        channels: tuple[tuple[Channel, Any], ...] = (("summary", data.get("summary")), ("text", data.get("content")))
        for channel, parts in channels:
            for index, part in enumerate(parts if is_array(parts) else []):
                if is_object(part):
                    self._reason_missing(item, channel, index, _text(part.get("text")))
        self._normalizer.close(block, proof=_proof(data) or _proof(item.seed))

    # ---- calls -------------------------------------------------------------------------------------------------

    def call_block(self, event: Json, kind: str) -> Block | None:
        """Return the block of an argument delta; None when the delta only repeats a snapshot."""
        item = self.item(kind, event)
        self._learn_name(item, event)
        return None if item.settled else self._open(item)

    def call_snapshot(self, event: Json, kind: str) -> None:
        """Take in the complete arguments of a call."""
        item = self.item(kind, event)
        self._learn_name(item, event)
        self._settle_call(item, event.get(CALL_TEXT[kind]))

    def _learn_name(self, item: Item, event: Json) -> None:
        if isinstance(event.get("name"), str) and not item.seed.get("name"):
            item.seed = {**item.seed, "name": event["name"]}

    def _settle_call(self, item: Item, value: Any) -> Block:
        block, full = self._open(item), _text(value)
        self._normalizer.snapshot(block, full)
        if full:
            item.settled.add(("call", 0))
        return block

    def _complete_call(self, item: Item, data: Json) -> None:
        self._learn_name(item, data)
        value = data.get(CALL_TEXT[item.kind])
        block = self._settle_call(item, value)
        if value is not None or data is item.seed:
            self._normalizer.close(block)  # without a value the arguments may still come; the end closes it then

    # ---- hosted tools and the unknown --------------------------------------------------------------------------

    def picture(self, event: Json) -> None:
        """Take in a partial picture."""
        data = event.get("partial_image_b64")
        if isinstance(data, str):
            block = self._open(self.item("image_generation_call", event))
            self._emit(block, ev.ImageDelta(block.index, data, _media_type(event), partial=True))

    def _complete_image(self, item: Item, data: Json) -> None:
        block = self._open(item)
        result, prompt = data.get("result"), data.get("revised_prompt")
        if isinstance(result, str) and result:
            prompt = prompt if isinstance(prompt, str) else None
            self._emit(block, ev.ImageDelta(block.index, result, _media_type(data), revised_prompt=prompt))
        self._normalizer.close(block)

    def _complete_search(self, item: Item, data: Json) -> None:
        block = self._open(item)
        action = data.get("action")
        if is_object(action):
            self._emit(block, ev.SearchResult(block.index, action))
        self._normalizer.close(block)

    def _complete_opaque(self, item: Item, data: Json) -> None:
        self._normalizer.close(self._open(item), item=data)

    def _emit(self, block: Block, event: ev.Event) -> None:
        if not block.closed and not self._normalizer.done:
            self._normalizer.out.append(event)

    _COMPLETIONS: ClassVar[dict[str, Callable[[Assembly, Item, Json], None]]] = {
        "message": _complete_message,
        "reasoning": _complete_reasoning,
        "function_call": _complete_call,
        "custom_tool_call": _complete_call,
        "image_generation_call": _complete_image,
        "web_search_call": _complete_search,
    }


_BLOCK_KINDS: dict[str, ev.BlockKind] = {
    "reasoning": "reasoning",
    "function_call": "tool_call",
    "custom_tool_call": "tool_call",
    "image_generation_call": "image",
    "web_search_call": "search",
}


def _text(value: Any) -> str:
    """A str as it is; arguments that a careless upstream sent as JSON become text; anything else is absent."""
    if isinstance(value, str):
        return value
    return dumps(value).decode() if isinstance(value, (dict, list)) else ""


def _index(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _part_index(event: Json, channel: Channel) -> int:
    return _index(event.get("summary_index" if channel == "summary" else "content_index"))


def _proof(data: Json) -> ev.Proof | None:
    secret = data.get("encrypted_content")
    return ev.Proof(ORIGIN, secret) if isinstance(secret, str) and secret else None


def _media_type(data: Json) -> str:
    name = str(data.get("output_format") or "png").lower()
    return f"image/{'jpeg' if name == 'jpg' else name}"


def is_known_part(part: object) -> TypeGuard[Json]:
    """Tell whether `part` is a content part with text; its type may be anything at all, a list even."""
    if not is_object(part):
        return False
    kind = part.get("type")
    return isinstance(kind, str) and kind in _PART_KINDS
