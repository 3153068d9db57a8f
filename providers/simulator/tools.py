"""Which of the client's tools is its shell and which writes files, and how each wants to be called.

Clients name and shape these tools differently (spec/clients.md §1-§5); this is inferred from name and schema, so that
one marker drives them all. Pure. Next: `scenario.py` uses it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from providers.simulator.schema import demo_arguments

CallKind = Literal["function", "custom", "local_shell"]


@dataclass
class Call:
    """A tool call the model makes. `payload` is JSON text for functions, free text for custom tools."""

    kind: CallKind
    name: str
    payload: str
    namespace: str | None = None
    command: list[str] = field(default_factory=list)


@dataclass
class Tool:
    """A declared tool."""

    kind: str
    name: str
    schema: dict[str, Any]
    namespace: str | None = None
    description: str = ""

    @property
    def properties(self) -> dict[str, Any]:
        """Return the declared arguments."""
        found = self.schema.get("properties")
        return found if isinstance(found, dict) else {}

    def call(self, arguments: dict[str, Any]) -> Call:
        """Call the tool with these arguments and whatever else it requires."""
        # The namespace `functions` is the default one: the client does not see it in calls.
        namespace = None if self.namespace == "functions" else self.namespace
        if self.kind == "custom":
            text = arguments.get("input")
            return Call(
                "custom", self.name, text if isinstance(text, str) else orjson.dumps(arguments).decode(), namespace
            )
        payload = orjson.dumps(demo_arguments(self.schema, arguments)).decode()
        return Call("function", self.name, payload, namespace)


def declared_tools(body: dict[str, Any]) -> list[Tool]:
    """Return all tools of a request, those of `additional_tools` and of loaded namespaces included."""
    found: list[Tool] = []

    def walk(entries: Any, namespace: str | None) -> None:
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict):
                continue
            if entry.get("type") == "namespace":
                walk(entry.get("tools"), entry.get("name"))
                continue
            kind = entry.get("type", "")
            schema = entry.get("parameters")
            name = entry.get("name") or kind
            found.append(
                Tool(
                    kind,
                    name,
                    schema if isinstance(schema, dict) else {},
                    namespace,
                    str(entry.get("description") or ""),
                )
            )

    walk(body.get("tools"), None)
    for item in body.get("input") or []:
        if isinstance(item, dict) and item.get("type") in ("additional_tools", "tool_search_output"):
            walk(item.get("tools"), None)
    return found


def find_tool(tools: list[Tool], name: str) -> Tool | None:
    """Return the tool of that name; a shortened or prefixed name is good enough."""
    for tool in tools:
        if tool.name == name:
            return tool
    plain = name.lower()
    return next((tool for tool in tools if plain in tool.name.lower()), None)


_SHELL_NAMES = (
    "exec_command",
    "shell_command",
    "shell",
    "local_shell",
    "bash",
    "run_shell_command",
    "execute_command",
    "run_commands",
    "run_terminal_command",
    "runterminalcommand",
    "run_terminal_cmd",
    "run_in_terminal",
    "execute_bash",
    "terminal",
    "run_command",
    "exec",
)
_SHELL_LIKE = re.compile(r"bash|shell|command|terminal|exec", re.IGNORECASE)
_COMMAND_ARGUMENTS = ("cmd", "command", "commands", "script", "bash_command")


def _command_argument(tool: Tool) -> str | None:
    return next((name for name in _COMMAND_ARGUMENTS if name in tool.properties), None)


def find_shell(tools: list[Tool]) -> Tool | None:
    """Return the tool that runs commands, or None."""
    callable_tools = [tool for tool in tools if tool.kind in ("function", "custom", "local_shell")]
    for wanted in _SHELL_NAMES:
        for tool in callable_tools:
            if tool.name.lower() == wanted and (tool.kind != "function" or _command_argument(tool)):
                return tool
    for tool in callable_tools:
        if tool.kind == "function" and _SHELL_LIKE.search(tool.name) and _command_argument(tool):
            return tool
    return None


def call_shell(tool: Tool, command: str) -> Call:
    """Run a command with the client's own shell tool."""
    if tool.kind == "local_shell":
        return Call("local_shell", tool.name, "", command=["bash", "-lc", command])
    if tool.kind == "custom":
        # Code mode: the model writes JavaScript and the shell is a function of the `tools` object in there.
        quoted = orjson.dumps(command).decode()
        code = f"const r = await tools.exec_command({{cmd: {quoted}}}); text(r.output ?? JSON.stringify(r));"
        return Call("custom", tool.name, code, None if tool.namespace == "functions" else tool.namespace)
    argument = _command_argument(tool) or "command"
    schema = tool.properties.get(argument)
    value: Any = command
    if _is_array(schema):
        value = [command] if argument == "commands" else ["bash", "-lc", command]
        items = schema.get("items") if isinstance(schema, dict) else None
        if argument == "commands" and isinstance(items, dict) and isinstance(items.get("properties"), dict):
            key = next((name for name in _COMMAND_ARGUMENTS if name in items["properties"]), "command")
            value = [demo_arguments(items, {key: command})]
    return tool.call({argument: value})


