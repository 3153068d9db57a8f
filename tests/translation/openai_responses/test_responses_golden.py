"""Every golden transcript through decoder, tap and encoder, however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from translation.codec import WireContext
from translation.errors import GatewayError
from translation.ir import grammar
from translation.ir.response import Fold
from translation.protocols.openai_responses import CODEC
from translation.wire.ids import counting_ids

CODEC_NAME = "openai-responses"


def opened():
    context = WireContext(now_s=1_787_000_000.0, ids=counting_ids())
    return CODEC.open_request(b'{"model":"my-model","input":"hi","stream":true}', context)


def described(error):
    return {"error": type(error).__name__, "status": error.status, "code": error.code, "message": error.message}


def without_errors(events):
    """Errors compare by identity; what they say is compared instead."""
    return [described(event.error) if hasattr(event, "error") else event for event in events]


def test_it_decodes_every_transcript_to_the_recorded_events(
    golden, responses, cuts, events_as_jsonl, openai_responses_case
):
    case = golden(CODEC_NAME, openai_responses_case)
    for chunks in cuts(case.stream):
        case.expect("stream.ir.jsonl", events_as_jsonl(responses.events(chunks)))


def test_it_collects_every_transcript_to_the_recorded_body(golden, responses, cuts, openai_responses_case):
    case = golden(CODEC_NAME, openai_responses_case)
    for chunks in cuts(case.stream):
        relayed = responses.tap(chunks)
        try:
            body = json.loads(relayed.tap.collected())
        except GatewayError as error:
            body = described(error)
        case.expect("collected.json", json.dumps(body, indent=1, ensure_ascii=False) + "\n")


def test_the_tap_writes_the_same_bytes_however_the_stream_is_cut(golden, responses, cuts, openai_responses_case):
    stream = golden(CODEC_NAME, openai_responses_case).stream
    outputs = {responses.tap(chunks).output for chunks in cuts(stream)}
    assert len(outputs) == 1


def test_what_the_tap_passes_on_decodes_to_the_same_events(golden, responses, openai_responses_case):
    stream = golden(CODEC_NAME, openai_responses_case).stream
    direct, relayed = responses.events([stream]), responses.tap([stream])
    through = responses.events([relayed.output])
    names = {"Opaque", "Ping", "Start"}
    kept = [[event for event in events if type(event).__name__ not in names] for events in (direct, through)]
    if relayed.tap.error is None:
        assert kept[0] == kept[1]
    else:
        assert without_errors(kept[0])[:-1] == without_errors(kept[1])[:-1]


def test_the_encoder_round_trips_every_transcript(golden, responses, openai_responses_case):
    """decode(encode(events)) folds to the same answer."""
    events = responses.events([golden(CODEC_NAME, openai_responses_case).stream])
    again = responses.events([CODEC.encoder(opened()).encode(events)])
    fold, fold_again = Fold(), Fold()
    fold.feed(events)
    fold_again.feed(again)
    if fold.error is not None:
        assert fold_again.error is not None
        return
    first, second = fold.result(), fold_again.result()
    by_index = sorted(first.blocks, key=lambda block: block.start.index)
    for one, other in zip(by_index, second.blocks, strict=True):
        assert (one.kind, one.text, one.parts, one.channels) == (other.kind, other.text, other.parts, other.channels)
        assert (one.citations, one.action, one.item) == (other.citations, other.action, other.item)
        assert [image.data for image in one.images] == [image.data for image in other.images]
        assert one.proof == other.proof
        if one.kind == "tool_call":
            assert (one.start.call_id, one.start.name) == (other.start.call_id, other.start.name)
    assert first.finish_reason == second.finish_reason
    assert first.usage == second.usage


def test_a_collected_answer_equals_the_streamed_one(golden, responses, openai_responses_case):
    events = responses.events([golden(CODEC_NAME, openai_responses_case).stream])
    encoder = CODEC.encoder(opened())
    encoder.encode(events)
    if encoder.error is not None:
        assert encoder.final["status"] == "failed"
        return
    collected = json.loads(CODEC.encode_response(responses.fold(events), opened()))
    streamed = json.loads(json.dumps(encoder.final))
    for item in (*collected["output"], *streamed["output"]):
        item["id"] = "minted in another order"
    assert collected == streamed


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_cuts_change_nothing(golden, responses, openai_responses_case, data):
    stream = golden(CODEC_NAME, openai_responses_case).stream
    points = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    edges = [0, *points, len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(edges)]
    whole, cut = responses.events([stream]), responses.events(chunks)
    grammar.check(cut)
    assert without_errors(whole) == without_errors(cut)
    assert responses.tap([stream]).output == responses.tap(chunks).output
