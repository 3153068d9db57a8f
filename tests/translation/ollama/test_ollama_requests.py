"""Bodies of /api/chat and /api/generate, down to what the backend gets. Rows: spec/translation.md §15.7."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from translation.errors import ClientError
from translation.ir.request import ImagePart, Message, TextPart, ToolResult
from translation.shared.data_urls import MAX_INLINE_IMAGE_BYTES

GENERATE = "/api/generate"
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(20)).decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}}


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_row_211_two_calls_of_one_tool_take_their_results_in_order(app):
    messages = [
        {"role": "user", "content": "add"},
        {"role": "assistant", "content": "", "tool_calls": [call("add", a=1), call("add", a=2), call("sub", a=3)]},
        {"role": "tool", "tool_name": "add", "content": "one"},
        {"role": "tool", "name": "sub", "content": "three"},
        {"role": "tool", "tool_name": "add", "content": "two"},
    ]
    items = app.upstream(messages=messages, tools=[TOOL])["input"]
    calls = {item["call_id"]: item["arguments"] for item in items if item["type"] == "function_call"}
    results = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
    assert len(calls) == 3
    assert {calls[call_id]: output for call_id, output in results.items()} == {
        '{"a":1}': "one",
        '{"a":2}': "two",
        '{"a":3}': "three",
    }


def test_row_212_a_bare_base64_image_says_what_it_is(app):
    (message,) = app.decode(messages=[{"role": "user", "content": "see", "images": [JPEG, PNG]}]).items
    assert message == Message(
        "user",
        (
            TextPart("see"),
            ImagePart(url=f"data:image/jpeg;base64,{JPEG}"),
            ImagePart(url=f"data:image/png;base64,{PNG}"),
        ),
    )


def test_row_213_images_beside_the_messages_belong_to_the_last_user_message(app):
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "go on"},
    ]
    items = app.decode(messages=messages, images=[PNG]).items
    assert [len(item.parts) for item in items] == [1, 1, 2, 1]
    assert isinstance(items[2].parts[1], ImagePart)


def test_row_216_think_false_means_none_whatever_the_default(app):
    assert app.decode(think=False).reasoning.effort == "none"
    assert app.upstream(think=False)["reasoning"]["effort"] == "none"


@pytest.mark.parametrize("model", ["gpt-5.5:latest", " gpt-5.5 ", "gpt-5.5"])
def test_row_217_the_tag_latest_is_no_other_model(app, model):
    opened = app.open(model=model)
    assert opened.model == "gpt-5.5"
    assert app.parse(app.stream([], model=model)) == []


@pytest.mark.parametrize("messages", [[], None])
def test_row_218_an_empty_chat_only_loads_the_model(app, messages):
    opened = app.open(messages=messages, model="gpt-5.5:latest")
    assert orjson.loads(opened.answer) == {
        "model": "gpt-5.5:latest",
        "created_at": "2025-11-23T12:13:20.750000000Z",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "load",
    }


def test_row_218_an_empty_prompt_only_loads_the_model(app):
    answer = orjson.loads(app.open(GENERATE, prompt="").answer)
    assert answer["response"] == "" and answer["done_reason"] == "load" and answer["done"] is True


def test_a_model_can_be_let_go(app):
    assert orjson.loads(app.open(GENERATE, prompt="", keep_alive=0).answer)["done_reason"] == "unload"
    assert app.open(keep_alive=0).answer is None


# ---- messages -------------------------------------------------------------------------------------------------------


def test_leading_system_messages_are_instructions_and_later_ones_stay_in_place(app):
    request = app.decode(
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "now be long"},
        ]
    )
    assert request.instructions == ("be brief",)
    assert [item.role for item in request.items] == ["user", "developer"]


def test_only_instructions_still_are_a_question(app):
    request = app.decode(messages=[{"role": "system", "content": "be brief"}])
    assert request.items == (Message("user", (TextPart(""),)),)


def test_an_unknown_role_is_somebody_who_talks(app):
    (item,) = app.decode(messages=[{"role": "control", "content": "hm"}]).items
    assert item.role == "user"


def test_thinking_sent_back_is_left_out(app):
    items = app.decode(
        messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "thinking": "because"}]
    ).items
    assert [type(item) for item in items] == [Message, Message]


def test_ids_are_used_where_a_client_has_them(app):
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [{"id": "c1", **call("f")}, {"id": "c2", **call("f")}]},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
    ]
    items = app.upstream(messages=messages)["input"]
    assert [(i["call_id"], i["output"]) for i in items[3:]] == [("c2", "two"), ("c1", "one")]


def test_a_result_may_be_json_or_hold_a_picture(app):
    head = [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call("f")]}]
    items = app.decode(messages=[*head, {"role": "tool", "tool_name": "f", "content": {"a": 1}}]).items
    assert isinstance(items[2], ToolResult) and items[2].parts == (TextPart('{"a":1}'),)
    items = app.decode(messages=[*head, {"role": "tool", "tool_name": "f", "content": "x", "images": [PNG]}]).items
    assert [type(part) for part in items[2].parts] == [TextPart, ImagePart]


def test_arguments_may_be_text_already(app):
    calls = [{"function": {"name": "f", "arguments": '{"a": 1}'}}, {"function": {"name": "g"}}]
    items = app.decode(messages=[{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": calls}]).items
    assert [item.arguments for item in items[1:]] == ['{"a": 1}', "{}"]


def test_parts_as_openai_writes_them_are_read(app):
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]
    (item,) = app.decode(messages=[{"role": "user", "content": content}]).items
    assert item.parts == (TextPart("see"), ImagePart(url="https://x.test/a.png"))


@pytest.mark.parametrize("image", [f"data:image/png;base64,{PNG}", f" {PNG}\n", "https://x.test/a.png"])
def test_images_come_as_data_urls_and_addresses_too(app, image):
    (item,) = app.decode(messages=[{"role": "user", "images": [image]}]).items
    assert isinstance(item.parts[0], ImagePart)


# ---- generate -------------------------------------------------------------------------------------------------------


def test_a_prompt_is_one_user_message(app):
    request = app.decode(GENERATE, prompt="why", system="be brief", images=[PNG])
    assert request.instructions == ("be brief",)
    (item,) = request.items
    assert item.parts == (TextPart("why"), ImagePart(url=f"data:image/png;base64,{PNG}"))


def test_a_suffix_asks_for_what_is_between(app):
    request = app.decode(GENERATE, prompt="def f(", suffix="return 1")
    assert "return 1" in request.instructions[0] and request.items == (Message("user", (TextPart("def f("),)),)


def test_a_prompt_has_no_tools(app):
    assert app.decode(GENERATE, tools=[TOOL]).tools is None


# ---- knobs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("think", "effort"), [(True, "medium"), ("true", "medium"), ("High", "high"), ("low", "low"), ("xhigh", "xhigh")]
)
def test_thinking_has_levels_and_is_shown(app, think, effort):
    reasoning = app.decode(think=think).reasoning
    assert (reasoning.effort, reasoning.summary) == (effort, "auto")


@pytest.mark.parametrize("think", [None, "", 3, {}])
def test_no_word_about_thinking_leaves_it_to_the_model(app, think):
    assert app.decode(think=think).reasoning is None


def test_json_mode_and_schemas(app):
    assert app.upstream(format="json")["text"]["format"] == {"type": "json_object"}
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    sent = app.upstream(format=schema)["text"]["format"]
    assert sent["name"] == "ollama_schema" and sent["strict"] is True
    assert sent["schema"] == {**schema, "additionalProperties": False}


def test_a_schema_with_optional_fields_is_not_made_strict(app):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    sent = app.upstream(format=schema)["text"]["format"]
    assert sent["strict"] is False and sent["schema"] == schema


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_format_is_none(app, value):
    assert app.decode(format=value).output_format is None


def test_tools_are_never_strict_and_the_first_of_a_name_counts(app):
    tools = app.upstream(tools=[TOOL, {**TOOL["function"], "description": "other"}, {"name": "flat"}])["tools"]
    assert [(tool["name"], tool["strict"]) for tool in tools] == [("add", False), ("flat", False)]
    assert tools[0]["description"] == "adds"
    assert app.decode(tools=[]).tools is None


def test_options_are_read_or_listed(app):
    request = app.decode(
        options={"temperature": 0.5, "num_predict": -1, "num_ctx": 4096, "stop": "X", "seed": "no"}, keep_alive="5m"
    )
    assert request.sampling.temperature == 0.5 and request.sampling.stop == ("X",) and request.sampling.seed is None
    assert request.max_output_tokens is None
    assert request.dropped == ("keep_alive", "options.num_ctx")
    assert app.decode(options={"num_predict": 7, "stop": ["a", "", 3]}).max_output_tokens == 7


def test_knobs_never_leave(app):
    body = app.upstream(options={"temperature": 1, "num_predict": 5, "stop": "X"}, keep_alive=3)
    assert not {"temperature", "max_output_tokens", "stop", "options", "keep_alive"} & set(body)


def test_null_is_absent_everywhere(app):
    names = ("stream", "format", "options", "tools", "think", "images", "keep_alive", "logprobs")
    opened = app.open(**dict.fromkeys(names))
    assert opened.stream is True and opened.answer is None
    app.decode(**dict.fromkeys(names))


def test_streaming_is_the_default(app):
    assert app.open().stream is True and app.open(stream=False).stream is False


def test_a_conversation_keeps_its_anchor_and_another_has_another(app):
    first = [{"role": "user", "content": "hi"}]
    later = [*first, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "more"}]
    anchors = {app.open(messages=messages).identity.anchor for messages in (first, later)}
    assert len(anchors) == 1 and None not in anchors
    assert app.open(messages=[{"role": "user", "content": "other"}]).identity.anchor not in anchors
    assert app.open(GENERATE).identity.anchor == app.open(GENERATE, model="gpt-5.5:latest").identity.anchor


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": 3}, "model"),
        ({"model": ":latest"}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [3]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "images": [3]}]}, "messages[0].images[0]"),
        ({"messages": [{"role": "user", "images": 3}]}, "messages[0].images"),
        ({"messages": [{"role": "system", "content": "a", "images": [PNG]}]}, "messages[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function.name"),
        ({"messages": [{"role": "assistant", "tool_calls": {"a": 1}}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": ["a"]}]}, "messages[0].tool_calls[0]"),
        ({"tools": [{}]}, "tools[0].function.name"),
        ({"tools": {"a": 1}}, "tools"),
        ({"format": "yaml"}, "format"),
        ({"images": ["A" * (MAX_INLINE_IMAGE_BYTES * 2)]}, "images[0]"),
    ],
)
def test_what_cannot_be_understood_is_named(app, body, param):
    with pytest.raises(ClientError) as caught:
        app.decode(**body)
    assert caught.value.status == 400 and caught.value.param == param
    assert f"`{param}`" in caught.value.message


def test_a_body_that_is_no_json_is_said_so(app):
    from translation.protocols.ollama import CODEC

    with pytest.raises(ClientError) as caught:
        CODEC.open_request(b"{", app.context())
    assert caught.value.code == "invalid_json"


# ---- prompt cache ---------------------------------------------------------------------------------------------------


def test_the_bodies_of_a_growing_conversation_share_their_beginning(app):
    messages: list[dict[str, Any]] = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    turns: list[list[dict[str, Any]]] = [
        [
            {"role": "assistant", "content": "hm", "tool_calls": [call("add", a=1), call("add", a=2)]},
            {"role": "tool", "tool_name": "add", "content": "1"},
            {"role": "tool", "tool_name": "add", "content": "2"},
        ],
        [{"role": "assistant", "content": "ok"}, {"role": "user", "content": "see", "images": [JPEG]}],
        [{"role": "assistant", "tool_calls": [call("add", a=3)]}, {"role": "tool", "content": "3"}],
    ]
    before = app.upstream(messages=messages, tools=[TOOL])
    for turn in turns:
        messages = messages + turn
        after = app.upstream(messages=messages, tools=[TOOL])
        assert after["input"][: len(before["input"])] == before["input"]
        assert (after["tools"], after["instructions"]) == (before["tools"], before["instructions"])
        before = after
