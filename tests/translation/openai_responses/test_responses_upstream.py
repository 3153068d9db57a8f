"""IR → upstream body, as the other clients' requests reach it (translation §4)."""

from __future__ import annotations

import orjson
import pytest

from translation.codec import Quirks, RelayTarget
from translation.ir import request as ir
from translation.ir.events import Proof
from translation.protocols.openai_responses import CODEC

CODEX = RelayTarget(model="m", quirks=Quirks(subset=True))
USER = ir.Message("user", (ir.TextPart("hi"),))


def sent(*items, target=CODEX, **fields):
    request = ir.GenerateRequest(model="client's", items=items or (USER,), **fields)
    return orjson.loads(CODEC.encode_request(request, target))


def test_instructions_are_joined_with_blank_lines():
    assert sent(instructions=("a", "b"))["instructions"] == "a\n\nb"


def test_every_part_has_the_type_of_its_role():
    parts = (
        ir.TextPart("t"),
        ir.ImagePart(url="https://e.x/a.png", detail="low"),
        ir.FilePart(data="data:application/pdf;base64,AA==", filename="a.pdf"),
    )
    user, assistant = sent(
        ir.Message("user", parts),
        ir.Message("assistant", (ir.TextPart("t"), ir.RefusalPart("no")), phase="commentary", id="msg_1"),
    )["input"]
    assert user["content"] == [
        {"type": "input_text", "text": "t"},
        {"type": "input_image", "image_url": "https://e.x/a.png", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
    ]
    assert assistant == {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "t"}, {"type": "refusal", "refusal": "no"}],
        "phase": "commentary",
        "id": "msg_1",
    }


def test_reasoning_goes_home_only():
    own = ir.Reasoning(summary=("s",), proof=Proof("openai-responses", "gAAAAA"), id="rs_1")
    foreign = ir.Reasoning(summary=("s",), proof=Proof("anthropic-messages", "sig"))
    (item, _) = sent(own, foreign, ir.Reasoning(summary=("bare",)), USER)["input"]
    assert (item["encrypted_content"], item["id"]) == ("gAAAAA", "rs_1")


def test_calls_and_results_keep_their_kind():
    items = sent(
        ir.ToolCall(call_id="a", name="f", arguments="{}", id="toolu_1"),
        ir.ToolResult(call_id="a", parts=(ir.TextPart("1"),)),
        ir.ToolCall(call_id="b", name="exec", arguments="ls", kind="custom"),
        ir.ToolResult(call_id="b", parts=(ir.TextPart("x"), ir.ImagePart(url="u")), kind="custom"),
        ir.ToolResult(call_id="c", parts=()),
    )["input"]
    assert items == [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "custom_tool_call", "call_id": "b", "name": "exec", "input": "ls"},
        {
            "type": "custom_tool_call_output",
            "call_id": "b",
            "output": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "u"}],
        },
        {"type": "function_call_output", "call_id": "c", "output": ""},
    ]


def test_empty_messages_are_left_out_but_one_is_always_sent():
    empty = ir.Message("assistant", (ir.TextPart(""),))
    assert sent(USER, empty)["input"] == sent(USER)["input"]
    assert sent(empty)["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ""}]}
    ]


def test_tools_are_built_from_known_keys_and_not_strict_unless_asked():
    tools = (
        ir.FunctionTool(name="f"),
        ir.FunctionTool(name="g", description="d", parameters={"type": "object"}, strict=True),
        ir.CustomTool(name="exec", format={"type": "grammar"}),
        ir.HostedTool("web_search", {"search_context_size": "low"}),
        ir.HostedTool("computer_use", {}),
        ir.OpaqueTool("openai-responses", {"type": "namespace"}),
        ir.OpaqueTool("gemini", {"x": 1}),
    )
    assert sent(tools=tools)["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False},
        {"type": "function", "name": "g", "description": "d", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "exec", "format": {"type": "grammar"}},
        {"type": "web_search", "search_context_size": "low"},
        {"type": "namespace"},
    ]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ir.ToolChoice(mode="auto"), "auto"),
        (ir.ToolChoice(mode="required"), "required"),
        (ir.ToolChoice(mode="none"), "none"),
        (ir.ToolChoice(mode="named", name="f"), {"type": "function", "name": "f"}),
        (ir.ToolChoice(mode="named", name="exec", kind="custom"), {"type": "custom", "name": "exec"}),
        (ir.ToolChoice(mode="hosted", name="web_search"), {"type": "web_search"}),
        (ir.ToolChoice(mode="hosted", name="image_generation"), None),
        (
            ir.ToolChoice(mode="allowed", allowed=("f", "web_search", "exec"), required=True),
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [
                    {"type": "function", "name": "f"},
                    {"type": "web_search"},
                    {"type": "custom", "name": "exec"},
                ],
            },
        ),
    ],
)
def test_every_tool_choice_has_its_wire_form(choice, written):
    tools = (ir.FunctionTool(name="f"), ir.CustomTool(name="exec"), ir.HostedTool("web_search", {}))
    assert sent(tools=tools, tool_choice=choice).get("tool_choice") == written


def test_a_tool_choice_without_tools_is_dropped():
    assert "tool_choice" not in sent(tool_choice=ir.ToolChoice(mode="required"))


def test_structured_output_has_a_legal_name():
    output = ir.OutputFormat(kind="json_schema", name="my schema!", schema={"type": "object"}, strict=True)
    assert sent(output_format=output)["text"]["format"] == {
        "type": "json_schema",
        "name": "my_schema_",
        "schema": {"type": "object"},
        "strict": True,
    }


def test_json_mode_says_json_in_the_input_when_nobody_did():
    output = ir.OutputFormat(kind="json_object")
    assert sent(output_format=output)["input"][0]["content"][0]["text"] == "Respond in JSON."
    asked = ir.Message("user", (ir.TextPart("Give me Json"),))
    assert len(sent(asked, output_format=output)["input"]) == 1


@pytest.mark.parametrize(
    ("budget", "known", "effort"),
    [
        (0, (), "none"),
        (0, ("low", "high"), "low"),
        (512, ("none", "low"), "low"),
        (1024, (), "low"),
        (4000, (), "medium"),
        (10_000, (), "high"),
        (50_000, ("low", "high"), "high"),
        (-1, (), None),
    ],
)
def test_a_budget_becomes_an_effort(budget, known, effort):
    target = RelayTarget(model="m", quirks=Quirks(subset=True, efforts=known))
    body = sent(target=target, reasoning=ir.ReasoningOptions(budget_tokens=budget, summary="auto"))
    assert body["reasoning"].get("effort") == effort
    assert body["include"] == ["reasoning.encrypted_content"]


def test_knobs_the_codex_backend_refuses_are_not_written():
    fields = {"sampling": ir.Sampling(temperature=1.0, seed=3), "max_output_tokens": 5}
    assert "temperature" not in sent(**fields)
    full = sent(**fields, target=RelayTarget(model="m"))
    assert (full["temperature"], full["max_output_tokens"]) == (1.0, 5)
    assert "seed" not in full
