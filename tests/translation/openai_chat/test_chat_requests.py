"""Chat request edge cases, one test per row of spec/translation.md §15.1."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from translation.codec import Quirks
from translation.errors import ClientError, InvalidRequest, UnsupportedFeature
from translation.ir.request import (
    CustomTool,
    FilePart,
    FunctionTool,
    ImagePart,
    Message,
    RefusalPart,
    TextPart,
    ToolCall,
    ToolChoice,
    ToolResult,
)

PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
USER = {"role": "user", "content": "hi"}


def call(call_id: str | None, name: str = "weather", arguments: str = "{}") -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return entry if call_id is None else {"id": call_id, **entry}


def assistant(*calls: dict[str, Any], content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(call_id: str | None, content: Any = "ok") -> dict[str, Any]:
    return {"role": "tool", "content": content, **({} if call_id is None else {"tool_call_id": call_id})}


def test_row_001_input_instead_of_messages_is_one_user_message(chat):
    request = chat.decode(input="hi", instructions="be kind")
    assert request.items == (Message("user", (TextPart("hi"),)),)
    assert request.instructions == ("be kind",)


def test_row_002_empty_messages_with_input_is_not_a_400(chat):
    assert chat.decode(messages=[], input="hi").items == (Message("user", (TextPart("hi"),)),)


def test_row_002_input_items_of_both_dialects_are_read(chat):
    request = chat.decode(
        input=[
            {"role": "system", "content": "s"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "q"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
            {"type": "web_search_call", "id": "ws_1"},
        ],
        tools=[{"type": "function", "name": "f", "parameters": {}}, {"type": "code_interpreter"}],
    )
    assert request.instructions == ("s",)
    assert [type(item).__name__ for item in request.items] == ["Message", "ToolCall", "ToolResult", "OpaqueItem"]
    assert request.tools is not None
    assert [type(tool).__name__ for tool in request.tools] == ["FunctionTool", "OpaqueTool"]


def test_row_003_a_flat_function_tool_is_accepted(chat):
    request = chat.decode(tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}])
    assert request.tools == (FunctionTool(name="f", parameters={"type": "object"}),)


def test_row_004_a_tool_without_type_but_with_function_is_accepted(chat):
    request = chat.decode(tools=[{"function": {"name": "f", "description": "d", "input_schema": {"type": "object"}}}])
    assert request.tools == (FunctionTool(name="f", description="d", parameters={"type": "object"}),)


OPTIONAL = ["stop", "tools", "temperature", "stream", "n", "tool_choice", "response_format", "reasoning_effort", "user"]
OPTIONAL += ["stream_options", "max_tokens", "parallel_tool_calls", "service_tier", "functions", "metadata", "audio"]


def test_row_005_nulls_are_absent(chat):
    nulls = dict.fromkeys(OPTIONAL)
    assert chat.decode(**nulls) == chat.decode()


def test_row_006_several_choices_are_refused(chat):
    with pytest.raises(UnsupportedFeature) as caught:
        chat.decode(n=2)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "unsupported_value", "n")
    assert chat.decode(n=1) == chat.decode()


@pytest.mark.parametrize(
    ("effort", "sent"), [("minimal", "low"), ("none", "low"), ("xhigh", "xhigh"), ("max", "xhigh")]
)
def test_row_007_any_effort_is_taken_and_clamped(chat, effort, sent):
    assert chat.decode(reasoning_effort=effort).reasoning.effort == effort
    prepared = chat.prepare(Quirks(efforts=("low", "medium", "high", "xhigh")), reasoning_effort=effort)
    assert prepared.request.reasoning.effort == sent


@pytest.mark.parametrize("tier", ["auto", "default", "scale", None, "nonsense"])
def test_row_008_a_tier_without_meaning_upstream_is_omitted(chat, tier):
    assert chat.decode(service_tier=tier).service_tier is None


@pytest.mark.parametrize(("tier", "sent"), [("fast", "priority"), ("priority", "priority"), ("flex", "flex")])
def test_row_009_fast_is_priority(chat, tier, sent):
    assert chat.decode(service_tier=tier).service_tier == sent


def test_row_010_parallel_tool_calls_is_kept(chat):
    assert chat.decode(parallel_tool_calls=False).parallel_tool_calls is False
    assert chat.decode(parallel_tool_calls=True).parallel_tool_calls is True
    assert chat.decode().parallel_tool_calls is None


def test_row_011_null_content_with_calls_makes_no_message(chat):
    request = chat.decode(messages=[USER, assistant(call("c1")), result("c1")])
    assert [type(item) for item in request.items] == [Message, ToolCall, ToolResult]


@pytest.mark.parametrize("content", ["", [], [{"type": "text", "text": ""}]])
def test_row_012_empty_content_with_calls_makes_no_message(chat, content):
    request = chat.decode(messages=[USER, assistant(call("c1"), content=content), result("c1")])
    assert [type(item) for item in request.items] == [Message, ToolCall, ToolResult]


def test_row_013_a_tool_result_keeps_its_image(chat):
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}]
    request = chat.decode(messages=[USER, assistant(call("c1")), result("c1", content)])
    assert request.items[2].parts == (TextPart("see"), ImagePart(url=PNG, detail="high"))


def test_row_014_an_image_in_a_stringified_list_is_unwrapped(chat):
    content = orjson.dumps([{"type": "image_url", "image_url": {"url": PNG}}]).decode()
    request = chat.decode(messages=[USER, assistant(call("c1")), result("c1", content)])
    assert request.items[2].parts == (ImagePart(url=PNG),)


@pytest.mark.parametrize(
    "content", ['[{"type":"text","text":"x"}]', '{"image_url": 1}', '["image_url"]', '[{"image_url": "x"', "[1]"]
)
def test_row_015_other_json_strings_stay_strings(chat, content):
    request = chat.decode(messages=[USER, assistant(call("c1")), result("c1", content)])
    assert request.items[2].parts == (TextPart(content),)


def test_row_016_null_tool_content_is_an_empty_output(chat):
    request = chat.decode(messages=[USER, assistant(call("c1")), result("c1", None)])
    assert request.items[2].parts == (TextPart(""),)


@pytest.mark.parametrize("content", [{"temp": 3}, [{"temp": 3}], [1, 2]])
def test_row_016_an_object_as_tool_content_is_its_json(chat, content):
    request = chat.decode(messages=[USER, assistant(call("c1")), result("c1", content)])
    assert request.items[2].parts == (TextPart(orjson.dumps(content).decode()),)


@pytest.mark.parametrize("key", ["toolCallId", "call_id", "tool_call_id"])
def test_row_017_spellings_of_the_call_id(chat, key):
    message = {"role": "tool", key: "c1", "content": "ok"}
    assert chat.decode(messages=[USER, assistant(call("c1")), message]).items[2].call_id == "c1"


def test_row_018_a_result_without_id_answers_the_oldest_open_call(chat):
    messages = [USER, assistant(call("c1"), call("c2")), result(None, "one"), result(None, "two")]
    items = chat.prepare(messages=messages).request.items
    assert [(item.call_id, item.parts[0].text) for item in items[3:]] == [("c1", "one"), ("c2", "two")]


def test_row_019_an_orphan_result_becomes_the_users_words(chat):
    items = chat.prepare(messages=[USER, result("lost", "42")]).request.items
    assert not any(isinstance(item, ToolResult) for item in items)
    assert "42" in items[1].parts[0].text


def test_row_020_two_calls_with_one_id_in_a_turn_are_dropped(chat):
    messages = [USER, assistant(call("c1"), call("c1"), call("c2")), result("c1"), result("c1"), result("c2")]
    items = chat.prepare(messages=messages).request.items
    assert [(type(item), item.call_id) for item in items[1:]] == [(ToolCall, "c2"), (ToolResult, "c2")]


def test_row_021_an_id_reused_in_a_later_turn_is_kept(chat):
    turn = [assistant(call("c1")), result("c1")]
    items = chat.prepare(messages=[USER, *turn, *turn]).request.items
    assert [type(item) for item in items] == [Message, ToolCall, ToolResult, ToolCall, ToolResult]


def test_row_022_a_call_without_id_gets_a_unique_one(chat):
    messages = [
        USER,
        assistant(call(None), call(None)),
        result(None),
        result(None),
        assistant(call(None)),
        result(None),
    ]
    items = chat.prepare(messages=messages).request.items
    ids = [item.call_id for item in items if isinstance(item, ToolCall)]
    assert len(set(ids)) == 3 and all(ids)
    assert [item.call_id for item in items if isinstance(item, ToolResult)] == ids


PATCH = {
    "type": "custom",
    "custom": {"name": "patch", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}},
}


def test_row_023_a_custom_tool_called_in_the_function_envelope_keeps_its_raw_input(chat):
    messages = [USER, assistant(call("c1", "patch", "*** Begin Patch\n")), result("c1")]
    request = chat.decode(messages=messages, tools=[PATCH])
    assert request.items[1] == ToolCall(call_id="c1", name="patch", arguments="*** Begin Patch\n", kind="custom")
    assert request.items[2].kind == "custom"
    assert request.tools == (CustomTool(name="patch", format={"type": "grammar", "syntax": "lark", "definition": "x"}),)


def test_row_023_a_custom_call_in_its_own_envelope(chat):
    calls = [{"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "raw"}}]
    request = chat.decode(messages=[USER, {"role": "assistant", "tool_calls": calls}, result("c1")])
    assert request.items[1] == ToolCall(call_id="c1", name="patch", arguments="raw", kind="custom")


def test_row_024_between_a_custom_and_a_function_tool_of_one_name_the_function_wins(chat):
    function = {"type": "function", "function": {"name": "patch"}}
    for tools in ([PATCH, function], [function, PATCH]):
        messages = [USER, assistant(call("c1", "patch", "{}")), result("c1")]
        request = chat.decode(
            messages=messages, tools=tools, tool_choice={"type": "custom", "custom": {"name": "patch"}}
        )
        assert [type(tool) for tool in request.tools] == [FunctionTool]
        assert request.items[1].kind == "function"
        assert request.tool_choice.kind == "function"


def test_row_025_a_long_mcp_name_is_shortened_everywhere_and_comes_back(chat):
    from translation.ir import events as ev

    long = "mcp__server_with_a_very_long_name_indeed_that_goes_on_and_on_and_on__read_file"
    prepared = chat.prepare(
        messages=[USER, assistant(call("c1", long)), result("c1")],
        tools=[{"type": "function", "function": {"name": long}}],
        tool_choice={"type": "function", "function": {"name": long}},
    )
    request = prepared.request
    assert request.tools[0].name == request.items[1].name == request.tool_choice.name == "mcp__read_file"
    (inverse,) = prepared.inverses
    (event,) = inverse.inbound([ev.BlockStart(index=0, kind="tool_call", call_id="c", name="mcp__read_file")])
    assert event.name == long


def test_row_026_equal_short_forms_get_numbers(chat):
    names = ["n" * 70, "n" * 71]
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    request = chat.prepare(tools=tools).request
    assert [tool.name for tool in request.tools] == ["n" * 64, "n" * 62 + "_1"]


def test_row_027_the_name_of_a_message_is_not_forwarded(chat):
    assert chat.decode(messages=[{"role": "user", "content": "hi", "name": "bob"}]) == chat.decode()


def test_row_028_unknown_keys_of_a_message_are_not_forwarded(chat):
    message = {"role": "user", "content": "hi", "cache_control": {}, "reasoning_content": "x", "id": 5}
    assert chat.decode(messages=[message]) == chat.decode()


def test_row_029_a_refusal_in_history_is_kept(chat):
    request = chat.decode(messages=[USER, {"role": "assistant", "content": None, "refusal": "no"}, USER])
    assert request.items[1] == Message("assistant", (RefusalPart("no"),))


def image(url: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": url, **more}]}]


def test_row_030_detail_is_kept(chat):
    request = chat.decode(messages=image({"url": "https://x/y.png", "detail": "high"}))
    assert request.items[0].parts == (ImagePart(url="https://x/y.png", detail="high"),)


def test_row_031_an_image_address_may_be_a_bare_string(chat):
    assert chat.decode(messages=image("https://x/y.png")).items[0].parts == (ImagePart(url="https://x/y.png"),)


def test_row_032_sloppy_base64_is_repaired(chat):
    raw = b"\xff\xfe\xfd\xfb\xff"
    sloppy = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    request = chat.decode(messages=image({"url": f"data:image/png;base64,{sloppy[:3]}\n{sloppy[3:]}"}))
    assert request.items[0].parts[0].url == f"data:image/png;base64,{base64.b64encode(raw).decode()}"


def test_row_032_what_stays_invalid_is_left_alone(chat):
    url = "data:image/png;base64,???-"
    assert chat.decode(messages=image(url)).items[0].parts[0].url == url


def test_row_032_a_picture_that_is_too_large_is_a_clear_400(chat):
    with pytest.raises(InvalidRequest) as caught:
        chat.decode(messages=image("data:image/png;base64," + "A" * (12 * 1024 * 1024)))
    assert caught.value.code == "image_too_large" and caught.value.status == 400
    assert caught.value.param == "messages[0].content[0].image_url"


def test_row_033_an_inline_pdf_is_a_file(chat):
    part = {"type": "file", "file": {"file_data": "JVBERi0xLjQK", "filename": "a.pdf"}}
    request = chat.decode(messages=[{"role": "user", "content": [part]}])
    assert request.items[0].parts == (FilePart(data="data:application/pdf;base64,JVBERi0xLjQK", filename="a.pdf"),)


def test_row_033_a_data_url_stays_and_gets_a_name(chat):
    part = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}
    request = chat.decode(messages=[{"role": "user", "content": [part]}])
    assert request.items[0].parts[0].filename == "document.pdf"


def refused(chat, **body: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        chat.decode(**body)
    assert caught.value.status == 400
    return caught.value


def test_row_034_a_file_id_is_refused_by_name(chat):
    part = {"type": "file", "file": {"file_id": "file-1"}}
    error = refused(chat, messages=[USER, {"role": "user", "content": [part]}])
    assert "file_id" in error.message and error.param == "messages[1].content[0].file.file_id"


def test_row_035_audio_input_is_refused(chat):
    part = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    error = refused(chat, messages=[{"role": "user", "content": [part]}])
    assert (error.code, error.param) == ("unsupported_content", "messages[0].content[0].type")
    assert "audio" in error.message


def test_video_input_is_refused(chat):
    part = {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}}
    error = refused(chat, messages=[{"role": "user", "content": [part]}])
    assert (error.code, error.param) == ("unsupported_content", "messages[0].content[0].type")


def test_an_unknown_block_is_left_out_but_for_its_text(chat):
    blocks = [{"type": "hologram", "hologram": {}}, {"type": "caption", "text": "b"}, {"type": "text", "text": "c"}]
    (item,) = chat.decode(messages=[{"role": "user", "content": blocks}]).items
    assert [part.text for part in item.parts] == ["b", "c"]


def test_row_035_audio_output_is_refused(chat):
    assert refused(chat, modalities=["text", "audio"]).param == "modalities"
    assert refused(chat, audio={"voice": "x"}).param == "audio"


def test_row_036_differs_an_unknown_role_is_somebody_who_talks(chat):
    """OpenAI refuses it; a gateway that outlives its clients' versions does not."""
    items = chat.decode(messages=[USER, {"role": "critic", "content": "x"}]).items
    assert (items[1].role, items[1].parts[0].text) == ("user", "x")
    assert refused(chat, messages=[{"role": 3, "content": "x"}]).param == "messages[0].role"


