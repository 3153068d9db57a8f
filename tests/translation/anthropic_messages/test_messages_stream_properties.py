"""Random legal answers: the client's grammar holds, the stream adds up to the collected message, and it ends once."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from translation.errors import UpstreamFailed
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.usage import Usage
from translation.protocols.anthropic_messages import CODEC

WORDS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12)
REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal"])
KINDS = st.sampled_from(["text", "refusal", "reasoning", "tool_call", "image", "search", "opaque"])
BODIES = st.sampled_from(
    [
        {},
        {"thinking": {"type": "adaptive"}},
        {"thinking": {"type": "adaptive", "display": "omitted"}},
        {"thinking": {"type": "disabled"}, "tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    ]
)
MAKERS: dict[str, Any] = {
    "text": ev.TextDelta,
    "refusal": ev.RefusalDelta,
    "search": lambda index, piece: ev.SearchResult(index, {"query": piece, "sources": [{"url": piece}]}),
    "image": lambda index, piece: ev.ImageDelta(index, piece),
}


@st.composite
def deltas(draw: Any, kind: str, tool_kind: str, index: int) -> list[ev.Event]:
    if kind == "opaque":
        return []
    pieces = draw(st.lists(WORDS, max_size=4))
    if kind == "tool_call":
        if tool_kind == "function":
            text = orjson.dumps(draw(st.dictionaries(WORDS, WORDS, max_size=2))).decode()
            at = draw(st.integers(0, len(text)))
            pieces = [piece for piece in (text[:at], text[at:]) if piece]
        return [ev.ToolCallDelta(index, piece) for piece in pieces]
    if kind == "reasoning":
        return [ev.ReasoningDelta(index, piece, part) for part, piece in enumerate(pieces)]
    made: list[ev.Event] = [MAKERS[kind](index, piece) for piece in pieces]
    if kind == "text" and draw(st.booleans()):
        made.append(ev.Citation(index, {"type": "url_citation", "url": "https://a"}))
    return made


@st.composite
def blocks(draw: Any, index: int) -> list[ev.Event]:
    kind, tool_kind = draw(KINDS), draw(st.sampled_from(["function", "custom"]))
    is_call = kind == "tool_call"
    start = ev.BlockStart(
        index=index, kind=kind, item_id=f"item_{index // 2}", call_id=f"call.{index}" if is_call else "",
        name="f" if is_call else "", tool_kind=tool_kind,
    )  # fmt: skip
    proof = ev.Proof("openai-responses", "gAAAA") if kind == "reasoning" and draw(st.booleans()) else None
    return [start, *draw(deltas(kind, tool_kind, index)), ev.BlockStop(index=index, proof=proof)]


@st.composite
def answers(draw: Any) -> list[ev.Event]:
    """Blocks in any legal interleaving: each begins in turn, and goes on whenever it likes."""
    waiting = [draw(blocks(index)) for index in range(draw(st.integers(0, 6)))]
    running: list[list[ev.Event]] = []
    events: list[ev.Event] = [ev.Start(id="r")]
    while waiting or running:
        at = draw(st.integers(0, len(running))) if waiting else draw(st.integers(0, len(running) - 1))
        if at == len(running):
            running.append(waiting.pop(0))
        events.append(running[at].pop(0))
        running = [block for block in running if block]
    usage = draw(st.none() | st.just(Usage(input_tokens=3, output_tokens=2)))
    return [*events, ev.Stop(finish_reason=draw(REASONS), usage=usage)]


@settings(max_examples=200, deadline=None)
@given(answers(), BODIES, st.data())
def test_the_stream_adds_up_to_the_collected_message(
    messages: Any, parse: Any, grammar_of: Any, added_up: Any, events: list[ev.Event], body: dict[str, Any], data: Any
):
    grammar.check(events)
    stream = messages.stream(events, **body)
    frames = parse(stream)
    grammar_of(frames)
    streamed, collected = added_up(frames), messages.collect(events, **body)
    minted = {"id": "msg_"}  # ids are minted in the order in which they are needed
    assert streamed | minted == collected | minted
    encoder = CODEC.encoder(messages.open(stream=True, **body))
    at = data.draw(st.integers(0, len(events)))
    assert encoder.encode(events[:at]) + encoder.encode(events[at:]) == stream


@settings(max_examples=100, deadline=None)
@given(answers(), st.data())
def test_a_cut_answer_ends_with_an_error_and_never_looks_complete(
    messages: Any, parse: Any, grammar_of: Any, events: list[ev.Event], data: Any
):
    cut = data.draw(st.integers(1, len(events) - 1))
    frames = parse(messages.stream([*events[:cut], ev.Error(UpstreamFailed("gone"))], thinking={"type": "adaptive"}))
    grammar_of(frames)
    assert frames[-1]["type"] == "error"
