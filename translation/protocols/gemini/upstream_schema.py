"""JSON Schema → what Gemini's `parametersJsonSchema` and `responseJsonSchema` take: a subset of its keywords.

Keywords outside the subset are refused, so they are left out; `const` and `allOf` are said with the words there are.
Property names are data and never mistaken for keywords. Facts: spec/translation.md §11.5. Reference:
https://ai.google.dev/api/generate-content (checked 2026-11-23).
"""

from __future__ import annotations

from typing import Any

from translation.wire.jsontypes import is_array, is_object

Schema = dict[str, Any]

_PLAIN = (
    "$id", "$ref", "$anchor", "type", "format", "title", "description", "enum", "required", "minItems", "maxItems",
    "minimum", "maximum", "propertyOrdering",
)  # fmt: skip
_MAPS = {"properties": "properties", "$defs": "$defs", "definitions": "$defs"}
_LISTS = ("anyOf", "oneOf", "prefixItems")
_SINGLES = ("items", "additionalProperties")
_MAX_DEPTH = 60


def to_gemini_schema(schema: Any, depth: int = 0) -> Any:
    """Return `schema` in Gemini's words; what is no object (`true`, `false`) stays as it is."""
    if not is_object(schema):
        return schema
    if depth > _MAX_DEPTH:
        return {}
    written: Schema = {}
    for key, value in _merged(schema).items():
        if key == "const":
            written.setdefault("enum", [value])
        elif key == "$ref" and isinstance(value, str):
            written[key] = value.replace("#/definitions/", "#/$defs/")
        elif key in _PLAIN:
            written[key] = value
        elif key in _MAPS and is_object(value):
            members = {name: to_gemini_schema(member, depth + 1) for name, member in value.items()}
            written[_MAPS[key]] = {**written.get(_MAPS[key], {}), **members}
        elif key in _LISTS and is_array(value):
            written[key] = [to_gemini_schema(entry, depth + 1) for entry in value]
        elif key in _SINGLES:
            written[key] = to_gemini_schema(value, depth + 1)
    return written


def _merged(schema: Schema) -> Schema:
    """Say `allOf` in one object: properties and required names add up, of everything else the first word counts."""
    parts = schema.get("allOf")
    if not is_array(parts):
        return schema
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        for key, value in (_merged(part) if is_object(part) else {}).items():
            if key in ("properties", "$defs") and is_object(value):
                merged[key] = {**value, **(merged.get(key) or {})}
            elif key == "required" and is_array(value):
                merged[key] = [*(merged.get(key) or []), *(name for name in value if name not in schema.get(key, []))]
            else:
                merged.setdefault(key, value)
    return merged