def test_row_037_an_image_in_a_system_message_is_refused(chat):
    message = {"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}
    assert refused(chat, messages=[message, USER]).param == "messages[0].content[0]"


def mentions_json(request: Any) -> bool:
    return any("json" in part.text.lower() for item in request.items for part in item.parts)


def test_row_038_json_mode_says_json_in_the_input(chat):
    messages = [{"role": "system", "content": "Answer in JSON"}, USER]
    request = chat.decode(messages=messages, response_format={"type": "json_object"})
    assert mentions_json(request) and request.output_format.kind == "json_object"


def test_row_038_nothing_is_added_when_the_user_says_it(chat):
    messages = [{"role": "user", "content": "as Json please"}]
    request = chat.decode(messages=messages, response_format={"type": "json_object"})
    assert len(request.items) == 1


def test_row_038_the_added_item_does_not_move_when_the_conversation_grows(chat):
    turn = [USER, {"role": "assistant", "content": "{}"}]
    short = chat.decode(messages=[USER], response_format={"type": "json_object"}).items
    later = [*turn, {"role": "user", "content": "now JSON"}]
    assert chat.decode(messages=later, response_format={"type": "json_object"}).items[: len(short)] == short


def schema_format(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "out", "schema": schema, **more}}


OPEN = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}


