"""Ollama's chat and generate, read by the ollama package. It adds nothing up: clients concatenate, as here."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

import httpx
import ollama
import orjson
from ollama._types import ChatRequest, GenerateRequest

from tests.translation.matrix.contract import MODEL, Column, Reading, Refused, Said, Truth

COUNTS = ("prompt_eval_count", "eval_count")
NOTE = re.compile(r"\[The model made a picture[^]]*\]")
VOLATILE = ("created_at", "total_duration", "prompt_eval_duration", "eval_duration", "load_duration")


class OllamaColumn(Column):
    codec = "ollama"
    requests = "ollama"
    essentials = frozenset({"model", "name", "function", "type"})
    data_keys = frozenset({"parameters", "arguments", "format"})

    def __init__(self, name: str, path: str) -> None:
        super().__init__()
        self.name, self.path = name, path

    @cached_property
    def sdk(self) -> ollama.Client:
        return ollama.Client(host="http://gateway.invalid", transport=self.wire.transport(httpx))

    @property
    def generates(self) -> bool:
        return self.path == "/api/generate"

    def known_fields(self) -> set[str]:
        kinds = (ollama.Message, ollama.Tool, ollama.Tool.Function, ollama.Options, ChatRequest, GenerateRequest)
        return {name for kind in kinds for name in kind.model_fields} - {"model", "prompt"}

    def ask(self, *, is_streamed: bool) -> Reading:
        try:
            if self.generates:
                answer: Any = self.sdk.generate(MODEL, "hi", stream=is_streamed, think=True)
            else:
                answer = self.sdk.chat(MODEL, [{"role": "user", "content": "hi"}], stream=is_streamed, think=True)
            return self._read(list(answer) if is_streamed else [answer])
        except ollama.ResponseError as error:
            raise Refused(error.error, error.status_code if error.status_code >= 400 else None) from error

    def check(self, data: bytes) -> None:
        assert data.endswith(b"\n")
        lines = [orjson.loads(line) for line in data.split(b"\n")[:-1]]
        if "error" in lines[-1]:
            assert set(lines.pop()) == {"error"} and not any(line["done"] for line in lines)
        else:
            assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
            assert lines[-1]["done_reason"] in ("stop", "length")
        assert all(("response" in line) == self.generates != ("message" in line) for line in lines)
        calls = [call for line in lines for call in line.get("message", {}).get("tool_calls", ())]
        assert [call["function"]["index"] for call in calls] == list(range(len(calls)))

    def ending(self, data: bytes) -> str:
        return "error" if "error" in orjson.loads(data.split(b"\n")[-2]) else "finish"

    def follow(self, body: dict[str, Any], answer: dict[str, Any], results: list[str], words: str) -> bool:
        if self.generates:
            return False
        message = answer["message"]
        body["messages"].append(message)
        for call, result in zip(message.get("tool_calls", ()), results, strict=False):
            body["messages"].append({"role": "tool", "tool_name": call["function"]["name"], "content": result})
        if words:
            body["messages"].append({"role": "user", "content": words})
        return True

    def expect(self, truth: Truth) -> Said:
        calls = [(name, {"input": said} if kind == "custom" else object_of(said)) for kind, name, said in truth.calls]
        return Said(
            text=truth.text + truth.refusal,
            reasoning="\n\n".join(truth.reasoning),
            calls=[] if self.generates else [call for call in calls if call[1] is not None],
            images=truth.images[:1] if self.generates else [],
            end="length" if truth.end == "length" else "stop",
            usage=truth.usage and {key: truth.usage[key] for key in ("input", "output")},
        )

    def _read(self, parts: list[Any]) -> Reading:
        lines = [part.model_dump(exclude_none=True) for part in parts]
        last = {key: value for key, value in lines[-1].items() if key not in VOLATILE}
        said = Said(end=last.get("done_reason", ""))
        for line in lines:
            spoken = line if self.generates else line["message"]
            said.text += NOTE.sub("", spoken["response" if self.generates else "content"])
            said.reasoning += spoken.get("thinking", "")
            said.images += [picture(image) for image in spoken.get("images", ())]
            if "image" in spoken and not said.images:
                said.images.append(picture(spoken["image"]))
            for call in spoken.get("tool_calls", ()):
                said.calls.append((call["function"]["name"], call["function"]["arguments"]))
        if COUNTS[0] in last:
            said.usage = {"input": last[COUNTS[0]], "output": last[COUNTS[1]]}
        return Reading((last["model"], last["done"], said), said)


def picture(value: Any) -> str:
    return value["value"] if isinstance(value, dict) else value


def object_of(text: str) -> Any:
    """Return what a tool would be given; a call that was cut is not told at all."""
    try:
        value = orjson.loads(text or "{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


COLUMNS = (OllamaColumn("ollama_chat", "/api/chat"), OllamaColumn("ollama_generate", "/api/generate"))
