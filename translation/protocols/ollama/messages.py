"""Ollama's messages → instructions and items, in order.

Leading system messages become instructions, later ones stay in place, so that a growing conversation keeps its
prefix. Calls and results mostly come without ids: both stay empty here, and `passes/pairing.py` gives every result to
the oldest open call of its tool (row 211). Facts: spec/translation.md §4.1, §9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from msgspec.structs import replace

from translation.errors import InvalidRequest, UnsupportedFeature
from translation.ir.request import Item, Message, Part, TextPart, ToolCall, ToolResult
from translation.protocols.ollama.content import as_text, read_images, read_text
from translation.shared.fields import first, word
from translation.wire.jsontypes import is_array, is_object


class Transcript:
    """Collects what messages amount to: `instructions` and `items`."""

    __slots__ = ("instructions", "items")

    def __init__(self) -> None:
        self.instructions: list[str] = []
        self.items: list[Item] = []

    def read(self, messages: Any) -> None:
        """Add every message. Raises: InvalidRequest, UnsupportedFeature."""
        for index, message in enumerate(list_of(messages, "messages")):
            path = f"messages[{index}]"
            if not is_object(message):
                raise InvalidRequest(f"`{path}` must be an object with `role` and `content`.", param=path)
            role = message.get("role")
            # A role nobody told us about is somebody who talks to the model.
            reader = self._ROLES.get(role, Transcript._user) if isinstance(role, str) else Transcript._user
            reader(self, message, path)

    def attach(self, pictures: tuple[Part, ...]) -> None:
        """Give pictures that stand beside the messages to the last thing the user said (row 213)."""
        if not pictures:
            return
        for index in range(len(self.items) - 1, -1, -1):
            item = self.items[index]
            if isinstance(item, Message) and item.role == "user":
                self.items[index] = replace(item, parts=item.parts + pictures)
                return
        self.items.append(Message("user", pictures))

    # ---- one method per role -----------------------------------------------------------------------------------

    def _system(self, message: dict[str, Any], path: str) -> None:
        parts = read_text(message.get("content"), f"{path}.content")
        if message.get("images") or not all(isinstance(part, TextPart) for part in parts):
            raise UnsupportedFeature(
                f"`{path}` is a system message, which cannot hold images.", code="unsupported_content", param=path
            )
        if not self.items:
            self.instructions += [part.text for part in parts if isinstance(part, TextPart)]
        elif parts:
            self.items.append(Message("developer", parts))

    def _user(self, message: dict[str, Any], path: str) -> None:
        parts = _parts(message, path)
        if parts:
            self.items.append(Message("user", parts))

    def _assistant(self, message: dict[str, Any], path: str) -> None:
        """Thinking is left out: this dialect has no field for the proof without which the upstream refuses it."""
        parts = _parts(message, path)
        if parts:
            self.items.append(Message("assistant", parts))
        calls = message.get("tool_calls")
        for index, call in enumerate(list_of(calls, f"{path}.tool_calls") if calls is not None else ()):
            self.items.append(_read_call(call, f"{path}.tool_calls[{index}]"))

    def _tool(self, message: dict[str, Any], path: str) -> None:
        content = message.get("content")
        parts = _parts(message, path) if _is_readable(content) else (TextPart(as_text(content)),)
        self.items.append(
            ToolResult(
                call_id=word(message, "tool_call_id") or "",
                parts=parts or (TextPart(""),),
                name=word(message, "tool_name", "name"),
            )
        )

    _ROLES: ClassVar[dict[str, Callable[[Transcript, dict[str, Any], str], None]]] = {
        "system": _system,
        "developer": _system,
        "user": _user,
        "assistant": _assistant,
        "tool": _tool,
    }


def list_of(value: Any, path: str) -> list[Any]:
    """Return `value` if it is a list. Raises: InvalidRequest."""
    if not is_array(value):
        raise InvalidRequest(f"`{path}` must be a list.", param=path)
    return value


def _parts(message: dict[str, Any], path: str) -> tuple[Part, ...]:
    return read_text(message.get("content"), f"{path}.content") + read_images(message.get("images"), f"{path}.images")


def _is_readable(content: Any) -> bool:
    """Tools answer with what they like; only a string, or a list of parts, is content and no JSON of theirs."""
    if is_array(content):
        return bool(content) and all(is_object(part) and part.get("type") in ("text", "image_url") for part in content)
    return content is None or isinstance(content, str)


def _read_call(call: Any, path: str) -> ToolCall:
    if not is_object(call):
        raise InvalidRequest(f"`{path}` must be an object.", param=path)
    inner = call.get("function")
    source = inner if is_object(inner) else call
    name = word(source, "name")
    if name is None:
        raise InvalidRequest(f"`{path}.function.name` is missing.", param=f"{path}.function.name")
    return ToolCall(
        call_id=word(call, "id") or "",
        name=name,
        arguments=as_text(first(source, "arguments", "parameters")) or "{}",
    )
