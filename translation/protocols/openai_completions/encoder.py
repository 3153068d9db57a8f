"""Events → legacy completion chunks, and a collected answer → one completion, from the same small pieces.

Only what the model says has a place here: reasoning, calls, pictures and citations are left out. Deltas are a bytes
template around the encoded text. Facts: spec/translation.md §5.2, §5.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.response import GenerateResponse
from translation.ir.usage import NO_USAGE, Usage
from translation.protocols.openai_completions.request import wants_usage
from translation.shared.openai_errors import error_object
from translation.wire import jsonio, sse

_REASONS: dict[str, str] = {"length": "length", "content_filter": "content_filter"}
"""Anything else is an ordinary end to this dialect."""


class CompletionStreamEncoder:
    """Invariant: over its life the output is one well-formed stream of chunks, ended by `[DONE]` exactly once."""

    __slots__ = ("_done", "_handlers", "_has_usage", "_head", "_tail", "_text_head", "_usage", "_usage_null")

    def __init__(self, opened: OpenedRequest) -> None:
        self._has_usage = wants_usage(opened.body)
        self._usage_null = b',"usage":null' if self._has_usage else b""
        self._head = b"data: " + jsonio.dumps(_head(opened))[:-1] + b',"choices":'
        self._text_head = self._head + b'[{"index":0,"text":'
        self._tail = b',"logprobs":null,"finish_reason":null}]' + self._usage_null + b"}\n\n"
        self._done = False
        self._usage: Usage | None = None
        self._handlers: dict[type, Callable[[Any], bytes]] = {
            ev.TextDelta: self._on_text,
            ev.RefusalDelta: self._on_text,
            ev.UsageUpdate: self._on_usage,
            ev.Stop: self._on_stop,
            ev.Error: self._on_error,
        }

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """Return the bytes of these events, in one piece."""
        if self._done:
            return b""
        if len(events) == 1 and type(events[0]) is ev.TextDelta:
            return self._on_text(events[0])
        out: list[bytes] = []
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                out.append(handler(event))
            if self._done:
                break
        return b"".join(out)

    def heartbeat(self) -> bytes:
        """Return an SSE comment, legal at any time before the end."""
        return b"" if self._done else sse.COMMENT_PING

    def _on_text(self, event: ev.TextDelta | ev.RefusalDelta) -> bytes:
        return self._text_head + jsonio.quote(event.text) + self._tail

    def _on_usage(self, event: ev.UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    def _on_stop(self, event: ev.Stop) -> bytes:
        self._done = True
        ending = jsonio.dumps([_choice("", event.finish_reason)])
        out = self._head + ending + self._usage_null + b"}\n\n"
        if self._has_usage:  # asked for is asked for: also when the upstream counted nothing
            usage = event.usage or self._usage or NO_USAGE
            out += self._head + b'[],"usage":' + jsonio.dumps(_usage(usage)) + b"}\n\n"
        return out + sse.DONE

    def _on_error(self, event: ev.Error) -> bytes:
        self._done = True
        return sse.frame(b"", jsonio.dumps({"error": error_object(event.error)})) + sse.DONE


def encode_completion(response: GenerateResponse, opened: OpenedRequest) -> bytes:
    """Write the body of a non-streaming answer."""
    text = "".join(block.text for block in response.blocks if block.kind in ("text", "refusal"))
    choices = [_choice(text, response.finish_reason)]
    return jsonio.dumps({**_head(opened), "choices": choices, "usage": _usage(response.usage or NO_USAGE)})


def _head(opened: OpenedRequest) -> dict[str, Any]:
    context = opened.context
    identifier = context.ids.mint("cmpl-")
    return {"id": identifier, "object": "text_completion", "created": int(context.now_s), "model": opened.model}


def _choice(text: str, reason: ev.FinishReason) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": _REASONS.get(reason, "stop")}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