def test_row_039_a_strict_schema_with_missing_required_keys_is_refused_here(chat):
    with pytest.raises(InvalidRequest) as caught:
        chat.prepare(response_format=schema_format(OPEN, strict=True))
    assert (caught.value.code, caught.value.param) == ("invalid_json_schema", "response_format")
    assert "b" in caught.value.message


def test_row_040_a_strict_function_that_is_open_is_refused_with_the_clients_index(chat):
    loose = {
        "type": "function",
        "function": {"name": "g", "strict": True, "parameters": {**OPEN, "required": ["a", "b"]}},
    }
    with pytest.raises(InvalidRequest) as caught:
        chat.prepare(tools=[WEATHER, WEATHER, loose])
    assert caught.value.code == "invalid_function_parameters"
    assert caught.value.param == "tools[2].function.parameters"


def test_row_041_a_schema_without_strict_is_not_touched(chat):
    request = chat.prepare(response_format=schema_format(OPEN)).request
    assert request.output_format.schema == OPEN and not request.output_format.strict


TUPLE = {
    "type": "object",
    "properties": {"point": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}], "items": False}},
    "required": ["point"],
    "additionalProperties": False,
}


def test_row_042_tuples_are_objects_upstream_and_arrays_for_the_client(chat):
    from translation.ir import events as ev

    prepared = chat.prepare(response_format=schema_format(TUPLE, strict=True))
    point = prepared.request.output_format.schema["properties"]["point"]
    assert point["type"] == "object" and point["required"] == ["0", "1"] and point["additionalProperties"] is False
    (inverse,) = prepared.inverses
    events = [ev.BlockStart(index=0, kind="text"), ev.TextDelta(0, '{"point":{"0":1,'), ev.TextDelta(0, '"1":"x"}}')]
    assert inverse.inbound(events) == events[:1]
    assert inverse.inbound([ev.BlockStop(index=0)])[0] == ev.TextDelta(0, '{"point":[1,"x"]}')


