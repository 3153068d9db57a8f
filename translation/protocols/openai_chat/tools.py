"""Tools and tool choice of Chat: nested, flat and legacy spellings → IR, in order, because order is part of the cache.

Hosted tools that the gateway cannot serve are a 400 that names them, unless the payload is a Responses one (`input`),
where they travel as they are. Schemas are not touched here (`passes/schemas.py`).
Facts: spec/translation.md §4.3, §4.6.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from translation.errors import UnsupportedFeature
from translation.ir.request import CustomTool, FunctionTool, HostedTool, OpaqueTool, Tool, ToolChoice
from translation.shared.fields import Misread, essential, first, flag, items_of, nested, word
from translation.shared.proofs import CODEX_ORIGIN
from translation.wire.jsontypes import is_object

_WEB_SEARCH = "web_search"
_IMAGE_GENERATION = "image_generation"
_WEB_SEARCH_OPTIONS = ("search_context_size", "user_location", "filters", "external_web_access")
_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}


class ToolSet(Struct, frozen=True):
    """What was declared. `custom_names` are called with raw text; `is_legacy` means `functions` were used."""

    tools: tuple[Tool, ...] | None
    custom_names: frozenset[str] = frozenset()
    is_legacy: bool = False


def uses_legacy_functions(body: dict[str, Any]) -> bool:
    """Say whether the client declared `functions` and no `tools`, and so reads `function_call` answers."""
    return bool(body.get("functions")) and not body.get("tools")


def read_tools(body: dict[str, Any], *, allow_hosted: bool) -> ToolSet:
    """Read `tools`, else `functions`, and `web_search_options`.

    Raises: Misread naming the tool by the client's own index.
    """
    is_legacy = uses_legacy_functions(body)
    key = "functions" if is_legacy else "tools"
    declared = items_of(body.get(key) or [], key)
    tools: list[Tool] = []
    for index, declaration in enumerate(declared):
        try:
            tools.append(
                _read_function(declaration, index)
                if is_legacy
                else _read(declaration, index, allow_hosted=allow_hosted)
            )
        except Misread as problem:
            raise problem.under(f"{key}[{index}]") from None
    options = body.get("web_search_options")
    if is_object(options):
        tools.append(_web_search(options))
    tools = _without_duplicates(tools)
    custom_names = frozenset(tool.name for tool in tools if isinstance(tool, CustomTool))
    return ToolSet(tuple(tools) or None, custom_names, is_legacy)


def _without_duplicates(tools: list[Tool]) -> list[Tool]:
    """Keep the first of each name; between a custom and a function tool of one name the function stays (row 24)."""
    functions = {tool.name for tool in tools if isinstance(tool, FunctionTool)}
    seen: set[tuple[str, str]] = set()
    kept: list[Tool] = []
    for tool in tools:
        if isinstance(tool, OpaqueTool):
            kept.append(tool)
            continue
        if isinstance(tool, CustomTool) and tool.name in functions:
            continue
        key = ("hosted" if isinstance(tool, HostedTool) else "named", tool.name)
        if key not in seen:
            seen.add(key)
            kept.append(tool)
    return kept


def _read(declaration: Any, index: int, *, allow_hosted: bool) -> Tool:
    if not is_object(declaration):
        raise Misread("must be an object.")
    kind = declaration.get("type")
    if kind == "function" or (kind is None and ("function" in declaration or "name" in declaration)):
        return _read_function(declaration, index)
    if kind == "custom":
        return _read_custom(declaration)
    if not isinstance(kind, str):
        raise Misread("is missing." if kind is None else "must be a string.", "type")
    if kind.startswith(_WEB_SEARCH):
        return _web_search(declaration)
    if kind == _IMAGE_GENERATION:
        return HostedTool(_IMAGE_GENERATION, {key: value for key, value in declaration.items() if key != "type"})
    if allow_hosted:
        return OpaqueTool(CODEX_ORIGIN, declaration)
    raise _unsupported(kind)


def _unsupported(kind: str) -> Misread:
    return Misread(
        f"is {kind!r}, which is not supported here; use function, custom, web_search or image_generation.",
        "type",
        code="unsupported_tool",
        kind=UnsupportedFeature,
    )


def _read_function(declaration: Any, index: int) -> FunctionTool:
    if not is_object(declaration):
        raise Misread("must be an object.")
    inner = declaration.get("function")
    source, prefix = (inner, "function.") if is_object(inner) else (declaration, "")
    parameters = first(source, "parameters", "input_schema", "inputSchema", "schema")
    strict = flag(source, "strict")
    return FunctionTool(
        name=_tool_name(source, prefix),
        description=_description(source),
        parameters=parameters if is_object(parameters) else None,
        strict=strict if strict is not None else flag(declaration, "strict"),
        position=index,
    )


def _read_custom(declaration: dict[str, Any]) -> CustomTool:
    inner = declaration.get("custom")
    source, prefix = (inner, "custom.") if is_object(inner) else (declaration, "")
    grammar = source.get("format")
    return CustomTool(
        name=_tool_name(source, prefix),
        description=_description(source),
        format=_flat_format(grammar) if is_object(grammar) else None,
    )


def _flat_format(source: dict[str, Any]) -> dict[str, Any]:
    """Chat nests the grammar one level deeper than Responses does; the IR holds the flat form."""
    grammar = source.get("grammar")
    if source.get("type") == "grammar" and is_object(grammar):
        return {"type": "grammar", **grammar}
    return source


def _tool_name(source: dict[str, Any], prefix: str) -> str:
    name = essential(source.get("name"), str, f"{prefix}name", "a string")
    if not name:
        raise Misread("is empty.", f"{prefix}name")
    return name


def _description(source: dict[str, Any]) -> str | None:
    description = source.get("description")
    return description if isinstance(description, str) else None


def _web_search(declaration: dict[str, Any]) -> HostedTool:
    options = {key: declaration[key] for key in _WEB_SEARCH_OPTIONS if declaration.get(key) is not None}
    location = options.get("user_location")
    if is_object(location) and is_object(location.get("approximate")):
        options["user_location"] = {"type": "approximate", **location["approximate"]}
    return HostedTool(_WEB_SEARCH, options)


def read_tool_choice(body: dict[str, Any], toolset: ToolSet) -> ToolChoice | None:
    """Read `tool_choice`, or `function_call` of the legacy spelling; without tools there is nothing to choose.

    Raises: Misread.
    """
    key = "function_call" if toolset.is_legacy and body.get("tool_choice") is None else "tool_choice"
    choice = body.get(key)
    if choice is None or not toolset.tools:
        return None
    try:
        return _read_choice(choice, toolset)
    except Misread as problem:
        raise problem.under(key) from None


def _read_choice(choice: Any, toolset: ToolSet) -> ToolChoice:
    if isinstance(choice, str):
        mode = _MODES.get(choice)
        if mode is None:
            raise Misread(f"is {choice!r}; use auto, none, required or an object that names a tool.")
        return ToolChoice(mode=mode)
    if not is_object(choice):
        raise Misread("must be a string or an object.")
    kind = choice.get("type")
    if kind == "allowed_tools":
        return _read_allowed(choice)
    if kind in ("function", "custom", None):
        inner = nested(choice, "custom" if kind == "custom" else "function") or choice
        name = _tool_name(inner, "custom." if kind == "custom" else "function." if inner is not choice else "")
        return ToolChoice(mode="named", name=name, kind="custom" if name in toolset.custom_names else "function")
    if isinstance(kind, str) and kind in _MODES:
        return ToolChoice(mode=_MODES[kind])
    if isinstance(kind, str) and kind.startswith(_WEB_SEARCH):
        return ToolChoice(mode="hosted", name=_WEB_SEARCH)
    if kind == _IMAGE_GENERATION:
        return ToolChoice(mode="hosted", name=_IMAGE_GENERATION)
    raise _unsupported(str(kind))


def _read_allowed(choice: dict[str, Any]) -> ToolChoice:
    source = nested(choice, "allowed_tools") or choice
    names: list[str] = []
    for entry in items_of(source.get("tools"), "allowed_tools.tools"):
        if is_object(entry):
            inner = nested(entry, "function") or nested(entry, "custom") or entry
            name = word(inner, "name") or word(entry, "type")
            if name is not None:
                names.append(_WEB_SEARCH if name.startswith("web_search_preview") else name)
    return ToolChoice(mode="allowed", allowed=tuple(names), required=source.get("mode") == "required")
