"""Tuples out as objects, back as arrays (spec/translation.md §4.8, rows 42-43)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translation.errors import UpstreamFailed
from translation.ir import events as ev
from translation.ir.request import FunctionTool, GenerateRequest, OutputFormat
from translation.passes import tuples

PAIR: dict[str, Any] = {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]}
PAIR_OBJECT = {
    "type": "object",
    "properties": {"0": {"type": "number"}, "1": {"type": "string"}},
    "required": ["0", "1"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "extra", [{}, {"items": False}, {"minItems": 2, "maxItems": 2}, {"additionalItems": False}, {"uniqueItems": True}]
)
def test_a_tuple_is_a_closed_object(extra):
    assert tuples.to_objects({**PAIR, **extra}) == PAIR_OBJECT


def test_the_older_array_form_is_a_tuple_too():
    given = {"type": "array", "items": PAIR["prefixItems"], "additionalItems": False, "description": "d"}
    assert tuples.to_objects(given) == {"description": "d", **PAIR_OBJECT}


def test_positions_that_may_be_missing_are_nullable_and_cut_on_the_way_back():
    given = {**PAIR, "minItems": 1}
    converted = tuples.to_objects(given)
    assert converted["properties"]["1"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert converted["required"] == ["0", "1"]
    assert tuples.restore_text('{"0":1,"1":null}', given) == "[1]"


def test_a_nullable_tuple_stays_nullable():
    given = {**PAIR, "type": ["array", "null"]}
    assert tuples.to_objects(given)["type"] == ["object", "null"]
    assert tuples.restore_text("null", given) == "null"


def test_a_schema_without_tuples_is_the_same_object():
    plain = {"type": "object", "properties": {"prefixItems": {"type": "array", "items": {}}}}
    assert tuples.to_objects(plain) is plain and not tuples.has_tuples(plain)


SCHEMAS: list[tuple[dict[str, Any], Any, Any]] = [
    ({"type": "object", "properties": {"p": PAIR}}, {"p": [1, "a"]}, {"p": {"0": 1, "1": "a"}}),
    ({"type": "array", "items": PAIR}, [[1, "a"], [2, "b"]], [{"0": 1, "1": "a"}, {"0": 2, "1": "b"}]),
    ({"$ref": "#/$defs/p", "$defs": {"p": PAIR}}, [1, "a"], {"0": 1, "1": "a"}),
    ({"anyOf": [{"type": "null"}, PAIR]}, [1, "a"], {"0": 1, "1": "a"}),
    (
        {
            "anyOf": [{"type": "object", "properties": {"q": {"$ref": "#/$defs/p"}}}, {"type": "null"}],
            "$defs": {"p": PAIR},
        },
        {"q": [1, "a"]},
        {"q": {"0": 1, "1": "a"}},
    ),
    ({"type": "object", "additionalProperties": PAIR}, {"x": [1, "a"]}, {"x": {"0": 1, "1": "a"}}),
    ({"prefixItems": [PAIR, {"type": "null"}]}, [[1, "a"], None], {"0": {"0": 1, "1": "a"}, "1": None}),
    (
        {
            "$defs": {"t": {"prefixItems": [{"type": "number"}, {"anyOf": [{"$ref": "#/$defs/t"}, {"type": "null"}]}]}},
            "$ref": "#/$defs/t",
        },
        [1, [2, None]],
        {"0": 1, "1": {"0": 2, "1": None}},
    ),
]


@pytest.mark.parametrize(("schema", "array", "objects"), SCHEMAS)
def test_arrays_come_back_wherever_the_tuple_was(schema, array, objects):
    assert json.loads(tuples.restore_text(json.dumps(objects), schema)) == array


@pytest.mark.parametrize("text", ["", "{", "not json", '{"0":1', "[" * 5000])
def test_row_043_what_is_no_json_is_delivered_raw(text):
    assert tuples.restore_text(text, PAIR) == text


@pytest.mark.parametrize("text", ['{"x":1}', "[1,2]", '"s"', "7"])
def test_what_does_not_fit_stays_as_it_is(text):
    assert tuples.restore_text(text, PAIR) == text


def test_large_integers_survive():
    assert (
        tuples.restore_text('{"0":123456789012345678901234567890,"1":"\u00e9"}', PAIR)
        == '[123456789012345678901234567890,"\u00e9"]'
    )


def request() -> GenerateRequest:
    return GenerateRequest(
        model="m",
        items=(),
        tools=(
            FunctionTool(name="move", parameters={"type": "object", "properties": {"to": PAIR}}),
            FunctionTool(name="plain"),
        ),
        output_format=OutputFormat(kind="json_schema", schema=PAIR),
    )


def test_it_converts_output_and_parameters_and_is_idempotent():
    converted, inverse = tuples.convert(request())
    assert inverse is not None and converted.output_format and converted.tools
    assert converted.output_format.schema == PAIR_OBJECT
    move, plain = converted.tools
    assert isinstance(move, FunctionTool) and move.parameters and move.parameters["properties"]["to"] == PAIR_OBJECT
    assert plain == FunctionTool(name="plain")
    assert tuples.convert(converted) == (converted, None)


def test_row_042_the_text_is_held_back_and_sent_once_before_the_block_closes():
    _, inverse = tuples.convert(request())
    assert inverse is not None
    start = ev.BlockStart(index=0, kind="text")
    assert inverse.inbound([start, ev.TextDelta(0, '{"0":1'), ev.Ping()]) == [start, ev.Ping()]
    assert inverse.inbound([ev.TextDelta(0, ',"1":"a"}'), ev.BlockStop(index=0)]) == [
        ev.TextDelta(0, '[1,"a"]'),
        ev.BlockStop(index=0),
    ]


def test_arguments_of_the_tools_concerned_are_converted_and_others_pass():
    _, inverse = tuples.convert(request())
    assert inverse is not None
    move = ev.BlockStart(index=0, kind="tool_call", call_id="a", name="move")
    plain = ev.BlockStart(index=1, kind="tool_call", call_id="b", name="plain")
    events: list[ev.Event] = [
        move,
        plain,
        ev.ToolCallDelta(0, '{"to":{"0":1,"1":"a"}}'),
        ev.ToolCallDelta(1, "{}"),
        ev.BlockStop(index=0),
        ev.BlockStop(index=1),
    ]
    assert inverse.inbound(events) == [
        move,
        plain,
        ev.ToolCallDelta(1, "{}"),
        ev.ToolCallDelta(0, '{"to":[1,"a"]}'),
        ev.BlockStop(index=0),
        ev.BlockStop(index=1),
    ]


def test_row_043_what_was_said_before_a_failure_is_delivered():
    _, inverse = tuples.convert(request())
    assert inverse is not None
    failure = ev.Error(UpstreamFailed("x"))
    events: list[ev.Event] = [ev.BlockStart(index=0, kind="text"), ev.TextDelta(0, '{"0":1'), failure]
    assert inverse.inbound(events) == [events[0], ev.TextDelta(0, '{"0":1'), failure]


@st.composite
def schema_and_value(draw: Any, depth: int = 3) -> tuple[dict[str, Any], Any, Any]:
    """A schema, a value of it, and the value as the upstream writes it."""
    kind = draw(st.sampled_from(["leaf", "tuple", "list", "object"])) if depth else "leaf"
    if kind == "leaf":
        value = draw(st.one_of(st.integers(), st.text(max_size=5), st.booleans()))
        return {}, value, value
    members = [draw(schema_and_value(depth - 1)) for _ in range(draw(st.integers(1, 3)))]
    if kind == "list":
        schema, value, wire = members[0]
        return {"type": "array", "items": schema}, [value, value], [wire, wire]
    if kind == "object":
        names = ["a", "b", "c"][: len(members)]
        return (
            {"type": "object", "properties": dict(zip(names, (m[0] for m in members), strict=True))},
            dict(zip(names, (m[1] for m in members), strict=True)),
            dict(zip(names, (m[2] for m in members), strict=True)),
        )
    key = draw(st.sampled_from(["prefixItems", "items"]))
    wire = {str(index): member[2] for index, member in enumerate(members)}
    return {"type": "array", key: [member[0] for member in members]}, [member[1] for member in members], wire


@settings(max_examples=200, deadline=None)
@given(schema_and_value())
def test_values_make_the_round_trip(case: tuple[dict[str, Any], Any, Any]):
    schema, value, wire = case
    assert json.loads(tuples.restore_text(json.dumps(wire), schema)) == value
    assert not tuples.has_tuples(tuples.to_objects(schema))


def test_unions_skip_branches_that_are_no_schema_or_do_not_fit():
    schema = {"anyOf": [True, {"prefixItems": [{}, {}, {}]}, PAIR]}
    assert tuples.restore_text('{"0":1,"1":"a"}', schema) == '[1,"a"]'
    assert tuples.restore_text('{"anything":1}', schema) == '{"anything":1}'


def test_a_reference_that_turns_in_a_circle_ends():
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}, "p": PAIR}}
    assert tuples.restore_text('{"0":1}', schema) == '{"0":1}'


def test_a_union_inside_a_list_is_followed():
    schema = {"type": "array", "items": {"anyOf": [{"type": "array", "items": PAIR}, PAIR]}}
    assert tuples.restore_text('[[{"0":1,"1":"a"}],{"0":2,"1":"b"}]', schema) == '[[[1,"a"]],[2,"b"]]'
