"""The relay lane's reader: an Anthropic stream passes byte for byte, by whole frames, and is read along.

Nothing is edited: model, ids, betas and unknown events reach the client as Anthropic wrote them. Frames of deltas are
recognized by their beginning and not parsed, unless the client wants the message whole. Nothing follows the end.
Facts: spec/translation.md §11.1, §13; row 235.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from translation.codec import OpenedRequest
from translation.errors import GatewayError, ProtocolViolation, UpstreamDisconnected
from translation.ir.events import FinishReason
from translation.ir.usage import Usage
from translation.protocols.anthropic_messages.errors import error_object
from translation.protocols.anthropic_messages.upstream import error_from_payload
from translation.protocols.anthropic_messages.upstream_words import (
    FINISH,
    object_of,
    string_of,
    tolerant_object,
    usage_of,
)
from translation.wire import jsonio, sse
from translation.wire.jsontypes import is_object

Json = dict[str, Any]

_FRAME_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_DELTA = b"event: content_block_delta"
_PING = sse.frame(b"ping", b'{"type":"ping"}')


class MessagesTap:
    """One relayed stream. Invariant: what `feed` has returned ends at the end of a frame; see `codec.WholeTap`."""

    def __init__(self, opened: OpenedRequest) -> None:
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None
        self.error: GatewayError | None = None
        self.response_id = ""
        self.done = False
        self.has_output = False
        self.asides: Mapping[str, bytes] = {}
        self.answer: Mapping[str, Any] | None = None
        self._keeps = not opened.stream
        self._pending = b""
        self._counts: Json = {}
        self._is_open = False
        self._message: Json | None = None
        self._arguments: dict[int, list[str]] = {}
        self._blocks: dict[int, Json] = {}

    # ---- bytes in, bytes out -----------------------------------------------------------------------------------

    def feed(self, chunk: bytes) -> bytes:
        """Return the frames that this chunk completes."""
        if self.done:
            return b""
        searched = max(0, len(self._pending) - 3)
        data = self._pending + chunk if self._pending else chunk
        at = 0
        for end in _FRAME_END.finditer(data, searched):
            self._learn(data[at : end.start()])
            at = end.end()
            if self.done:
                break
        self._pending = b"" if self.done else data[at:]
        if len(self._pending) > sse.MAX_FRAME_BYTES:
            return data[:at] + self._fail(ProtocolViolation("The upstream sent an event larger than 64 MiB."))
        return data[:at]

    def finish(self) -> bytes:
        """Return what the end of the file brings: the last frame, or an error in place of the end that did not come."""
        if self.done:
            return b""
        rest, self._pending = self._pending, b""
        parsed = sse.parse_frame(_unified(rest).strip(b"\n")) if rest.strip() else None
        passed = b""
        if parsed is not None and tolerant_object(parsed[1]) is not None:
            self._learn(rest)
            passed = rest.rstrip(b"\r\n") + b"\n\n"
        if not self.done and self.finish_reason is not None:
            self._end()  # everything was said, only the last word is missing
            return passed + sse.frame(b"message_stop", b'{"type":"message_stop"}')
        if self.done:
            return passed
        return passed + self._fail(
            UpstreamDisconnected("The upstream closed the stream before the answer was complete.")
        )

    def fail(self, error: GatewayError) -> bytes:
        """See `Tap`; replaces a failure of the upstream's own that the flow kept back."""
        return b"" if self.done and self.error is None else self._fail(error)

    def heartbeat(self) -> bytes:
        """Return a ping; before `message_start` a comment, because nothing but that event may be the first."""
        if self.done:
            return b""
        return _PING if self._is_open else sse.COMMENT_PING

    def collected(self) -> bytes:
        """Return the message that the stream adds up to.

        Raises: the GatewayError that ended the stream.
        """
        if self.error is not None:
            raise self.error
        if self._message is None or not self.done:
            raise UpstreamDisconnected("The upstream closed the stream before the answer was complete.")
        return jsonio.dumps(self._message)

    def _fail(self, error: GatewayError) -> bytes:
        self.error, self.done = error, True
        return sse.frame(b"error", jsonio.dumps(error_object(error)))

    # ---- what the frames say -----------------------------------------------------------------------------------

    def _learn(self, block: bytes) -> None:
        if self.has_output and not self._keeps and block.startswith(_DELTA):
            return
        parsed = sse.parse_frame(_unified(block).strip(b"\n").removeprefix(b"\xef\xbb\xbf"))
        payload = tolerant_object(parsed[1]) if parsed is not None else None
        if parsed is None or payload is None:
            return
        kind = payload.get("type")
        handler = self._EVENTS.get(kind if isinstance(kind, str) else parsed[0].decode(errors="replace"))
        if handler is not None:
            handler(self, payload)
        elif is_object(payload.get("error")):
            self._error(payload)

    def _message_start(self, payload: Json) -> None:
        message = object_of(payload.get("message"))
        self._is_open = True
        self.response_id = string_of(message.get("id"))
        self._count(message.get("usage"))
        if self._keeps:
            self._message = {**message, "content": []}

    def _whole_message(self, payload: Json) -> None:
        """The answer is one JSON object, from a server that did not stream although asked to."""
        self.response_id = string_of(payload.get("id"))
        self._message_delta({"delta": {"stop_reason": payload.get("stop_reason")}, "usage": payload.get("usage")})
        if not self._keeps:
            self._fail(ProtocolViolation("The upstream answered with one message where a stream was asked for."))
            return
        self.has_output = True
        self._message = payload
        self._end()

    def _block_start(self, payload: Json) -> None:
        self.has_output = True
        index = payload.get("index")
        if self._message is not None and type(index) is int:
            self._blocks[index] = block = object_of(payload.get("content_block"))
            self._message["content"].append(block)

    def _block_delta(self, payload: Json) -> None:
        """Add up as Anthropic's SDKs do: each kind of delta grows the field it is named after."""
        self.has_output = True
        index, delta = payload.get("index"), object_of(payload.get("delta"))
        block = self._blocks.get(index) if type(index) is int else None
        if block is None or type(index) is not int:
            return
        match delta.get("type"):
            case "text_delta" | "thinking_delta" | "signature_delta" as kind:
                field = kind.removesuffix("_delta")
                block[field] = string_of(block.get(field)) + string_of(delta.get(field))
            case "input_json_delta":
                self._arguments.setdefault(index, []).append(string_of(delta.get("partial_json")))
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
            case _:
                pass

    def _block_stop(self, payload: Json) -> None:
        index = payload.get("index")
        pieces = self._arguments.pop(index, None) if type(index) is int else None
        if pieces is not None and type(index) is int and index in self._blocks:
            value = tolerant_object("".join(pieces).encode(errors="replace"))
            if value is not None:
                self._blocks[index]["input"] = value

    def _message_delta(self, payload: Json) -> None:
        delta = object_of(payload.get("delta"))
        reason = delta.get("stop_reason")
        if isinstance(reason, str):
            self.finish_reason = FINISH.get(reason, "stop")
        self._count(payload.get("usage"))
        if self._message is not None:
            self._message.update(delta)
            self._message["usage"] = self._counts

    def _message_stop(self, payload: Json) -> None:
        self.finish_reason = self.finish_reason or "stop"
        self._end()

    def _end(self) -> None:
        self.has_output = self.done = True
        if self._counts:
            self.usage = usage_of(self._counts)

    def _error(self, payload: Json) -> None:
        """The client reads Anthropic's own frame; before output the flow keeps it back and may try elsewhere."""
        self.error, self.done = error_from_payload(payload), True
        if self._counts:
            self.usage = usage_of(self._counts)

    def _count(self, usage: Any) -> None:
        if is_object(usage):
            self._counts.update((key, value) for key, value in usage.items() if value is not None)

    _EVENTS: ClassVar[dict[str, Callable[[MessagesTap, Json], None]]] = {
        "message_start": _message_start,
        "content_block_start": _block_start,
        "content_block_delta": _block_delta,
        "content_block_stop": _block_stop,
        "message_delta": _message_delta,
        "message_stop": _message_stop,
        "message": _whole_message,
        "error": _error,
    }


def _unified(block: bytes) -> bytes:
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block
