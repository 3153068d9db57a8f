"""IR items → the turns of an upstream Messages body, and the content blocks in them.

Roles alternate, thinking stands first and calls last in the assistant's turns, results first in the user's. An item
depends on nothing behind it, so a longer conversation keeps its prefix. Content that this API cannot hold raises
(ADR-0007). Facts: spec/translation.md §11.4; rows 242, 250.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Any

from translation.errors import UnsupportedFeature
from translation.ir import request as ir
from translation.protocols.anthropic_messages.shapes import PARAGRAPH, arguments_object, custom_input
from translation.protocols.anthropic_messages.upstream import ORIGIN, REDACTED, THOUGHTS

Json = dict[str, Any]

_PLACEHOLDER = "…"
_CONTINUE = "Continue."
_ASKS_JSON = "Respond with one JSON object and nothing else."
_BAD_ID_CHARS = re.compile(r"[^a-zA-Z0-9_-]")


def system_and_turns(request: ir.GenerateRequest, *, keeps_thoughts: bool) -> tuple[list[Json], list[Json]]:
    """Return the system blocks and the turns of a request. Raises: UnsupportedFeature."""
    system = [_text(text) for text in request.instructions if text.strip()]
    turns = _Turns()
    for item in request.items:
        match item:
            case ir.Message(role="developer") if not turns.turns:
                system += _text_blocks(item.parts)
            case ir.Message():
                turns.say("assistant" if item.role == "assistant" else "user", _message_blocks(item))
            case ir.Reasoning() if keeps_thoughts:
                turns.say("assistant", _thinking_blocks(item))
            case ir.ToolCall():
                turns.call(item)
            case ir.ToolResult():
                turns.answer(item)
            case _:
                pass  # thinking without a proof, and what only other protocols encode
    if request.output_format is not None and request.output_format.kind == "json_object":
        system.append(_text(_ASKS_JSON))
    return system, turns.turns


class _Turns:
    """Invariant: roles alternate, beginning with the user; a result stands in the turn right behind its call."""

    def __init__(self) -> None:
        self.turns: list[Json] = []
        self._calls: dict[str, int] = {}
        self._answered: set[str] = set()

    def say(self, role: str, blocks: list[Json]) -> None:
        """Add blocks to the last turn, or begin one. In the assistant's they stand before its calls."""
        if not blocks:
            return
        content = self._turn(role)
        first_call = next((at for at, block in enumerate(content) if block["type"] == "tool_use"), len(content))
        content[first_call:first_call] = blocks

    def call(self, item: ir.ToolCall) -> None:
        """Add a call at the end of the assistant's turn."""
        is_custom = item.kind == "custom"
        called_with = custom_input(item.arguments) if is_custom else arguments_object(item.arguments)
        call_id = _call_id(item.call_id)
        self._turn("assistant").append({"type": "tool_use", "id": call_id, "name": item.name, "input": called_with})
        self._calls[call_id] = len(self.turns) - 1

    def answer(self, item: ir.ToolResult) -> None:
        """Add a result behind the results that are there, before what the user says; only the first of a call."""
        call_id = _call_id(item.call_id)
        at = self._calls.get(call_id)
        if at is None or call_id in self._answered:
            return
        self._answered.add(call_id)
        if at + 1 == len(self.turns):
            self._turn("user")
        content: list[Json] = self.turns[at + 1]["content"]
        place = sum(block["type"] == "tool_result" for block in content)
        content.insert(place, _result_block(item, call_id))

    def _turn(self, role: str) -> list[Json]:
        if not self.turns and role == "assistant":
            self.turns.append({"role": "user", "content": [_text(_PLACEHOLDER)]})
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": []})
        return self.turns[-1]["content"]


def finish_turns(turns: list[Json], *, can_prefill: bool) -> None:
    """Give the conversation an end that the API takes: something to answer, or a beginning of the answer."""
    if not turns:
        turns.append({"role": "user", "content": [_text(_PLACEHOLDER)]})
    last = turns[-1]
    if last["role"] == "user":
        return
    if not can_prefill:
        turns.append({"role": "user", "content": [_text(_CONTINUE)]})
    elif last["content"][-1]["type"] == "text":
        last["content"][-1]["text"] = last["content"][-1]["text"].rstrip() or _PLACEHOLDER


