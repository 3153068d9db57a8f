"""Cleaned Responses items and tools → IR values. What no other protocol shares stays opaque, field by field.

Input comes from `items.clean_input` and `tools.clean_tools`, so shapes are known here. Inverse of `upstream.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from translation.ir import request as ir
from translation.protocols.openai_responses.names import ORIGIN, proof_from_wire
from translation.wire.jsontypes import is_array, is_object

Json = dict[str, Any]

_HOSTED = frozenset({"web_search", "image_generation"})


def read_items(items: list[Json]) -> tuple[ir.Item, ...]:
    """Return the IR of cleaned items, in order."""
    return tuple(_ITEMS.get(str(item.get("type")), _opaque)(item) for item in items)


def read_parts(content: Any) -> tuple[ir.Part, ...]:
    """Return the IR of a cleaned `content` or `output`."""
    if isinstance(content, str):
        return (ir.TextPart(content),)
    return tuple(_part(part) for part in content)


def read_tools(tools: list[Json] | None) -> tuple[ir.Tool, ...] | None:
    """Return the IR of cleaned tools; None stays None."""
    return None if tools is None else tuple(_tool(position, tool) for position, tool in enumerate(tools))


def read_tool_choice(choice: Any) -> ir.ToolChoice | None:
    """Return the IR of a cleaned tool choice."""
    if choice is None:
        return None
    if isinstance(choice, str):
        return ir.ToolChoice(mode=choice)  # pyright: ignore[reportArgumentType]  # validated in request.py
    kind = choice.get("type")
    if kind == "allowed_tools":
        tools: list[Any] = choice["tools"] if is_array(choice.get("tools")) else []
        names = tuple(str(tool.get("name") or tool.get("type")) for tool in tools if is_object(tool))
        return ir.ToolChoice(mode="allowed", allowed=names, required=choice.get("mode") == "required")
    if kind in ("function", "custom"):
        return ir.ToolChoice(mode="named", name=str(choice.get("name") or ""), kind=kind)
    return ir.ToolChoice(mode="hosted", name=str(kind))


def _message(item: Json) -> ir.Item:
    role: Any = "developer" if item["role"] == "system" else item["role"]
    return ir.Message(role, read_parts(item["content"]), phase=item.get("phase"), id=item.get("id"))


def _reasoning(item: Json) -> ir.Item:
    secret = item.get("encrypted_content")
    return ir.Reasoning(
        summary=tuple(part["text"] for part in item["summary"]),
        text=tuple(part["text"] for part in item.get("content") or ()),
        proof=proof_from_wire(secret) if isinstance(secret, str) and secret else None,
        id=item.get("id"),
    )


def _function_call(item: Json) -> ir.Item:
    if "namespace" in item:
        return _opaque(item)
    return ir.ToolCall(call_id=item["call_id"], name=item["name"], arguments=item["arguments"], id=item.get("id"))


def _custom_call(item: Json) -> ir.Item:
    return ir.ToolCall(
        call_id=item["call_id"], name=item["name"], arguments=item["input"], kind="custom", id=item.get("id")
    )


def _function_output(item: Json) -> ir.Item:
    return ir.ToolResult(call_id=item["call_id"], parts=read_parts(item["output"]))


def _custom_output(item: Json) -> ir.Item:
    return ir.ToolResult(call_id=item["call_id"], parts=read_parts(item["output"]), kind="custom")


def _opaque(item: Json) -> ir.Item:
    return ir.OpaqueItem(ORIGIN, item)


_ITEMS: dict[str, Callable[[Json], ir.Item]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "function_call_output": _function_output,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _custom_output,
}


def _part(part: Json) -> ir.Part:
    kind = part.get("type")
    if kind in ("input_text", "output_text"):
        return ir.TextPart(part["text"])
    if kind == "input_image":
        return ir.ImagePart(url=part.get("image_url"), file_id=part.get("file_id"), detail=part.get("detail"))
    if kind == "input_file":
        return ir.FilePart(
            data=part.get("file_data"),
            url=part.get("file_url"),
            file_id=part.get("file_id"),
            filename=part.get("filename"),
        )
    if kind == "refusal":
        return ir.RefusalPart(str(part.get("refusal") or ""))
    return ir.OpaquePart(ORIGIN, part)


def _tool(position: int, tool: Json) -> ir.Tool:
    kind = tool["type"]
    if kind == "function":
        parameters, strict = tool.get("parameters"), tool.get("strict")
        return ir.FunctionTool(
            name=tool["name"],
            description=tool.get("description"),
            parameters=parameters if is_object(parameters) else None,
            strict=strict if isinstance(strict, bool) else None,
            position=position,
        )
    if kind == "custom":
        return ir.CustomTool(name=tool["name"], description=tool.get("description"), format=tool.get("format"))
    if kind in _HOSTED:
        return ir.HostedTool(kind, {key: value for key, value in tool.items() if key != "type"})
    return ir.OpaqueTool(ORIGIN, tool)