def test_row_043_a_truncated_tuple_answer_is_delivered_raw(chat):
    from translation.ir import events as ev

    prepared = chat.prepare(response_format=schema_format(TUPLE))
    events = [ev.BlockStart(index=0, kind="text"), ev.TextDelta(0, '{"point":{"0":1'), ev.BlockStop(index=0)]
    assert prepared.inverses[0].inbound(events)[1] == ev.TextDelta(0, '{"point":{"0":1')


def test_row_044_a_later_system_message_stays_in_place(chat):
    messages = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        USER,
        {"role": "system", "content": "c"},
        USER,
    ]
    request = chat.decode(messages=messages)
    assert request.instructions == ("a", "b")
    assert [item.role for item in request.items] == ["user", "developer", "user"]


@pytest.mark.parametrize("body", [{"verbosity": "low"}, {"text": {"verbosity": "low"}}, {"textVerbosity": "low"}])
def test_row_045_verbosity(chat, body):
    assert chat.decode(**body).verbosity == "low"


@pytest.mark.parametrize("body", [{"thinking": {"type": "enabled"}}, {"enable_thinking": True}])
def test_row_046_thinking_switched_on_is_medium(chat, body):
    assert chat.decode(**body).reasoning.effort == "medium"


def test_row_046_switches_with_more_to_say(chat):
    assert chat.decode(thinking={"type": "disabled"}).reasoning.effort == "none"
    assert chat.decode(enable_thinking=False).reasoning.effort == "none"
    assert chat.decode(thinking={"type": "enabled", "budget_tokens": 9000}).reasoning.budget_tokens == 9000
    assert chat.decode(thinking={"type": "enabled"}, reasoning_effort="high").reasoning.effort == "high"
    budget = chat.prepare(thinking={"type": "enabled", "budget_tokens": 9000}).request.reasoning
    assert (budget.effort, budget.budget_tokens) == ("high", None)


