"""What the client encoder of Chat writes, the decoder for providers reads back: one gateway behind another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from translation.ir import events as ev
from translation.ir.grammar import check
from translation.ir.response import Fold, GenerateResponse
from translation.ir.usage import Usage
from translation.protocols.openai_chat import CODEC
from translation.shared.proofs import CODEX_ORIGIN

ALPHABET = 'ab \n"\\{}[]:\u00e4\u2028\U0001f30d'
"""What framing and JSON could stumble over."""

TEXTS = st.lists(st.text(ALPHABET, min_size=1, max_size=12), min_size=1, max_size=4)
COUNTS = st.integers(min_value=0, max_value=10**9)
USAGES = st.builds(
    Usage, input_tokens=COUNTS, cached_tokens=COUNTS, output_tokens=COUNTS, reasoning_tokens=COUNTS, total_tokens=COUNTS
)


@st.composite
def answers(draw: st.DrawFn) -> list[ev.Event]:
    """An answer in the order models give: thoughts, text or a refusal, calls."""
    events: list[ev.Event] = [ev.Start(id="resp_1", model="m", created=1)]
    index = 0
    if draw(st.booleans()):
        events.append(ev.BlockStart(index=index, kind="reasoning", item_id="rs_1"))
        events += [ev.ReasoningDelta(index, text) for text in draw(TEXTS)]
        proof = ev.Proof(CODEX_ORIGIN, "gAAAA") if draw(st.booleans()) else None
        events.append(ev.BlockStop(index=index, proof=proof))
        index += 1
    kind = draw(st.sampled_from(["", "text", "refusal"]))
    if kind:
        delta = ev.TextDelta if kind == "text" else ev.RefusalDelta
        events.append(ev.BlockStart(index=index, kind=kind))  # type: ignore[arg-type]
        events += [delta(index, text) for text in draw(TEXTS)]
        events.append(ev.BlockStop(index=index))
        index += 1
    calls = draw(st.integers(min_value=0, max_value=3))
    for number in range(calls):
        tool_kind = draw(st.sampled_from(["function", "custom"]))
        events.append(
            ev.BlockStart(index=index, kind="tool_call", call_id=f"call_{number}", name="f", tool_kind=tool_kind)  # type: ignore[arg-type]
        )
        events += [ev.ToolCallDelta(index, text) for text in draw(TEXTS)]
        events.append(ev.BlockStop(index=index))
        index += 1
    reason = "tool_calls" if calls else draw(st.sampled_from(["stop", "length", "content_filter"]))
    if kind == "refusal" and reason == "stop":
        reason = "refusal"
    events.append(ev.Stop(finish_reason=reason, usage=draw(USAGES)))  # type: ignore[arg-type]
    return events


def fold(events: list[ev.Event]) -> GenerateResponse:
    check(events)
    collected = Fold()
    collected.feed(events)
    return collected.result()


def meaning(answer: GenerateResponse) -> tuple[object, ...]:
    blocks = [
        (b.kind, b.text, b.start.call_id, b.start.name, b.start.tool_kind, b.proof and b.proof.value)
        for b in answer.blocks
    ]
    usage = answer.usage
    assert usage is not None
    return (blocks, answer.finish_reason, usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.total)


@given(events=answers(), size=st.integers(min_value=1, max_value=200))
def test_what_the_encoder_writes_the_decoder_reads_back(chat, events, size):
    data = chat.stream(events, stream_options={"include_usage": True})
    decoder = CODEC.decoder()
    back = [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]
    assert meaning(fold(back + decoder.finish())) == meaning(fold(events))


@given(events=answers())
def test_a_collected_answer_is_read_back_too(chat, events):
    body = CODEC.encode_response(fold(events), chat.open())
    decoder = CODEC.decoder()
    back = fold(decoder.feed(body) + decoder.finish())
    assert meaning(back) == meaning(fold(events))
