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
    open_blocks: dict[int, ev.BlockStart] = {}
    next_index = 0
    for event in events:
        following = TRANSITIONS[state].get(type(event))
        if following is None:
            raise GrammarViolation(f"{event!r} is not allowed in state {state}")
        state = following
        if isinstance(event, ev.BlockStart):
            if event.index != next_index:
                raise GrammarViolation(f"block {event.index} opened, {next_index} was due")
            if event.kind == "tool_call" and not (event.name and event.call_id):
                raise GrammarViolation(f"{event!r} opened without a name or a call id")
            open_blocks[event.index] = event
            next_index += 1
        elif isinstance(event, ev.BlockStop):
            if open_blocks.pop(event.index, None) is None:
                raise GrammarViolation(f"block {event.index} closed, but it is not open")
        elif isinstance(event, ev.Delta):
            block = open_blocks.get(event.index)
            if block is None or not isinstance(event, DELTAS[block.kind]):
                raise GrammarViolation(f"{event!r} does not fit the open block {block!r}")
        elif isinstance(event, ev.Stop) and open_blocks:
            raise GrammarViolation(f"stopped with open blocks {sorted(open_blocks)}")
    if complete and state != "done":
        raise GrammarViolation("the stream ended without a terminal event")
