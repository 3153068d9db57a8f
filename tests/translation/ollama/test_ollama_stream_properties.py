"""Random legal answers: every line is valid, the lines add up to the collected answer, and exactly one is the last."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from translation.errors import UpstreamFailed
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.usage import Usage
from translation.protocols.ollama import CODEC

WORDS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal"])
ARGUMENTS = st.sampled_from([[], ["{}"], ['{"a"', ":1}"], ['{"a":[1,', "2]}"], ['{"a":'], ["null"], ["[1]"]])
PATHS = st.sampled_from(["/api/chat", "/api/generate"])
THINK = st.sampled_from([None, True, False, "low"])


@st.composite
def blocks(draw: Any, index: int) -> list[ev.Event]:
    kind = draw(st.sampled_from(["text", "refusal", "reasoning", "tool_call", "image", "search", "opaque"]))
    pieces = draw(ARGUMENTS if kind == "tool_call" else st.lists(WORDS, max_size=4))
    start = ev.BlockStart(
        index=index,
        kind=kind,
        call_id=f"call_{index}" if kind == "tool_call" else "",
        name="f" if kind == "tool_call" else "",
        tool_kind=draw(st.sampled_from(["function", "custom"])),
    )
    makers: dict[str, Any] = {
        "text": ev.TextDelta,
        "refusal": ev.RefusalDelta,
        "tool_call": ev.ToolCallDelta,
        "search": lambda i, piece: ev.SearchResult(i, {"query": piece}),
        "image": lambda i, piece: ev.ImageDelta(i, piece, "image/png", draw(st.booleans())),
    }
    if kind == "reasoning":
        deltas: list[Any] = [ev.ReasoningDelta(index, piece, part) for part, piece in enumerate(pieces)]
    else:
        deltas = [] if kind == "opaque" else [makers[kind](index, piece) for piece in pieces]
    return [start, *deltas, ev.BlockStop(index=index)]


@st.composite
def answers(draw: Any) -> list[ev.Event]:
    """Blocks one after the other, but tool calls interleaved with what follows them."""
    events: list[ev.Event] = [ev.Start(id="r")]
    waiting: list[list[ev.Event]] = []
    for index in range(draw(st.integers(0, 6))):
        block = draw(blocks(index))
        if block[0].kind == "tool_call" and draw(st.booleans()):  # type: ignore[union-attr]
            events.append(block[0])
            waiting.append(block[1:])
            continue
        for event in block:
            if waiting and draw(st.booleans()):
                queue = waiting[draw(st.integers(0, len(waiting) - 1))]
                events.append(queue.pop(0))
                waiting = [rest for rest in waiting if rest]
            events.append(event)
    events += [event for queue in waiting for event in queue]
    usage = draw(st.none() | st.just(Usage(input_tokens=3, output_tokens=2)))
    return [*events, ev.Stop(finish_reason=draw(REASONS), usage=usage)]


def accumulate(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up lines as clients do: text and thinking concatenate, calls and images gather, the last line is kept."""
    *early, last = lines
    assert all(line["done"] is False for line in early) and last["done"] is True
    if "message" not in last:
        whole = dict(last)
        for line in early:
            whole["response"] += line["response"]
            if "thinking" in line:
                whole["thinking"] = whole.get("thinking", "") + line["thinking"]
            if "image" in line:
                whole.setdefault("image", line["image"])
        return whole
    message: dict[str, Any] = dict(last["message"])
    for line in early:
        for key, value in line["message"].items():
            if key != "role":
                message[key] = message[key] + value if key in message else value
    return {**last, "message": message}


@settings(max_examples=200, deadline=None)
@given(answers(), PATHS, THINK)
def test_the_lines_add_up_to_the_collected_answer(app: Any, events: list[ev.Event], path: str, think: Any):
    grammar.check(events)
    data = app.stream(events, path, think=think)
    assert CODEC.encoder(app.open(path, think=think)).encode(events) == data
    assert accumulate(app.parse(data)) == app.collect(events, path, think=think)


@settings(max_examples=100, deadline=None)
@given(answers(), PATHS, st.data())
def test_a_cut_answer_ends_with_an_error_and_is_never_done(app: Any, events: list[ev.Event], path: str, data: Any):
    cut = data.draw(st.integers(1, len(events) - 1))
    lines = app.lines([*events[:cut], ev.Error(UpstreamFailed("gone"))], path)
    assert lines[-1] == {"error": "gone"}
    assert all(line["done"] is False for line in lines[:-1])
