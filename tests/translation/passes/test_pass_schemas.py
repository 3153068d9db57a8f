"""Function parameters repaired, strict schemas checked (spec/translation.md §4.3, §4.8)."""

from __future__ import annotations

from typing import Any

import pytest

from translation.errors import InvalidRequest
from translation.ir.request import FunctionTool, GenerateRequest, OutputFormat
from translation.passes import schemas

EMPTY = {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    "given", [None, {}, {"type": "object"}, {"type": "OBJECT"}, {"properties": {}}, {"type": "string"}]
)
def test_parameters_are_always_an_object_with_properties(given):
    assert schemas.repair_parameters(given) == EMPTY


def test_a_good_schema_is_the_same_object():
    good: dict[str, Any] = {
        "type": "object",
        "properties": {"type": {"type": "string"}, "items": {"type": "array", "items": {"type": "integer"}}},
        "required": ["type"],
    }
    assert schemas.repair_parameters(good) is good
    request = GenerateRequest(model="m", items=(), tools=(FunctionTool(name="f", parameters=good),))
    assert schemas.prepare(request) is request


def test_it_repairs_at_every_depth():
    given = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "OBJECT",
        "properties": {
            "list": {"type": "ARRAY"},
            "maybe": {"type": "STRING", "nullable": True, "enum": ["A"]},
            "inner": {"type": "object", "$schema": "x", "required": ["gone"]},
            "$schema": {"type": "STRING"},
        },
        "required": ["list", "gone"],
        "$defs": {"d": {"type": ["ARRAY", "NULL"]}},
    }
    assert schemas.repair_parameters(given) == {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {}},
            "maybe": {"type": ["string", "null"], "enum": ["A", None]},
            "inner": {"type": "object", "required": [], "properties": {}},
            "$schema": {"type": "string"},
        },
        "required": ["list"],
        "$defs": {"d": {"type": ["array", "null"], "items": {}}},
    }
    assert given["type"] == "OBJECT", "the client's own object is never changed"


@pytest.mark.parametrize(("union", "required"), [("anyOf", ["a"]), ("oneOf", ["a"]), ("allOf", ["a", "b", "c"])])
def test_a_union_at_the_root_becomes_one_object(union, required):
    given = {
        union: [
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "required": ["a", "b"],
            },
            {"$ref": "#/$defs/other"},
        ],
        "$defs": {
            "other": {"type": "object", "properties": {"a": {"type": "number"}, "c": {}}, "required": ["a", "c"]}
        },
    }
    repaired = schemas.repair_parameters(given)
    assert union not in repaired and repaired["type"] == "object"
    assert repaired["properties"] == {"a": {"type": "string"}, "b": {"type": "string"}, "c": {}}
    assert repaired["required"] == required


def test_repair_is_idempotent():
    given = {"anyOf": [{"type": "OBJECT", "properties": {"x": {"type": "ARRAY"}}}], "required": ["x"]}
    once = schemas.repair_parameters(given)
    assert schemas.repair_parameters(once) is once


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def strict_tool(parameters: dict[str, Any], position: int = 0) -> GenerateRequest:
    tool = FunctionTool(name="f", parameters=parameters, strict=True, position=position)
    return GenerateRequest(model="m", items=(), tools=(tool,))


def test_a_strict_function_that_is_strict_passes_untouched():
    request = strict_tool(CLOSED)
    assert schemas.prepare(request) is request


@pytest.mark.parametrize(
    "parameters",
    [
        {**CLOSED, "additionalProperties": True},
        {key: value for key, value in CLOSED.items() if key != "additionalProperties"},
        {**CLOSED, "required": []},
        {**CLOSED, "properties": {"a": {"type": "object", "properties": {}}}},
        {**CLOSED, "properties": {"a": {"anyOf": [{"type": "object", "properties": {"q": {}}}]}}},
    ],
)
def test_row_040_a_strict_function_that_is_not_strict_is_refused_with_the_clients_index(parameters):
    with pytest.raises(InvalidRequest) as caught:
        schemas.prepare(strict_tool(parameters, position=4))
    assert caught.value.code == "invalid_function_parameters"
    assert caught.value.param == "tools[4].function.parameters"


def test_a_function_that_is_not_strict_is_not_checked():
    tool = FunctionTool(name="f", parameters={**CLOSED, "required": []})
    request = GenerateRequest(model="m", items=(), tools=(tool,))
    assert schemas.prepare(request) is request


def output(schema: dict[str, Any], strict: bool | None) -> GenerateRequest:
    return GenerateRequest(
        model="m", items=(), output_format=OutputFormat(kind="json_schema", name="o", schema=schema, strict=strict)
    )


def test_strict_output_is_closed_at_every_depth():
    inner = {"type": "object", "properties": {}}
    given = {
        "type": "object",
        "properties": {"a": inner, "b": {"$ref": "#/$defs/c"}},
        "required": ["a", "b"],
        "$defs": {"c": inner},
    }
    prepared = schemas.prepare(output(given, True)).output_format
    assert prepared is not None and prepared.schema is not None
    closed = {**inner, "additionalProperties": False}
    assert prepared.schema["properties"]["a"] == closed == prepared.schema["$defs"]["c"]
    assert prepared.schema["additionalProperties"] is False
    assert "additionalProperties" not in given


@pytest.mark.parametrize("strict", [False, None])
def test_row_041_output_without_strict_is_not_touched(strict):
    request = output({"type": "object", "properties": {"a": {}}}, strict)
    assert schemas.prepare(request) is request


@pytest.mark.parametrize(
    "schema", [{"type": "array", "items": {}}, {"anyOf": [CLOSED]}, {"type": "object", "properties": {"a": {}}}]
)
def test_row_039_strict_output_that_cannot_be_strict_is_refused(schema):
    with pytest.raises(InvalidRequest) as caught:
        schemas.prepare(output(schema, True))
    assert (caught.value.code, caught.value.param) == ("invalid_json_schema", "response_format")


def test_schemas_that_are_booleans_are_left_alone():
    given: dict[str, Any] = {"type": "object", "properties": {"a": True, "b": {"type": "array", "items": False}}}
    assert schemas.repair_parameters(given) is given
    assert schemas.close_objects({"anyOf": [True]}) == {"anyOf": [True]}


def test_single_subschemas_are_repaired_and_checked():
    given = {"type": "object", "properties": {"a": {"not": {"type": "ARRAY"}}}}
    assert schemas.repair_parameters(given)["properties"]["a"] == {"not": {"type": "array", "items": {}}}
    deep = {**CLOSED, "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {}}}}}
    with pytest.raises(InvalidRequest, match=r"at 'a.items'"):
        schemas.prepare(strict_tool(deep))


def test_hosted_tools_have_no_parameters():
    from translation.ir.request import HostedTool

    request = GenerateRequest(model="m", items=(), tools=(HostedTool("web_search", {}),))
    assert schemas.prepare(request) is request
