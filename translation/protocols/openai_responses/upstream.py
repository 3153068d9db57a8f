"""IR → the body of `POST …/responses`, built from the allow-list alone (spec/wire.md §3.1).

Serializes what it is given: pairing, names and schemas were prepared by the passes. Knobs that the wire refuses are
not written. Items depend on nothing but themselves, so that a longer conversation keeps its prefix.
Facts: spec/translation.md §1.1-1.2, §4.2-4.8, §11.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from translation.codec import Quirks, RelayTarget
from translation.ir import request as ir
from translation.protocols.openai_responses import options
from translation.protocols.openai_responses.items import without_reasoning
from translation.protocols.openai_responses.names import ORIGIN
from translation.shared import efforts
from translation.wire.jsonio import dumps

Json = dict[str, Any]

_BAD_FORMAT_CHARS = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_FORMAT_NAME = 64


def encode_request(request: ir.GenerateRequest, target: RelayTarget) -> bytes:
    """Write the upstream body of an IR request."""
    quirks = target.quirks
    extension = request.extensions.get(ORIGIN, {})
    items = write_items(request)
    if target.drops_reasoning:
        items = without_reasoning(items)
    tools = _tools(request.tools, quirks)
    reasoning = _reasoning(request.reasoning, extension, target)
    values: Json = {
        "model": target.model,
        "instructions": "\n\n".join(request.instructions),
        "input": items,
        "tools": tools,
        "tool_choice": _tool_choice(request.tool_choice, tools, items),
        "parallel_tool_calls": request.parallel_tool_calls,
        "reasoning": reasoning,
        "store": False,
        "stream": True,
        "include": options.wire_include(extension.get("include") or [], reasoning),
        "service_tier": options.wire_tier(request.service_tier, target.service_tier, quirks),
        "prompt_cache_key": target.prompt_cache_key,
        "text": _text(request, extension),
    }
    if quirks.subset:
        values["client_metadata"] = options.wire_metadata(extension.get("client_metadata"))
    else:
        values.update(_full_wire_knobs(request, extension))
    return dumps(options.ordered_body(values))


# ---- items ---------------------------------------------------------------------------------------------------------


def write_items(request: ir.GenerateRequest) -> list[Json]:
    """Return the wire items of a request; never empty, because the backend refuses an empty list."""
    written = [item for item in (_ITEMS[type(item)](item) for item in request.items) if item is not None]
    if request.output_format is not None and request.output_format.kind == "json_object" and not _asks_json(written):
        written.insert(0, _text_message("developer", "Respond in JSON."))
    return written or [_text_message("user", "")]


def _asks_json(items: list[Json]) -> bool:
    """Tell whether the word stands where the backend wants it for json_object: in the input (§4.1).

    Looks no further than the first user message, so that the answer never changes as the conversation grows.
    """
    for item in items:
        if "json" in dumps(item.get("content") or "").decode().lower():
            return True
        if item.get("role") == "user":
            return False
    return False


def _text_message(role: str, text: str) -> Json:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def _message(item: ir.Message) -> Json | None:
    parts = _parts(item.parts, "output_text" if item.role == "assistant" else "input_text")
    if not parts:
        return None
    message: Json = {"type": "message", "role": item.role, "content": parts}
    if item.phase is not None:
        message["phase"] = item.phase
    return _with_id(message, item.id, "msg_")


def _reasoning_item(item: ir.Reasoning) -> Json | None:
    """Only what this backend made comes back to it; thinking of others is theirs to verify (§3.4)."""
    if item.proof is None or item.proof.origin != ORIGIN:
        return None
    written: Json = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in item.summary],
    }
    if item.text:
        written["content"] = [{"type": "reasoning_text", "text": text} for text in item.text]
    written["encrypted_content"] = item.proof.value
    return _with_id(written, item.id, "rs_")


def _tool_call(item: ir.ToolCall) -> Json | None:
    if item.kind == "custom":
        call = {"type": "custom_tool_call", "call_id": item.call_id, "name": item.name, "input": item.arguments}
        return _with_id(call, item.id, "ctc_")
    call = {"type": "function_call", "call_id": item.call_id, "name": item.name, "arguments": item.arguments}
    return _with_id(call, item.id, "fc_")


def _tool_result(item: ir.ToolResult) -> Json | None:
    kind = "custom_tool_call_output" if item.kind == "custom" else "function_call_output"
    output: Any
    parts = _marked_as_error(item.parts) if item.is_error else item.parts
    if all(isinstance(part, ir.TextPart) for part in parts) and len(parts) <= 1:
        output = "".join(part.text for part in parts if isinstance(part, ir.TextPart))
    else:
        output = _parts(parts, "input_text")
    return {"type": kind, "call_id": item.call_id, "output": output}


def _marked_as_error(parts: tuple[ir.Part, ...]) -> tuple[ir.Part, ...]:
    """This wire has no flag for failed calls, so the text says it (§6.1)."""
    if parts and isinstance(parts[0], ir.TextPart):
        return (ir.TextPart(f"Error: {parts[0].text}"), *parts[1:])
    return (ir.TextPart("Error: "), *parts)


def _opaque_item(item: ir.OpaqueItem) -> Json | None:
    return item.data if item.origin == ORIGIN else None


def _with_id(item: Json, identifier: str | None, prefix: str) -> Json:
    if identifier and identifier.startswith(prefix) and len(identifier) <= 64:
        item["id"] = identifier
    return item


_ITEMS: dict[type, Callable[[Any], Json | None]] = {
    ir.Message: _message,
    ir.Reasoning: _reasoning_item,
    ir.ToolCall: _tool_call,
    ir.ToolResult: _tool_result,
    ir.OpaqueItem: _opaque_item,
}


# ---- parts ---------------------------------------------------------------------------------------------------------


def _parts(parts: tuple[ir.Part, ...], text_type: str) -> list[Json]:
    written = (_PARTS[type(part)](part, text_type) for part in parts)
    return [part for part in written if part is not None]


def _text_part(part: ir.TextPart, text_type: str) -> Json | None:
    return {"type": text_type, "text": part.text} if part.text else None


def _image_part(part: ir.ImagePart, text_type: str) -> Json | None:
    if text_type == "output_text":
        return None  # an assistant item holds no pictures on this wire
    return _filled("input_image", {"image_url": part.url, "file_id": part.file_id, "detail": part.detail})


def _file_part(part: ir.FilePart, text_type: str) -> Json | None:
    if text_type == "output_text":
        return None
    return _filled(
        "input_file",
        {"filename": part.filename, "file_data": part.data, "file_url": part.url, "file_id": part.file_id},
    )


def _refusal_part(part: ir.RefusalPart, text_type: str) -> Json | None:
    return {"type": "refusal", "refusal": part.text}


def _opaque_part(part: ir.OpaquePart, text_type: str) -> Json | None:
    return part.data if part.origin == ORIGIN else None


def _filled(kind: str, values: Json) -> Json:
    return {"type": kind, **{key: value for key, value in values.items() if value is not None}}


_PARTS: dict[type, Callable[[Any, str], Json | None]] = {
    ir.TextPart: _text_part,
    ir.ImagePart: _image_part,
    ir.FilePart: _file_part,
    ir.RefusalPart: _refusal_part,
    ir.OpaquePart: _opaque_part,
}


# ---- tools and knobs -----------------------------------------------------------------------------------------------


def _tools(tools: tuple[ir.Tool, ...] | None, quirks: Quirks) -> list[Json] | None:
    if tools is None:
        return None
    written = (_tool(tool, quirks) for tool in tools)
    return [tool for tool in written if tool is not None]


def _tool(tool: ir.Tool, quirks: Quirks) -> Json | None:
    match tool:
        case ir.FunctionTool():
            function = _filled("function", {"name": tool.name, "description": tool.description})
            function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
            function["strict"] = bool(tool.strict)
            return function
        case ir.CustomTool():
            return _filled("custom", {"name": tool.name, "description": tool.description, "format": tool.format})
        case ir.HostedTool():
            return {"type": tool.name, **tool.options} if tool.name in quirks.hosted_tools else None
        case ir.OpaqueTool():
            return tool.data if tool.origin == ORIGIN else None


def _tool_choice(choice: ir.ToolChoice | None, tools: list[Json] | None, items: list[Json]) -> Any:
    if choice is None or not (tools or any(item.get("type") == "additional_tools" for item in items)):
        return None
    if choice.mode == "named":
        return {"type": choice.kind, "name": choice.name}
    if choice.mode == "hosted":
        return {"type": choice.name} if any(tool["type"] == choice.name for tool in tools or ()) else None
    if choice.mode == "allowed":
        kinds = {str(tool.get("name") or tool["type"]): tool["type"] for tool in tools or ()}
        return {
            "type": "allowed_tools",
            "mode": "required" if choice.required else "auto",
            "tools": [_allowed(name, kinds.get(name, "function")) for name in choice.allowed],
        }
    return choice.mode


def _allowed(name: str, kind: str) -> Json:
    return {"type": kind} if kind == name else {"type": kind, "name": name}


def _reasoning(asked: ir.ReasoningOptions | None, extension: Json, target: RelayTarget) -> Json | None:
    effort = asked.effort if asked else None
    if effort is None and asked is not None and asked.budget_tokens is not None:
        effort = efforts.from_budget(asked.budget_tokens, target.quirks.efforts)
    values: Json = {
        "effort": options.clamp_effort(effort or target.effort, target.quirks),
        "summary": asked.summary if asked else None,
        **(extension.get("reasoning") or {}),
    }
    return {key: value for key, value in values.items() if value is not None} or None


def _text(request: ir.GenerateRequest, extension: Json) -> Json | None:
    text: Json = {"format": _format(request.output_format), "verbosity": request.verbosity}
    text.update(extension.get("text") or {})
    return {key: value for key, value in text.items() if value is not None} or None


def _format(output: ir.OutputFormat | None) -> Json | None:
    if output is None:
        return None
    if output.kind == "json_object":
        return {"type": "json_object"}
    name = _BAD_FORMAT_CHARS.sub("_", output.name)[:_MAX_FORMAT_NAME]
    return _filled(
        "json_schema",
        {
            "name": name or "response",
            "description": output.description,
            "schema": {} if output.schema is None else output.schema,
            "strict": bool(output.strict),
        },
    )


def _full_wire_knobs(request: ir.GenerateRequest, extension: Json) -> Json:
    knobs: Json = {
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "user": request.identity.user,
    }
    knobs.update((key, extension[key]) for key in options.FULL_WIRE_KEYS if key in extension)
    return knobs
