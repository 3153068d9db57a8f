"""Tools and tool config of Gemini → IR, in order, because order is part of the cache.

Hosted tools without an equivalent upstream are dropped and listed. Schemas come in two dialects
(`translation/shared/json_schema_gemini.py`). Facts: spec/translation.md §4.3, §4.6, rows 161-166.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from translation.ir.request import FunctionTool, HostedTool, Tool, ToolChoice
from translation.protocols.gemini.fields import get, listed, nested, word, words
from translation.shared.fields import Misread
from translation.shared.json_schema_gemini import to_json_schema
from translation.wire.jsontypes import is_object

IMAGE_GENERATION = "image_generation"
_WEB_SEARCH = "web_search"
_SEARCHES = ("googleSearch", "googleSearchRetrieval", "enterpriseWebSearch")
_WITHOUT_EQUIVALENT = (
    "codeExecution", "urlContext", "googleMaps", "fileSearch", "computerUse", "retrieval", "mcpServers",
)  # fmt: skip
_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "auto": "auto",
    "validated": "auto",
    "none": "none",
    "any": "required",
}


class ToolSet(Struct, frozen=True):
    """What was declared, and what of it the upstream cannot do."""

    tools: tuple[Tool, ...]
    dropped: tuple[str, ...]


def read_tools(body: dict[str, Any]) -> ToolSet:
    """Read `tools`. Raises: Misread naming the declaration by the client's own index."""
    tools: dict[str, Tool] = {}
    dropped: list[str] = []
    for index, entry in enumerate(listed(get(body, "tools"))):
        path = f"tools[{index}]"
        if not is_object(entry):
            raise Misread("must be an object.", path)
        for position, declaration in enumerate(listed(get(entry, "functionDeclarations"))):
            tool = _read_function(declaration, f"{path}.functionDeclarations[{position}]", len(tools))
            tools.setdefault(tool.name, tool)
        if any(get(entry, name) is not None for name in _SEARCHES):
            tools.setdefault(f"hosted {_WEB_SEARCH}", HostedTool(_WEB_SEARCH, {}))
        dropped += [f"{path}.{name}" for name in _WITHOUT_EQUIVALENT if get(entry, name) is not None]
    return ToolSet(tuple(tools.values()), tuple(dropped))


def _read_function(declaration: Any, path: str, position: int) -> FunctionTool:
    if not is_object(declaration):
        raise Misread("must be an object.", path)
    name = declaration.get("name")
    if not isinstance(name, str) or not name:
        raise Misread("is missing." if not name else "must be a string.", f"{path}.name")
    parameters = get(declaration, "parametersJsonSchema")
    if not is_object(parameters):
        parameters = to_json_schema(declaration.get("parameters"))
    description = declaration.get("description")
    return FunctionTool(
        name=name,
        description=description if isinstance(description, str) else None,
        parameters=parameters if is_object(parameters) else None,
        strict=False,
        position=position,
    )


def read_tool_choice(body: dict[str, Any], tools: tuple[Tool, ...]) -> ToolChoice | None:
    """Read `toolConfig.functionCallingConfig`; without function tools there is nothing to choose."""
    if not any(isinstance(tool, FunctionTool) for tool in tools):
        return None
    config = nested(nested(body, "toolConfig"), "functionCallingConfig")
    mode = _MODES.get((word(config, "mode") or "").lower())
    allowed = words(get(config, "allowedFunctionNames"))
    if mode == "required" and len(allowed) == 1:
        return ToolChoice(mode="named", name=allowed[0])
    if allowed and mode != "none":
        return ToolChoice(mode="allowed", allowed=allowed, required=mode == "required")
    return None if mode is None else ToolChoice(mode=mode)
