"""Tool calls as events, plain and odd: function, custom and local shell calls (wire.md §4.5, §4.6).

Fault F17 bites here. Pure; a part of `events.py`, which hands its writer over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.simulator.tools import Call

if TYPE_CHECKING:
    from providers.simulator.events import Scriptwriter

_CALL_PREFIX = {"function": "fc", "custom": "ctc", "local_shell": "lsh"}


def _item(writer: Scriptwriter, call: Call) -> dict[str, Any]:
    item: dict[str, Any] = {"id": writer.ids.item(_CALL_PREFIX[call.kind])}
    if call.kind == "local_shell":
        action = {
            "type": "exec",
            "command": call.command,
            "timeout_ms": None,
            "working_directory": None,
            "env": {},
            "user": None,
        }
        return item | {
            "type": "local_shell_call",
            "status": "completed",
            "call_id": writer.ids.call(),
            "action": action,
        }
    payload = "{}" if writer.oddity is not None and writer.oddity.has("empty_args") else call.payload
    if writer.oddity is not None and writer.oddity.has("empty_args") and writer.oddity.params.get("blank"):
        payload = ""
    kind, slot = ("custom_tool_call", "input") if call.kind == "custom" else ("function_call", "arguments")
    item |= {"type": kind, "status": "completed", slot: payload, "call_id": writer.ids.call(), "name": call.name}
    return item | ({"namespace": call.namespace} if call.namespace else {})


def write_call(writer: Scriptwriter, call: Call) -> None:
    """Write one call from `added` to `done`."""
    item = _item(writer, call)
    writer.output_tokens += len(call.payload) // 4 + 8
    if call.kind == "local_shell":
        writer.emit(
            "response.output_item.added", "open", output_index=writer.index, item={**item, "status": "in_progress"}
        )
        writer.close(item)
        return
    if writer.oddity is not None and writer.oddity.has("args_only_done"):
        writer.close(item)
        return
    _open(writer, item, writer.index)
    slot = "input" if call.kind == "custom" else "arguments"
    for piece in _halves(item[slot]):
        _delta(writer, item, writer.index, piece)
    _done(writer, item, writer.index)
    if writer.oddity is not None and writer.oddity.has("duplicate_done"):
        _done(writer, item, writer.index)
        writer.emit("response.output_item.done", "item", output_index=writer.index, item=item)
    writer.close(item)


def _open(writer: Scriptwriter, item: dict[str, Any], index: int) -> None:
    slot = "input" if item["type"] == "custom_tool_call" else "arguments"
    writer.emit(
        "response.output_item.added", "open", output_index=index, item={**item, "status": "in_progress", slot: ""}
    )


def _delta(writer: Scriptwriter, item: dict[str, Any], index: int, piece: str) -> None:
    kind = "custom_tool_call_input" if item["type"] == "custom_tool_call" else "function_call_arguments"
    writer.send_deltas(f"response.{kind}.delta", {"item_id": item["id"], "output_index": index}, [piece], "text")


def _done(writer: Scriptwriter, item: dict[str, Any], index: int) -> None:
    if item["type"] == "custom_tool_call":
        writer.emit(
            "response.custom_tool_call_input.done",
            "item",
            item_id=item["id"],
            output_index=index,
            input=item["input"],
        )
    else:
        writer.emit(
            "response.function_call_arguments.done",
            "item",
            item_id=item["id"],
            output_index=index,
            arguments=item["arguments"],
        )


def write_interleaved(writer: Scriptwriter, calls: list[Call]) -> None:
    """Open all calls at once and deal out their arguments in turn."""
    items = [_item(writer, call) for call in calls]
    first = writer.index
    for offset, item in enumerate(items):
        _open(writer, item, first + offset)
    pieces = [_halves(item.get("arguments", item.get("input", ""))) for item in items]
    for round_number in range(max(len(parts) for parts in pieces)):
        for offset, parts in enumerate(pieces):
            if round_number < len(parts):
                _delta(writer, items[offset], first + offset, parts[round_number])
    for offset, item in enumerate(items):
        _done(writer, item, first + offset)
        writer.close(item)
    writer.output_tokens += sum(len(call.payload) // 4 + 8 for call in calls)


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]
