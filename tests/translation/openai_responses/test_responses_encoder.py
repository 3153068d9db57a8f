"""What Responses clients get when their answer is translated."""

from __future__ import annotations

import json

import orjson

from translation.codec import ModelInfo, Quirks, RelayTarget, WireContext
from translation.errors import UpstreamDisconnected
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.passes.pipeline import prepare, run_inbound
from translation.protocols.openai_responses import CODEC

PAIR = {
    "type": "object",
    "properties": {"pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}},
    "required": ["pair"],
    "additionalProperties": False,
}


def rendered(responses, events, headers=None, **body):
    from tests.translation.openai_responses.conftest import frames_of

    return frames_of(CODEC.encoder(responses.open(headers, stream=True, **body)).encode(events))


def chat_answer(*blocks, **stop):
    """Events as a Chat upstream brings them: no item ids, another vendor's response id."""
    events = [ev.Start(id="chatcmpl-1", model="other"), *blocks]
    return [*events, ev.Stop(**{"finish_reason": "stop", "usage": Usage(input_tokens=1, output_tokens=2), **stop})]


def text_block(index, text):
    return ev.BlockStart(index=index, kind="text"), ev.TextDelta(index, text), ev.BlockStop(index=index)


def test_it_writes_the_whole_ladder_with_dense_numbers(responses):
    frames = rendered(responses, chat_answer(*text_block(0, "Hi")))
    assert [name.removeprefix("response.") for name, _ in frames] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [payload["sequence_number"] for _, payload in frames] == list(range(9))
    final = frames[-1][1]["response"]
    assert (final["model"], final["object"], final["store"]) == ("my-model", "response", False)
    assert final["id"].startswith("resp_")
    assert final["usage"]["total_tokens"] == 3
    assert final["output"] == [frames[-2][1]["item"]]


def test_interleaved_calls_keep_their_output_index(responses):
    calls = [ev.BlockStart(index=index, kind="tool_call", call_id=f"c{index}", name="f") for index in (0, 1)]
    pieces = [ev.ToolCallDelta(0, "a"), ev.ToolCallDelta(1, "b"), ev.ToolCallDelta(0, "c")]
    frames = rendered(responses, chat_answer(*calls, *pieces, ev.BlockStop(index=1), ev.BlockStop(index=0)))
    deltas = [payload["output_index"] for name, payload in frames if name.endswith("arguments.delta")]
    assert deltas == [0, 1, 0]
    assert [item["arguments"] for item in frames[-1][1]["response"]["output"]] == ["ac", "b"]


def test_parts_of_one_message_share_an_item_and_others_do_not(responses):
    one = [ev.BlockStart(index=index, kind="text", item_id="msg_1") for index in (0, 1)]
    blocks = [one[0], ev.BlockStop(index=0), one[1], ev.BlockStop(index=1), *text_block(2, "x"), *text_block(3, "y")]
    output = rendered(responses, chat_answer(*blocks))[-1][1]["response"]["output"]
    assert [len(item["content"]) for item in output] == [2, 1, 1]


def test_a_failure_before_the_start_still_begins_with_created(responses):
    frames = rendered(responses, [ev.Error(UpstreamDisconnected("gone"))])
    assert (frames[0][0], frames[-1][0]) == ("response.created", "response.failed")
    assert frames[-1][1]["response"]["error"]["code"] == "server_error"


def test_a_limit_makes_the_response_incomplete(responses):
    final = rendered(responses, chat_answer(finish_reason="length"))[-1]
    assert final[0] == "response.incomplete"
    assert final[1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_another_vendors_proof_finds_its_way_home(responses):
    proof = ev.Proof("anthropic-messages", "sig.with.dots")
    blocks = [ev.BlockStart(index=0, kind="reasoning"), ev.ReasoningDelta(0, "hm"), ev.BlockStop(index=0, proof=proof)]
    (item,) = rendered(responses, chat_answer(*blocks))[-1][1]["response"]["output"]
    decoded = CODEC.decode_request(responses.open(input=[item]))
    assert decoded.items[0].proof == proof


def test_codex_events_are_shown_to_codex_only(responses):
    events = [ev.Start(id="resp_1"), ev.Opaque("openai-responses", "codex.x", {"type": "codex.x"})]
    assert "codex.x" not in dict(rendered(responses, events))
    assert "codex.x" in dict(rendered(responses, events, {"originator": "codex_exec"}))


def test_row_188_a_tuple_answer_is_whole_in_every_event(responses, script):
    """The whole way: schema out, object back, array in deltas, done events and the final response, all with ids."""
    text = {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": PAIR}}
    opened = responses.open(stream=True, text=text)
    quirks = Quirks(subset=True)
    prepared = prepare(CODEC.decode_request(opened), quirks)
    sent = orjson.loads(CODEC.encode_request(prepared.request, RelayTarget(model="m", quirks=quirks)))
    assert "prefixItems" not in json.dumps(sent)
    answer = '{"pair":{"0":"a","1":2}}'
    events = responses.events([script.created().message().text(*answer).message_done(answer).end().data])
    from tests.translation.openai_responses.conftest import frames_of

    frames = dict(frames_of(CODEC.encoder(opened).encode(run_inbound(prepared.inverses, events))))
    delta = frames["response.output_text.delta"]
    assert json.loads(delta["delta"]) == {"pair": ["a", 2]}
    assert {"item_id", "output_index", "content_index", "sequence_number", "logprobs"} <= set(delta)
    said = {
        frames["response.output_text.done"]["text"],
        frames["response.content_part.done"]["part"]["text"],
        frames["response.output_item.done"]["item"]["content"][0]["text"],
        frames["response.completed"]["response"]["output"][0]["content"][0]["text"],
    }
    assert said == {delta["delta"]}


def test_lone_surrogates_do_not_break_the_stream(responses):
    frames = rendered(responses, chat_answer(*text_block(0, "a\udc00b")))
    assert frames[-1][0] == "response.completed"


def test_models_are_listed_in_the_shape_of_the_caller():
    models = [ModelInfo(id="gpt-5.5", efforts=("low", "high"), context_window=10), ModelInfo(id="x", is_hidden=True)]
    plain = json.loads(CODEC.encode_models(models, WireContext()))
    codex = json.loads(CODEC.encode_models(models, WireContext(query={"client_version": "0.169.0"})))
    assert [entry["id"] for entry in plain["data"]] == ["gpt-5.5"]
    assert [entry["slug"] for entry in codex["models"]] == ["gpt-5.5"]
    assert json.loads(CODEC.encode_model(models[0], WireContext()))["object"] == "model"
