"""Random legal answers: every chunk is valid, the stream adds up to the collected answer, and it ends exactly once."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from translation.errors import UpstreamFailed
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.usage import Usage
from translation.protocols.gemini import CODEC

WORDS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12)
REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal"])
BODIES = st.sampled_from(
    [{}, {"tools": [{"googleSearch": {}}]}, {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}]
)


@st.composite
def blocks(draw: Any, index: int) -> list[ev.Event]:
    kind = draw(st.sampled_from(["text", "refusal", "reasoning", "tool_call", "image", "search"]))
    pieces = draw(st.lists(WORDS.filter(bool), max_size=4))
    start = ev.BlockStart(
        index=index,
        kind=kind,
        call_id=f"call_{index}" if kind == "tool_call" else "",
        name=draw(st.sampled_from(["f", "g"])) if kind == "tool_call" else "",
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
    elif kind == "search":
        deltas = [makers[kind](index, piece) for piece in pieces[:1]]
    else:
        deltas = [makers[kind](index, piece) for piece in pieces]
    if kind == "text" and draw(st.booleans()):
        deltas.append(ev.Citation(index, {"type": "url_citation", "url": "u", "start_index": 0, "end_index": 1}))
    proof = ev.Proof("openai-responses", f"gAAAA{index}") if kind == "reasoning" and draw(st.booleans()) else None
    return [start, *deltas, ev.BlockStop(index=index, proof=proof)]


@st.composite
def answers(draw: Any) -> list[ev.Event]:
    count = draw(st.integers(0, 6))
    events: list[ev.Event] = [ev.Start(id="r")]
    for index in range(count):
        events += draw(blocks(index))
    usage = draw(st.none() | st.just(Usage(input_tokens=3, output_tokens=2)))
    return [*events, ev.Stop(finish_reason=draw(REASONS), usage=usage)]


def accumulate(chunks: list[Any]) -> dict[str, Any]:
    """Add up chunks as clients do: adjacent texts of a kind join, other parts follow each other."""
    parts: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    for chunk in chunks:
        (candidate,) = chunk["candidates"]
        last = {key: value for key, value in chunk.items() if key != "candidates"}
        last |= {key: candidate.get(key) for key in ("finishReason", "groundingMetadata")}
        for part in candidate["content"]["parts"]:
            _join(parts, part)
    return {"parts": parts, **last}


def _join(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    if part.get("text") == "":
        return
    before = parts[-1] if parts else {}
    is_same_kind = "text" in part and "text" in before and before.get("thought") == part.get("thought")
    if is_same_kind and "thoughtSignature" not in part:
        before["text"] += part["text"]
        return
    parts.append(dict(part))


@settings(max_examples=150, deadline=None)
@given(answers(), BODIES)
def test_the_stream_adds_up_to_the_collected_answer(gemini: Any, events: list[ev.Event], body: dict[str, Any]):
    grammar.check(events)
    data = gemini.stream(events, **body)
    assert CODEC.encoder(gemini.open("streamGenerateContent", {"alt": "sse"}, **body)).encode(events) == data
    chunks = gemini.parse(data)
    assert orjson.loads(gemini.stream(events, {}, **body)) == chunks
    assert [("finishReason" in chunk["candidates"][0]) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    collected = gemini.collect(events, **body)
    if "candidates" not in collected:
        assert not gemini.parts(chunks)
        return
    whole = accumulate([collected])
    assert accumulate(chunks) == whole


@settings(max_examples=100, deadline=None)
@given(answers(), st.data())
def test_a_cut_answer_ends_with_an_error_and_never_with_a_finish(gemini: Any, events: list[ev.Event], data: Any):
    cut = data.draw(st.integers(1, len(events) - 1))
    broken = [*events[:cut], ev.Error(UpstreamFailed("gone"))]
    for chunks in (gemini.chunks(broken), gemini.elements(broken)):
        assert chunks[-1]["error"]["message"] == "gone"
        assert all("finishReason" not in chunk["candidates"][0] for chunk in chunks[:-1])
