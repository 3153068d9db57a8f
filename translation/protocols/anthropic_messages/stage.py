"""Puts interleaved blocks one after the other: clients of this protocol assume that only one is open at a time.

The first open block streams; whatever happens to later ones is kept and replayed, in the order in which they began,
when it closes. Blocks the client does not read are left out here, so they never hold anything up.
Facts: spec/translation.md §6.2, rows 125-127.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from translation.ir import events as ev

_NONE = -1
_OUTSIDE_BLOCKS = frozenset({ev.Start, ev.UsageUpdate, ev.Ping, ev.Opaque, ev.Stop, ev.Error})


class SerialStage:
    """Invariant: between a BlockStart and its BlockStop that leave here, every block event has that index."""

    __slots__ = ("_held", "_shows", "_streaming")

    def __init__(self, shows: Callable[[ev.BlockKind], bool]) -> None:
        self._shows = shows
        self._streaming = _NONE
        self._held: dict[int, list[ev.Event]] = {}

    def order(self, events: Sequence[ev.Event]) -> list[ev.Event]:
        """Return what can be said now of `events` and of what was held."""
        out: list[ev.Event] = []
        for event in events:
            kind = type(event)
            if kind in _OUTSIDE_BLOCKS:
                out.append(event)
                continue
            index: int = event.index  # type: ignore[union-attr]  # all other events have one
            if index == self._streaming:
                out.append(event)
                if kind is ev.BlockStop:
                    self._continue(out)
            elif isinstance(event, ev.BlockStart):
                self._begin(event, out)
            elif index in self._held:
                self._held[index].append(event)
        return out

    def _begin(self, start: ev.BlockStart, out: list[ev.Event]) -> None:
        if not self._shows(start.kind):
            return
        if self._streaming == _NONE:
            self._streaming = start.index
            out.append(start)
        else:
            self._held[start.index] = [start]

    def _continue(self, out: list[ev.Event]) -> None:
        """Replay the held blocks up to the first that is still open, which streams from now on."""
        self._streaming = _NONE
        while self._held:
            index = next(iter(self._held))
            events = self._held.pop(index)
            out += events
            if type(events[-1]) is not ev.BlockStop:
                self._streaming = index
                return
