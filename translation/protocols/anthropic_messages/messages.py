"""Anthropic messages → items, block by block in the order they stand.

What was said so far becomes a message before every call, result or thought, so that nothing changes places and a
longer conversation keeps the earlier one as its prefix. Facts: spec/translation.md §3.4, §6.1, rows 83-90, 100-116.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from translation.errors import UnsupportedFeature
from translation.ir.events import Proof
from translation.ir.request import Item, Message, Part, Reasoning, TextPart, ToolCall, ToolResult
from translation.protocols.anthropic_messages.content import (
    Block,
    blocks_of,
    is_content,
    read_part,
    read_system,
    read_tool_output,
)
from translation.shared.fields import Misread, essential, items_of
from translation.shared.proofs import CODEX_ORIGIN, is_codex_proof
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

_INSTRUCTING = ("system", "developer")


class Transcript:
    """Invariant: `items` is in the order of the client's blocks; `ignored` names block types that were left out."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.ignored: dict[str, None] = {}
        self._role: Literal["user", "assistant"] = "user"
        self._parts: list[Part] = []

    def read(self, messages: Any) -> None:
        """Add every message; an empty conversation becomes one empty user message.

        Raises: Misread, with a path below `messages`.
        """
        for index, message in enumerate(items_of(messages, "messages")):
            try:
                self._add(message)
            except Misread as problem:
                raise problem.under(f"messages[{index}]") from None
        if not self.items:
            self.items.append(Message("user", (TextPart(""),)))

    def _add(self, message: Any) -> None:
        if not is_object(message):
            raise Misread("must be an object with `role` and `content`.")
        role = essential(message.get("role"), str, "role", "a string")
        content = message.get("content")
        if role in _INSTRUCTING:
            texts = read_system(content)
            if texts:
                self.items.append(Message("developer", tuple(TextPart(text) for text in texts)))
            return
        self._role = "assistant" if role == "assistant" else "user"
        for index, block in enumerate(blocks_of(content)):
            try:
                self._add_block(block)
            except Misread as problem:
                raise problem.under(f"content[{index}]") from None
        self._flush()

    def _add_block(self, block: Any) -> None:
        if isinstance(block, str):
            block = {"type": "text", "text": block}
        if not is_object(block):
            raise Misread("must be an object with a `type`.")
        kind = str(block.get("type"))
        special = self._SPECIAL.get(kind)
        if special is not None:
            special(self, block)
        elif is_content(block):
            self._say(block)
        else:
            self.ignored[kind] = None

    def _say(self, block: Block) -> None:
        part = read_part(block)
        if part is None:
            return
        if self._role == "assistant" and not isinstance(part, TextPart):
            raise Misread(
                f"is {block['type']!r}, which assistant messages cannot hold here.",
                "type", code="unsupported_content", kind=UnsupportedFeature,
            )  # fmt: skip
        self._parts.append(part)

    def _flush(self) -> None:
        if self._parts:
            self.items.append(Message(self._role, tuple(self._parts)))
            self._parts.clear()

    # ---- blocks that are items of their own ----------------------------------------------------------------------

    def _call(self, block: Block) -> None:
        self._flush()
        name = essential(block.get("name"), str, "name", "a string")
        if not name:
            raise Misread("is empty.", "name")
        arguments = block.get("input")
        self.items.append(
            ToolCall(
                call_id=_text_or_empty(block.get("id")),
                name=name,
                arguments=jsonio.dumps(arguments).decode() if is_object(arguments) else "{}",
            )
        )

    def _result(self, block: Block) -> None:
        self._flush()
        self.items.append(
            ToolResult(
                call_id=_text_or_empty(block.get("tool_use_id")),
                parts=read_tool_output(block.get("content")),
                is_error=block.get("is_error") is True,
            )
        )

    def _thinking(self, block: Block) -> None:
        self._flush()
        self._prove(block.get("signature"))

    def _redacted(self, block: Block) -> None:
        self._flush()
        self._prove(block.get("data"))

    def _prove(self, proof: Any) -> None:
        """Take back a proof the Codex backend made; thinking proven by somebody else says nothing to it (§3.4)."""
        if isinstance(proof, str) and is_codex_proof(proof):
            self.items.append(Reasoning(proof=Proof(CODEX_ORIGIN, proof)))

    def _ignore(self, block: Block) -> None:
        """Searches the upstream ran are told by the text that follows them."""

    _SPECIAL: ClassVar[dict[str, Callable[[Transcript, Block], None]]] = {
        "tool_use": _call,
        "tool_result": _result,
        "thinking": _thinking,
        "redacted_thinking": _redacted,
        "server_tool_use": _ignore,
        "web_search_tool_result": _ignore,
    }


def _text_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""
