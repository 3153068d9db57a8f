"""The passes together: order, inverses, idempotence, and nothing for requests that need nothing."""

from __future__ import annotations

import pytest

from translation.codec import Quirks
from translation.ir import events as ev
from translation.ir.request import (
    FunctionTool,
    GenerateRequest,
    Message,
    ReasoningOptions,
    Sampling,
    TextPart,
    ToolCall,
    ToolResult,
)
from translation.passes.pipeline import Prepared, is_finished, prepare, run_inbound
from translation.shared import efforts

USER = Message("user", (TextPart("hi"),))
PAIR = {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]}
BUSY = GenerateRequest(
    model="m",
    items=(USER, ToolCall(call_id="x" * 80, name="a.b", arguments="{}"), USER),
    tools=(FunctionTool(name="a.b", parameters={"properties": {"p": PAIR}}),),
    sampling=Sampling(stop=("END",)),
    reasoning=ReasoningOptions(effort="max"),
)


def test_a_plain_request_passes_untouched_and_without_inverses():
    plain = GenerateRequest(
        model="m",
        items=(USER, ToolCall(call_id="c", name="f", arguments="{}"), ToolResult(call_id="c", parts=(TextPart("r"),))),
        tools=(FunctionTool(name="f", parameters={"type": "object", "properties": {}}),),
        reasoning=ReasoningOptions(effort="high", summary="auto"),
    )
    prepared = prepare(plain, Quirks(subset=True, efforts=("low", "high")))
    assert prepared.request is plain and prepared.inverses == ()


def test_everything_at_once_is_undone_in_order():
    prepared = prepare(BUSY, Quirks(subset=True, efforts=("low", "high")))
    assert prepared.request.reasoning == ReasoningOptions(effort="high")
    assert prepared.request.sampling.stop == ()
    call, answer = prepared.request.items[1:3]
    assert isinstance(call, ToolCall) and isinstance(answer, ToolResult)
    assert call.call_id == answer.call_id and len(call.call_id) == 64 and call.name == "a_b"
    events: list[ev.Event] = [
        ev.Start(id="r"),
        ev.BlockStart(index=0, kind="tool_call", call_id="c", name="a_b"),
        ev.ToolCallDelta(0, '{"p":{"0":1,"1":"END"}}'),
        ev.BlockStop(index=0),
        ev.BlockStart(index=1, kind="text"),
        ev.TextDelta(1, "so END more"),
    ]
    out = run_inbound(prepared.inverses, events)
    assert out == [
        ev.Start(id="r"),
        ev.BlockStart(index=0, kind="tool_call", call_id="c", name="a.b"),
        ev.ToolCallDelta(0, '{"p":[1,"END"]}'),
        ev.BlockStop(index=0),
        ev.BlockStart(index=1, kind="text"),
        ev.TextDelta(1, "so "),
        ev.BlockStop(index=1),
        ev.Stop(finish_reason="stop", raw_reason="stop_sequence", stop_sequence="END"),
    ]
    assert is_finished(prepared.inverses)


def test_preparing_twice_changes_nothing():
    quirks = Quirks(subset=True, efforts=("low", "high"))
    once = prepare(BUSY, quirks).request
    assert prepare(once, quirks) == Prepared(once)


def test_an_upstream_that_stops_by_itself_gets_the_stop_sequences():
    prepared = prepare(BUSY, Quirks())
    assert prepared.request.sampling.stop == ("END",)
    assert prepared.request.reasoning == ReasoningOptions(effort="max")
    assert len(prepared.inverses) == 2


@pytest.mark.parametrize(
    ("effort", "known", "sent"),
    [
        ("high", (), "high"),
        ("high", ("low", "high"), "high"),
        ("max", ("low", "medium", "high"), "high"),
        ("medium", ("low", "high"), "low"),
        ("none", ("low", "high"), "low"),
        ("minimal", ("none", "low"), "none"),
        ("odd", ("odd", "low"), "odd"),
        ("odd", ("low",), None),
        (None, ("low",), None),
    ],
)
def test_an_effort_falls_to_the_nearest_known_one(effort, known, sent):
    assert efforts.clamp(effort, known) == sent


@pytest.mark.parametrize(
    ("budget", "sent"),
    [
        (-1, None),
        (0, "none"),
        (1, "minimal"),
        (512, "minimal"),
        (513, "low"),
        (2047, "low"),
        (2048, "medium"),
        (7999, "medium"),
        (8000, "high"),
        (19999, "high"),
        (20000, "xhigh"),
    ],
)
def test_a_budget_is_an_effort(budget, sent):
    assert efforts.from_budget(budget) == sent


def test_a_small_budget_is_low_where_minimal_is_unknown():
    assert efforts.from_budget(100, ("none", "low", "high")) == "low"
    assert efforts.from_budget(0, ("low", "high")) == "low"
    assert efforts.from_budget(99999, ("low", "high")) == "high"


def test_a_budget_stays_a_budget_where_the_upstream_knows_budgets():
    request = GenerateRequest(model="m", items=(USER,), reasoning=ReasoningOptions(budget_tokens=3000))
    assert prepare(request, Quirks()).request is request
    assert prepare(request, Quirks(subset=True)).request.reasoning == ReasoningOptions(effort="medium")


def test_a_request_without_reasoning_options_passes():
    request = GenerateRequest(model="m", items=(USER,))
    assert prepare(request, Quirks(subset=True, efforts=("low",))).request is request


def test_efforts_we_have_no_order_for_cannot_be_clamped():
    assert efforts.clamp("high", ("odd",)) is None
