"""JSON schemas as the upstream takes them: function parameters repaired, strict schemas checked before they leave.

Copies on write: an unchanged schema is the same object, because rewriting would cost the prompt cache. Property names
are data and never mistaken for keywords. The checks name the client's own index, since upstream errors are opaque.
Facts: spec/translation.md §4.3, §4.8, rows 39-41.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from translation.errors import InvalidRequest
from translation.ir.request import FunctionTool, GenerateRequest, OutputFormat, Tool
from translation.wire.jsontypes import is_array, is_object

Schema = dict[str, Any]

_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")
_SINGLES = (
    "items",
    "additionalProperties",
    "additionalItems",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
)
_UNIONS = ("anyOf", "oneOf", "allOf")


def prepare(request: GenerateRequest) -> GenerateRequest:
    """Return `request` with schemas the upstream accepts; the same object when they were fine.

    Raises: InvalidRequest (invalid_function_parameters, invalid_json_schema) when a strict schema cannot be strict.
    """
    tools = request.tools and tuple(_prepare_tool(tool) for tool in request.tools)
    output = request.output_format and _prepare_output(request.output_format)
    same_tools = tools is None or all(new is old for new, old in zip(tools, request.tools or (), strict=True))
    if same_tools and output is request.output_format:
        return request
    return replace(request, tools=request.tools if same_tools else tools, output_format=output)


def _prepare_tool(tool: Tool) -> Tool:
    if not isinstance(tool, FunctionTool):
        return tool
    parameters = repair_parameters(tool.parameters)
    if tool.strict:
        problem = next(strict_violations(parameters), None)
        if problem is not None:
            where = f"tools[{tool.position}].function.parameters"
            raise InvalidRequest(
                f"Invalid schema for the strict function {tool.name!r} at `{where}`: {problem}",
                code="invalid_function_parameters",
                param=where,
            )
    return tool if parameters is tool.parameters else replace(tool, parameters=parameters)


def _prepare_output(output: OutputFormat) -> OutputFormat:
    if not output.strict or output.schema is None:
        return output
    schema = close_objects(output.schema)
    problem = next(strict_violations(schema), None)
    if problem is not None:
        raise InvalidRequest(
            f"Invalid schema for response_format {output.name!r}: {problem}",
            code="invalid_json_schema",
            param="response_format",
        )
    return output if schema is output.schema else replace(output, schema=schema)


# ---- walking -------------------------------------------------------------------------------------------------------


def rewrite(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """Apply `change` to every schema object, innermost first; unchanged branches stay the same objects."""
    if not is_object(schema):
        return schema
    updates: Schema = {}
    for key, value in schema.items():
        new = _rewrite_member(key, value, change)
        if new is not value:
            updates[key] = new
    return change({**schema, **updates} if updates else schema)


def _rewrite_member(key: str, value: Any, change: Callable[[Schema], Schema]) -> Any:
    if key in _MAPS and is_object(value):
        members = {name: rewrite(member, change) for name, member in value.items()}
        return members if any(members[name] is not value[name] for name in value) else value
    if is_array(value) and (key in _LISTS or key == "items"):
        entries = [rewrite(entry, change) for entry in value]
        return entries if any(new is not old for new, old in zip(entries, value, strict=True)) else value
    if key in _SINGLES and is_object(value):
        return rewrite(value, change)
    return value


def walk(schema: Any, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every schema object with a readable path."""
    if not is_object(schema):
        return
    yield path, schema
    for key, value in schema.items():
        if key in _MAPS and is_object(value):
            for name, member in value.items():
                yield from walk(member, f"{path}.{name}" if key == "properties" else f"{path}.{key}.{name}")
        elif is_array(value) and (key in _LISTS or key == "items"):
            for index, entry in enumerate(value):
                yield from walk(entry, f"{path}.{key}[{index}]")
        elif key in _SINGLES and is_object(value):
            yield from walk(value, f"{path}.{key}")


# ---- function parameters -------------------------------------------------------------------------------------------


def repair_parameters(parameters: Schema | None) -> Schema:
    """Return parameters the upstream accepts: one object schema, with lower-case types and no holes."""
    if not parameters:
        return {"type": "object", "properties": {}}
    root: Schema = rewrite(parameters, _repair_node)
    if any(key in root for key in _UNIONS):
        root = _merge_root(root)
    if root.get("type") != "object":
        root = {**root, "type": "object"}
    if not is_object(root.get("properties")):
        root = {**root, "properties": {}}
    return root


