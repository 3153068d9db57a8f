"""Stop sequences where the upstream has none (spec/translation.md §4.9)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.request import GenerateRequest, Sampling
from translation.ir.usage import Usage
from translation.passes.stop_sequences import StopInverse, intercept

USAGE = Usage(input_tokens=1)
START = ev.Start(id="r")


def run(stops: tuple[str, ...], pieces: list[str], *, end: bool = True) -> tuple[list[ev.Event], StopInverse]:
    """One text block, one call per event."""
    inverse = StopInverse(stops)
    events: list[ev.Event] = [START, ev.BlockStart(index=0, kind="text"), *(ev.TextDelta(0, piece) for piece in pieces)]
    if end:
        events += [ev.BlockStop(index=0), ev.Stop(finish_reason="length", usage=USAGE)]
    return [out for event in events for out in inverse.inbound([event])], inverse


def said(events: list[ev.Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ev.TextDelta))


def test_it_cuts_before_the_match_and_ends_the_answer():
    events, inverse = run(("END",), ["one E", "N", "D two", " three"])
    assert said(events) == "one "
    assert events[-2:] == [
        ev.BlockStop(index=0),
        ev.Stop(finish_reason="stop", raw_reason="stop_sequence", stop_sequence="END"),
    ]
    assert inverse.is_finished
    assert inverse.inbound([ev.TextDelta(0, "late"), ev.Stop(finish_reason="stop")]) == []


def test_only_a_possible_beginning_is_held_back():
    inverse = StopInverse(("\n\nHuman:",))
    inverse.inbound([START, ev.BlockStart(index=0, kind="text")])
    assert inverse.inbound([ev.TextDelta(0, "line\n")]) == [ev.TextDelta(0, "line")]
    assert inverse.inbound([ev.TextDelta(0, "x")]) == [ev.TextDelta(0, "\nx")]
    assert not inverse.is_finished


def test_what_was_held_back_is_delivered_when_the_block_ends_or_the_answer_fails():
    assert said(run(("END",), ["so E", "N"])[0]) == "so EN"
    inverse = StopInverse(("END",))
    from translation.errors import UpstreamFailed

    failure = ev.Error(UpstreamFailed("x"))
    assert inverse.inbound([START, ev.BlockStart(index=0, kind="text"), ev.TextDelta(0, "E"), failure])[2:] == [
        ev.TextDelta(0, "E"),
        failure,
    ]


def test_other_open_blocks_are_closed_too_and_usage_is_kept():
    inverse = StopInverse(("X",))
    events = inverse.inbound(
        [
            START,
            ev.BlockStart(index=0, kind="tool_call", call_id="c", name="f"),
            ev.UsageUpdate(USAGE),
            ev.BlockStart(index=1, kind="text"),
            ev.TextDelta(1, "aXb"),
            ev.ToolCallDelta(0, "late"),
        ]
    )
    assert events[-4:-1] == [ev.TextDelta(1, "a"), ev.BlockStop(index=0), ev.BlockStop(index=1)]
    assert isinstance(events[-1], ev.Stop) and events[-1].usage == USAGE
    grammar.check(events)


def test_arguments_and_reasoning_are_not_scanned():
    inverse = StopInverse(("X",))
    events: list[ev.Event] = [
        START,
        ev.BlockStart(index=0, kind="tool_call", call_id="c", name="f"),
        ev.ToolCallDelta(0, "X"),
        ev.BlockStart(index=1, kind="reasoning"),
        ev.ReasoningDelta(1, "X"),
    ]
    assert inverse.inbound(events) == events


def test_without_stops_there_is_no_inverse():
    request = GenerateRequest(model="m", items=())
    assert intercept(request) == (request, None)
    stripped, inverse = intercept(GenerateRequest(model="m", items=(), sampling=Sampling(temperature=1, stop=("a",))))
    assert stripped.sampling == Sampling(temperature=1) and inverse is not None
    assert intercept(stripped) == (stripped, None)


def expected(text: str, stops: tuple[str, ...]) -> str:
    """The answer character by character: it ends as soon as any stop sequence is complete."""
    for end in range(1, len(text) + 1):
        done = [stop for stop in stops if text[:end].endswith(stop)]
        if done:
            return text[: end - len(max(done, key=len))]
    return text


@settings(max_examples=400, deadline=None)
@given(
    st.text(alphabet="abX", max_size=24),
    st.lists(st.text(alphabet="abX", min_size=1, max_size=4), min_size=1, max_size=3).map(tuple),
    st.data(),
)
def test_chunking_never_changes_what_is_said(text: str, stops: tuple[str, ...], data: Any):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if a < b]
    events, inverse = run(stops, pieces)
    grammar.check(events)
    assert said(events) == expected(text, stops)
    assert inverse.is_finished == (said(events) != text)
