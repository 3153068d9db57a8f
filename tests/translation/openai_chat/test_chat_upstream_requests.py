"""What leaves for Chat providers: bodies from the IR, and the client's own bodies relayed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from translation import registry
from translation.codec import ChatQuirks, Quirks, RelayTarget, WireContext
from translation.errors import UnsupportedFeature
from translation.ir import request as ir
from translation.ir.events import Proof
from translation.passes.pipeline import prepare
from translation.protocols.openai_chat import CODEC

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
PLAIN = Quirks(custom_tools=False, hosted_tools=())
OPENAI = Quirks(
    chat=ChatQuirks(
        developer_role=True,
        limit_key="max_completion_tokens",
        optional_keys=("prompt_cache_key", "service_tier", "user", "verbosity"),
    )
)


def sent(request: ir.GenerateRequest, quirks: Quirks = PLAIN, **target: Any) -> dict[str, Any]:
    prepared = prepare(request, quirks)
    return orjson.loads(CODEC.encode_request(prepared.request, RelayTarget(model="vendor-1", quirks=quirks, **target)))


def asked(*items: ir.Item, **more: Any) -> ir.GenerateRequest:
    return ir.GenerateRequest(model="m", items=items or (said("hi"),), **more)


def said(text: str, role: ir.Role = "user") -> ir.Message:
    return ir.Message(role, (ir.TextPart(text),))


def call(call_id: str, name: str = "f") -> ir.ToolCall:
    return ir.ToolCall(call_id=call_id, name=name, arguments="{}")


def answer(call_id: str, *parts: ir.Part) -> ir.ToolResult:
    return ir.ToolResult(call_id=call_id, parts=parts or (ir.TextPart("ok"),))


def test_instructions_lead_and_later_ones_stay_in_place():
    request = asked(said("hi"), said("be brief", "developer"), said("go"), instructions=("You are X.", "Obey."))
    assert sent(request)["messages"] == [
        {"role": "system", "content": "You are X.\n\nObey."},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "go"},
    ]
    assert [m["role"] for m in sent(request, OPENAI)["messages"]] == ["developer", "user", "developer", "user"]


def test_text_and_calls_of_one_turn_are_one_message_followed_by_every_result():
    items = (said("hi"), said("Looking.", "assistant"), call("a"), call("b"), said("hurry"), answer("b"), answer("a"))
    messages = sent(asked(*items))["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert messages[1]["content"] == "Looking."
    assert [c["id"] for c in messages[1]["tool_calls"]] == ["a", "b"]
    assert messages[1]["tool_calls"][0] == {
        "id": "a",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
    }


def test_pictures_of_results_follow_in_a_user_message_after_all_results():
    picture = ir.ImagePart(url="data:image/png;base64,AA==")
    items = (said("hi"), call("a"), call("b"), answer("a", ir.TextPart("seen"), picture), answer("b"), said("so?"))
    messages = sent(asked(*items))["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert messages[2]["content"] == "seen"
    assert messages[4]["content"][1] == {"type": "image_url", "image_url": {"url": picture.url}}
    assert "a" in messages[4]["content"][0]["text"]


def test_a_failed_result_says_so():
    result = replace(answer("a"), is_error=True)
    assert sent(asked(said("hi"), call("a"), result))["messages"][-1]["content"] == "[tool error]\nok"


def test_pictures_and_files_keep_what_they_are():
    parts = (
        ir.TextPart("look"),
        ir.ImagePart(url="https://example.org/a.png", detail="low"),
        ir.FilePart(data="data:application/pdf;base64,AA==", filename="a.pdf"),
    )
    assert sent(asked(ir.Message("user", parts)))["messages"][0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
    ]


@pytest.mark.parametrize("part", [ir.ImagePart(file_id="file_1"), ir.FilePart(url="https://example.org/a.pdf")])
def test_content_the_wire_cannot_carry_is_refused_not_lost(part):
    with pytest.raises(UnsupportedFeature):
        sent(asked(ir.Message("user", (part,))))


def test_thoughts_go_back_only_to_vendors_that_want_them():
    items = (said("hi"), ir.Reasoning(text=("hm",), proof=Proof("x", "y")), call("a"), answer("a"))
    wanting = Quirks(chat=ChatQuirks(returns_reasoning=True))
    assert "reasoning_content" not in sent(asked(*items))["messages"][1]
    assert sent(asked(*items), wanting)["messages"][1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in sent(asked(*items), wanting, drops_reasoning=True)["messages"][1]


def test_tools_are_nested_and_hosted_ones_stay_away():
    tools = (ir.FunctionTool(name="f", description="d", parameters=WEATHER), ir.HostedTool("web_search", {}))
    body = sent(asked(tools=tools, tool_choice=ir.ToolChoice(mode="named", name="f"), parallel_tool_calls=False))
    assert [tool["type"] for tool in body["tools"]] == ["function"]
    assert body["tools"][0]["function"]["name"] == "f"
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False


def test_without_tools_there_is_no_choice_among_them():
    body = sent(asked(tools=(ir.HostedTool("web_search", {}),), tool_choice=ir.ToolChoice(mode="required")))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()


def test_allowed_tools_become_the_list_itself():
    tools = (ir.FunctionTool(name="f"), ir.FunctionTool(name="g"))
    choice = ir.ToolChoice(mode="allowed", allowed=("g",), required=True)
    body = sent(asked(tools=tools, tool_choice=choice))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == "required"


def test_a_custom_tool_is_a_function_for_vendors_without_custom_tools():
    tools = (ir.CustomTool(name="patch", description="d"),)
    body = sent(asked(tools=tools, tool_choice=ir.ToolChoice(mode="named", name="patch", kind="custom")))
    assert body["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    assert sent(asked(tools=tools), OPENAI)["tools"][0]["type"] == "custom"


def test_structured_output_is_nested():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    output = ir.OutputFormat(kind="json_schema", name="n", schema=schema, strict=True)
    written = sent(asked(output_format=output))["response_format"]
    assert written["type"] == "json_schema"
    assert written["json_schema"] == {"name": "n", "schema": schema, "strict": True}


def test_limits_and_sampling_leave_as_they_came():
    sampling = ir.Sampling(temperature=0.5, top_p=0.9, top_k=40, seed=7, presence_penalty=1, stop=("END",))
    request = asked(sampling=sampling, max_output_tokens=100, identity=ir.Identity(user="u"), verbosity="low")
    body = sent(request)
    assert (body["temperature"], body["top_p"], body["seed"], body["stop"]) == (0.5, 0.9, 7, ["END"])
    assert body["max_tokens"] == 100 and body["stream_options"] == {"include_usage": True} and body["stream"] is True
    assert not {"top_k", "user", "verbosity"} & body.keys()
    full = sent(request, OPENAI, prompt_cache_key="k")
    assert full["max_completion_tokens"] == 100 and "max_tokens" not in full
    assert (full["user"], full["verbosity"], full["prompt_cache_key"]) == ("u", "low", "k")


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("effort", {"reasoning_effort": "high"}),
        ("object", {"reasoning": {"effort": "high"}}),
        ("switch", {"thinking": {"type": "enabled"}}),
        ("none", {}),
    ],
)
def test_an_effort_is_asked_for_in_the_vendors_way(style, expected):
    quirks = Quirks(efforts=("low", "high"), chat=ChatQuirks(reasoning=style))
    body = sent(asked(reasoning=ir.ReasoningOptions(effort="xhigh")), quirks)
    assert {k: v for k, v in body.items() if k in ("reasoning_effort", "reasoning", "thinking")} == expected


def test_nobody_is_asked_to_think_when_nobody_asked():
    body = sent(asked(reasoning=ir.ReasoningOptions(summary="auto")))
    assert not {"reasoning_effort", "reasoning", "thinking"} & body.keys()


def test_a_chat_body_read_and_written_is_read_the_same_again(chat):
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": WEATHER}}
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"city":"Oslo"}'}}]
    read = chat.decode(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "Looking.", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        ],
        tools=[tool],
        tool_choice="required",
        reasoning_effort="low",
        max_tokens=5,
        stop=["END"],
    )
    written = CODEC.encode_request(read, RelayTarget(model=read.model))
    again = CODEC.decode_request(CODEC.open_request(written, WireContext()))
    assert replace(again, identity=read.identity, stream=read.stream) == read


def test_every_client_protocol_reaches_a_chat_provider():
    bodies = {
        "anthropic-messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
        "openai-responses": {"model": "m", "input": "hi"},
    }
    for name, body in bodies.items():
        codec = registry.get(name)
        request = codec.decode_request(codec.open_request(orjson.dumps(body), WireContext()))
        assert sent(request)["messages"][-1] == {"role": "user", "content": "hi"}


# ---- the relay -----------------------------------------------------------------------------------------------------


def test_a_relayed_body_keeps_every_key_and_their_order(chat):
    body = {
        "vendor": {"b": 1, "a": [None, 1.50]},
        "model": "alias",
        "messages": [{"role": "user", "content": "hi", "cache_control": {"type": "ephemeral"}}],
        "n": 2,
        "logit_bias": {"5": -1},
    }
    opened = CODEC.open_request(orjson.dumps(body), WireContext())
    assert CODEC.needs_translation(opened, PLAIN) is None
    assert CODEC.relay_request(opened, RelayTarget(model="vendor-1")) == orjson.dumps({**body, "model": "vendor-1"})
    assert opened.body["model"] == "alias"


def test_a_relayed_stream_is_counted(chat):
    opened = chat.open(stream=True, stream_options={"x": 1})
    body = orjson.loads(CODEC.relay_request(opened, RelayTarget(model="v")))
    assert body["stream_options"] == {"x": 1, "include_usage": True}


def test_an_effort_of_the_models_name_is_added_unless_the_client_said_one(chat):
    target = RelayTarget(model="v", effort="high")
    assert orjson.loads(CODEC.relay_request(chat.open(), target))["reasoning_effort"] == "high"
    own = CODEC.relay_request(chat.open(reasoning_effort="low"), target)
    assert orjson.loads(own)["reasoning_effort"] == "low"


def test_a_responses_payload_on_the_chat_route_is_translated(chat):
    assert CODEC.needs_translation(chat.open(input="hi"), PLAIN)
