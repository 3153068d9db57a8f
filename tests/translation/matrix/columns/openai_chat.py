"""Chat Completions, read by the openai package: its stream helper adds the chunks up."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import httpx
import openai
import orjson

from tests.translation.matrix.contract import (
    MODEL,
    Column,
    Reading,
    Refused,
    Said,
    Truth,
    fields_of,
    sse_frames,
    told_by,
)

ASKED: list[Any] = [{"role": "user", "content": "hi"}]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}},
    {"type": "custom", "custom": {"name": "apply_patch"}},
]
ENDS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}
DELTA_KEYS = {
    "role", "content", "refusal", "reasoning_content", "reasoning_details", "annotations", "images", "tool_calls",
}  # fmt: skip


class ChatColumn(Column):
    name = "openai_chat"
    codec = "openai-chat"
    requests = "openai-chat"
    essentials = frozenset(
        {"model", "messages", "role", "type", "function", "name", "tool_call_id", "image_url", "url", "text"}
    )
    data_keys = frozenset({"parameters", "metadata", "logit_bias", "schema"})

    @cached_property
    def sdk(self) -> openai.OpenAI:
        transport = self.wire.transport(httpx)
        return openai.OpenAI(
            api_key="k",
            base_url="http://gateway.invalid/v1",
            max_retries=0,
            http_client=httpx.Client(transport=transport),
        )

    def known_fields(self) -> set[str]:
        return fields_of(openai.types.chat) | fields_of(openai.types.shared_params)

    def ask(self, *, is_streamed: bool) -> Reading:
        completions = self.sdk.chat.completions
        body: dict[str, Any] = {"model": MODEL, "messages": ASKED, "tools": TOOLS}
        try:
            if not is_streamed:
                return read(completions.create(**body))
            with completions.stream(**body, stream_options={"include_usage": True}) as stream:
                for _ in stream:
                    pass
                return read(stream.current_completion_snapshot)
        except openai.LengthFinishReasonError as error:
            return read(error.completion)
        except openai.ContentFilterFinishReasonError:
            return read(stream.current_completion_snapshot)
        except openai.APIError as error:
            raise Refused(told_by(error.body) or error.message, getattr(error, "status_code", None)) from error

    def check(self, data: bytes) -> None:
        frames = sse_frames(data)
        assert all(not name for name, _ in frames), "Chat knows no event names"
        assert [payload for _, payload in frames].count(b"[DONE]") == 1 and frames[-1][1] == b"[DONE]"
        chunks = [orjson.loads(payload) for _, payload in frames[:-1]]
        assert chunks
        if "error" in chunks[-1]:
            assert set(chunks.pop()) == {"error"}
            finishes: list[str] = []
        else:
            if not chunks[-1]["choices"]:
                assert set(chunks.pop()["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}
            finishes = [chunks[-1]["choices"][0]["finish_reason"]]
            assert chunks[-1]["choices"][0]["delta"] == {}
        self._check_deltas(chunks)
        assert [reason for chunk in chunks if (reason := chunk["choices"][0]["finish_reason"])] == finishes

    def _check_deltas(self, chunks: list[dict[str, Any]]) -> None:
        assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) <= 1
        calls = 0
        for position, chunk in enumerate(chunks):
            (choice,) = chunk["choices"]
            delta = choice["delta"]
            assert choice["index"] == 0 and set(delta) <= DELTA_KEYS
            assert ("role" in delta) == (position == 0), "the role is said once, first"
            for call in delta.get("tool_calls", ()):
                assert ("id" in call) == ("type" in call) == (call["index"] == calls), "calls open once, in order"
                calls += call["index"] == calls

    def ending(self, data: bytes) -> str:
        return "error" if "error" in orjson.loads(sse_frames(data)[-2][1]) else "finish"

    def follow(self, body: dict[str, Any], answer: dict[str, Any], results: list[str], words: str) -> bool:
        message = answer["choices"][0]["message"]
        body["messages"].append(message)
        for call, result in zip(message.get("tool_calls", ()), results, strict=False):
            body["messages"].append({"role": "tool", "tool_call_id": call["id"], "content": result})
        if words:
            body["messages"].append({"role": "user", "content": words})
        return True

    def expect(self, truth: Truth) -> Said:
        return Said(
            text=truth.text + truth.refusal,
            reasoning="\n\n".join(truth.reasoning),
            calls=[(name, arguments) for _, name, arguments in truth.calls],
            images=truth.images,
            sources=truth.sources,
            proofs=truth.proofs,
            end="tool_calls" if truth.calls and truth.end == "stop" else ENDS.get(truth.end, "stop"),
            usage=truth.usage,
        )


def read(completion: Any) -> Reading:
    """Read the SDK's completion, streamed or collected."""
    whole = completion.to_dict()
    whole["id"] = ""
    (choice,) = whole["choices"]
    whole["object"] = "chat.completion"
    choice.pop("logprobs", None)
    message = choice["message"]
    for key in [key for key, value in message.items() if value is None or key == "parsed"]:
        del message[key]  # a stream cannot say null
    message.setdefault("content", "")
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
        (call.get("function") or {}).pop("parsed_arguments", None)
    return Reading(_without_none(whole), said(choice, whole.get("usage")))


def said(choice: dict[str, Any], usage: dict[str, Any] | None) -> Said:
    message = choice["message"]
    calls = []
    for call in message.get("tool_calls") or ():
        said_by = call.get("function") or call["custom"]
        calls.append((said_by["name"], said_by.get("arguments", said_by.get("input"))))
    return Said(
        text=message["content"] + message.get("refusal", ""),
        reasoning=message.get("reasoning_content", ""),
        calls=calls,
        images=[image["image_url"]["url"].partition("base64,")[2] for image in message.get("images", ())],
        sources=[found["url_citation"]["url"] for found in message.get("annotations", ())],
        proofs=[detail["data"] for detail in message.get("reasoning_details", ())],
        end=choice["finish_reason"],
        usage=None if usage is None else counts(usage),
    )


def counts(usage: dict[str, Any]) -> dict[str, int]:
    return {
        "input": usage["prompt_tokens"],
        "cached": usage["prompt_tokens_details"]["cached_tokens"],
        "output": usage["completion_tokens"],
        "reasoning": usage["completion_tokens_details"]["reasoning_tokens"],
        "total": usage["total_tokens"],
    }


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


COLUMNS = (ChatColumn(),)