def without_thinking(turns: list[Json]) -> list[Json]:
    """Leave thoughts out where the model does not think; a turn of nothing else disappears."""
    kept = _Turns()
    for turn in turns:
        blocks = [block for block in turn["content"] if block["type"] not in THOUGHTS]
        if kept.turns and kept.turns[-1]["role"] == turn["role"]:
            kept.turns[-1]["content"] += blocks
        elif blocks:
            kept.turns.append({"role": turn["role"], "content": blocks})
    return kept.turns


def _call_id(call_id: str) -> str:
    """Return an id of the characters the API allows; different ids stay different."""
    clean = _BAD_ID_CHARS.sub("_", call_id)
    if clean == call_id and call_id:
        return call_id
    return f"{clean}_{hashlib.sha256(call_id.encode(errors='surrogatepass')).hexdigest()[:8]}"


# ---- blocks --------------------------------------------------------------------------------------------------------


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _text_blocks(parts: Iterable[ir.Part]) -> list[Json]:
    return [_text(part.text) for part in parts if isinstance(part, ir.TextPart | ir.RefusalPart) and part.text.strip()]


def _message_blocks(item: ir.Message) -> list[Json]:
    """An assistant says text only; instructions given later stay in their place, marked as such."""
    if item.role == "assistant":
        return _text_blocks(item.parts)
    if item.role == "developer":
        return [_text(f"<system>\n{block['text']}\n</system>") for block in _text_blocks(item.parts)]
    return _part_blocks(item.parts)


def _thinking_blocks(item: ir.Reasoning) -> list[Json]:
    """Only what Anthropic signed comes back to it, unchanged; thinking of others is theirs to verify."""
    proof = item.proof
    if proof is None or proof.origin != ORIGIN or not proof.value:
        return []
    if proof.value.startswith(REDACTED):
        return [{"type": "redacted_thinking", "data": proof.value[len(REDACTED) :]}]
    thought = PARAGRAPH.join((*item.summary, *item.text))
    return [{"type": "thinking", "thinking": thought, "signature": proof.value}]


def _result_block(item: ir.ToolResult, call_id: str) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": call_id}
    if len(item.parts) == 1 and isinstance(item.parts[0], ir.TextPart):
        block["content"] = item.parts[0].text
    else:
        block["content"] = _part_blocks(item.parts)
    if item.is_error:
        block["is_error"] = True
    return block


def _part_blocks(parts: Iterable[ir.Part]) -> list[Json]:
    blocks: list[Json] = []
    for part in parts:
        match part:
            case ir.TextPart() | ir.RefusalPart():
                blocks += _text_blocks((part,))
            case ir.ImagePart():
                blocks.append({"type": "image", "source": _source(part.url, part.file_id)})
            case ir.FilePart():
                blocks.append(_document(part))
            case ir.OpaquePart() if part.origin == ORIGIN:
                blocks.append(part.data)
            case _:
                pass
    return blocks


def _source(url: str | None, file_id: str | None) -> Json:
    if url is None:
        raise UnsupportedFeature(
            f"The file {file_id!r} is stored at another vendor; this model cannot read it. Send its content inline.",
            code="unsupported_content",
        )
    head, comma, payload = url.partition(",")
    if not head.startswith("data:"):
        return {"type": "url", "url": url}
    media_type, *options = head[5:].split(";")
    if not comma or "base64" not in options:
        raise UnsupportedFeature("Inline content must be base64.", code="unsupported_content")
    return {"type": "base64", "media_type": media_type, "data": payload}


def _document(part: ir.FilePart) -> Json:
    source = _source(part.data or part.url, part.file_id)
    media_type = source.get("media_type", "application/pdf")
    if media_type.startswith("text/") or media_type == "application/json":
        source = {"type": "text", "media_type": "text/plain", "data": _decoded(source["data"])}
    elif media_type != "application/pdf":
        raise UnsupportedFeature(
            f"A file of type {media_type!r} cannot be sent to this model; send PDF or text.", code="unsupported_content"
        )
    document: Json = {"type": "document", "source": source}
    if part.filename:
        document["title"] = part.filename
    return document


def _decoded(payload: str) -> str:
    try:
        return base64.b64decode(payload, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise UnsupportedFeature("An inline text file is not base64 of UTF-8.", code="unsupported_content") from None
