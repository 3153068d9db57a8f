"""Chat messages → instructions and items, in order, one pass, no scans over text.

Leading system messages become instructions; later ones stay in place as developer items, so that a growing
conversation keeps its prefix. Call ids stay as they are, also when missing: pairing is the work of
`passes/pairing.py`. Facts: spec/translation.md §3.4, §4.1, §5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from translation.ir.events import Proof
from translation.ir.request import Item, Message, Reasoning, RefusalPart, TextPart, ToolCall, ToolResult
from translation.protocols.openai_chat.content import (
    read_assistant_parts,
    read_parts,
    read_system_texts,
    read_tool_output,
)
from translation.shared.fields import Misread, essential, first, items_of, word
from translation.shared.proofs import CODEX_ORIGIN, is_codex_proof
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

_BILLING_HEADER = "x-anthropic-billing-header:"
"""Claude Code's attribution block changes with every request and would ruin prompt caching (§4.1)."""


class Transcript:
    """Collects what messages amount to. `custom_names` are the tools declared as custom, `items` the conversation."""

    __slots__ = ("_custom_ids", "custom_names", "instructions", "items")

    def __init__(self, custom_names: frozenset[str] = frozenset()) -> None:
        self.custom_names = custom_names
        self.instructions: list[str] = []
        self.items: list[Item] = []
        self._custom_ids: set[str] = set()

    def read(self, messages: list[Any]) -> None:
        """Add every message.

        Raises: Misread, with a path relative to the list.
        """
        for index, message in enumerate(messages):
            try:
                self.add(message)
            except Misread as problem:
                raise problem.under(f"[{index}]") from None

    def add(self, message: Any) -> None:
        """Add one message.

        Raises: Misread, with a path relative to the message.
        """
        if not is_object(message):
            raise Misread("must be an object with `role` and `content`.")
        role = essential(message.get("role"), str, "role", "a string")
        # A role nobody told us about is somebody who talks to the model: newer clients must not be refused.
        reader = self._ROLES.get(role, Transcript._user)
        reader(self, message)

    def close(self) -> None:
        """Make sure that there is something to answer: an empty conversation is one empty user message."""
        if not self.items:
            self.items.append(Message("user", (TextPart(""),)))

    # ---- one method per role -----------------------------------------------------------------------------------

    def _system(self, message: dict[str, Any]) -> None:
        texts = read_system_texts(message.get("content"))
        texts = tuple(text for text in texts if not text.lstrip().startswith(_BILLING_HEADER))
        if not self.items:
            self.instructions += texts
        elif texts:
            self.items.append(Message("developer", tuple(TextPart(text) for text in texts)))

    def _user(self, message: dict[str, Any]) -> None:
        parts = read_parts(message.get("content"))
        if parts:
            self.items.append(Message("user", parts))

    def _assistant(self, message: dict[str, Any]) -> None:
        details = message.get("reasoning_details")
        if details:
            self._reasoning(details)
        parts = read_assistant_parts(message.get("content"))
        refusal = message.get("refusal")
        if refusal and isinstance(refusal, str):
            parts += (RefusalPart(refusal),)
        if parts:
            self.items.append(Message("assistant", parts))
        calls = message.get("tool_calls")
        if calls:
            self._calls(items_of(calls, "tool_calls"))
        legacy = message.get("function_call")
        if is_object(legacy):
            try:
                self._function_call("", legacy)
            except Misread as problem:
                raise problem.under("function_call") from None

    def _reasoning(self, details: Any) -> None:
        """Take back the proofs we handed out; anything else in there is another vendor's and is left out."""
        if not is_array(details):
            return
        for detail in details:
            if not is_object(detail) or detail.get("type") != "reasoning.encrypted":
                continue
            proof = detail.get("data")
            if not isinstance(proof, str) or not is_codex_proof(proof):
                continue
            self.items.append(proven_reasoning(proof, detail.get("id")))

    def _calls(self, calls: list[Any]) -> None:
        for index, call in enumerate(calls):
            try:
                self._call(call)
            except Misread as problem:
                raise problem.under(f"tool_calls[{index}]") from None

    def _call(self, call: Any) -> None:
        if not is_object(call):
            raise Misread("must be an object.")
        call_id = _text_or_empty(call.get("id"))
        custom = call.get("custom")
        if call.get("type") == "custom" or (custom is not None and call.get("function") is None):
            source = custom if is_object(custom) else call
            name = _name(source, "custom.name")
            self.add_call(call_id, name, _text(first(source, "input", "arguments")), is_custom=True)
            return
        source = call.get("function")
        if is_object(source):
            try:
                self._function_call(call_id, source)
            except Misread as problem:
                raise problem.under("function") from None
        else:
            self._function_call(call_id, call)

    def _function_call(self, call_id: str, source: dict[str, Any]) -> None:
        name = _name(source, "name")
        arguments = _text(first(source, "arguments", "input"))
        if name in self.custom_names:  # Cursor writes grammar tools in the function envelope, with raw input
            self.add_call(call_id, name, arguments, is_custom=True)
        else:
            self.add_call(call_id, name, arguments or "{}", is_custom=False)

    def add_call(self, call_id: str, name: str, arguments: str, *, is_custom: bool) -> None:
        """Add a call, and remember custom ones for their results."""
        if is_custom and call_id:
            self._custom_ids.add(call_id)
        self.items.append(
            ToolCall(call_id=call_id, name=name, arguments=arguments, kind="custom" if is_custom else "function")
        )

    def _tool(self, message: dict[str, Any]) -> None:
        call_id = first(message, "tool_call_id", "toolCallId", "call_id")
        self.add_result(_text_or_empty(call_id), message.get("content"))

    def _function(self, message: dict[str, Any]) -> None:
        self.add_result("", message.get("content"), name=word(message, "name"))

    def add_result(self, call_id: str, content: Any, *, name: str | None = None) -> None:
        """Add what a tool answered; its kind is that of the call it answers."""
        kind = "custom" if call_id in self._custom_ids else "function"
        self.items.append(ToolResult(call_id=call_id, parts=read_tool_output(content), kind=kind, name=name))

    _ROLES: ClassVar[dict[str, Callable[[Transcript, dict[str, Any]], None]]] = {
        "system": _system,
        "developer": _system,
        "user": _user,
        "assistant": _assistant,
        "tool": _tool,
        "function": _function,
    }


def proven_reasoning(proof: str, item_id: Any) -> Reasoning:
    """Make the item that gives a proof back; an id is kept only if the upstream made it."""
    known_id = item_id if isinstance(item_id, str) and item_id.startswith("rs_") else None
    return Reasoning(proof=Proof(CODEX_ORIGIN, proof), id=known_id)


def _name(source: dict[str, Any], path: str) -> str:
    name = essential(source.get("name"), str, path, "a string")
    if not name:
        raise Misread("is empty.", path)
    return name


def _text_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _text(value: Any) -> str:
    """Arguments are text and stay text; a client that sends an object gets it serialized."""
    if isinstance(value, str):
        return value
    return "" if value is None else jsonio.dumps(value).decode()
