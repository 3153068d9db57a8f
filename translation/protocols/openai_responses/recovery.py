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
from translation.wire.sse import frame

Json = dict[str, Any]

_MAX_HELD_BYTES = 8 * 1024 * 1024
_SEQUENCE = re.compile(rb'"sequence_number":\s*(\d+)')
_INDEX = re.compile(rb'"output_index":\s*(\d+)')


class OutputMemory:
    """Finished items by output index, and the raw deltas of those still open; parsed only when they are needed.

    Bounded: beyond `_MAX_HELD_BYTES` the raw frames are dropped, and with them only what no item.done confirms.
    """

    __slots__ = ("_deltas", "_items", "_open", "keep")

    def __init__(self) -> None:
        self._items: dict[int, Json] = {}
        self._deltas: list[bytes] = []
        self._open: set[int] = set()
        self.keep = self._deltas.append
        """Remember a raw text delta; the bare list method, because every delta goes through it."""

    def item_added(self, data: bytes) -> None:
        """An item opened."""
        found = _INDEX.search(data)
        if found:
            self._open.add(int(found[1]))
        self._bound()

    def item_done(self, payload: Json) -> None:
        """An item is complete: its deltas are not needed any more, once nothing else is open."""
        item = payload.get("item")
        if not isinstance(item, dict):
            return
        index = payload.get("output_index")
        if not isinstance(index, int) or self._items.get(index, item).get("id") != item.get("id"):
            index = max(self._items, default=-1) + 1
        self._items[index] = item
        self._open.discard(index)
        if not self._open and _has_content(item):
            self._deltas.clear()
        self._bound()

    def output(self) -> list[Json]:
        """Return the items in output order; text that only deltas brought becomes a message."""
        if self._deltas:
            self._add_from_deltas()
        return [self._items[index] for index in sorted(self._items)]

    def clear(self) -> None:
        """Forget everything."""
        self._deltas.clear()
        self._items.clear()

    def _bound(self) -> None:
        if len(self._deltas) > 10_000 and sum(map(len, self._deltas)) > _MAX_HELD_BYTES:
            self._deltas.clear()

    def _add_from_deltas(self) -> None:
        texts: dict[int, list[str]] = {}
        ids: dict[int, str] = {}
        for block in self._deltas:
            event = tolerant_object(block.partition(b"data: ")[2]) or {}
            index, delta = event.get("output_index"), event.get("delta")
            index = index if isinstance(index, int) else 0
            if isinstance(delta, str) and not _has_content(self._items.get(index, {})):
                texts.setdefault(index, []).append(delta)
                ids.setdefault(index, str(event.get("item_id") or ""))
        for index, pieces in texts.items():
            part: Json = {"type": "output_text", "annotations": [], "text": "".join(pieces)}
            known = self._items.get(index) or {"id": ids[index] or f"msg_{index}", "type": "message"}
            self._items[index] = {**known, "status": "completed", "role": "assistant", "content": [part]}


def _has_content(item: Json) -> bool:
    """Tell whether a finished item stands for itself; a message without content waits for its deltas."""
    return bool(item) and (item.get("type") != "message" or bool(item.get("content")))


def shown_model(response: Json, model: str) -> bool:
    """Show the client the model it asked for; tell whether that changed anything."""
    if "model" not in response or response["model"] == model:
        return False
    response["model"] = model
    return True


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