@pytest.mark.parametrize("effort", ["", "  "])
def test_row_047_a_blank_effort_is_ignored(chat, effort):
    assert chat.decode(reasoning_effort=effort) == chat.decode()
    assert chat.decode(reasoning_effort=effort, reasoning={"effort": "low"}).reasoning.effort == "low"


def test_row_048_max_tokens_is_a_limit_of_the_ir_only(chat):
    assert chat.decode(max_tokens=5).max_output_tokens == 5
    assert chat.decode(max_tokens=5, max_completion_tokens=7).max_output_tokens == 7


def test_row_049_legacy_functions(chat):
    request = chat.decode(functions=[{"name": "f", "parameters": {"type": "object"}}], function_call={"name": "f"})
    assert request.tools == (FunctionTool(name="f", parameters={"type": "object"}),)
    assert request.tool_choice == ToolChoice(mode="named", name="f")
    assert request.parallel_tool_calls is False
    assert chat.decode(functions=[{"name": "f"}], function_call="none").tool_choice == ToolChoice(mode="none")


def test_row_049_legacy_history_pairs_by_name(chat):
    def old(name: str) -> dict[str, Any]:
        return {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": "{}"}}

    def said(name: str, content: str) -> dict[str, Any]:
        return {"role": "function", "name": name, "content": content}

    messages = [USER, old("f"), said("f", "1"), old("f"), said("f", "2")]
    items = chat.prepare(messages=messages).request.items
    calls = [item.call_id for item in items if isinstance(item, ToolCall)]
    assert len(set(calls)) == 2
    assert [item.call_id for item in items if isinstance(item, ToolResult)] == calls


def test_row_050_allowed_tools(chat):
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "weather"}}, {"type": "function", "name": "g"}],
        },
    }
    request = chat.decode(tools=[WEATHER], tool_choice=choice)
    assert request.tool_choice == ToolChoice(mode="allowed", allowed=("weather", "g"), required=True)


@pytest.mark.parametrize("kind", ["mcp", "code_interpreter", "file_search", "computer_use_preview"])
def test_row_051_hosted_tools_we_cannot_serve_are_refused_by_name(chat, kind):
    error = refused(chat, tools=[WEATHER, {"type": kind}])
    assert (error.code, error.param) == ("unsupported_tool", "tools[1].type")
    assert kind in error.message
