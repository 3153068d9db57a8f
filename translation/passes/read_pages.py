"""Claude Code's `Read` tool, whose optional `pages` other models fill with "": told about it, and taken out if empty.

Claude Code refuses the whole call for an empty `pages`. The hint goes into the schema, once; calls of the tool are
held until they are complete and leave without the empty field. Facts: spec/translation.md §4.3, rows 111, 142.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from translation.ir import events as ev
from translation.ir.request import FunctionTool, GenerateRequest, Tool
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

NAME = "Read"
HINT = "Omit this field unless the file is a PDF; never send an empty string."


class PagesInverse:
    """Holds the arguments of `Read` calls, and passes them on whole. All other events pass at once."""

    is_finished = False

    def __init__(self) -> None:
        self._held: dict[int, list[str]] = {}

    def inbound(self, events: list[ev.Event]) -> list[ev.Event]:
        """Pass `events` on; the arguments of a `Read` call come right before its end."""
        if not self._held and not any(type(event) is ev.BlockStart for event in events):
            return events
        out: list[ev.Event] = []
        for event in events:
            if isinstance(event, ev.BlockStart) and event.kind == "tool_call" and event.name == NAME:
                self._held[event.index] = []
            elif isinstance(event, ev.ToolCallDelta) and event.index in self._held:
                self._held[event.index].append(event.text)
                continue
            elif isinstance(event, ev.BlockStop) and event.index in self._held:
                arguments = without_empty_pages("".join(self._held.pop(event.index)))
                if arguments:
                    out.append(ev.ToolCallDelta(event.index, arguments))
            out.append(event)
        return out


def guide(request: GenerateRequest) -> tuple[GenerateRequest, PagesInverse | None]:
    """Return `request` with the hint in its `Read` tool, and the inverse; unchanged and None without such a tool."""
    tools = request.tools or ()
    if not any(isinstance(tool, FunctionTool) and _pages(tool) is not None for tool in tools):
        return request, None
    hinted = tuple(_with_hint(tool) if isinstance(tool, FunctionTool) else tool for tool in tools)
    return replace(request, tools=hinted), PagesInverse()


def without_empty_pages(arguments: str) -> str:
    """Return arguments without an empty `pages`; anything else stays the text it was."""
    if '"pages"' not in arguments:
        return arguments
    try:
        value = jsonio.loads(arguments)
    except ValueError:
        return arguments
    if not is_object(value) or "pages" not in value:
        return arguments
    pages = value["pages"]
    if pages is not None and not (isinstance(pages, str) and not pages.strip()):
        return arguments
    return jsonio.dumps({key: member for key, member in value.items() if key != "pages"}).decode()


def _pages(tool: FunctionTool) -> dict[str, Any] | None:
    """Return the schema of `pages` if this is Claude Code's tool."""
    properties = (tool.parameters or {}).get("properties")
    if tool.name != NAME or not is_object(properties) or "file_path" not in properties:
        return None
    pages = properties.get("pages")
    return pages if is_object(pages) else None


def _with_hint(tool: FunctionTool) -> Tool:
    pages, parameters = _pages(tool), tool.parameters
    if pages is None or parameters is None:
        return tool
    description = pages.get("description")
    description = description if isinstance(description, str) else ""
    if HINT in description:
        return tool
    hinted = {**pages, "description": f"{description} {HINT}".strip()}
    properties = {**parameters["properties"], "pages": hinted}
    return replace(tool, parameters={**parameters, "properties": properties})
