"""The relay lane's readers: a provider's answer passes as it came while counts, ids and the end are read off it.

`ChatTap` for streams, `ChatBodyTap` for whole bodies. Chunks that only carry text are recognized by their bytes and
never parsed. The one frame kept back is the count nobody but the gateway asked for. Line ends leave as LF.
Facts: spec/translation.md §11.1, §13. Next: `upstream.py` for what ends and errors mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from translation.codec import OpenedRequest
from translation.errors import GatewayBug, GatewayError, ProtocolViolation, UpstreamDisconnected
from translation.ir import events as ev
from translation.ir.response import Fold, GenerateResponse
from translation.ir.usage import Usage
from translation.protocols.openai_chat.encoder import ChatStreamEncoder
from translation.protocols.openai_chat.request import wants_usage
from translation.protocols.openai_chat.response import encode_chat_response
from translation.protocols.openai_chat.upstream import failure_in, failure_of, read_payload, read_reason, read_usage
from translation.protocols.openai_chat.upstream_decoder import ChatDecoder
from translation.shared.openai_errors import error_object
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object
from translation.wire.sse import COMMENT_PING, DONE, MAX_FRAME_BYTES, SSESplitter, frame, parse_frame

_CUT_SHORT = "The upstream closed the stream before the answer was complete."
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


class _Outcome:
    """What the flow learns from either reader; see `translation.codec.Tap`."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish_reason: ev.FinishReason | None = None
        self.error: GatewayError | None = None
        self.response_id = ""
        self.done = False
        self.has_output = False
        self.asides: Mapping[str, bytes] = {}
        self.answer: Mapping[str, Any] | None = None

    def _learn(self, payload: dict[str, Any]) -> None:
        """Read a chunk or a whole body."""
        response_id = payload.get("id")
        if not self.response_id and isinstance(response_id, str):
            self.response_id = response_id
        self.usage = read_usage(payload.get("usage")) or self.usage
        choices = payload.get("choices")
        for choice in choices if is_array(choices) else ():
            if is_object(choice):
                self._learn_choice(choice)

    def _learn_choice(self, choice: dict[str, Any]) -> None:
        said = choice.get("delta") or choice.get("message")
        if is_object(said) and any(value for key, value in said.items() if key != "role"):
            self.has_output = True
        self.usage = read_usage(choice.get("usage")) or self.usage  # Kimi counts inside the choice
        word = choice.get("finish_reason")
        if isinstance(word, str) and word:
            self.finish_reason = read_reason(word, has_calls=False, has_refusal=False)
            self.error = failure_of(word) or self.error

    def _take_over(self, answer: GenerateResponse) -> None:
        """Learn from an answer that had to be decoded, because it came in the other form."""
        self.usage = answer.usage
        self.finish_reason = answer.finish_reason
        self.response_id = answer.id
        self.done = self.has_output = True

    def _end(self, error: GatewayError | None = None) -> None:
        self.error = error or self.error
        if self.error is None:
            self.finish_reason = self.finish_reason or "stop"
        self.done = True


