"""Stop sequences for upstreams that have none: the gateway scans the answer, cuts it and ends it.

Text is held back only while it may be the beginning of a stop sequence. After the cut `is_finished` asks the pump to
cancel the upstream, and whatever still arrives is swallowed. Facts: spec/translation.md §4.9.
"""

from __future__ import annotations

from msgspec.structs import replace

from translation.ir import events as ev
from translation.ir.request import GenerateRequest
from translation.ir.usage import Usage


class StopInverse:
    """Invariant: no stop sequence, nor anything after the first one, gets past `inbound`. Blocks are scanned apart."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._longest = max(len(stop) for stop in stops)
        self._first_chars = frozenset(stop[0] for stop in stops)
        self._held: dict[int, str] = {}
        self._open: dict[int, ev.BlockStart] = {}
        self._usage: Usage | None = None
        self.is_finished = False

    def inbound(self, events: list[ev.Event]) -> list[ev.Event]:
        """Pass `events` on up to the first stop sequence."""
        out: list[ev.Event] = []
        for event in events:
            if self.is_finished:
                break
            kind = type(event)
            if kind is ev.TextDelta:
                self._scan(event, out)  # type: ignore[arg-type]  # the type was just compared
                continue
            if kind is ev.BlockStart:
                self._open[event.index] = event  # type: ignore[union-attr,assignment]
            elif kind is ev.BlockStop:
                self._release(event.index, out)  # type: ignore[union-attr]
                self._open.pop(event.index, None)  # type: ignore[union-attr]
            elif kind is ev.UsageUpdate:
                self._usage = event.usage  # type: ignore[union-attr]
            elif kind is ev.Stop or kind is ev.Error:
                for index in sorted(self._held):
                    self._release(index, out)
            out.append(event)
        return out

    def _scan(self, event: ev.TextDelta, out: list[ev.Event]) -> None:
        held = self._held.pop(event.index, "")
        text = held + event.text
        found = self._find(text)
        if found is not None:
            at, stop = found
            self._emit(event.index, text[:at], out)
            self._finish(stop, out)
            return
        keep = self._possible_start(text)
        if keep < len(text):
            self._held[event.index] = text[keep:]
        self._emit(event.index, text[:keep], out)

    def _find(self, text: str) -> tuple[int, str] | None:
        """Return the match that is complete first, as if text came by the character; of two the longer.

        The earliest beginning would depend on how the text was cut into deltas.
        """
        best: tuple[int, int, str] | None = None
        for stop in self._stops:
            at = text.find(stop)
            if at >= 0:
                best = min(best or (at + len(stop), at, stop), (at + len(stop), at, stop))
        return best and (best[1], best[2])

    def _possible_start(self, text: str) -> int:
        """Return where a stop sequence may begin that the next delta would complete; the length when nowhere."""
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[at] in self._first_chars:
                tail = text[at:]
                if any(stop.startswith(tail) for stop in self._stops):
                    return at
        return len(text)

    def _release(self, index: int, out: list[ev.Event]) -> None:
        self._emit(index, self._held.pop(index, ""), out)

    def _emit(self, index: int, text: str, out: list[ev.Event]) -> None:
        if text:
            out.append(ev.TextDelta(index, text))

    def _finish(self, stop: str, out: list[ev.Event]) -> None:
        """Close what is open and end with success; other blocks' held text is complete, so it goes first."""
        for index in sorted(self._open):
            self._release(index, out)
            out.append(ev.BlockStop(index=index))
        out.append(ev.Stop(finish_reason="stop", usage=self._usage, raw_reason="stop_sequence", stop_sequence=stop))
        self._open.clear()
        self.is_finished = True


def intercept(request: GenerateRequest) -> tuple[GenerateRequest, StopInverse | None]:
    """Take the stop sequences out of `request`, because the upstream knows none, and return the scanner for them."""
    stops = tuple(stop for stop in request.sampling.stop if stop)
    if not stops:
        return request, None
    return replace(request, sampling=replace(request.sampling, stop=())), StopInverse(stops)
