"""Real client bodies and what they mean; and what Responses events become for a Chat client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson

from translation import registry
from translation.codec import Quirks, RelayTarget, WireContext
from translation.ir import events as ev
from translation.passes.pipeline import prepare
from translation.protocols.openai_chat import CODEC
from translation.wire.ids import counting_ids

GOLDEN = Path(__file__).parents[2] / "golden"
CODEX = Quirks(subset=True, efforts=("low", "medium", "high", "xhigh"))


def upstream_body(opened: Any) -> dict[str, Any]:
    """What the Codex backend would get."""
    prepared = prepare(CODEC.decode_request(opened), CODEX)
    target = RelayTarget(model="gpt-5.5", quirks=CODEX)
    return orjson.loads(registry.get_upstream("openai-responses").encode_request(prepared.request, target))


def decode_upstream(data: bytes) -> list[ev.Event]:
    decoder = registry.get_upstream("openai-responses").decoder()
    return [*decoder.feed(data), *decoder.finish()]


def test_a_real_body_means_what_it_meant(golden, openai_chat_case):
    body = (GOLDEN / "openai-chat" / openai_chat_case / "request.json").read_bytes()
    request = CODEC.decode_request(CODEC.open_request(body, WireContext(ids=counting_ids())))
    text = msgspec.json.format(msgspec.json.encode(request), indent=1).decode() + "\n"
    golden("openai-chat", openai_chat_case).expect("request.ir.json", text)


def test_a_real_body_becomes_a_body_of_known_keys(openai_chat_case):
    body = (GOLDEN / "openai-chat" / openai_chat_case / "request.json").read_bytes()
    sent = upstream_body(CODEC.open_request(body, WireContext(ids=counting_ids())))
    assert sent["store"] is False and sent["stream"] is True and sent["input"]
    assert not {"temperature", "max_tokens", "messages", "user", "stop"} & set(sent)


def responses(*frames: dict[str, Any]) -> list[ev.Event]:
    """Write Responses events as SSE, and decode them."""
    head = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 1}}
    data = b"".join(b"event: %b\ndata: %b\n\n" % (f["type"].encode(), orjson.dumps(f)) for f in (head, *frames))
    return decode_upstream(data)


def completed(*output: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": list(output)}}


CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}


def calls_of(chat: Any, events: list[ev.Event]) -> list[dict[str, Any]]:
    found = [delta.get("tool_calls", ()) for delta in _deltas(chat.chunks(events))]
    return [call for calls in found for call in calls]


def _deltas(chunks: list[Any]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk != "[DONE]"]


HEADER = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
ARGUMENTS = {"index": 0, "function": {"arguments": '{"a":1}'}}


def added(item: dict[str, Any], at: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def done(item: dict[str, Any], at: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": at, "item": item}


def arguments_event(kind: str, text: str, item_id: str = "fc_1", at: int = 0) -> dict[str, Any]:
    key = "delta" if kind == "delta" else "arguments"
    return {"type": f"response.function_call_arguments.{kind}", "item_id": item_id, "output_index": at, key: text}


def test_row_059_arguments_only_in_arguments_done(chat):
    events = responses(added({**CALL, "arguments": ""}), arguments_event("done", '{"a":1}'), completed())
    assert calls_of(chat, events) == [HEADER, ARGUMENTS]


def test_row_060_arguments_only_in_the_item_snapshot(chat):
    events = responses(added({**CALL, "arguments": ""}), done({**CALL, "arguments": '{"a":1}'}), completed())
    assert calls_of(chat, events) == [HEADER, ARGUMENTS]


def test_row_061_a_call_only_in_the_item_snapshot(chat):
    assert calls_of(chat, responses(done({**CALL, "arguments": '{"a":1}'}), completed())) == [HEADER, ARGUMENTS]


def test_row_062_an_unknown_item_id_is_resolved_by_its_output_index(chat):
    second = {**CALL, "id": "fc_2", "call_id": "call_2"}
    events = responses(
        added({**CALL, "arguments": ""}, 0),
        added({**second, "arguments": ""}, 1),
        arguments_event("delta", '{"b":2}', "who", 1),
        arguments_event("delta", '{"a":1}', "fc_1", 0),
        done({**CALL, "arguments": '{"a":1}'}, 0),
        done({**second, "arguments": '{"b":2}'}, 1),
        completed(),
    )
    said = {call["index"]: call["function"]["arguments"] for call in calls_of(chat, events) if "id" not in call}
    assert said == {0: '{"a":1}', 1: '{"b":2}'}


def test_row_064_an_item_id_that_equals_the_call_id_is_one_call(chat):
    same = {**CALL, "id": "call_1"}
    events = responses(
        added({**same, "arguments": ""}),
        arguments_event("delta", '{"a":1}', "call_1"),
        done({**same, "arguments": '{"a":1}'}),
        completed(),
    )
    assert calls_of(chat, events) == [HEADER, ARGUMENTS]


def test_row_065_066_snapshots_repeat_or_contradict(chat):
    for snapshot in ('{"a":1}', '{"z":9}'):
        events = responses(
            added({**CALL, "arguments": ""}),
            arguments_event("delta", '{"a":1}'),
            done({**CALL, "arguments": snapshot}),
            completed(),
        )
        assert calls_of(chat, events) == [HEADER, ARGUMENTS]


def test_row_067_an_empty_custom_delta_and_then_the_input(chat):
    item = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "f"}
    delta = {"type": "response.custom_tool_call_input.delta", "item_id": "ctc_1", "output_index": 0, "delta": ""}
    events = responses(added({**item, "input": ""}), delta, done({**item, "input": "raw"}), completed())
    assert [call.get("custom", {}).get("input") for call in calls_of(chat, events)] == ["", "raw"]


# ---- requests, all the way ------------------------------------------------------------------------------------------

PNG = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def call_turn(content: Any) -> list[dict[str, Any]]:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": content},
    ]


def test_row_010_011_013_what_the_backend_gets(chat):
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}]
    opened = chat.open(
        messages=call_turn(content), tools=[TOOL], parallel_tool_calls=False, service_tier="fast", stop="X"
    )
    body = upstream_body(opened)
    assert body["parallel_tool_calls"] is False and body["service_tier"] == "priority" and "stop" not in body
    assert [item["type"] for item in body["input"]] == ["message", "function_call", "function_call_output"]
    assert body["input"][2]["output"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": PNG, "detail": "high"},
    ]
    assert body["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
    ]


def test_row_048_limits_and_knobs_never_leave(chat):
    body = upstream_body(chat.open(max_tokens=5, temperature=1, top_p=0.5, user="u", metadata={"a": "b"}, seed=1))
    assert not {"max_tokens", "max_output_tokens", "temperature", "top_p", "user", "metadata", "seed"} & set(body)


def test_the_bodies_of_a_growing_conversation_share_their_beginning(chat):
    messages = call_turn("r")
    before = upstream_body(chat.open(messages=messages, tools=[TOOL]))["input"]
    grown = [*messages, {"role": "assistant", "content": "done"}, {"role": "user", "content": "more"}]
    assert upstream_body(chat.open(messages=grown, tools=[TOOL]))["input"][: len(before)] == before
