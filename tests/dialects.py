"""What tests must know of each dialect that clients speak: how to ask, and how to read an answer.

One entry of `DIALECTS` is one dialect; playbooks and the fault table run for every entry. Written from the vendors'
documents, not from our codecs: a reader here refuses what the vendor's clients would refuse. Read next:
`tests/gateway/playbook.py`, `tests/faults/test_fault_table.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from codexproxy.gateway.types import ClientRequest

Json = dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """An error as a client reads it, wherever it was told: `type` and `code` are empty where the dialect has none."""

    type: str
    code: str
    message: str
    fields: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Dialect:
    """One wire protocol, seen from the client."""

    codec: str
    path: str
    stream_path: str
    asked: Callable[[str], Json]
    """The fields of a body that hold the prompt."""
    piece: Callable[[Json], str]
    """The text that one event of a stream, or a whole collected answer, says."""
    end: Callable[[Json], str]
    """How an event ends the stream: "done", "error" or not at all."""
    failure: Callable[[Json], Failure | None]
    """The error an event or an answer tells."""
    query: Mapping[str, str] = field(default_factory=dict)
    says_stream: bool = True
    """Whether the body says if the answer is to be streamed; else the path does."""
    last_words: bytes = b""
    """What follows the terminal event, if anything."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    """Statuses that this vendor has a number of its own for."""

    def request(
        self, prompt: str = "hi", *, stream: bool, model: str = "gpt-5.5", request_id: str = "req_test",
        raw: bytes | None = None, headers: Mapping[str, str] | None = None, **fields: Any,
    ) -> ClientRequest:  # fmt: skip
        """Return a small request for a generation."""
        body: Json = {"model": model, **self.asked(prompt), **fields}
        if self.says_stream:
            body["stream"] = stream
        path = (self.stream_path if stream else self.path).format(model=model)
        return ClientRequest(
            method="POST", path=path, headers=headers or {}, request_id=request_id, params={"model": model},
            query=self.query if stream else {}, body=raw if raw is not None else orjson.dumps(body),
        )  # fmt: skip

    def told(self, body: bytes, media_type: str) -> Failure | None:
        """Return the error that this dialect's clients find in an answer or a stream."""
        found = [self.failure(event) for event in events_of(body, media_type)]
        return next((failure for failure in found if failure is not None), None)

    def ends(self, body: bytes, media_type: str) -> list[str]:
        """Return the terminal events of a stream in order; a good stream has exactly one, and nothing after it."""
        found = [self.end(event) for event in events_of(body, media_type)]
        if self.last_words and any(found):
            assert body.endswith(self.last_words) and body.count(self.last_words) == 1, body[-200:]
        assert not any(found[:-1]), f"something follows a terminal event: {body[-500:]!r}"
        return [end for end in found if end]


def events_of(body: bytes, media_type: str) -> list[Json]:
    """Return the JSON of every event, line or element of an answer."""
    kind = media_type.partition(";")[0]
    if kind == "text/event-stream":
        frames = [frame.split(b"\n") for frame in body.split(b"\n\n")]
        data = [b"\n".join(line[6:] for line in lines if line.startswith(b"data: ")) for lines in frames]
        return [orjson.loads(each) for each in data if each and each != b"[DONE]"]
    if kind == "application/x-ndjson":
        return [orjson.loads(line) for line in body.split(b"\n") if line.strip()]
    answer = orjson.loads(body)
    return answer if isinstance(answer, list) else [answer]


def _envelope(event: Json) -> Failure | None:
    """An `error` object with `type`, `code` and `message`, as all but Ollama write it in some form."""
    error = event.get("error")
    if not isinstance(error, dict) or isinstance(error.get("code"), int):  # Google's codes are numbers
        return None
    assert error["message"] and isinstance(error["message"], str)
    return Failure(error.get("type") or "", error.get("code") or "", error["message"], error)


# ---- OpenAI Chat Completions ----------------------------------------------------------------------------------------


def _chat_piece(event: Json) -> str:
    said = [choice.get("delta") or choice.get("message") or {} for choice in event.get("choices", ())]
    return "".join(each.get("content") or "" for each in said)


