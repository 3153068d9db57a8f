"""Anthropic's client tools that are declared by type alone: the input schemas their documentation gives.

The model knows them only by these; names stay the client's. Facts: spec/translation.md §4.3, row 96. Reference:
https://platform.claude.com/docs/en/agents-and-tools/tool-use and the types of Anthropic's SDK 2.12
(checked 2026-11-23).
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _pixels(count: int, description: str) -> Schema:
    return {
        "type": "array", "items": {"type": "integer"}, "minItems": count, "maxItems": count, "description": description,
    }  # fmt: skip


_BASH = (
    "Run commands in a persistent bash session.",
    {
        "type": "object",
        "properties": {
            "command": {"type": "string", "description": "The bash command to run. Required unless restarting."},
            "restart": {"type": "boolean", "description": "Set to true to restart the session."},
        },
    },
)

_VIEW_RANGE: Schema = {
    "type": "array",
    "items": {"type": "integer"},
    "minItems": 2,
    "maxItems": 2,
    "description": "For `view` of a file: first and last line, from 1; -1 as last line is the end.",
}
_EDITOR_PROPERTIES: Schema = {
    "path": {"type": "string", "description": "Path of the file or directory."},
    "file_text": {"type": "string", "description": "For `create`: the content of the new file."},
    "old_str": {"type": "string", "description": "For `str_replace`: the text to replace; must match exactly once."},
    "new_str": {"type": "string", "description": "For `str_replace`: the new text."},
    "insert_line": {"type": "integer", "description": "For `insert`: the line after which to insert; 0 is the top."},
    "insert_text": {"type": "string", "description": "For `insert`: the text to insert."},
    "view_range": _VIEW_RANGE,
}
_EARLIER_EDITOR_PROPERTIES: Schema = {
    **{name: schema for name, schema in _EDITOR_PROPERTIES.items() if name != "insert_text"},
    "new_str": {"type": "string", "description": "For `str_replace` the new text, for `insert` the text to insert."},
}
_MEMORY_PROPERTIES: Schema = {
    **_EDITOR_PROPERTIES,
    "old_path": {"type": "string", "description": "For `rename`: the present path."},
    "new_path": {"type": "string", "description": "For `rename`: the new path."},
}
_COMPUTER_ACTIONS = (
    "key", "type", "mouse_move", "left_click", "left_click_drag", "right_click", "middle_click", "double_click",
    "screenshot", "cursor_position",
)  # fmt: skip
_LATER_COMPUTER_ACTIONS = (
    "left_mouse_down", "left_mouse_up", "scroll", "hold_key", "triple_click", "wait",
)  # fmt: skip


def typed_tool(declaration: dict[str, Any]) -> tuple[str, Schema] | None:
    """Return description and schema of a tool declared by type; None when the type is not known."""
    kind = str(declaration.get("type"))
    if kind.startswith("bash_"):
        return _BASH
    if kind.startswith("text_editor_") or kind == "str_replace_based_edit_tool":
        return _editor(kind)
    if kind.startswith("memory_"):
        return _memory()
    if kind.startswith("computer_") and not kind.startswith("computer_toolset_"):
        return _computer(kind, declaration)
    return None


def _commands(properties: Schema, commands: tuple[str, ...], required: tuple[str, ...]) -> Schema:
    return {
        "type": "object",
        "properties": {
            "command": {"type": "string", "enum": list(commands), "description": "What to do."},
            **properties,
        },
        "required": list(required),
    }


def _editor(kind: str) -> tuple[str, Schema]:
    """Versions before May 2025 could undo; those before July 2025 took the text to insert as `new_str`."""
    can_undo = kind.startswith(("text_editor_2024", "text_editor_20250124"))
    is_early = can_undo or kind == "text_editor_20250429"
    commands = ("view", "create", "str_replace", "insert", *(("undo_edit",) if can_undo else ()))
    properties = _EARLIER_EDITOR_PROPERTIES if is_early else _EDITOR_PROPERTIES
    return "View, create and edit text files.", _commands(properties, commands, ("command", "path"))


def _memory() -> tuple[str, Schema]:
    commands = ("view", "create", "str_replace", "insert", "delete", "rename")
    return (
        "Keep files in the directory /memories that persist between conversations.",
        _commands(_MEMORY_PROPERTIES, commands, ("command",)),
    )


def _computer(kind: str, declaration: dict[str, Any]) -> tuple[str, Schema]:
    is_first = kind.startswith("computer_2024")
    has_zoom = declaration.get("enable_zoom") is True
    actions = [*_COMPUTER_ACTIONS, *(() if is_first else _LATER_COMPUTER_ACTIONS), *(("zoom",) if has_zoom else ())]
    keys = "" if is_first else " For clicks and `scroll` the keys held down meanwhile, such as ctrl+shift."
    properties: Schema = {
        "action": {"type": "string", "enum": actions, "description": "What to do."},
        "coordinate": _pixels(2, "(x, y): pixels from the left and from the top edge."),
        "text": {"type": "string", "description": f"For `type` the text, for `key` and `hold_key` the keys.{keys}"},
    }
    if not is_first:
        properties |= {
            "start_coordinate": _pixels(2, "For `left_click_drag`: where to begin."),
            "scroll_direction": {"type": "string", "enum": ["up", "down", "left", "right"]},
            "scroll_amount": {"type": "integer", "description": "Clicks of the wheel."},
            "duration": {"type": "integer", "description": "Seconds, for `wait` and `hold_key`."},
        }
    if has_zoom:
        properties["region"] = _pixels(4, "For `zoom`: (x0, y0, x1, y1).")
    width, height = declaration.get("display_width_px"), declaration.get("display_height_px")
    size = f" The screen has {width}x{height} pixels." if width and height else ""
    return (
        f"Use a mouse and keyboard, and take screenshots.{size}",
        {"type": "object", "properties": properties, "required": ["action"]},
    )
