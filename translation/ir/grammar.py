"""The legal order of events, as a table. Tests run it over every stream; it is not on the hot path.

States of a stream: idle → streaming → done. Blocks have their own two states, open and closed.
"""

from __future__ import annotations

from collections.abc import Iterable

from translation.ir import events as ev

DELTAS: dict[str, tuple[type, ...]] = {
    "text": (ev.TextDelta, ev.Citation),
    "refusal": (ev.RefusalDelta,),
    "reasoning": (ev.ReasoningDelta,),
    "tool_call": (ev.ToolCallDelta,),
    "image": (ev.ImageDelta,),
    "search": (ev.SearchResult,),
    "opaque": (),
}

TRANSITIONS: dict[str, dict[type, str]] = {
    "idle": {ev.Start: "streaming", ev.Error: "done", ev.Ping: "idle"},
    "streaming": {
        ev.BlockStart: "streaming",
        ev.BlockStop: "streaming",
        ev.UsageUpdate: "streaming",
        ev.Ping: "streaming",
        ev.Opaque: "streaming",
        ev.Stop: "done",
        ev.Error: "done",
        **{delta: "streaming" for deltas in DELTAS.values() for delta in deltas},
    },
    "done": {},
}


class GrammarViolation(AssertionError):
    """A stream broke the order; says which event, in which state."""


def check(events: Iterable[ev.Event], *, complete: bool = True) -> None:
    """Walk `events` through the table.

    Raises: GrammarViolation at the first illegal event, or at the end when `complete` and no terminal came.
    """
    state = "idle"
    blocks = _Blocks()
    for event in events:
        following = TRANSITIONS[state].get(type(event))
        if following is None:
            raise GrammarViolation(f"{event!r} is not allowed in state {state}")
        state = following
        blocks.take(event)
    if complete and state != "done":
        raise GrammarViolation("the stream ended without a terminal event")


class _Blocks:
    """The blocks of one stream: dense indexes, each opened once, closed once, and fed only what fits its kind."""

    def __init__(self) -> None:
        self._open: dict[int, ev.BlockStart] = {}
        self._next_index = 0

    def take(self, event: ev.Event) -> None:
        """Check one event against the open blocks."""
        if isinstance(event, ev.BlockStart):
            self._start(event)
        elif isinstance(event, ev.BlockStop):
            if self._open.pop(event.index, None) is None:
                raise GrammarViolation(f"block {event.index} closed, but it is not open")
        elif isinstance(event, ev.Delta):
            block = self._open.get(event.index)
            if block is None or not isinstance(event, DELTAS[block.kind]):
                raise GrammarViolation(f"{event!r} does not fit the open block {block!r}")
        elif isinstance(event, ev.Stop) and self._open:
            raise GrammarViolation(f"stopped with open blocks {sorted(self._open)}")

    def _start(self, event: ev.BlockStart) -> None:
        if event.index != self._next_index:
            raise GrammarViolation(f"block {event.index} opened, {self._next_index} was due")
        if event.kind == "tool_call" and not (event.name and event.call_id):
            raise GrammarViolation(f"{event!r} opened without a name or a call id")
        self._open[event.index] = event
        self._next_index += 1