def _repair_node(node: Schema) -> Schema:
    updates: Schema = {}
    kind = _lower_type(node.get("type"))
    if kind != node.get("type"):
        updates["type"] = kind
    if node.get("nullable") is True and kind is not None:
        kinds = kind if is_array(kind) else [kind]
        updates["type"] = kind = kinds if "null" in kinds else [*kinds, "null"]
        if is_array(node.get("enum")) and None not in node["enum"]:
            updates["enum"] = [*node["enum"], None]
    if _has_type(kind, "array") and "items" not in node and "prefixItems" not in node:
        updates["items"] = {}
    properties = node.get("properties")
    if _has_type(kind, "object") and not is_object(properties):
        updates["properties"] = properties = {}
    required = node.get("required")
    if is_array(required) and is_object(properties):
        known = [name for name in required if name in properties]
        if len(known) != len(required):
            updates["required"] = known
    dropped = [key for key in ("$schema", "nullable") if key in node]
    if not updates and not dropped:
        return node
    return {key: value for key, value in {**node, **updates}.items() if key not in dropped}


def _lower_type(kind: Any) -> Any:
    if type(kind) is str:
        return kind.lower() if not kind.islower() else kind
    if is_array(kind):
        return [entry.lower() if type(entry) is str else entry for entry in kind]
    return kind


def _has_type(kind: Any, name: str) -> bool:
    return kind == name or (is_array(kind) and name in kind)


def _merge_root(root: Schema) -> Schema:
    """Make one object of a union at the root, which functions may not have: all properties, and what all require."""
    properties: Schema = dict(root["properties"]) if is_object(root.get("properties")) else {}
    required = _required(root)
    order = list(properties)
    for key in _UNIONS:
        branches = [_local(root, branch) for branch in root.get(key) or () if is_object(branch)]
        objects = [branch for branch in branches if is_object(branch.get("properties"))]
        for branch in objects:
            for name, member in branch["properties"].items():
                properties.setdefault(name, member)
        demands = [_required(branch) for branch in branches]
        if demands:
            required |= _combine(demands, every=key == "allOf")
    order += [name for name in properties if name not in order]
    merged = {key: value for key, value in root.items() if key not in _UNIONS and key != "required"}
    merged |= {"type": "object", "properties": properties}
    if required:
        merged["required"] = [name for name in order if name in required]
    return merged


def _combine(demands: list[set[str]], *, every: bool) -> set[str]:
    """All of allOf must hold, so everything is demanded; of other unions only what each branch demands."""
    combined = set(demands[0])
    for demand in demands[1:]:
        combined = combined | demand if every else combined & demand
    return combined


def _required(node: Schema) -> set[str]:
    required = node.get("required")
    return set(required) if is_array(required) else set()


def _local(root: Schema, branch: Schema) -> Schema:
    """Follow a reference to the schema's own definitions, a few steps at most."""
    for _ in range(8):
        target = resolve(root, branch.get("$ref"))
        if target is None:
            break
        branch = target
    return branch


def resolve(root: Schema, reference: Any) -> Schema | None:
    """Return the schema a local JSON pointer names, or None."""
    if type(reference) is not str or not reference.startswith("#"):
        return None
    node: Any = root
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        node = node.get(step) if is_object(node) else None
    return node if is_object(node) else None


# ---- strict --------------------------------------------------------------------------------------------------------


def close_objects(schema: Schema) -> Schema:
    """Say `additionalProperties: false` on every object that says nothing about it."""
    return rewrite(schema, _close)


def _close(node: Schema) -> Schema:
    if _is_object(node) and "additionalProperties" not in node:
        return {**node, "additionalProperties": False}
    return node


def _is_object(node: Schema) -> bool:
    return _has_type(node.get("type"), "object") or ("type" not in node and is_object(node.get("properties")))


def strict_violations(schema: Schema) -> Iterator[str]:
    """Yield what a strict schema may not have, in sentences, in document order."""
    kind = schema.get("type")
    if (kind is not None and kind != "object") or (kind is None and "anyOf" in schema):
        yield "the root must have type 'object'."
    for path, node in walk(schema):
        if not _is_object(node):
            continue
        place = f"at '{path[1:]}'" if path else "at the root"
        if node.get("additionalProperties") is not False:
            yield f"{place}, 'additionalProperties' is required and must be false."
        properties = node.get("properties")
        listed = _required(node)
        missing = [name for name in properties if name not in listed] if is_object(properties) else []
        if missing:
            yield f"{place}, 'required' must list every property; missing: {', '.join(missing)}."
