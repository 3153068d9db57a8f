"""Events → lines of JSON. One bytes object per call; deltas are a bytes template around the encoded text.

Tool calls are whole: they wait for their last argument, and for the calls that were opened before them. The last line
repeats nothing: clients concatenate (row 210). Facts: spec/translation.md §9, §13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.ollama import shapes
from translation.protocols.ollama.errors import error_body
from translation.wire import jsonio

_Handler = Callable[[Any], bytes]


class OllamaStreamEncoder:
    """Invariant: over its life the output is lines of JSON, the last of which, and no other, is done or an error."""

    __slots__ = (
        "_calls",
        "_calls_sent",
        "_content_head",
        "_done",
        "_first_at",
        "_handlers",
        "_line_head",
        "_open_calls",
        "_paragraph",
        "_shape",
        "_tail",
        "_thinking_head",
        "_usage",
    )

    def __init__(self, opened: OpenedRequest) -> None:
        shape = self._shape = shapes.shape_of(opened)
        head = jsonio.dumps({"model": shape.model, "created_at": shape.created_at})[:-1]
        if shape.generates:
            self._content_head = head + b',"response":'
            self._thinking_head = head + b',"response":"","thinking":'
            self._tail = b',"done":false}\n'
        else:
            self._content_head = head + b',"message":{"role":"assistant","content":'
            self._thinking_head = self._content_head + b'"","thinking":'
            self._tail = b'},"done":false}\n'
        self._line_head = head + b","
        self._done = False
        self._first_at: float | None = None
        self._usage: Usage | None = None
        self._paragraph: tuple[int, int] | None = None
        self._open_calls: dict[int, tuple[ev.BlockStart, list[str]]] = {}
        self._calls: dict[int, bool] = {}
        self._calls_sent = 0
        self._handlers: dict[type, _Handler] = {
            ev.BlockStart: self._on_block_start,
            ev.TextDelta: self._on_text,
            ev.RefusalDelta: self._on_text,
            ev.ReasoningDelta: self._on_reasoning,
            ev.ToolCallDelta: self._on_arguments,
            ev.ImageDelta: self._on_image,
            ev.BlockStop: self._on_block_stop,
            ev.UsageUpdate: self._on_usage,
            ev.Stop: self._on_stop,
            ev.Error: self._on_error,
        }

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """Return the bytes of these events, in one piece; empty when they say nothing to an Ollama client."""
        if self._done:
            return b""
        if len(events) == 1 and type(events[0]) is ev.TextDelta and self._first_at is not None:
            return self._on_text(events[0])
        out: list[bytes] = []
        handlers = self._handlers
        for event in events:
            handler = handlers.get(type(event))
            if handler is None:
                continue
            if self._first_at is None and type(event) is ev.BlockStart:
                self._first_at = self._now_s()
            out.append(handler(event))
            if self._done:
                break
        return jsonio.one_line(b"".join(out))

    def heartbeat(self) -> bytes:
        """Return a line that says nothing: this framing has no comments."""
        return b"" if self._done else self._content_head + b'""' + self._tail

    def _now_s(self) -> float:
        clock = self._shape.context.clock
        return clock() if clock is not None else 0.0

    # ---- one method per event ----------------------------------------------------------------------------------

    def _on_text(self, event: ev.TextDelta | ev.RefusalDelta) -> bytes:
        return self._content_head + jsonio.quote(event.text) + self._tail

    def _on_reasoning(self, event: ev.ReasoningDelta) -> bytes:
        if not self._shape.shows_thinking:
            return b""
        text = event.text
        here = (event.index, event.part)
        if self._paragraph != here:
            if self._paragraph is not None:
                text = shapes.PARAGRAPH + text
            self._paragraph = here
        return self._thinking_head + jsonio.quote(text) + self._tail

    def _on_block_start(self, event: ev.BlockStart) -> bytes:
        if event.kind == "tool_call":
            self._open_calls[event.index] = (event, [])
            self._calls[event.index] = False
        return b""

    def _on_arguments(self, event: ev.ToolCallDelta) -> bytes:
        self._open_calls[event.index][1].append(event.text)
        return b""

    def _on_block_stop(self, event: ev.BlockStop) -> bytes:
        """Send every finished call that no unfinished one precedes, in one line each."""
        if event.index not in self._calls:
            return b""
        self._calls[event.index] = True
        out: list[bytes] = []
        for index in sorted(self._calls):
            if not self._calls[index]:
                break
            del self._calls[index]
            start, pieces = self._open_calls.pop(index)
            call = shapes.tool_call(start, "".join(pieces), self._calls_sent)
            if call is not None and not self._shape.generates:
                self._calls_sent += 1
                out.append(self._line({"content": "", "tool_calls": [call]}))
        return b"".join(out)

    def _on_image(self, event: ev.ImageDelta) -> bytes:
        if event.partial or not event.data:
            return b""
        return self._line(self._shape.picture(event))

    def _line(self, fields: dict[str, Any]) -> bytes:
        return self._line_head + jsonio.dumps({**self._shape.said(fields), "done": False})[1:] + b"\n"

    def _on_usage(self, event: ev.UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    # ---- terminal ----------------------------------------------------------------------------------------------

    def _on_stop(self, event: ev.Stop) -> bytes:
        self._done = True
        ending: dict[str, Any] = {
            "done_reason": shapes.done_reason(event.finish_reason),
            **shapes.durations(self._shape.context, self._first_at),
            **shapes.counts(event.usage or self._usage),
        }
        return jsonio.dumps(self._shape.whole({"content": ""}, ending)) + b"\n"

    def _on_error(self, event: ev.Error) -> bytes:
        self._done = True
        return error_body(event.error) + b"\n"
