"""Tools with free text input, where the upstream knows functions only."""

from __future__ import annotations

import orjson

from translation.codec import Quirks
from translation.ir import events as ev
from translation.ir import request as ir
from translation.passes.custom_tools import as_functions
from translation.passes.pipeline import prepare, run_inbound

FUNCTIONS_ONLY = Quirks(custom_tools=False)
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
REQUEST = ir.GenerateRequest(
    model="m",
    items=(
        ir.Message("user", (ir.TextPart("hi"),)),
        ir.ToolCall(call_id="c", name="patch", arguments='a "b"\n', kind="custom"),
        ir.ToolResult(call_id="c", parts=(ir.TextPart("ok"),), kind="custom"),
    ),
    tools=(ir.CustomTool(name="patch", description="Patches.", format=GRAMMAR), ir.FunctionTool(name="f")),
    tool_choice=ir.ToolChoice(mode="named", name="patch", kind="custom"),
)


def call(name: str, *pieces: str) -> list[ev.Event]:
    return [
        ev.BlockStart(index=0, kind="tool_call", call_id="c", name=name),
        *(ev.ToolCallDelta(0, piece) for piece in pieces),
        ev.BlockStop(index=0),
    ]


def test_declaration_call_result_and_choice_become_those_of_a_function():
    request, _ = as_functions(REQUEST)
    assert request.tools is not None and request.tool_choice is not None
    tool = request.tools[0]
    assert isinstance(tool, ir.FunctionTool) and "start: /.+/" in (tool.description or "")
    assert request.tools[1] is REQUEST.tools[1]  # type: ignore[index]
    assert [getattr(item, "kind", "") for item in request.items] == ["", "function", "function"]
    assert orjson.loads(request.items[1].arguments) == {"input": 'a "b"\n'}  # type: ignore[union-attr]
    assert request.tool_choice.kind == "function"


def test_it_is_idempotent_and_leaves_other_requests_alone():
    request, _ = as_functions(REQUEST)
    assert as_functions(request) == (request, None)
    assert prepare(REQUEST, Quirks()).request is not request
    assert prepare(REQUEST, Quirks()).request.items == REQUEST.items


def test_the_call_comes_back_with_the_bare_text_however_it_was_cut():
    prepared = prepare(REQUEST, FUNCTIONS_ONLY)
    back = run_inbound(prepared.inverses, call("patch", '{"inp', 'ut": "a \\"b', '\\"\\n"}'))
    assert back == [
        ev.BlockStart(index=0, kind="tool_call", call_id="c", name="patch", tool_kind="custom"),
        ev.ToolCallDelta(0, 'a "b"\n'),
        ev.BlockStop(index=0),
    ]


def test_a_cut_call_is_told_as_it_came():
    prepared = prepare(REQUEST, FUNCTIONS_ONLY)
    assert ev.ToolCallDelta(0, '{"input": "a') in run_inbound(prepared.inverses, call("patch", '{"input": "a'))


def test_functions_stream_on_untouched():
    events = call("f", '{"inp', 'ut": "a"}')
    assert run_inbound(prepare(REQUEST, FUNCTIONS_ONLY).inverses, events) == events
