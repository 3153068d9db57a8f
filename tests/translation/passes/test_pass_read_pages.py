"""Claude Code's `Read`: the hint, and empty `pages` taken out of the answer (rows 111, 142)."""

from __future__ import annotations

import pytest

from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.request import FunctionTool, GenerateRequest, Message, TextPart
from translation.passes.read_pages import HINT, guide, without_empty_pages

READ = FunctionTool(
    name="Read",
    parameters={
        "type": "object",
        "properties": {"file_path": {"type": "string"}, "pages": {"type": "string", "description": "A range."}},
    },
)


def request(*tools: FunctionTool) -> GenerateRequest:
    return GenerateRequest(model="m", items=(Message("user", (TextPart("hi"),)),), tools=tools)


def test_row_111_the_hint_is_given_once():
    guided, inverse = guide(request(READ))
    (tool,) = guided.tools or ()
    assert isinstance(tool, FunctionTool) and tool.parameters is not None and inverse is not None
    assert tool.parameters["properties"]["pages"]["description"] == f"A range. {HINT}"
    again, _ = guide(guided)
    assert again.tools == guided.tools
    assert READ.parameters is not None and HINT not in str(READ.parameters), "the client's own schema is not touched"


@pytest.mark.parametrize(
    "tool",
    [
        FunctionTool(name="Read"),
        FunctionTool(name="Read", parameters={"properties": {"pages": {"type": "string"}}}),
        FunctionTool(name="Other", parameters=READ.parameters),
    ],
)
def test_other_tools_are_left_alone(tool: FunctionTool):
    asked = request(tool)
    assert guide(asked) == (asked, None)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('{"file_path":"a","pages":""}', '{"file_path":"a"}'),
        ('{"pages":" ","file_path":"a"}', '{"file_path":"a"}'),
        ('{"file_path":"a","pages":null}', '{"file_path":"a"}'),
        ('{"file_path":"a","pages":"1-3"}', '{"file_path":"a","pages":"1-3"}'),
        ('{"file_path": "a"}', '{"file_path": "a"}'),
        ('{"pages":""', '{"pages":""'),
    ],
)
def test_row_142_only_empty_pages_are_taken_out(written: str, kept: str):
    assert without_empty_pages(written) == kept


def test_row_142_held_arguments_come_before_the_end_and_other_blocks_pass():
    _, inverse = guide(request(READ))
    assert inverse is not None
    read = ev.BlockStart(index=0, kind="tool_call", call_id="c", name="Read")
    text = ev.BlockStart(index=1, kind="text")
    events: list[ev.Event] = [
        ev.Start(id="r"), read, ev.ToolCallDelta(0, '{"file_path":"a",'), text, ev.TextDelta(1, "x"),
        ev.ToolCallDelta(0, '"pages":""}'), ev.BlockStop(index=0), ev.BlockStop(index=1), ev.Stop(finish_reason="stop"),
    ]  # fmt: skip
    out = [event for one in events for event in inverse.inbound([one])]
    grammar.check(out)
    assert [event.text for event in out if isinstance(event, ev.ToolCallDelta)] == ['{"file_path":"a"}']
    assert out.index(ev.TextDelta(1, "x")) < out.index(ev.ToolCallDelta(0, '{"file_path":"a"}'))
