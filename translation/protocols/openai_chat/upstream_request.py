"""IR → the body of `POST …/chat/completions` of OpenAI, OpenRouter, DeepSeek, Kimi, GLM, vLLM and their like.

Serializes what it is given: pairing, names, schemas and custom tools were prepared by the passes. What vendors differ
in is `ChatQuirks`; keys only some of them know leave when they are named there. Messages depend on nothing but
themselves and their neighbours, so that a longer conversation keeps its prefix. Facts: spec/translation.md §11.2.
Reference: https://platform.openai.com/docs/api-reference/chat/create (checked 2026-11-23).
"""

from __future__ import annotations

from typing import Any

from translation.codec import ChatQuirks, RelayTarget
from translation.errors import UnsupportedFeature
from translation.ir import request as ir
from translation.shared import efforts
from translation.wire.jsonio import dumps

Json = dict[str, Any]

ORIGIN = "openai-chat"

OPTIONAL_KEYS = ("prompt_cache_key", "service_tier", "top_k", "user", "verbosity")
"""Keys that only some vendors know; the others refuse or ignore them."""

_ERROR_MARK = "[tool error]"


def encode_request(request: ir.GenerateRequest, target: RelayTarget) -> bytes:
    """Write the upstream body of an IR request.

    Raises: UnsupportedFeature for pictures and files that only their own upstream can find.
    """
    chat = target.quirks.chat
    tools, tool_choice = _tools(request)
    sampling = request.sampling
    values: Json = {
        "model": target.model,
        "messages": _Messages(chat, drops_reasoning=target.drops_reasoning).write(request),
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": tools,
        "tool_choice": tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls if tools else None,
        "response_format": _format(request.output_format),
        chat.limit_key: request.max_output_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "stop": list(sampling.stop) or None,
        **reasoning_keys(request.reasoning, target),
        **_optional(request, target),
    }
    return dumps({key: value for key, value in values.items() if value is not None})


# ---- messages ------------------------------------------------------------------------------------------------------


class _Messages:
    """The walk over the items. What an assistant says and calls in one go is one message.

    `_thoughts` wait for the assistant message they precede, `_pictures` of tool results for the end of the results,
    because a tool message holds text only.
    """

    def __init__(self, chat: ChatQuirks, *, drops_reasoning: bool) -> None:
        self._system = "developer" if chat.developer_role else "system"
        self._keeps_thoughts = chat.returns_reasoning and not drops_reasoning
        self._out: list[Json] = []
        self._thoughts: list[str] = []
        self._pictures: list[Json] = []

    def write(self, request: ir.GenerateRequest) -> list[Json]:
        """Return the messages of a request; never empty, because every vendor refuses an empty list."""
        if request.instructions:
            self._out.append({"role": self._system, "content": "\n\n".join(request.instructions)})
        for item in request.items:
            if not isinstance(item, ir.ToolResult):
                self._show_pictures()
            self._write(item)
        self._show_pictures()
        return self._out or [{"role": "user", "content": ""}]

    def _write(self, item: ir.Item) -> None:
        match item:
            case ir.Message(role="assistant"):
                self._said(item)
            case ir.Message():
                self._heard(item)
            case ir.Reasoning():
                self._thoughts += item.text or item.summary
            case ir.ToolCall():
                self._assistant().setdefault("tool_calls", []).append(_call(item))
            case ir.ToolResult():
                self._result(item)
            case ir.OpaqueItem():
                if item.origin == ORIGIN:
                    self._out.append(item.data)

    def _assistant(self) -> Json:
        """Return the assistant message that is being said, or begin one."""
        message = self._out[-1] if self._out else None
        if message is None or message["role"] != "assistant":
            message = {"role": "assistant", "content": None}
            self._out.append(message)
        if self._thoughts:
            if self._keeps_thoughts:
                message["reasoning_content"] = "\n\n".join(self._thoughts)
            self._thoughts = []
        return message

    def _said(self, item: ir.Message) -> None:
        text = "".join(part.text for part in item.parts if isinstance(part, ir.TextPart))
        refusal = "".join(part.text for part in item.parts if isinstance(part, ir.RefusalPart))
        if not text and not refusal:
            return
        message = self._assistant()
        if text:
            message["content"] = f"{message['content']}\n\n{text}" if message["content"] else text
        if refusal:
            message["refusal"] = refusal

    def _heard(self, item: ir.Message) -> None:
        self._thoughts = []
        if item.role == "developer":
            text = "\n\n".join(part.text for part in item.parts if isinstance(part, ir.TextPart))
            if text:
                self._out.append({"role": self._system, "content": text})
            return
        parts = _parts(item.parts)
        if len(parts) == 1 and parts[0]["type"] == "text":
            self._out.append({"role": "user", "content": parts[0]["text"]})
        elif parts:
            self._out.append({"role": "user", "content": parts})

    def _result(self, item: ir.ToolResult) -> None:
        texts = [part.text for part in item.parts if isinstance(part, ir.TextPart)]
        others = _parts(tuple(part for part in item.parts if not isinstance(part, ir.TextPart)))
        if others:
            self._pictures += [{"type": "text", "text": f"Attached to the result of {item.call_id}:"}, *others]
            texts = texts or ["The result is attached to the next message."]
        if item.is_error:
            texts.insert(0, _ERROR_MARK)
        self._out.append({"role": "tool", "tool_call_id": item.call_id, "content": "\n".join(texts)})

    def _show_pictures(self) -> None:
        if self._pictures:
            self._out.append({"role": "user", "content": self._pictures})
            self._pictures = []


