"""Tool names that the upstream accepts, and the way back to the names the client knows.

Decided from the declared tools in order, then from names that only history knows, so a growing conversation keeps its
names. Legal names always stay. Facts: spec/translation.md §4.4, rows 25-26.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from translation.ir import events as ev
from translation.ir.request import (
    CustomTool,
    FunctionTool,
    GenerateRequest,
    Item,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_LEGAL = re.compile(r"[A-Za-z0-9_-]+")
_MCP = "mcp__"


class NameInverse:
    """Gives calls of the answer the names that the client declared."""

    is_finished = False

    def __init__(self, original_names: dict[str, str]) -> None:
        self._originals = original_names

    def inbound(self, events: list[ev.Event]) -> list[ev.Event]:
        """Rename the calls among `events`."""
        originals = self._originals
        return [
            replace(event, name=originals[event.name])
            if type(event) is ev.BlockStart and event.name in originals
            else event
            for event in events
        ]


def rename(request: GenerateRequest, max_chars: int) -> tuple[GenerateRequest, NameInverse | None]:
    """Return `request` with legal tool names everywhere, and the inverse; unchanged and None when all were legal."""
    declared = dict.fromkeys(tool.name for tool in request.tools or () if isinstance(tool, FunctionTool | CustomTool))
    used = {item.name: None for item in request.items if type(item) is ToolCall}
    mapping = short_names([*declared, *used], max_chars)
    if not mapping:
        return request, None
    renamed = replace(
        request,
        tools=None if request.tools is None else tuple(_rename_tool(tool, mapping) for tool in request.tools),
        items=tuple(_rename_item(item, mapping) for item in request.items),
        tool_choice=_rename_choice(request, mapping),
    )
    originals = {short: name for name, short in mapping.items() if name in declared}
    return renamed, NameInverse(originals) if originals else None


def short_names(names: Iterable[str], max_chars: int) -> dict[str, str]:
    """Return a legal name for each illegal one of `names`; legal names are not in the result and never taken."""
    distinct = list(dict.fromkeys(names))
    legal = {name for name in distinct if len(name) <= max_chars and _LEGAL.fullmatch(name)}
    taken = set(legal)
    mapping: dict[str, str] = {}
    for name in distinct:
        if name not in legal:
            short = _free(short_name(name, max_chars), taken, max_chars)
            taken.add(short)
            mapping[name] = short
    return mapping


def short_name(name: str, max_chars: int = 64) -> str:
    """Return the legal form of one name: illegal characters become `_`, an MCP name keeps its last segment."""
    if len(name) > max_chars and name.startswith(_MCP):
        name = _MCP + name.rpartition("__")[2]
    return _ILLEGAL.sub("_", name)[:max_chars] or "tool"


def _free(candidate: str, taken: set[str], max_chars: int) -> str:
    name, number = candidate, 0
    while name in taken:
        number += 1
        suffix = f"_{number}"
        name = candidate[: max_chars - len(suffix)] + suffix
    return name


def _rename_tool(tool: Tool, mapping: dict[str, str]) -> Tool:
    if isinstance(tool, FunctionTool | CustomTool) and tool.name in mapping:
        return replace(tool, name=mapping[tool.name])
    return tool


def _rename_item(item: Item, mapping: dict[str, str]) -> Item:
    if isinstance(item, ToolCall | ToolResult) and item.name in mapping:
        return replace(item, name=mapping[item.name])
    return item


def _rename_choice(request: GenerateRequest, mapping: dict[str, str]) -> ToolChoice | None:
    choice = request.tool_choice
    if choice is None:
        return None
    return replace(
        choice,
        name=mapping.get(choice.name, choice.name) if choice.mode == "named" else choice.name,
        allowed=tuple(mapping.get(name, name) for name in choice.allowed),
    )