def _is_array(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    kinds = [schema.get("type")] + [
        option.get("type") for option in schema.get("anyOf", []) if isinstance(option, dict)
    ]
    return any(kind == "array" or (isinstance(kind, list) and "array" in kind) for kind in kinds)


_WRITER_NAMES = (
    "write",
    "write_file",
    "write_to_file",
    "create_file",
    "create_new_file",
    "writefile",
    "apply_patch",
    "fs_write",
    "save_file",
    "editor",
)
_WRITER_LIKE = re.compile(r"write|create.*file|save.*file|patch|editor", re.IGNORECASE)
_PATH_ARGUMENTS = ("file_path", "filePath", "filepath", "path", "filename", "absolute_path", "target_file", "file")
_CONTENT_ARGUMENTS = ("content", "contents", "file_text", "text", "code", "new_text", "newText", "data")
_PATCH_ARGUMENTS = ("input", "patch", "patchText", "patch_text", "diff")


def _first(names: tuple[str, ...], tool: Tool) -> str | None:
    return next((name for name in names if name in tool.properties), None)


def _can_write(tool: Tool) -> bool:
    if tool.kind == "custom":
        return tool.name == "apply_patch"
    if tool.kind != "function":
        return False
    has_patch = "patch" in tool.name.lower() and _first(_PATCH_ARGUMENTS, tool) is not None
    return has_patch or (_first(_PATH_ARGUMENTS, tool) is not None and _first(_CONTENT_ARGUMENTS, tool) is not None)


def find_writer(tools: list[Tool]) -> Tool | None:
    """Return the tool that writes files, or None."""
    for wanted in _WRITER_NAMES:
        for tool in tools:
            if tool.name.lower() == wanted and _can_write(tool):
                return tool
    return next((tool for tool in tools if _WRITER_LIKE.search(tool.name) and _can_write(tool)), None)


def _patch(path: str, content: str) -> str:
    lines = "".join(f"+{line}\n" for line in content.rstrip("\n").split("\n"))
    return f"*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\n"


def call_writer(tool: Tool, path: str, content: str) -> Call:
    """Write a file with the client's own tool."""
    if tool.kind == "custom":
        return tool.call({"input": _patch(path, content)})
    where = _first(_PATH_ARGUMENTS, tool)
    what = _first(_CONTENT_ARGUMENTS, tool)
    if where is None or what is None:
        return tool.call({_first(_PATCH_ARGUMENTS, tool) or "input": _patch(path, content)})
    given = {where: path, what: content}
    command = tool.properties.get("command")
    if isinstance(command, dict) and "create" in (command.get("enum") or []):
        given["command"] = "create"
    return tool.call(given)


def write_with_shell(tool: Tool, path: str, content: str) -> Call:
    """Write a file with the shell, for clients that have no tool for it."""
    target = shlex.quote(path)
    return call_shell(tool, f"mkdir -p $(dirname {target}) && printf %s {shlex.quote(content)} > {target}")
