"""Random legal answers: every chunk is valid, the stream adds up to the collected answer, and it ends exactly once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from translation.errors import UpstreamFailed
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.usage import Usage
from translation.protocols.openai_chat import CODEC

WORDS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12)
REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal"])


@st.composite
def blocks(draw: Any, index: int) -> list[ev.Event]:
    kind = draw(st.sampled_from(["text", "refusal", "reasoning", "tool_call", "image", "search"]))
    pieces = draw(st.lists(WORDS.filter(bool), max_size=4))
    start = ev.BlockStart(
        index=index,
        kind=kind,
        item_id=f"item_{index}",
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
    else:
        deltas = [makers[kind](index, piece) for piece in pieces]
    if kind == "text" and draw(st.booleans()):
        deltas.append(ev.Citation(index, {"type": "url_citation", "url": "u", "start_index": 0, "end_index": 1}))
    proof = ev.Proof("openai-responses", "gAAAA") if kind == "reasoning" and draw(st.booleans()) else None
    return [start, *deltas, ev.BlockStop(index=index, proof=proof)]


@st.composite
def answers(draw: Any) -> list[ev.Event]:
    """Blocks one after the other, but tool calls interleaved with what follows them."""
    count = draw(st.integers(0, 6))
    events: list[ev.Event] = [ev.Start(id="r")]
    waiting: list[ev.Event] = []
    for index in range(count):
        block = draw(blocks(index))
        if block[0].kind == "tool_call" and draw(st.booleans()):  # type: ignore[union-attr]
            events.append(block[0])
            waiting += block[1:]
            continue
        for event in block:
            if waiting and draw(st.booleans()):
                events.append(waiting.pop(0))
            events.append(event)
    usage = draw(st.none() | st.just(Usage(input_tokens=3, output_tokens=2)))
    return [*events, *waiting, ev.Stop(finish_reason=draw(REASONS), usage=usage)]


def accumulate(chunks: list[Any]) -> dict[str, Any]:
    """Add up chunks as the SDKs do: strings concatenate, indexed lists merge."""
    message: dict[str, Any] = {}
    finish = None
    for chunk in chunks:
        (choice,) = chunk["choices"]
        _merge(message, choice["delta"])
        finish = choice["finish_reason"] or finish
    return {"message": message, "finish_reason": finish}


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if isinstance(value, list):
            known = into.setdefault(key, [])
            for entry in value:
                at = entry.get("index")
                if at is None or at >= len(known):
                    known.append({})
                _merge(
                    known[-1 if at is None else at],
                    {k: v for k, v in entry.items() if k != "index" or key != "tool_calls"},
                )
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        elif isinstance(value, str) and isinstance(into.get(key), str):
            into[key] += value
        else:
            into[key] = value


@settings(max_examples=150, deadline=None)
@given(answers(), st.sampled_from([{}, {"user-agent": "Cursor/1"}]))
def test_the_stream_adds_up_to_the_collected_answer(chat: Any, events: list[ev.Event], headers: dict[str, str]):
    grammar.check(events)
    data = chat.stream(events, headers)
    assert CODEC.encoder(chat.open(headers, stream=True)).encode(events) == data
    assert data.count(b"data: [DONE]\n\n") == 1 and data.endswith(b"data: [DONE]\n\n")
    chunks = chat.parse(data)[:-1]
    added = accumulate(chunks)
    choice = chat.collect(events, headers)["choices"][0]
    message = {key: value for key, value in choice["message"].items() if value is not None}
    message.setdefault("content", "")
    assert added == {"message": message, "finish_reason": choice["finish_reason"]}


@settings(max_examples=100, deadline=None)
@given(answers(), st.data())
def test_a_cut_answer_ends_with_an_error_and_never_with_a_finish(chat: Any, events: list[ev.Event], data: Any):
    cut = data.draw(st.integers(1, len(events) - 1))
    chunks = chat.chunks([*events[:cut], ev.Error(UpstreamFailed("gone"))])
    assert chunks[-1] == "[DONE]" and chunks[-2]["error"]["message"] == "gone"
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-2])