def _call(item: ir.ToolCall) -> Json:
    if item.kind == "custom":
        return {"id": item.call_id, "type": "custom", "custom": {"name": item.name, "input": item.arguments}}
    return {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.arguments}}


def _parts(parts: tuple[ir.Part, ...]) -> list[Json]:
    written = (_part(part) for part in parts)
    return [part for part in written if part is not None]


def _part(part: ir.Part) -> Json | None:
    match part:
        case ir.TextPart():
            return {"type": "text", "text": part.text} if part.text else None
        case ir.RefusalPart():
            return {"type": "text", "text": part.text} if part.text else None
        case ir.ImagePart():
            if part.url is None:
                raise UnsupportedFeature(
                    "A picture is named by a file id, which this model's provider cannot read. Send it inline.",
                    code="unsupported_content",
                )
            return {"type": "image_url", "image_url": _filled({"url": part.url, "detail": part.detail})}
        case ir.FilePart():
            if part.data is None and part.file_id is None:
                raise UnsupportedFeature(
                    "A file is named by its address, which this model's provider cannot read. Send it inline.",
                    code="unsupported_content",
                )
            file = {"filename": part.filename, "file_data": part.data, "file_id": part.file_id}
            return {"type": "file", "file": _filled(file)}
        case ir.OpaquePart():
            return part.data if part.origin == ORIGIN else None


def _filled(values: Json) -> Json:
    return {key: value for key, value in values.items() if value is not None}


# ---- tools and knobs -----------------------------------------------------------------------------------------------


def _tools(request: ir.GenerateRequest) -> tuple[list[Json] | None, Any]:
    """Return `tools` and `tool_choice`; hosted tools are the Codex backend's and stay away.

    A choice among some tools becomes the list of just these: few vendors know `allowed_tools`.
    """
    choice = request.tool_choice
    declared = request.tools or ()
    if choice is not None and choice.mode == "allowed":
        declared = tuple(tool for tool in declared if getattr(tool, "name", None) in choice.allowed)
    tools = [written for written in (_tool(tool) for tool in declared) if written is not None]
    if not tools:
        return None, None
    if choice is None or choice.mode == "hosted":
        return tools, None
    if choice.mode == "allowed":
        return tools, "required" if choice.required else "auto"
    if choice.mode == "named":
        return tools, {"type": choice.kind, choice.kind: {"name": choice.name}}
    return tools, choice.mode


def _tool(tool: ir.Tool) -> Json | None:
    match tool:
        case ir.FunctionTool():
            parameters = tool.parameters or {"type": "object", "properties": {}}
            function = {"name": tool.name, "description": tool.description, "parameters": parameters}
            return {"type": "function", "function": _filled({**function, "strict": tool.strict or None})}
        case ir.CustomTool():
            custom = {"name": tool.name, "description": tool.description, "format": _nested_format(tool.format)}
            return {"type": "custom", "custom": _filled(custom)}
        case ir.HostedTool():
            return None
        case ir.OpaqueTool():
            return tool.data if tool.origin == ORIGIN else None


def _nested_format(flat: Json | None) -> Json | None:
    """Chat nests the grammar one level deeper than the IR does; `tools.py` reads it so."""
    if flat is None or flat.get("type") != "grammar":
        return flat
    return {"type": "grammar", "grammar": {key: value for key, value in flat.items() if key != "type"}}


def _format(output: ir.OutputFormat | None) -> Json | None:
    if output is None:
        return None
    if output.kind == "json_object":
        return {"type": "json_object"}
    schema = {"name": output.name or "response", "description": output.description, "schema": output.schema or {}}
    return {"type": "json_schema", "json_schema": _filled({**schema, "strict": output.strict})}


def reasoning_keys(asked: ir.ReasoningOptions | None, target: RelayTarget) -> Json:
    """Return the one key by which this vendor is asked to think; none when nobody asked."""
    style, known = target.quirks.chat.reasoning, target.quirks.efforts
    effort = efforts.clamp((asked.effort if asked else None) or target.effort, known)
    budget = asked.budget_tokens if asked else None
    if style == "object" and effort is None and budget is not None and budget > 0:
        return {"reasoning": {"max_tokens": budget}}
    if effort is None and budget is not None:
        effort = efforts.from_budget(budget, known)
    if effort is None or style == "none":
        return {}
    if style == "object":
        return {"reasoning": {"effort": effort}}
    if style == "switch":
        return {"thinking": {"type": "disabled" if effort == "none" else "enabled"}}
    return {"reasoning_effort": effort}


def _optional(request: ir.GenerateRequest, target: RelayTarget) -> Json:
    tier = request.service_tier or target.service_tier
    values = {
        "prompt_cache_key": target.prompt_cache_key,
        "service_tier": tier if tier in target.quirks.service_tiers else None,
        "top_k": request.sampling.top_k,
        "user": request.identity.user,
        "verbosity": request.verbosity,
    }
    return {key: values[key] for key in OPTIONAL_KEYS if key in target.quirks.chat.optional_keys}
