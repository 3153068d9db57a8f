"""Legacy completions, read by the openai package, whose stream is a plain iterator: texts are joined here."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import httpx
import openai
import orjson

from tests.translation.matrix.contract import MODEL, Column, Reading, Refused, Said, Truth, sse_frames, told_by


class CompletionsColumn(Column):
    name = "openai_completions"
    codec = "openai-completions"

    @cached_property
    def sdk(self) -> openai.OpenAI:
        transport = self.wire.transport(httpx)
        return openai.OpenAI(
            api_key="k",
            base_url="http://gateway.invalid/v1",
            max_retries=0,
            http_client=httpx.Client(transport=transport),
        )

    def ask(self, *, is_streamed: bool) -> Reading:
        body: dict[str, Any] = {"model": MODEL, "prompt": "hi"}
        try:
            if not is_streamed:
                return read([self.sdk.completions.create(**body)])
            options: Any = {"include_usage": True}
            return read(list(self.sdk.completions.create(**body, stream=True, stream_options=options)))
        except openai.APIError as error:
            raise Refused(told_by(error.body) or error.message, getattr(error, "status_code", None)) from error

    def check(self, data: bytes) -> None:
        frames = sse_frames(data)
        assert all(not name for name, _ in frames)
        assert [payload for _, payload in frames].count(b"[DONE]") == 1 and frames[-1][1] == b"[DONE]"
        chunks = [orjson.loads(payload) for _, payload in frames[:-1]]
        if "error" in chunks[-1]:
            assert set(chunks.pop()) == {"error"}
            ends = 0
        else:
            ends = 1
            if not chunks[-1]["choices"]:
                assert set(chunks.pop()["usage"]) >= {"prompt_tokens", "completion_tokens", "total_tokens"}
        reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
        assert [reason is not None for reason in reasons] == [False] * (len(reasons) - ends) + [True] * ends
        assert len({(chunk["id"], chunk["model"], chunk["object"]) for chunk in chunks}) <= 1

    def ending(self, data: bytes) -> str:
        return "error" if "error" in orjson.loads(sse_frames(data)[-2][1]) else "finish"

    def expect(self, truth: Truth) -> Said:
        end = truth.end if truth.end in ("length", "content_filter") else "stop"
        return Said(text=truth.text + truth.refusal, end=end, usage=truth.usage)


def read(chunks: list[Any]) -> Reading:
    """Add up chunks; a collected completion is one."""
    choices = [choice for chunk in chunks for choice in chunk.choices]
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    usage = usages[-1].to_dict() if usages else None
    said = Said(
        text="".join(choice.text for choice in choices),
        end=choices[-1].finish_reason,
        usage=None if usage is None else {
            "input": usage["prompt_tokens"],
            "cached": usage["prompt_tokens_details"]["cached_tokens"],
            "output": usage["completion_tokens"],
            "reasoning": usage["completion_tokens_details"]["reasoning_tokens"],
            "total": usage["total_tokens"],
        },
    )  # fmt: skip
    first = chunks[0]
    return Reading((first.model, first.object, first.created, said.text, said.end, usage), said)


COLUMNS = (CompletionsColumn(),)
