"""Tuples (array schemas with a schema per position), which the upstream refuses, as objects with keys "0", "1", ….

Outbound the schema is rewritten; inbound the text of the blocks concerned is held back, parsed, turned back into arrays
and sent once, before the block closes. Text that is no JSON (a truncated answer) is sent as it came.
Facts: spec/translation.md §4.8, rows 42-43. Uses the standard `json`, because orjson rounds integers above 64 bits.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from translation.ir import events as ev
from translation.ir.request import FunctionTool, GenerateRequest, Tool
from translation.passes.schemas import Schema, resolve, rewrite, walk
from translation.wire.jsontypes import is_array, is_object

_UNIONS = ("anyOf", "oneOf", "allOf")
_ARRAY_KEYS = frozenset(
    {"type", "prefixItems", "items", "additionalItems", "minItems", "maxItems", "uniqueItems", "unevaluatedItems"}
)
_MAX_REFERENCES = 64


def positions(node: Any) -> list[Any] | None:
    """Return the schemas per position when `node` describes a tuple, in either spelling; None otherwise."""
    if not is_object(node):
        return None
    for key in ("prefixItems", "items"):
        entries = node.get(key)
        if is_array(entries) and entries:
            return entries
    return None


def has_tuples(schema: Schema | None) -> bool:
    """Say whether there is a tuple anywhere in `schema`."""
    return schema is not None and any(positions(node) is not None for _, node in walk(schema))


def to_objects(schema: Schema) -> Schema:
    """Return `schema` with every tuple written as a closed object whose keys are the positions."""
    return rewrite(schema, _to_object)


def _to_object(node: Schema) -> Schema:
    entries = positions(node)
    if entries is None:
        return node
    least = _least(node, len(entries))
    members = {
        str(index): (entry if is_object(entry) else {}) if index < least else _optional(entry)
        for index, entry in enumerate(entries)
    }
    kept = {key: value for key, value in node.items() if key not in _ARRAY_KEYS}
    kind = node.get("type")
    return {
        **kept,
        "type": ["object", "null"] if is_array(kind) and "null" in kind else "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _least(node: Schema, length: int) -> int:
    """How many positions must be there. Without `minItems` all: the shorter arrays JSON Schema allows are not meant."""
    least = node.get("minItems")
    return least if type(least) is int and 0 <= least < length else length


def _optional(entry: Any) -> Schema:
    """Strict objects have no optional members; null stands for a position that is left out."""
    return {"anyOf": [entry if is_object(entry) else {}, {"type": "null"}]}


# ---- back ----------------------------------------------------------------------------------------------------------


def restore_text(text: str, schema: Schema) -> str:
    """Return the JSON `text` with arrays where `schema` has tuples; `text` itself when it is no JSON."""
    try:
        value = restore(json.loads(text), schema, schema)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text


def restore(value: Any, node: Any, root: Schema, references: int = 0) -> Any:
    """Return `value` with arrays where `node` has tuples. What does not fit the schema stays as it is."""
    if not is_object(node):
        return value
    target = resolve(root, node.get("$ref"))
    if target is not None:
        return restore(value, target, root, references + 1) if references < _MAX_REFERENCES else value
    entries = positions(node)
    if entries is not None and is_object(value):
        return _restore_tuple(value, node, entries, root)
    if is_object(value):
        value = _restore_members(value, node, root)
    elif is_array(value) and is_object(node.get("items")):
        value = [restore(entry, node["items"], root) for entry in value]
    branch = _branch(value, node, root)
    return value if branch is None else restore(value, branch, root, references + 1)


def _restore_tuple(value: dict[str, Any], node: Schema, entries: list[Any], root: Schema) -> Any:
    if not all(key.isdecimal() for key in value):
        return value
    restored = [
        restore(value[key], entries[int(key)] if int(key) < len(entries) else None, root)
        for key in sorted(value, key=int)
    ]
    least = _least(node, len(entries))
    while len(restored) > least and restored[-1] is None:
        restored.pop()
    return restored


def _restore_members(value: dict[str, Any], node: Schema, root: Schema) -> dict[str, Any]:
    properties = node.get("properties")
    known = properties if is_object(properties) else {}
    others = node.get("additionalProperties")
    if not known and not is_object(others):
        return value
    return {name: restore(member, known.get(name, others), root) for name, member in value.items()}


def _branch(value: Any, node: Schema, root: Schema) -> Schema | None:
    """Return the first branch of a union that holds tuples and could describe `value`."""
    if not is_object(value) and not is_array(value):
        return None
    for key in _UNIONS:
        for branch in node.get(key) or ():
            if not is_object(branch):
                continue
            target = resolve(root, branch.get("$ref")) or branch
            if _fits(value, target) and _may_hold_tuples(target):
                return target
    return None


def _may_hold_tuples(node: Schema) -> bool:
    return any(positions(part) is not None or "$ref" in part for _, part in walk(node))


def _fits(value: Any, node: Schema) -> bool:
    entries = positions(node)
    if entries is not None:
        return is_object(value) and set(value) == {str(index) for index in range(len(entries))}
    kind = node.get("type")
    wanted = "array" if is_array(value) else "object"
    if kind is not None and kind != wanted and not (is_array(kind) and wanted in kind):
        return False
    properties = node.get("properties")
    return is_array(value) or not is_object(properties) or not value or any(name in properties for name in value)


class TupleInverse:
    """Holds back the text of blocks whose schema had tuples. `output` is the answer's schema, `tools` those by name."""

    is_finished = False

    def __init__(self, output: Schema | None, tools: dict[str, Schema]) -> None:
        self._output = output
        self._tools = tools
        self._held: dict[int, tuple[Schema, list[str]]] = {}
        self._kinds: dict[int, str] = {}

    def inbound(self, events: list[ev.Event]) -> list[ev.Event]:
        """Pass `events` on, with converted text once per block."""
        out: list[ev.Event] = []
        for event in events:
            if isinstance(event, ev.BlockStart):
                self._begin(event)
            elif isinstance(event, ev.TextDelta | ev.ToolCallDelta):
                held = self._held.get(event.index)
                if held is not None:
                    held[1].append(event.text)
                    continue
            elif isinstance(event, ev.BlockStop):
                self._end(event.index, out)
            elif isinstance(event, ev.Stop | ev.Error):
                for index in sorted(self._held):  # cut in the middle: what was said is still delivered
                    self._end(index, out)
            out.append(event)
        return out

    def _begin(self, event: ev.BlockStart) -> None:
        schema = self._output if event.kind == "text" else None
        if event.kind == "tool_call":
            schema = self._tools.get(event.name)
        if schema is not None:
            self._held[event.index] = (schema, [])
            self._kinds[event.index] = event.kind

    def _end(self, index: int, out: list[ev.Event]) -> None:
        held = self._held.pop(index, None)
        if held is None:
            return
        text = restore_text("".join(held[1]), held[0])
        if text:
            out.append(ev.TextDelta(index, text) if self._kinds[index] == "text" else ev.ToolCallDelta(index, text))


def convert(request: GenerateRequest) -> tuple[GenerateRequest, TupleInverse | None]:
    """Return `request` without tuple schemas, and the inverse; unchanged and None when there were none."""
    output = request.output_format
    schema = output.schema if output is not None and has_tuples(output.schema) else None
    tools: dict[str, Schema] = {
        tool.name: tool.parameters
        for tool in request.tools or ()
        if isinstance(tool, FunctionTool) and tool.parameters is not None and has_tuples(tool.parameters)
    }
    if schema is None and not tools:
        return request, None
    converted = replace(
        request,
        output_format=output if output is None or schema is None else replace(output, schema=to_objects(schema)),
        tools=None if request.tools is None else tuple(_convert_tool(tool, tools) for tool in request.tools),
    )
    return converted, TupleInverse(schema, tools)


def _convert_tool(tool: Tool, tools: dict[str, Schema]) -> Tool:
    if isinstance(tool, FunctionTool) and tool.name in tools:
        return replace(tool, parameters=to_objects(tools[tool.name]))
    return tool
