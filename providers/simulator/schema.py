"""JSON schemas, twice: a document that satisfies one, and what the backend demands of strict ones (wire.md §3.5.12).

Pure. `demo_value` makes plain answers for structured output and fills the required arguments of tool calls.
"""

from __future__ import annotations

from typing import Any

_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
    "duration": "P1D",
}
_MAX_DEPTH = 12
_REFUSED_IN_STRICT = (
    "oneOf",
    "allOf",
    "not",
    "if",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "unevaluatedProperties",
)


def resolve(schema: Any, root: Any) -> Any:
    """Follow a local `$ref`."""
    seen = 0
    while isinstance(schema, dict) and isinstance(schema.get("$ref"), str) and seen < _MAX_DEPTH:
        node = root
        for part in schema["$ref"].lstrip("#").strip("/").split("/"):
            if not part:
                continue
            node = node.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(node, dict) else {}
        schema = node
        seen += 1
    return schema


def demo_value(schema: Any, root: Any = None, *, text: str = "demo", depth: int = 0) -> Any:
    """Return the simplest document that satisfies the schema."""
    root = schema if root is None else root
    schema = resolve(schema, root)
    if not isinstance(schema, dict):
        return text
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("allOf"):
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            part = resolve(part, root)
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", []), *part.get("required", [])]
            merged |= part
            merged |= {"properties": properties, "required": required}
        return demo_value(merged, root, text=text, depth=depth)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            options = [resolve(option, root) for option in schema[key]]
            if depth >= _MAX_DEPTH and any(option.get("type") == "null" for option in options):
                return None
            simple = [option for option in options if option.get("type") != "null"]
            return demo_value((simple or options)[0], root, text=text, depth=depth + 1)
    return _demo_of_type(schema, root, text, depth)


def _demo_of_type(schema: dict[str, Any], root: Any, text: str, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        if depth >= _MAX_DEPTH and "null" in kind:
            return None
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    match kind:
        case "object":
            properties = schema.get("properties") or {}
            names = schema.get("required", []) if depth >= _MAX_DEPTH else properties
            return {name: demo_value(properties.get(name, {}), root, text=text, depth=depth + 1) for name in names}
        case "array":
            heads = schema.get("prefixItems") or []
            items = [demo_value(head, root, text=text, depth=depth + 1) for head in heads]
            wanted = schema.get("minItems", 0 if heads or depth >= _MAX_DEPTH else 1)
            while len(items) < wanted:
                items.append(demo_value(schema.get("items", {}), root, text=text, depth=depth + 1))
            return items
        case "integer" | "number":
            return _demo_number(schema, is_integer=kind == "integer")
        case "boolean":
            return False
        case "null":
            return None
        case _:
            value = _FORMATS.get(schema.get("format", ""), text)
            value = value.ljust(schema.get("minLength", 0), ".")
            return value[: schema.get("maxLength", len(value))]


def _demo_number(schema: dict[str, Any], *, is_integer: bool) -> float:
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value = low if low is not None else 1
    if high is not None and value > high:
        value = high
    return int(value) if is_integer else value


def demo_arguments(schema: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return tool arguments: what is given, plus demo values for whatever else is required."""
    arguments = dict(given)
    schema = resolve(schema, schema)
    if isinstance(schema, dict):
        properties = schema.get("properties") or {}
        for name in schema.get("required") or []:
            if name not in arguments:
                arguments[name] = demo_value(properties.get(name, {}), schema, depth=1)
    return arguments


def strict_violation(schema: Any) -> str | None:
    """Return what the backend would say against a strict schema, or None."""
    if not isinstance(schema, dict):
        return "schema must be an object"
    if schema.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    return _violation(schema, schema, (), 0)


def _violation(schema: Any, root: Any, context: tuple[str, ...], depth: int) -> str | None:
    if not isinstance(schema, dict) or depth > 40:
        return None
    where = f"In context={context!r}, "
    for keyword in _REFUSED_IN_STRICT:
        if keyword in schema:
            return f"{where}'{keyword}' is not permitted."
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "object" in kinds or "properties" in schema:
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False:
            return f"{where}'additionalProperties' is required to be supplied and to be false."
        missing = [name for name in properties if name not in (schema.get("required") or [])]
        if missing:
            return (
                f"{where}'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{missing[0]}'."
            )
    if "array" in kinds and "items" not in schema:
        return f"{where}array schema missing items."
    for path, node in _children(schema):
        found = _violation(node, root, context + path, depth + 1)
        if found:
            return found
    return None


def _children(schema: dict[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    children: list[tuple[tuple[str, ...], Any]] = []
    for group in ("properties", "$defs", "definitions"):
        children += [((group, name), node) for name, node in (schema.get(group) or {}).items()]
    children.append((("items",), schema.get("items")))
    return children + [(("anyOf", str(index)), node) for index, node in enumerate(schema.get("anyOf") or [])]