def _chat_end(event: Json) -> str:
    if "error" in event:
        return "error"
    return "done" if any(choice.get("finish_reason") for choice in event["choices"]) else ""


CHAT = Dialect(
    codec="openai-chat",
    path="/v1/chat/completions",
    stream_path="/v1/chat/completions",
    asked=lambda prompt: {"messages": [{"role": "user", "content": prompt}]},
    piece=_chat_piece,
    end=_chat_end,
    failure=_envelope,
    last_words=b"data: [DONE]\n\n",
)

# ---- OpenAI Responses -----------------------------------------------------------------------------------------------


def _responses_piece(event: Json) -> str:
    if event.get("type") == "response.output_text.delta":
        return event["delta"]
    items = event.get("output", ()) if event.get("object") == "response" else ()
    return "".join(part.get("text", "") for item in items for part in item.get("content", ()))


def _responses_failure(event: Json) -> Failure | None:
    if event.get("type") == "response.failed":
        return _envelope(event["response"])
    return _envelope(event)


_RESPONSES_ENDS = {"response.completed": "done", "response.incomplete": "done", "response.failed": "error"}

RESPONSES = Dialect(
    codec="openai-responses",
    path="/v1/responses",
    stream_path="/v1/responses",
    asked=lambda prompt: {"input": [{"role": "user", "content": prompt}]},
    piece=_responses_piece,
    end=lambda event: _RESPONSES_ENDS.get(event["type"], ""),
    failure=_responses_failure,
)

# ---- Anthropic Messages ---------------------------------------------------------------------------------------------


def _messages_piece(event: Json) -> str:
    if event.get("type") == "content_block_delta":
        return event["delta"].get("text", "")
    blocks = event.get("content", ()) if event.get("type") == "message" else ()
    return "".join(block.get("text", "") for block in blocks)


def _messages_failure(event: Json) -> Failure | None:
    return _envelope(event) if event.get("type") == "error" else None


MESSAGES = Dialect(
    codec="anthropic-messages",
    path="/v1/messages",
    stream_path="/v1/messages",
    asked=lambda prompt: {"max_tokens": 1000, "messages": [{"role": "user", "content": prompt}]},
    piece=_messages_piece,
    end=lambda event: {"message_stop": "done", "error": "error"}.get(event["type"], ""),
    failure=_messages_failure,
    statuses={503: 529},
)

# ---- Gemini ---------------------------------------------------------------------------------------------------------


def _gemini_piece(event: Json) -> str:
    parts = [part for found in event.get("candidates", ()) for part in found["content"]["parts"]]
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


def _gemini_end(event: Json) -> str:
    if "error" in event:
        return "error"
    return "done" if any("finishReason" in found for found in event["candidates"]) else ""


def _gemini_failure(event: Json) -> Failure | None:
    error = event.get("error")
    if not isinstance(error, dict):
        return None
    assert isinstance(error["code"], int)
    reasons = [detail["reason"] for detail in error.get("details", ()) if "reason" in detail]
    return Failure(error["status"], "".join(reasons), error["message"], error)


GEMINI = Dialect(
    codec="gemini",
    path="/v1beta/models/{model}:generateContent",
    stream_path="/v1beta/models/{model}:streamGenerateContent",
    asked=lambda prompt: {"contents": [{"role": "user", "parts": [{"text": prompt}]}]},
    piece=_gemini_piece,
    end=_gemini_end,
    failure=_gemini_failure,
    query={"alt": "sse"},
    says_stream=False,
)

# ---- Ollama ---------------------------------------------------------------------------------------------------------


def _ollama_end(event: Json) -> str:
    return "error" if "error" in event else "done" if event["done"] else ""


def _ollama_failure(event: Json) -> Failure | None:
    error = event.get("error")
    return Failure("", "", error) if isinstance(error, str) else None


OLLAMA = Dialect(
    codec="ollama",
    path="/api/chat",
    stream_path="/api/chat",
    asked=lambda prompt: {"messages": [{"role": "user", "content": prompt}]},
    piece=lambda event: event["message"]["content"] if "done" in event else "",
    end=_ollama_end,
    failure=_ollama_failure,
)

DIALECTS: dict[str, Dialect] = {
    "chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "gemini": GEMINI, "ollama": OLLAMA
}  # fmt: skip
