"""Calls and results in pairs: upstreams refuse a request in which one of them stands alone.

A conversation is a row of turns: what the assistant said and called, then what came back. A turn is settled when the
assistant speaks again, so a later turn never changes how an earlier one was repaired and the prompt cache keeps its
prefix. Results stand right behind their calls, before anything a user adds. One pass, idempotent.
Facts: spec/translation.md §3.5, rows 16-22, 228.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from msgspec.structs import replace

from translation.ir.request import (
    GenerateRequest,
    Item,
    Message,
    OpaqueItem,
    Part,
    Reasoning,
    TextPart,
    ToolCall,
    ToolResult,
)

INTERRUPTED = "[no output: interrupted]"
"""What stands in for the result of a call that the client never answered."""


def repair(request: GenerateRequest) -> GenerateRequest:
    """Return `request` with every call answered and every result asked for; the same object when nothing was wrong."""
    items = request.items
    if not any(type(item) in (ToolCall, ToolResult) for item in items):
        return request
    repaired = _Repair(keeps_orphans=request.previous_response_id is not None).run(items)
    if len(repaired) == len(items) and all(new is old for new, old in zip(repaired, items, strict=True)):
        return request
    return replace(request, items=tuple(repaired))


class _Repair:
    """The walk over the items.

    `_open` are the calls of the present turn without a result, oldest first; `_gap` is where results of this turn
    belong once somebody else has spoken.
    """

    def __init__(self, *, keeps_orphans: bool) -> None:
        self._keeps_orphans = keeps_orphans
        self._out: list[Item] = []
        self._turn_calls: dict[str, int] = {}
        self._ambiguous: set[str] = set()
        self._open: dict[str, ToolCall] = {}
        self._answered: set[str] = set()
        self._known: dict[str, str] = {}
        self._speaking = False
        self._gap: int | None = None

    def run(self, items: tuple[Item, ...]) -> list[Item]:
        for index, item in enumerate(items):
            self._STEPS[type(item)](self, item, index)
        if self._open and not isinstance(self._out[-1], ToolCall):
            self._settle()
        return self._out

    # ---- what the assistant says ---------------------------------------------------------------------------

    def _begin_speech(self) -> None:
        """The assistant speaks: if somebody else spoke before, a new turn begins and the old one is settled."""
        if self._speaking:
            return
        self._settle()
        self._speaking = True
        self._gap = None
        self._turn_calls.clear()
        self._ambiguous.clear()

    def _on_message(self, item: Message, index: int) -> None:
        if item.role == "assistant":
            self._begin_speech()
            self._out.append(item)
        else:
            self._interject(item)

    def _interject(self, message: Message) -> None:
        """Somebody but the assistant speaks; results that still come belong before it."""
        self._speaking = False
        if self._gap is None:
            self._gap = len(self._out)
        self._out.append(message)

    def _on_reasoning(self, item: Reasoning, index: int) -> None:
        self._begin_speech()
        self._out.append(item)

    def _on_opaque(self, item: OpaqueItem, index: int) -> None:
        self._out.append(item)

    def _on_call(self, item: ToolCall, index: int) -> None:
        self._begin_speech()
        if not item.call_id:
            item = replace(item, call_id=f"call_missing_{index}_{len(self._turn_calls)}")
        call_id = item.call_id
        if call_id in self._turn_calls:
            self._drop_ambiguous(call_id)
            return
        self._turn_calls[call_id] = len(self._out)
        self._open[call_id] = item
        self._answered.discard(call_id)
        self._known[call_id] = item.name
        self._out.append(item)

    def _drop_ambiguous(self, call_id: str) -> None:
        """Two calls of one turn with one id: nobody can tell whose result is whose, so both go, with the results."""
        self._ambiguous.add(call_id)
        if self._open.pop(call_id, None) is not None:
            position = self._turn_calls[call_id]
            del self._out[position]
            for other, at in self._turn_calls.items():
                if at > position:
                    self._turn_calls[other] = at - 1

    # ---- what comes back -----------------------------------------------------------------------------------

    def _on_result(self, item: ToolResult, index: int) -> None:
        self._speaking = False
        call = self._open_call_for(item)
        if call is not None:
            del self._open[call.call_id]
            self._answered.add(call.call_id)
            if item.call_id != call.call_id or item.kind != call.kind:
                item = replace(item, call_id=call.call_id, kind=call.kind)
            self._put_result(item)
        elif item.call_id in self._ambiguous or item.call_id in self._answered:
            return  # of a dropped call, or a second answer: the first one counts
        elif self._keeps_orphans and item.call_id:
            self._put_result(item)  # its call is in the response that the request continues
        else:
            self._tell_orphan(item)

    def _open_call_for(self, item: ToolResult) -> ToolCall | None:
        if item.call_id:
            return self._open.get(item.call_id)
        if item.name:
            named = next((call for call in self._open.values() if call.name == item.name), None)
            if named is not None:
                return named
        return next(iter(self._open.values()), None)

    def _tell_orphan(self, item: ToolResult) -> None:
        """A result nobody asked for is refused upstream; what it says is kept as the user's words."""
        parts = tuple(part for part in item.parts if not isinstance(part, TextPart) or part.text)
        if not parts:
            return
        name = item.name or self._known.get(item.call_id, "")
        label = f"[tool result: {name}]" if name else "[tool result]"
        told: tuple[Part, ...]
        if isinstance(parts[0], TextPart):
            told = (TextPart(f"{label}\n{parts[0].text}"), *parts[1:])
        else:
            told = (TextPart(label), *parts)
        self._interject(Message("user", told))

    def _put_result(self, result: ToolResult) -> None:
        if self._gap is None:
            self._out.append(result)
        else:
            self._out.insert(self._gap, result)
            self._gap += 1

    def _settle(self) -> None:
        """Answer the calls that nobody answered. What arrives for them later is an orphan."""
        for call in self._open.values():
            self._put_result(ToolResult(call_id=call.call_id, parts=(TextPart(INTERRUPTED),), kind=call.kind))
        self._open.clear()

    _STEPS: ClassVar[dict[type, Callable[[_Repair, Any, int], None]]] = {
        Message: _on_message,
        Reasoning: _on_reasoning,
        OpaqueItem: _on_opaque,
        ToolCall: _on_call,
        ToolResult: _on_result,
    }
