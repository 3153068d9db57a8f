"""Events → Chat chunks. One bytes object per call; deltas are a bytes template around the encoded text.

Strings that the openai SDK concatenates (role, call id, name, type) are sent once. Nothing is sent before the first
output event, so that an early failure can still become an HTTP status, and nothing after the terminal frame.
Facts: spec/translation.md §5.2, §5.5, §13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.usage import NO_USAGE, Usage
from translation.protocols.openai_chat import shapes
from translation.protocols.openai_chat.request import wants_usage
from translation.shared.openai_errors import error_object
from translation.wire import jsonio, sse

_Handler = Callable[[Any], bytes]


class ChatStreamEncoder:
    """Invariant: over its life the output is one well-formed Chat stream, ended by `[DONE]` exactly once."""

    __slots__ = (
        "_annotations",
        "_calls",
        "_choice_end",
        "_content_head",
        "_delta_head",
        "_details",
        "_dialect",
        "_done",
        "_handlers",
        "_has_usage",
        "_head",
        "_image_hashes",
        "_images",
        "_offsets",
        "_opened",
        "_paragraph",
        "_starts",
        "_text_chars",
        "_usage",
        "_usage_null",
    )

    def __init__(self, opened: OpenedRequest) -> None:
        self._dialect = shapes.Dialect(opened)
        self._has_usage = wants_usage(opened.body)
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":' % (
            jsonio.encode_text(opened.context.ids.mint("chatcmpl-")),
            int(opened.context.now_s),
            jsonio.dumps(opened.model),
        )
        self._usage_null = b',"usage":null' if self._has_usage else b""
        self._delta_head = self._head + b'[{"index":0,"delta":'
        self._content_head = self._delta_head + b'{"content":'
        self._choice_end = b'},"finish_reason":null}]' + self._usage_null + b"}\n\n"
        self._opened = False
        self._done = False
        self._usage: Usage | None = None
        self._starts: dict[int, ev.BlockStart] = {}
        self._calls: dict[int, tuple[bytes, bytes]] = {}
        self._offsets: dict[int, int] = {}
        self._text_chars = 0
        self._paragraph: tuple[int, int] | None = None
        self._annotations: list[dict[str, Any]] = []
        self._details = 0
        self._images = 0
        self._image_hashes: set[int] = set()
        self._handlers: dict[type, _Handler] = {
            ev.BlockStart: self._on_block_start,
            ev.TextDelta: self._on_text,
            ev.RefusalDelta: self._on_refusal,
            ev.ReasoningDelta: self._on_reasoning,
            ev.ToolCallDelta: self._on_arguments,
            ev.Citation: self._on_citation,
            ev.ImageDelta: self._on_image,
            ev.BlockStop: self._on_block_stop,
            ev.UsageUpdate: self._on_usage,
            ev.Stop: self._on_stop,
            ev.Error: self._on_error,
        }

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """Return the bytes of these events, in one piece; empty when they say nothing to a Chat client."""
        if self._done:
            return b""
        event = events[0] if len(events) == 1 else None
        if type(event) is ev.TextDelta and self._opened:
            # What a paced stream consists of; written out, because there every call counts.
            text = event.text
            self._text_chars += len(text)
            said = jsonio.encode_text(text) if text.isascii() else jsonio.quote(text)
            return self._content_head + said + self._choice_end
        out: list[bytes] = []
        handlers = self._handlers
        for event in events:
            handler = handlers.get(type(event))
            if handler is None:
                continue
            piece = handler(event)
            if piece:
                if not self._opened and not self._done:
                    out.append(self._open())
                out.append(piece)
            if self._done:
                break
        return b"".join(out)

    def heartbeat(self) -> bytes:
        """Return an SSE comment, legal at any time before the end."""
        return b"" if self._done else sse.COMMENT_PING

    # ---- chunks ------------------------------------------------------------------------------------------------

    def _open(self) -> bytes:
        self._opened = True
        return self._delta_head + b'{"role":"assistant","content":""' + self._choice_end

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._delta_head + jsonio.dumps(delta)[:-1] + self._choice_end

    # ---- one method per event ----------------------------------------------------------------------------------

    def _on_text(self, event: ev.TextDelta) -> bytes:
        text = event.text
        self._text_chars += len(text)
        return self._content_head + jsonio.quote(text) + self._choice_end

    def _on_refusal(self, event: ev.RefusalDelta) -> bytes:
        return self._delta_head + b'{"refusal":' + jsonio.quote(event.text) + self._choice_end

    def _on_reasoning(self, event: ev.ReasoningDelta) -> bytes:
        text = event.text
        here = (event.index, event.part)
        if self._paragraph != here:
            if self._paragraph is not None:
                text = shapes.PARAGRAPH + text
            self._paragraph = here
        return self._delta_head + b'{"reasoning_content":' + jsonio.quote(text) + self._choice_end

    def _on_arguments(self, event: ev.ToolCallDelta) -> bytes:
        frame = self._calls.get(event.index)
        if frame is None:
            return b""
        return frame[0] + jsonio.quote(event.text) + frame[1]

    def _on_block_start(self, event: ev.BlockStart) -> bytes:
        self._starts[event.index] = event
        if event.kind == "text":
            self._offsets[event.index] = self._text_chars
            return b""
        if event.kind == "tool_call":
            return self._start_call(event)
        return b""

    def _start_call(self, event: ev.BlockStart) -> bytes:
        """Send the header of a call once, and prepare the frame of its argument deltas."""
        position = len(self._calls)
        if self._dialect.is_legacy:
            if position:
                return b""  # the legacy shape holds one call; parallel calls were switched off in the request
            self._calls[event.index] = self._delta_head + b'{"function_call":{"arguments":', b"}" + self._choice_end
            return self._chunk({"function_call": {"name": event.name, "arguments": ""}})
        is_custom = self._dialect.is_custom(event)
        field = b'"custom":{"input":' if is_custom else b'"function":{"arguments":'
        self._calls[event.index] = (
            self._delta_head + b'{"tool_calls":[{"index":%d,' % position + field,
            b"}}]" + self._choice_end,
        )
        return self._chunk({"tool_calls": [{"index": position, **shapes.call_header(event, is_custom=is_custom)}]})

    def _on_citation(self, event: ev.Citation) -> bytes:
        found = shapes.annotation(event.data, self._offsets.get(event.index, 0))
        if found is not None:
            self._annotations.append(found)
        return b""

    def _on_image(self, event: ev.ImageDelta) -> bytes:
        if event.partial or not event.data:
            return b""
        fingerprint = hash(event.data)
        if fingerprint in self._image_hashes:
            return b""
        self._image_hashes.add(fingerprint)
        entry = shapes.image(self._images, event)
        self._images += 1
        return self._chunk({"images": [entry]})

    def _on_block_stop(self, event: ev.BlockStop) -> bytes:
        start = self._starts.pop(event.index, None)
        if event.proof is None or start is None:
            return b""
        detail = shapes.reasoning_detail(self._details, start, event.proof)
        if detail is None:
            return b""
        self._details += 1
        return self._chunk({"reasoning_details": [detail]})

    def _on_usage(self, event: ev.UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    # ---- terminal ----------------------------------------------------------------------------------------------

    def _on_stop(self, event: ev.Stop) -> bytes:
        out = b"" if self._opened else self._open()
        if self._annotations:
            out += self._chunk({"annotations": self._annotations})
        reason = self._dialect.finish_reason(
            event.finish_reason, has_calls=bool(self._calls), stop_sequence=event.stop_sequence
        )
        out += self._delta_head + b'{},"finish_reason":"%b"}]%b}\n\n' % (reason.encode(), self._usage_null)
        if self._has_usage:  # asked for is asked for: also when the upstream counted nothing
            usage = event.usage or self._usage or NO_USAGE
            out += self._head + b'[],"usage":' + jsonio.dumps(shapes.usage_object(usage)) + b"}\n\n"
        self._done = True
        return out + sse.DONE

    def _on_error(self, event: ev.Error) -> bytes:
        self._done = True
        return sse.frame(b"", jsonio.dumps({"error": error_object(event.error)})) + sse.DONE
