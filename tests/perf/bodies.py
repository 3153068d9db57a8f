"""Request bodies: the same conversation in every dialect, small or as long as a coding agent's. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

MODEL = "gpt-5.4"
INSTRUCTIONS = "You are a careful coding assistant."
SOURCE_LINE = 'def step_{n}(path: str) -> str:\n\treturn f"naïve “{{path}}” → {n}"  # café {n}\n'
LINES_A_TURN = 120


@cache
def _file_text(turn: int) -> str:
    """Return what a tool might have read: code, with tabs, quotes and characters beyond ASCII."""
    return "".join(SOURCE_LINE.format(n=turn * LINES_A_TURN + line) for line in range(LINES_A_TURN))


def _turns(size_bytes: int) -> Iterator[tuple[str, str]]:
    """Yield (id, text) of tool calls until about `size_bytes` of JSON are reached."""
    turn = written = 0
    while written < size_bytes:
        text = _file_text(turn)
        yield f"call_{turn:06d}", text
        written += len(json.dumps(text, ensure_ascii=False).encode()) + 300
        turn += 1


def body_of(dialect: str, marker: str, size_bytes: int) -> dict[str, Any]:
    """Return a streamed request whose last message is `marker`."""
    return BODIES[dialect](marker, size_bytes)


def _arguments(call_id: str) -> str:
    return json.dumps({"path": f"src/{call_id}.py", "limit": LINES_A_TURN})


def _responses_body(marker: str, size_bytes: int) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for call_id, text in _turns(size_bytes):
        call = {"type": "function_call", "call_id": call_id, "name": "read_file", "arguments": _arguments(call_id)}
        items += [_said("go on"), call, {"type": "function_call_output", "call_id": call_id, "output": text}]
    return {
        "model": MODEL, "instructions": INSTRUCTIONS, "input": [*items, _said(marker)], "tools": _tools(size_bytes),
        "tool_choice": "auto", "parallel_tool_calls": True, "store": False, "stream": True,
    }  # fmt: skip


def _said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def _chat_body(marker: str, size_bytes: int) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": INSTRUCTIONS}]
    for call_id, text in _turns(size_bytes):
        call = {"id": call_id, "type": "function", "function": {"name": "read_file", "arguments": _arguments(call_id)}}
        messages += [
            {"role": "user", "content": "go on"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": text},
        ]
    messages.append({"role": "user", "content": marker})
    body: dict[str, Any] = {
        "model": MODEL, "messages": messages, "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    tools = [{"type": "function", "function": _without_type(tool)} for tool in _tools(size_bytes)]
    return body | ({"tools": tools} if tools else {})


def _messages_body(marker: str, size_bytes: int) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for call_id, text in _turns(size_bytes):
        arguments = json.loads(_arguments(call_id))
        result = {"type": "tool_result", "tool_use_id": call_id, "content": text}
        messages += [
            {"role": "user", "content": "go on"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": call_id, "name": "read_file", "input": arguments}
            ]},
            {"role": "user", "content": [result]},
        ]  # fmt: skip
    messages.append({"role": "user", "content": marker})
    tools = [
        {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
        for tool in _tools(size_bytes)
    ]
    body = {"model": MODEL, "max_tokens": 4096, "system": INSTRUCTIONS, "messages": messages, "stream": True}
    return body | ({"tools": tools} if tools else {})


def _gemini_body(marker: str, size_bytes: int) -> dict[str, Any]:
    contents: list[dict[str, Any]] = []
    for call_id, text in _turns(size_bytes):
        call = {"id": call_id, "name": "read_file", "args": json.loads(_arguments(call_id))}
        answer = {"id": call_id, "name": "read_file", "response": {"output": text}}
        contents += [
            {"role": "user", "parts": [{"text": "go on"}]},
            {"role": "model", "parts": [{"functionCall": call}]},
            {"role": "user", "parts": [{"functionResponse": answer}]},
        ]
    contents.append({"role": "user", "parts": [{"text": marker}]})
    declared = [
        {"name": tool["name"], "description": tool["description"], "parametersJsonSchema": tool["parameters"]}
        for tool in _tools(size_bytes)
    ]
    body: dict[str, Any] = {"systemInstruction": {"parts": [{"text": INSTRUCTIONS}]}, "contents": contents}
    return body | ({"tools": [{"functionDeclarations": declared}]} if declared else {})


BODIES = {"responses": _responses_body, "chat": _chat_body, "messages": _messages_body, "gemini": _gemini_body}


def _without_type(tool: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tool.items() if name != "type"}


def _tools(size_bytes: int) -> list[dict[str, Any]]:
    """Return the tool that long conversations use; small requests have none."""
    if not size_bytes:
        return []
    properties = {"path": {"type": "string"}, "limit": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["path", "limit"], "additionalProperties": False}
    return [
        {"type": "function", "name": "read_file", "description": "Read a file.", "parameters": schema, "strict": False}
    ]
