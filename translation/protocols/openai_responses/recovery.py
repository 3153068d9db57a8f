"""What the tap needs when the upstream says too little: the output it already sent, and frames it never sent.

Facts: spec/translation.md §1.3 (law 4), §8.2-8.3.
"""

from __future__ import annotations

import re
from typing import Any

from translation.codec import WireContext
from translation.errors import GatewayError
from translation.ir.events import Event
from translation.protocols.openai_responses.decoder import ResponsesDecoder, tolerant_object
from translation.protocols.openai_responses.errors import stream_error_object
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_object
from translation.wire.sse import frame

Json = dict[str, Any]

MAX_HELD_DELTAS = 20_000
"""Raw delta frames that wait for their item.done; a long answer has a few thousand."""

_SEQUENCE = re.compile(rb'"sequence_number":\s*(\d+)')
_INDEX = re.compile(rb'"output_index":\s*(\d+)')


class OutputMemory:
    """Finished items by output index, and the raw text deltas of those still open; parsed only when they are needed.

    Bounded by `MAX_HELD_DELTAS` raw frames; `compact` keeps their text alone.
    """

    __slots__ = ("_ids", "_items", "_open", "_texts", "deltas", "keep")

    def __init__(self) -> None:
        self.deltas: list[bytes] = []
        self.keep = self.deltas.append
        """Remember a raw text delta; the bare list method, because every delta goes through it."""
        self._items: dict[int, Json] = {}
        self._open: set[int] = set()
        self._texts: dict[int, list[str]] = {}
        self._ids: dict[int, str] = {}

    def item_added(self, data: bytes) -> None:
        """An item opened."""
        found = _INDEX.search(data)
        if found:
            self._open.add(int(found[1]))

    def item_done(self, payload: Json) -> None:
        """An item is complete: its deltas are not needed any more, once nothing else is open."""
        item = payload.get("item")
        if not is_object(item):
            return
        index = payload.get("output_index")
        if not isinstance(index, int) or self._items.get(index, item).get("id") != item.get("id"):
            index = max(self._items, default=-1) + 1
        self._items[index] = item
        self._open.discard(index)
        if not self._open and _has_content(item):
            self.deltas.clear()
            self._texts.clear()

    def output(self) -> list[Json]:
        """Return the items in output order; text that only deltas brought becomes a message."""
        self.compact()
        for index, pieces in self._texts.items():
            if not _has_content(self._items.get(index, {})):
                self._items[index] = self._message(index, "".join(pieces))
        return [self._items[index] for index in sorted(self._items)]

    def clear(self) -> None:
        """Forget everything."""
        self.deltas.clear()
        self._texts.clear()
        self._items.clear()

    def compact(self) -> None:
        """Parse the raw deltas and keep their text."""
        for block in self.deltas:
            event = tolerant_object(block.partition(b"data: ")[2]) or {}
            index, delta = event.get("output_index"), event.get("delta")
            index = index if isinstance(index, int) else 0
            if isinstance(delta, str):
                self._texts.setdefault(index, []).append(delta)
                self._ids.setdefault(index, str(event.get("item_id") or ""))
        self.deltas.clear()

    def _message(self, index: int, text: str) -> Json:
        part: Json = {"type": "output_text", "annotations": [], "text": text}
        known = self._items.get(index) or {"id": self._ids.get(index) or f"msg_{index}", "type": "message"}
        return {**known, "status": "completed", "role": "assistant", "content": [part]}


def _has_content(item: Json) -> bool:
    """Tell whether a finished item stands for itself; a message without content waits for its deltas."""
    return bool(item) and (item.get("type") != "message" or bool(item.get("content")))


def shown(response: Json, model: str, response_id: str) -> bool:
    """Show the client the model it asked for and the id it was first shown; tell whether that changed anything.

    openai-python raises when the id changes between created and completed, or is missing in the end.
    """
    before = response.get("model", model), response.get("id")
    if "model" in response:
        response["model"] = model
    response["id"] = response_id
    return before != (model, response_id)


def sequence_after(block: bytes) -> int:
    """Return the sequence number that follows a frame's own."""
    found = _SEQUENCE.search(block)
    return int(found[1]) + 1 if found else 0


def created_frame(response_id: str, model: str, context: WireContext) -> bytes:
    """Write the opening that the upstream left out."""
    response = _response(response_id, model, context, "in_progress")
    payload = {"type": "response.created", "sequence_number": 0, "response": response}
    return b"event: response.created\ndata: " + dumps(payload)


def failed_frame(response_id: str, model: str, error: GatewayError, sequence: int, context: WireContext) -> bytes:
    """Write the failure that ends a stream for the client."""
    response = _response(response_id, model, context, "failed")
    response["error"] = stream_error_object(error)
    payload = {"type": "response.failed", "sequence_number": sequence, "response": response}
    return b"event: response.failed\ndata: " + dumps(payload)


def _response(response_id: str, model: str, context: WireContext, status: str) -> Json:
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(context.now_s),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
        "metadata": {},
    }


def events_of_odd_body(pieces: list[bytes]) -> list[Event]:
    """Read a body that is no event stream."""
    decoder = ResponsesDecoder()
    return decoder.feed(b"".join(frame(b"", piece.replace(b"\n", b"\ndata: ")) for piece in pieces)) + decoder.finish()
