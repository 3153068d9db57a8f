"""Gemini's schema dialect, key by key."""

from __future__ import annotations

from typing import Any

import pytest

from translation.shared.json_schema_gemini import can_be_strict, to_json_schema


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": ["STRING", "NULL"]}, {"type": ["string", "null"]}),
        ({"type": "TYPE_UNSPECIFIED", "description": "d"}, {"description": "d"}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"anyOf": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"any_of": [{"type": "STRING"}, {"type": "INTEGER"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"type": "ARRAY", "min_items": "1", "maxItems": "3"}, {"type": "array", "minItems": 1, "maxItems": 3}),
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "OBJECT", "additional_properties": {"type": "STRING"}},
         {"type": "object", "additionalProperties": {"type": "string"}}),
        ({"ref": "#/$defs/A", "defs": {"A": {"type": "STRING"}}},
         {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}}),
    ],
)  # fmt: skip
def test_keys_and_types_are_translated(given, wanted):
    assert to_json_schema(given) == wanted


def test_properties_are_put_in_their_order():
    given = {"type": "OBJECT", "properties": {"a": {}, "b": {}, "c": {}}, "propertyOrdering": ["c", "a", "x", "c"]}
    assert list(to_json_schema(given)["properties"]) == ["c", "a", "b"]
    assert "propertyOrdering" not in to_json_schema(given)


def test_names_of_properties_are_no_keywords():
    given = {"type": "OBJECT", "properties": {"nullable": {"type": "BOOLEAN"}, "min_items": {"type": "STRING"}}}
    wanted = {"type": "object", "properties": {"nullable": {"type": "boolean"}, "min_items": {"type": "string"}}}
    assert to_json_schema(given) == wanted


def test_json_schema_stays_the_same_object():
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": ["string", "null"]}}},
        "anyOf": [{"required": ["a"]}],
        "additionalProperties": False,
    }
    assert to_json_schema(schema) is schema
    assert to_json_schema(True) is True


def test_the_given_schema_is_never_changed():
    given = {"type": "OBJECT", "nullable": True, "properties": {"a": {"type": "STRING"}}}
    to_json_schema(given)
    assert given == {"type": "OBJECT", "nullable": True, "properties": {"a": {"type": "STRING"}}}


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "additionalProperties": False}, True),
        ({"type": "array", "items": CLOSED}, True),
        ({"type": "array", "items": {}}, False),
        ({"anyOf": [CLOSED, {"type": "null"}]}, True),
        ({"type": "string", "pattern": "x"}, False),
        ({"type": "array"}, False),
        ({"enum": ["a"]}, False),
        ({"$defs": {"A": {**CLOSED, "required": None}}, "$ref": "#/$defs/A"}, False),
        ({"type": "object"}, False),
        ({"type": "object", "properties": {}}, True),
    ],
)
def test_strict_is_asked_for_only_where_it_cannot_fail(schema, is_strict):
    assert can_be_strict(schema) is is_strict