class ChatTap(_Outcome):
    """One relayed stream. Invariant: whole frames leave, in their order, and nothing after the end."""

    def __init__(self, opened: OpenedRequest) -> None:
        super().__init__()
        self._opened = opened
        self._hides_usage = not wants_usage(opened.body)
        self._splitter = SSESplitter()
        self._is_chat = False
        self._odd: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """Return what the client gets of a network chunk."""
        if self.done:
            return b""
        if self.has_output and self._is_lone(chunk) and _only_speaks(chunk):
            return chunk
        try:
            blocks = self._splitter.cut(chunk)
        except ProtocolViolation as error:
            return self._fail(error)
        out: list[bytes] = []
        for block in blocks:
            if self.has_output and _only_speaks(block):
                out.append(block)
                continue
            self._block(block, out)
            if self.done:
                break
        return b"\n\n".join((*out, b"")) if out else b""

    def finish(self) -> bytes:
        """Return what the end of the file brings; an error when the answer had not ended."""
        if self.done:
            return b""
        rest = self._splitter.rest().strip()
        passed = self.feed(rest + b"\n\n") if rest and not _is_cut(rest) else b""
        if self.done:
            return passed
        if self.finish_reason is not None:  # some servers leave [DONE] out
            self._end()
            return passed
        if self._odd and not self._is_chat:
            return passed + self._odd_body()
        return passed + self._fail(UpstreamDisconnected(_CUT_SHORT))

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with `error`; also in place of a failure that has not reached the client."""
        if self.done and self.error is None:
            return b""
        return self._fail(error)

    def heartbeat(self) -> bytes:
        """Return a comment while the stream lasts."""
        return b"" if self.done else COMMENT_PING

    def collected(self) -> bytes:
        """A stream is not kept: clients who want a body are served by `ChatBodyTap`."""
        raise GatewayBug("a streamed answer was asked for as a whole")

    # ---- inside ------------------------------------------------------------------------------------------------

    def _is_lone(self, chunk: bytes) -> bool:
        """A paced stream arrives frame by frame; such a chunk needs no cutting."""
        return chunk.find(b"\n\n") == len(chunk) - 2 and b"\r" not in chunk and not self._splitter.has_pending

    def _block(self, block: bytes, out: list[bytes]) -> None:
        if not block.lstrip(b"\n").startswith(_FIELDS):
            self._odd.append(block)
            return
        parsed = parse_frame(block.lstrip(b"\n"))
        if parsed is None:
            out.append(block)  # a comment
            return
        name, data = parsed
        if data.strip() == b"[DONE]":
            self._ended(block, out)
            return
        payload = read_payload(data)
        if payload is None:
            out.append(block)
            return
        self._is_chat = True
        error = failure_in(payload, is_error=name == b"error")
        if error is not None:
            self._end(error)
            out.append(block)
            return
        self._learn(payload)
        if self.error is not None:
            self._end()
        if not (self._hides_usage and payload.get("choices") == [] and payload.get("usage")):
            out.append(block)

    def _ended(self, block: bytes, out: list[bytes]) -> None:
        if not self._is_chat:
            out.append(self._fail(ProtocolViolation("The provider ended its answer before it began.")).rstrip(b"\n"))
            return
        self._end()
        out.append(block)

    def _odd_body(self) -> bytes:
        """A whole JSON answer where a stream was asked for: written as the stream it should have been."""
        decoder, fold = ChatDecoder(), Fold()
        events = decoder.feed(b"\n\n".join(self._odd) + b"\n\n") + decoder.finish()
        fold.feed(events)
        if fold.error is not None:
            return self._fail(fold.error)
        self._take_over(fold.result())
        return ChatStreamEncoder(self._opened).encode(events)

    def _fail(self, error: GatewayError) -> bytes:
        self._end(error)
        return frame(b"", jsonio.dumps({"error": error_object(error)})) + DONE


class ChatBodyTap(_Outcome):
    """One relayed body, for clients that did not ask for a stream. Nothing leaves before the end."""

    def __init__(self, opened: OpenedRequest) -> None:
        super().__init__()
        self._opened = opened
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._body = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take in a chunk."""
        self._pieces.append(chunk)
        self._size_bytes += len(chunk)
        if self._size_bytes > MAX_FRAME_BYTES and not self.done:
            self._pieces.clear()
            self.fail(ProtocolViolation("The upstream sent an answer larger than 64 MiB."))
        return b""

    def finish(self) -> bytes:
        """Judge the whole body."""
        if self.done:
            return b""
        body = b"".join(self._pieces)
        self._pieces.clear()
        payload = read_payload(body)
        if payload is None or not (is_array(payload.get("choices")) or failure_in(payload, is_error=False)):
            self._read_stream(body)
            return b""
        error = failure_in(payload, is_error=False)
        if error is None:
            self._learn(payload)
            self._body = body
        self._end(error)
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was said yet, so the flow answers with a status."""
        self._end(error)
        return b""

    def heartbeat(self) -> bytes:
        """A JSON body has no heartbeat."""
        return b""

    def collected(self) -> bytes:
        """Return the provider's own body. Raises: the GatewayError that stands in its place."""
        if self.error is not None:
            raise self.error
        if not self._body:
            raise UpstreamDisconnected(_CUT_SHORT)
        return self._body

    def _read_stream(self, body: bytes) -> None:
        """A stream where a body was asked for: folded into the body it should have been; anything else is an error."""
        decoder, fold = ChatDecoder(), Fold()
        fold.feed(decoder.feed(body) + decoder.finish())
        try:
            answer = fold.result()
        except GatewayError as error:
            self._end(error)
            return
        self._take_over(answer)
        self._body = encode_chat_response(answer, self._opened)


def _only_speaks(block: bytes) -> bool:
    """Tell whether a frame is a delta with nothing to learn from. Quotes inside texts are escaped, so this is exact."""
    return (
        b'"finish_reason":null' in block
        and b'"error"' not in block
        and (b'"usage"' not in block or b'"usage":null' in block)
    )


def _is_cut(rest: bytes) -> bool:
    """Tell whether the file ended inside a frame; half a frame is of no use to anybody."""
    parsed = parse_frame(rest)
    return parsed is None or (parsed[1].strip() != b"[DONE]" and read_payload(parsed[1]) is None)
