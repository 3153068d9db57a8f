"""Anthropic Messages, read by the anthropic package: its stream helper adds the events up."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import anthropic
import httpx2
import orjson

from tests.translation.matrix.contract import Column, Reading, Refused, Said, Truth, fields_of, sse_frames, told_by

BODY: dict[str, Any] = {
    "model": "claude-of-some-kind",
    "max_tokens": 4000,
    "messages": [{"role": "user", "content": "hi"}],
    "tools": [
        {"type": "web_search_20250305", "name": "web_search"},
        {"name": "f", "input_schema": {"type": "object", "properties": {}}},
    ],
    "thinking": {"type": "enabled", "budget_tokens": 2000},
}
ENDS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
    "web_search_tool_result": set(),
}


class MessagesColumn(Column):
    name = "anthropic_messages"
    codec = "anthropic-messages"
    requests = "anthropic-messages"
    essentials = frozenset({"model", "messages", "role", "type", "name", "id", "tool_use_id", "text", "source", "data"})
    data_keys = frozenset({"input_schema", "input", "metadata", "schema"})

    @cached_property
    def sdk(self) -> anthropic.Anthropic:
        transport = self.wire.transport(httpx2)
        return anthropic.Anthropic(
            api_key="k",
            base_url="http://gateway.invalid",
            max_retries=0,
            http_client=httpx2.Client(transport=transport),
        )

    def known_fields(self) -> set[str]:
        return fields_of(anthropic.types)

    def ask(self, *, is_streamed: bool) -> Reading:
        try:
            if not is_streamed:
                return read(self.sdk.messages.create(**BODY))
            with self.sdk.messages.stream(**BODY) as stream:
                return read(stream.get_final_message())
        except anthropic.APIStatusError as error:
            status = error.status_code if error.status_code >= 400 else None  # errors inside a stream have its 200
            raise Refused(told_by(error.body) or str(error), status) from error

    def check(self, data: bytes) -> None:
        frames = []
        for name, payload in sse_frames(data):
            frames.append(orjson.loads(payload))
            assert name.decode() == frames[-1]["type"]
        kinds = [frame["type"] for frame in frames]
        if kinds == ["error"]:  # what came before has no words in this protocol
            return
        assert kinds[0] == "message_start" and kinds.count("message_start") == 1
        block = self._walk(frames[1:])
        if kinds[-1] == "error":
            assert not {"message_delta", "message_stop"} & set(kinds) and kinds.count("error") == 1
            return
        assert block is None and kinds[-2:] == ["message_delta", "message_stop"]
        assert kinds.count("message_delta") == kinds.count("message_stop") == 1
        assert set(frames[-2]["usage"]) >= {"input_tokens", "output_tokens"}

    def _walk(self, frames: list[dict[str, Any]]) -> str | None:
        block, following = None, 0
        for frame in frames:
            match frame["type"]:
                case "content_block_start":
                    assert block is None and frame["index"] == following, "one block at a time, in order"
                    block = frame["content_block"]["type"]
                case "content_block_delta":
                    assert frame["index"] == following and frame["delta"]["type"] in DELTAS[str(block)]
                case "content_block_stop":
                    assert block is not None and frame["index"] == following
                    block, following = None, following + 1
                case kind:
                    assert kind in ("ping", "message_delta", "message_stop", "error")
        return block

    def ending(self, data: bytes) -> str:
        return "error" if sse_frames(data)[-1][0] == b"error" else "finish"

    def follow(self, body: dict[str, Any], answer: dict[str, Any], results: list[str], words: str) -> bool:
        if answer["content"]:
            body["messages"].append({"role": "assistant", "content": answer["content"]})
        calls = [block["id"] for block in answer["content"] if block["type"] == "tool_use"]
        said: list[dict[str, Any]] = [
            {"type": "tool_result", "tool_use_id": call_id, "content": result}
            for call_id, result in zip(calls, results, strict=False)
        ]
        if words:
            said.append({"type": "text", "text": words})
        body["messages"].append({"role": "user", "content": said})
        return True

    def expect(self, truth: Truth) -> Said:
        text = truth.text + truth.refusal
        return Said(
            text=text,
            reasoning="\n\n".join(truth.reasoning),
            calls=[
                (name, {"input": said} if kind == "custom" else object_of(said)) for kind, name, said in truth.calls
            ],
            sources=truth.searched + truth.sources,
            proofs=truth.proofs,
            end=self._end(truth),
            usage=truth.usage and {key: truth.usage[key] for key in ("input", "cached", "output")},
        )

    def _end(self, truth: Truth) -> str:
        if truth.refusal and not truth.calls and truth.end == "stop":
            return "refusal"
        return "tool_use" if truth.calls and truth.end == "stop" else ENDS[truth.end]


def object_of(text: str) -> Any:
    """Return what a tool would be given."""
    try:
        value = orjson.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read(message: Any) -> Reading:
    """Read the SDK's message, streamed or collected."""
    whole = message.to_dict(exclude_none=True)
    whole["id"] = ""
    said = Said(end=whole.get("stop_reason", ""), usage={
        "input": whole["usage"]["input_tokens"] + whole["usage"].get("cache_read_input_tokens", 0),
        "cached": whole["usage"].get("cache_read_input_tokens", 0),
        "output": whole["usage"]["output_tokens"],
    })  # fmt: skip
    thoughts = []
    for block in whole["content"]:
        block.pop("parsed_output", None)
        match block["type"]:
            case "text":
                if not block["text"].startswith("[The model made a picture"):
                    said.text += block["text"]
                said.sources += [found["url"] for found in block.get("citations") or ()]
            case "thinking":
                thoughts += [block["thinking"]] if block["thinking"] else []
                said.proofs += [block["signature"]] if block["signature"] else []
            case "tool_use":
                said.calls.append((block["name"], block["input"]))
            case "web_search_tool_result":
                said.sources += [found["url"] for found in block["content"]]
            case kind:
                assert kind == "server_tool_use"
    said.reasoning = "\n\n".join(thoughts)
    return Reading(whole, said)


COLUMNS = (MessagesColumn(),)
