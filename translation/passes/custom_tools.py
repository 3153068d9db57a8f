"""Tools with free text input, for upstreams that know functions only: the text becomes the one property of an object.

Outbound declarations, calls and results become those of functions; inbound the arguments of such a call are held back,
unwrapped and sent once, before the block closes. Arguments that are no such object (a truncated answer) are sent as
they came. A grammar cannot be expressed and is told in the description. Facts: spec/translation.md §11.2.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from translation.ir import events as ev
from translation.ir.request import CustomTool, FunctionTool, GenerateRequest, Item, Tool, ToolCall, ToolResult
from translation.wire.jsonio import dumps, loads
from translation.wire.jsontypes import is_object

KEY = "input"
"""The one property of the object that stands around the text."""


class CustomToolsInverse:
    """Makes custom calls of calls of the functions in `names`."""

    is_finished = False

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held: dict[int, list[str]] = {}

    def inbound(self, events: list[ev.Event]) -> list[ev.Event]:
        """Pass `events` on, with the free text of a call once per block."""
        out: list[ev.Event] = []
        for event in events:
            if isinstance(event, ev.BlockStart) and event.kind == "tool_call" and event.name in self._names:
                self._held[event.index] = []
                out.append(replace(event, tool_kind="custom"))
                continue
            if isinstance(event, ev.ToolCallDelta) and event.index in self._held:
                self._held[event.index].append(event.text)
                continue
            if isinstance(event, ev.BlockStop):
                self._end(event.index, out)
            out.append(event)
        return out

    def _end(self, index: int, out: list[ev.Event]) -> None:
        text = _unwrap("".join(self._held.pop(index, ())))
        if text:
            out.append(ev.ToolCallDelta(index, text))


def as_functions(request: GenerateRequest) -> tuple[GenerateRequest, CustomToolsInverse | None]:
    """Return `request` without custom tools, and the inverse; the same object and None when it has none."""
    names = frozenset(tool.name for tool in request.tools or () if isinstance(tool, CustomTool))
    items = tuple(_item(item) for item in request.items)
    if not names and all(new is old for new, old in zip(items, request.items, strict=True)):
        return request, None
    choice = request.tool_choice
    if choice is not None and choice.kind == "custom":
        choice = replace(choice, kind="function")
    tools = tuple(_tool(tool) for tool in request.tools) if request.tools is not None else None
    return replace(request, items=items, tools=tools, tool_choice=choice), CustomToolsInverse(names) if names else None


def _tool(tool: Tool) -> Tool:
    if not isinstance(tool, CustomTool):
        return tool
    description = tool.description or ""
    definition = (tool.format or {}).get("definition")
    if isinstance(definition, str) and definition:
        description = f"{description}\n\nThe input follows this grammar:\n{definition}".strip()
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {KEY: {"type": "string", "description": "The whole input of the tool, as plain text."}},
        "required": [KEY],
        "additionalProperties": False,
    }
    return FunctionTool(name=tool.name, description=description or None, parameters=schema)


def _item(item: Item) -> Item:
    if isinstance(item, ToolCall) and item.kind == "custom":
        return replace(item, kind="function", arguments=dumps({KEY: item.arguments}).decode())
    if isinstance(item, ToolResult) and item.kind == "custom":
        return replace(item, kind="function")
    return item


def _unwrap(text: str) -> str:
    try:
        arguments = loads(text)
    except ValueError:
        return text
    inner = arguments.get(KEY) if is_object(arguments) else None
    return inner if isinstance(inner, str) else text
