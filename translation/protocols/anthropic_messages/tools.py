"""Tools and tool choice of Messages → IR, in order, because order is part of the prompt cache.

Built from known keys, so `cache_control`, `defer_loading` and the like never leave. Never strict: Anthropic's schemas
may have optional properties. Facts: spec/translation.md §4.3, §4.6, rows 91-99.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from translation.errors import UnsupportedFeature
from translation.ir.request import FunctionTool, HostedTool, Tool, ToolChoice
from translation.protocols.anthropic_messages.typed_tools import typed_tool
from translation.shared.fields import Misread, essential, flag, items_of, word
from translation.wire.jsontypes import is_array, is_object

WEB_SEARCH = "web_search"
CLIENTS_SEARCH = "WebSearch"
_MODES: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "any": "required", "none": "none"}
_KNOBS = ("max_uses", "blocked_domains")
"""Options of a web search that the upstream has no equivalent of."""


class ToolSet(Struct, frozen=True):
    """What was declared. `searches` are the names of typed web searches, `ignored` maps names to types left out."""

    tools: tuple[Tool, ...] | None
    searches: frozenset[str] = frozenset()
    ignored: dict[str, str] = {}
    dropped: tuple[str, ...] = ()


def is_web_search(declaration: Any) -> bool:
    """Say whether a declaration is a web search that the upstream runs; a custom tool may have the same name."""
    return is_object(declaration) and str(declaration.get("type")).startswith(WEB_SEARCH)


def _is_clients_search(declaration: Any) -> bool:
    """Say whether a declaration is Claude Code's own `WebSearch`, a function that would ask us again for a search."""
    if not is_object(declaration) or declaration.get("name") != CLIENTS_SEARCH:
        return False
    schema, about = declaration.get("input_schema"), str(declaration.get("description")).lower()
    properties = schema.get("properties") if is_object(schema) else None
    return is_object(properties) and "query" in properties and "web" in about and "search" in about


def read_tools(declared: Any, *, hosts_search: bool = False) -> ToolSet:
    """Read `tools`; of several with one name the first stays. With `hosts_search` the upstream runs `WebSearch`.

    Raises: Misread naming the tool by the client's own index.
    """
    tools: dict[str, Tool] = {}
    searches: set[str] = set()
    ignored: dict[str, str] = {}
    dropped: dict[str, None] = {}
    for index, declaration in enumerate(items_of(declared or [], "tools")):
        try:
            if not is_object(declaration):
                raise Misread("must be an object.")
            if is_web_search(declaration) or (hosts_search and _is_clients_search(declaration)):
                searches.add(word(declaration, "name") or WEB_SEARCH)
                tools.setdefault("\0hosted", _web_search(declaration))
                dropped.update((f"tools.{key}", None) for key in _KNOBS if declaration.get(key))
                continue
            tool = _read(declaration, index)
        except Misread as problem:
            raise problem.under(f"tools[{index}]") from None
        if tool is None:
            kind = str(declaration["type"])
            ignored[word(declaration, "name") or kind] = kind
            dropped[f"tools.{kind}"] = None
        else:
            tools.setdefault(tool.name, tool)
    return ToolSet(tuple(tools.values()) or None, frozenset(searches), ignored, tuple(dropped))


def _read(declaration: dict[str, Any], index: int) -> FunctionTool | None:
    """Read a client tool; None for tools that only Anthropic's servers can run."""
    kind = declaration.get("type")
    schema = declaration.get("input_schema")
    description = declaration.get("description")
    if kind not in (None, "custom") and not is_object(schema):
        known = typed_tool(declaration)
        if known is None:
            return None
        description, schema = known
    name = essential(declaration.get("name"), str, "name", "a string")
    if not name:
        raise Misread("is empty.", "name")
    return FunctionTool(
        name=name,
        description=description if isinstance(description, str) else None,
        parameters=schema if is_object(schema) else None,
        strict=False,
        position=index,
    )


def _web_search(declaration: dict[str, Any]) -> HostedTool:
    options: dict[str, Any] = {}
    domains = declaration.get("allowed_domains")
    if is_array(domains) and domains:
        options["filters"] = {"allowed_domains": domains}
    location = declaration.get("user_location")
    if is_object(location):
        options["user_location"] = location
    return HostedTool(WEB_SEARCH, options)


def read_tool_choice(choice: Any, toolset: ToolSet) -> ToolChoice | None:
    """Read `tool_choice`; without tools there is nothing to choose.

    Raises: Misread, also when it names a tool that only Anthropic can run.
    """
    if choice is None or not toolset.tools:
        return None
    kind = choice.get("type") if is_object(choice) else choice
    if kind in _MODES:
        return ToolChoice(mode=_MODES[kind])
    if not is_object(choice) or kind != "tool":
        raise Misread(f"is {kind!r}; use auto, any, tool or none.", "tool_choice.type")
    name = essential(choice.get("name"), str, "tool_choice.name", "a string")
    if name in toolset.searches:
        return ToolChoice(mode="hosted", name=WEB_SEARCH)
    if name in toolset.ignored:
        raise Misread(
            f"names {name!r}, a tool of type {toolset.ignored[name]!r}, which is not supported here.",
            "tool_choice.name", code="unsupported_tool", kind=UnsupportedFeature,
        )  # fmt: skip
    return ToolChoice(mode="named", name=name)


def allows_parallel_calls(choice: Any) -> bool | None:
    """Return False when the client wants one call at a time, else None: the upstream's default."""
    return False if is_object(choice) and flag(choice, "disable_parallel_tool_use") is True else None
