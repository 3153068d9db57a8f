"""`input` on a Chat route: Cursor's agent and mis-routed clients send a Responses payload and read a Chat answer.

Reads the few Responses items that matter and chat messages between them; every other typed item travels as it is to
an upstream that speaks Responses. Not the Responses codec: that one is in `openai_responses`. Facts: §5.1, rows 1-2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from translation.ir.request import Message, OpaqueItem, TextPart
from translation.protocols.openai_chat.messages import Transcript, proven_reasoning
from translation.shared.fields import Misread, essential, first, items_of
from translation.shared.proofs import CODEX_ORIGIN, is_codex_proof
from translation.wire.jsontypes import is_object


def read_input(source: Any, transcript: Transcript) -> None:
    """Add a string or a list of items.

    Raises: Misread, with a path that starts with `input`.
    """
    if isinstance(source, str):
        transcript.items.append(Message("user", (TextPart(source),)))
        return
    items = items_of(source, "input", "a string or a list of items")
    for index, item in enumerate(items):
        try:
            _read_item(item, transcript)
        except Misread as problem:
            raise problem.under(f"input[{index}]") from None


def _read_item(item: Any, transcript: Transcript) -> None:
    if isinstance(item, str):
        transcript.items.append(Message("user", (TextPart(item),)))
        return
    if not is_object(item):
        raise Misread("must be an object.")
    kind = item.get("type")
    if "role" in item and kind in (None, "message"):
        transcript.add(item)
        return
    reader = _ITEMS.get(kind) if isinstance(kind, str) else None
    if reader is not None:
        reader(item, transcript)
    elif isinstance(kind, str):
        transcript.items.append(OpaqueItem(CODEX_ORIGIN, item))
    else:
        raise Misread("is missing.", "role")


def _read_call(item: dict[str, Any], transcript: Transcript) -> None:
    name = essential(item.get("name"), str, "name", "a string")
    transcript.add_call(_call_id(item), name, _text(item.get("arguments")) or "{}", is_custom=False)


def _read_custom_call(item: dict[str, Any], transcript: Transcript) -> None:
    name = essential(item.get("name"), str, "name", "a string")
    transcript.add_call(_call_id(item), name, _text(item.get("input")), is_custom=True)


def _call_id(item: dict[str, Any]) -> str:
    return _text(first(item, "call_id", "tool_call_id", "id"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _read_output(item: dict[str, Any], transcript: Transcript) -> None:
    transcript.add_result(_text(first(item, "call_id", "tool_call_id")), item.get("output"))


def _read_reasoning(item: dict[str, Any], transcript: Transcript) -> None:
    proof = item.get("encrypted_content")
    if isinstance(proof, str) and is_codex_proof(proof):
        transcript.items.append(proven_reasoning(proof, item.get("id")))


_ITEMS: dict[str, Callable[[dict[str, Any], Transcript], None]] = {
    "function_call": _read_call,
    "function_call_output": _read_output,
    "custom_tool_call": _read_custom_call,
    "custom_tool_call_output": _read_output,
    "reasoning": _read_reasoning,
}
