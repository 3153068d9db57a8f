"""Transcripts of Google's API, after the vendor's documentation: however they are cut, they mean the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from translation import errors
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.response import Fold, GenerateResponse
from translation.protocols.gemini.tap import GeminiTap
from translation.protocols.gemini.upstream_decoder import GeminiDecoder
from translation.wire.ids import counting_ids

SSE = {"alt": "sse"}
STREAM = "streamGenerateContent"
Cuts = Callable[[bytes], Iterator[list[bytes]]]


def decode(pieces: list[bytes]) -> list[ev.Event]:
    decoder = GeminiDecoder(counting_ids())
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.finish()


def answer(golden: Any, case: str) -> GenerateResponse:
    fold = Fold()
    fold.feed(decode([golden("gemini-upstream", case).stream]))
    return fold.result()


def shape(response: GenerateResponse) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in response.blocks]


def failure(golden: Any, case: str) -> errors.GatewayError:
    with pytest.raises(errors.GatewayError) as caught:
        answer(golden, case)
    return caught.value


def as_text(events: list[ev.Event]) -> list[Any]:
    return [(type(e.error), e.error.message) if isinstance(e, ev.Error) else e for e in events]


def uneven(data: bytes) -> Iterator[list[bytes]]:
    for seed in range(20):
        dice = random.Random(seed)
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            size = dice.randint(1, 90)
            pieces.append(data[at : at + size])
            at += size
        yield pieces


def test_a_stream_means_the_same_however_it_is_cut(gemini_upstream_case: str, golden: Any, cuts: Cuts) -> None:
    data = golden("gemini-upstream", gemini_upstream_case).stream
    whole = decode([data])
    grammar.check(whole)
    for pieces in (*cuts(data), *uneven(data)):
        assert as_text(decode(pieces)) == as_text(whole)


def test_events_are_those_on_record(gemini_upstream_case: str, golden: Any, events_as_jsonl: Any) -> None:
    case = golden("gemini-upstream", gemini_upstream_case)
    case.expect("events.jsonl", events_as_jsonl(decode([case.stream])))


def test_text_is_one_block_and_counts_are_inclusive(golden: Any) -> None:
    response = answer(golden, "text")
    assert shape(response) == [("text", "Grüße, 世界 🌍!")]
    assert (response.id, response.model, response.finish_reason) == ("kQ5yaN-rBp", "gemini-2.5-flash", "stop")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total) == (7, 5, 12)


def test_thoughts_are_reasoning_and_count_as_output(golden: Any) -> None:
    response = answer(golden, "thoughts")
    assert shape(response) == [
        ("reasoning", "**Adding**\n\nTwo and two."), ("text", "Four."), ("reasoning", ""),
    ]  # fmt: skip
    assert response.blocks[2].proof == ev.Proof("gemini", "EtYBCtMBAVSoXO==")
    usage = response.usage
    assert usage is not None
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens) == (40, 32, 24, 21)


def test_a_call_keeps_its_id_and_its_signature_comes_before_it(golden: Any) -> None:
    response = answer(golden, "call")
    assert shape(response) == [("reasoning", ""), ("tool_call", '{"city":"Paris","days":2}')]
    assert response.blocks[0].proof == ev.Proof("gemini", "Eq4BCqsBSIGNED")
    assert response.blocks[1].start.call_id == "fc-1"
    assert response.finish_reason == "tool_calls"


def test_parallel_calls_are_blocks_of_their_own(golden: Any) -> None:
    calls = [block for block in answer(golden, "parallel_calls").blocks if block.kind == "tool_call"]
    assert [(call.start.call_id, call.start.name, call.text) for call in calls] == [
        ("fc-1", "get_weather", '{"city":"Paris"}'),
        ("fc-2", "get_weather", '{"city":"Rome"}'),
        ("fc-3", "get_time", "{}"),
    ]


@pytest.mark.parametrize(
    ("case", "reason"),
    [("length", "length"), ("safety", "content_filter"), ("blocked", "refusal"), ("unknown_fields", "stop")],
)
def test_ends_have_their_reason(golden: Any, case: str, reason: str) -> None:
    assert answer(golden, case).finish_reason == reason


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("error_before", errors.UpstreamBusy),
        ("error_within", errors.UpstreamBusy),
        ("error_json", errors.RateLimited),
        ("truncated", errors.UpstreamDisconnected),
        ("cut_frame", errors.UpstreamDisconnected),
        ("malformed_call", errors.UpstreamFailed),
    ],
)
def test_failures_have_their_type(golden: Any, case: str, kind: type[errors.GatewayError]) -> None:
    assert type(failure(golden, case)) is kind


def test_a_picture_is_an_image_block(golden: Any) -> None:
    response = answer(golden, "picture")
    assert [picture.data for picture in response.blocks[1].images] == ["iVBORw0KGgo="]
    assert response.usage is not None and response.usage.image_output_tokens == 1290


def test_sources_count_characters_of_the_text(golden: Any) -> None:
    text, search = answer(golden, "grounding").blocks
    assert text.citations[0]["start_index"] == 0
    assert text.text[: text.citations[0]["end_index"]] == "Zürich is rainy."
    assert search.action is not None and search.action["queries"] == ["zürich weather"]


# ---- the relay -----------------------------------------------------------------------------------------------------

WHOLE = ["text", "thoughts", "call", "parallel_calls", "length", "safety", "blocked", "picture", "grounding",
         "unknown_fields", "error_within"]  # fmt: skip


def relay(opened: Any, pieces: list[bytes]) -> tuple[bytes, GeminiTap]:
    tap = GeminiTap(opened)
    passed = b"".join(tap.feed(piece) for piece in pieces)
    return passed + tap.finish(), tap


@pytest.mark.parametrize("case", WHOLE)
def test_the_relay_changes_no_frame(gemini: Any, golden: Any, cuts: Cuts, case: str) -> None:
    data = golden("gemini-upstream", case).stream
    for pieces in (*cuts(data), *uneven(data)):
        passed, _ = relay(gemini.open(STREAM, SSE), pieces)
        assert passed == data.replace(b"\r\n", b"\n")


def test_the_relay_learns_what_the_decoder_learns(gemini: Any, gemini_upstream_case: str, golden: Any) -> None:
    data = golden("gemini-upstream", gemini_upstream_case).stream
    _, tap = relay(gemini.open(STREAM, SSE), [data])
    last = decode([data])[-1]
    assert tap.done
    if isinstance(last, ev.Stop):
        assert (tap.usage, tap.finish_reason, tap.error) == (last.usage, last.finish_reason, None)
    else:
        assert isinstance(last, ev.Error)
        assert type(tap.error) is type(last.error)


@pytest.mark.parametrize("case", ["truncated", "cut_frame"])
def test_a_cut_stream_ends_with_an_error_that_can_be_read(gemini: Any, golden: Any, case: str) -> None:
    passed, tap = relay(gemini.open(STREAM, SSE), [golden("gemini-upstream", case).stream])
    frames = [orjson.loads(block.removeprefix(b"data: ")) for block in passed.split(b"\n\n") if block]
    assert frames[-1]["error"]["code"] == 504
    assert "candidates" in frames[-2]
    assert isinstance(tap.error, errors.UpstreamDisconnected)


def test_without_events_the_stream_is_one_array(gemini: Any, gemini_upstream_case: str, golden: Any) -> None:
    passed, _ = relay(gemini.open(STREAM), [golden("gemini-upstream", gemini_upstream_case).stream])
    assert isinstance(orjson.loads(passed), list)


def test_a_whole_answer_says_what_the_stream_said(gemini: Any, golden: Any) -> None:
    _, tap = relay(gemini.open(), [golden("gemini-upstream", "parallel_calls").stream])
    body = orjson.loads(tap.collected())
    parts = body["candidates"][0]["content"]["parts"]
    assert [part.get("text") or part["functionCall"]["id"] for part in parts] == ["Looking.", "fc-1", "fc-2", "fc-3"]
    assert parts[1]["thoughtSignature"] == "EqABSIGNED"
    assert body["usageMetadata"]["totalTokenCount"] == 12
    assert body["candidates"][0]["finishReason"] == "STOP"


def test_thoughts_and_text_stay_apart_in_a_whole_answer(gemini: Any, golden: Any) -> None:
    _, tap = relay(gemini.open(), [golden("gemini-upstream", "thoughts").stream])
    parts = orjson.loads(tap.collected())["candidates"][0]["content"]["parts"]
    assert parts[:2] == [{"text": "**Adding**\n\nTwo and two.", "thought": True}, {"text": "Four."}]
    assert parts[2]["thoughtSignature"] == "EtYBCtMBAVSoXO=="


def test_a_failed_whole_answer_raises(gemini: Any, golden: Any) -> None:
    _, tap = relay(gemini.open(), [golden("gemini-upstream", "error_within").stream])
    with pytest.raises(errors.UpstreamBusy):
        tap.collected()
