"""Clean-up of a client's `tools` and `tool_choice`, and what about them only the translate lane can carry.

Entries are forwarded as they are (models with reserved tools compare them structurally); only preview names and
chat-style nesting are rewritten, and nulls left out. Facts: spec/translation.md §4.3-4.6, §8.1, rows 191, 195;
spec/wire.md §3.4.
"""

from __future__ import annotations

import re
from typing import Any

from translation.codec import Quirks
from translation.errors import InvalidRequest
from translation.wire.jsontypes import is_array, is_object

_LEGAL_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_NAMED_KINDS = ("function", "custom")


def clean_tools(tools: Any) -> list[dict[str, Any]] | None:
    """Return the tools to send; None when the client sent none, `[]` when it sent `[]`.

    Raises: InvalidRequest with the index of what is malformed.
    """
    if tools is None:
        return None
    return [_clean_tool(tool, f"tools[{position}]") for position, tool in enumerate(tools)]


def _clean_tool(tool: Any, path: str) -> dict[str, Any]:
    if not is_object(tool):
        raise InvalidRequest(f"`{path}` must be an object.", param=path, code="invalid_type")
    for kind in _NAMED_KINDS:
        nested = tool.get(kind)
        if is_object(nested) and "name" not in tool:
            tool = {"type": kind, **nested}
    tool = _without_nulls(tool)
    if is_object(tool.get("format")):
        tool = {**tool, "format": _without_nulls(tool["format"])}
    kind = tool.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(f"`{path}.type` must be a string.", param=f"{path}.type", code="invalid_type")
    if kind in _NAMED_KINDS and not (isinstance(tool.get("name"), str) and tool["name"]):
        raise InvalidRequest(f"`{path}.name` must be a string.", param=f"{path}.name", code="invalid_type")
    if kind.startswith("web_search_preview"):
        return {**tool, "type": "web_search"}
    return tool


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    if None not in value.values():
        return value
    return {key: item for key, item in value.items() if item is not None}


def clean_tool_choice(choice: Any) -> Any:
    """Return the tool choice in the wire's flat spelling."""
    if not is_object(choice):
        return choice
    kind = choice.get("type")
    if isinstance(kind, str) and kind.startswith("web_search_preview"):
        return {**choice, "type": "web_search"}
    nested = choice.get(str(kind))
    if kind in (*_NAMED_KINDS, "allowed_tools") and is_object(nested):
        choice = {"type": kind, **nested}
    if is_array(choice.get("tools")):
        return {**choice, "tools": [clean_tool_choice(tool) for tool in choice["tools"]]}
    return choice


def has_tools(body: dict[str, Any], items: list[dict[str, Any]]) -> bool:
    """Tell whether there is anything to choose from, also in the responses-lite form."""
    return bool(body.get("tools")) or any(item.get("type") == "additional_tools" for item in items)


def names_to_translate(body: dict[str, Any], quirks: Quirks) -> str | None:
    """Return the first tool or call name that the backend refuses, or None."""
    for entry in (*_dicts(body.get("tools")), *_dicts(body.get("input"))):
        nested = entry.get("function")
        source = nested if is_object(nested) else entry
        if entry.get("type") in ("function", "custom", "function_call", "custom_tool_call"):
            name = source.get("name")
            if isinstance(name, str) and (len(name) > quirks.max_name_chars or not _LEGAL_NAME.match(name)):
                return name
    return None


def tuple_schema_path(body: dict[str, Any]) -> str | None:
    """Return where the body asks for a tuple, which the backend cannot express, or None."""
    text = body.get("text")
    output_format = text.get("format") if is_object(text) else None
    if is_object(output_format) and has_tuple(output_format.get("schema")):
        return "text.format.schema"
    for position, tool in enumerate(_dicts(body.get("tools"))):
        nested = tool.get("function")
        source = nested if is_object(nested) else tool
        if tool.get("type") == "function" and has_tuple(source.get("parameters")):
            return f"tools[{position}].parameters"
    return None


def has_tuple(schema: Any) -> bool:
    """Tell whether a JSON schema describes a tuple anywhere (`prefixItems`, or `items` as a list)."""
    pending = [schema]
    while pending:
        node = pending.pop()
        if is_object(node):
            if is_array(node.get("prefixItems")) or is_array(node.get("items")):
                return True
            pending += [value for value in node.values() if isinstance(value, (dict, list))]
        elif is_array(node):
            pending += [value for value in node if isinstance(value, (dict, list))]
    return False


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if is_object(value)] if is_array(values) else []
