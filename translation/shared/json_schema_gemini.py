"""Gemini's schema dialect (an OpenAPI subset, as protobuf writes it) → JSON Schema.

Upper-case types, `nullable`, numbers as strings, `propertyOrdering`, snake_case keys. Copies on write: a schema that is
JSON Schema already is the same object, because rewriting would cost the prompt cache. Property names are data and never
mistaken for keywords. Facts: spec/translation.md §4.3, §4.8, rows 161-164. Reference:
https://ai.google.dev/api/caching#Schema (checked 2026-11-23).
"""

from __future__ import annotations

from typing import Any

from translation.wire.jsontypes import is_array, is_object

Schema = dict[str, Any]

_KEYS = {
    "any_of": "anyOf",
    "one_of": "oneOf",
    "all_of": "allOf",
    "prefix_items": "prefixItems",
    "additional_properties": "additionalProperties",
    "property_ordering": "propertyOrdering",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "defs": "$defs",
    "ref": "$ref",
}
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_STRICT_KEYS = frozenset(
    {"type", "properties", "required", "items", "enum", "const", "title", "description", "additionalProperties"}
    | {"anyOf", "$ref", "$defs"}
)
"""What every strict validator is known to take; a schema with anything else is sent without strict."""


def to_json_schema(schema: Any) -> Any:
    """Return `schema` as JSON Schema; the same object when it was."""
    if not is_object(schema):
        return schema
    renamed = {_KEYS.get(key, key): value for key, value in schema.items()}
    node = {key: _member(key, value) for key, value in renamed.items()}
    node = _ordered(_typed(node))
    return schema if list(node) == list(schema) and all(node[key] is schema[key] for key in node) else node


def _member(key: str, value: Any) -> Any:
    if key in _MAPS and is_object(value):
        members = {name: to_json_schema(member) for name, member in value.items()}
        return members if any(members[name] is not value[name] for name in value) else value
    if is_array(value) and (key in _LISTS or key == "items"):
        entries = [to_json_schema(entry) for entry in value]
        return entries if any(new is not old for new, old in zip(entries, value, strict=True)) else value
    if key in _SINGLES:
        return to_json_schema(value)
    if key in _COUNTS and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value


def _typed(node: Schema) -> Schema:
    """Translate `type` with what hangs on it: null as a type of its own, formats that are none."""
    kind = _lower(node.get("type"))
    changed = dict(node)
    if kind is None or kind == "type_unspecified":
        changed.pop("type", None)
    elif kind != node["type"]:
        changed["type"] = kind
    if changed.pop("nullable", None) is True:
        _make_nullable(changed)
    if changed.get("format") == "enum":
        del changed["format"]
    return changed if len(changed) != len(node) or any(changed[key] is not node[key] for key in changed) else node


def _make_nullable(node: Schema) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and kind != "null":
        node["type"] = [kind, "null"]
    elif is_array(kind) and "null" not in kind:
        node["type"] = [*kind, "null"]
    elif kind is None and is_array(node.get("anyOf")):
        node["anyOf"] = [*node["anyOf"], {"type": "null"}]
    if is_array(node.get("enum")) and None not in node["enum"]:
        node["enum"] = [*node["enum"], None]


def _lower(kind: Any) -> Any:
    if isinstance(kind, str):
        return kind if kind.islower() else kind.lower()
    if is_array(kind):
        lowered = [_lower(entry) for entry in kind]
        return lowered if lowered != kind else kind
    return kind


def _ordered(node: Schema) -> Schema:
    """Put the properties in the order that `propertyOrdering` asks for; models answer in the order of the schema."""
    if "propertyOrdering" not in node:
        return node
    order, properties = node["propertyOrdering"], node.get("properties")
    node = {key: value for key, value in node.items() if key != "propertyOrdering"}
    if is_array(order) and is_object(properties):
        first = [name for name in order if isinstance(name, str) and name in properties]
        node["properties"] = {name: properties[name] for name in dict.fromkeys([*first, *properties])}
    return node


# ---- strict --------------------------------------------------------------------------------------------------------


def can_be_strict(schema: Any) -> bool:
    """Say whether a strict validator would take `schema`: every property required, nothing but plain keywords."""
    if not is_object(schema) or not _STRICT_KEYS.issuperset(schema):
        return False
    if _is_object(schema) and not _is_closed(schema):
        return False
    children: list[Any] = []
    for key in ("properties", "$defs"):
        members = schema.get(key)
        if members is not None:
            if not is_object(members):
                return False
            children += members.values()
    children += schema.get("anyOf") or ()
    if "items" in schema:
        children.append(schema["items"])
    if not any(key in schema for key in ("type", "anyOf", "$ref")) or (
        _has_type(schema, "array") and "items" not in schema
    ):
        return False
    return all(can_be_strict(child) for child in children)


def _is_object(schema: Schema) -> bool:
    return _has_type(schema, "object") or ("type" not in schema and "properties" in schema)


def _has_type(schema: Schema, name: str) -> bool:
    kind = schema.get("type")
    return kind == name or (is_array(kind) and name in kind)


def _is_closed(schema: Schema) -> bool:
    properties, required = schema.get("properties"), schema.get("required")
    if not is_object(properties) or schema.get("additionalProperties", False) is not False:
        return False
    return not properties or (is_array(required) and set(properties) <= {n for n in required if isinstance(n, str)})
