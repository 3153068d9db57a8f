"""Upstream SSE → legal events. Frames are dispatched by name; deltas take a typed fast path.

The fast path reads only the fields it needs and falls back to the tolerant one on any surprise. What an event means
for the items is in `assembly.py`, legal order in `ir/normalizer.py`. Facts: spec/wire.md §4, spec/translation.md §1.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from translation.errors import ProtocolViolation
from translation.ir import events as ev
from translation.ir.normalizer import Block, Normalizer
from translation.protocols.openai_responses.assembly import Assembly
from translation.protocols.openai_responses.errors import error_from_json_body, error_from_payload, error_from_text
from translation.protocols.openai_responses.names import ORIGIN
from translation.protocols.openai_responses.usage import usage_from_response
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object
from translation.wire.sse import SSESplitter

Json = dict[str, Any]

_LONE_TEXT = b"event: response.output_text.delta\ndata: "
_LONE_TEXT_SIZE = len(_LONE_TEXT)
_MAX_STRAY_CHARS = 4000
_ASIDE_BYTES = 64 * 1024
_MAX_EARLY_ASIDES = 16


class _TextFrame(Struct, gc=False):
    delta: str
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None


class _CallFrame(Struct, gc=False):
    delta: str
    item_id: str | None = None
    output_index: int | None = None


class _SummaryFrame(Struct, gc=False):
    delta: str
    item_id: str | None = None
    output_index: int | None = None
    summary_index: int | None = None


_decode_text = msgspec.json.Decoder(_TextFrame).decode
_decode_call = msgspec.json.Decoder(_CallFrame).decode

_decode_summary = msgspec.json.Decoder(_SummaryFrame).decode


def keep_aside(asides: dict[str, bytes], name: str, data: bytes) -> None:
    """Keep the latest data of an event about the account; few, and none that is large."""
    if len(data) <= _ASIDE_BYTES and (name in asides or len(asides) < _MAX_EARLY_ASIDES):
        asides[name] = data


class ResponsesDecoder:
    """One stream. Invariant: the events of all calls together are legal (`ir/grammar.py`)."""

    __slots__ = (
        "_assembly",
        "_call_block",
        "_call_key",
        "_early",
        "_normalizer",
        "_splitter",
        "_stray",
        "_text_block",
        "_text_key",
        "asides",
    )

    def __init__(self) -> None:
        self.asides: dict[str, bytes] = {}
        """See `StreamDecoder`."""
        self._splitter = SSESplitter()
        self._normalizer = Normalizer()
        self._assembly = Assembly(self._normalizer)
        self._stray = ""
        self._early: list[ev.Opaque] = []
        self._text_block: Block | None = None
        self._text_key: tuple[str | None, int | None, int | None] = (None, None, None)
        self._call_block: Block | None = None
        self._call_key: tuple[str | None, int | None] = (None, None)

    @property
    def repairs(self) -> int:
        """How often the upstream broke its own order or contradicted itself."""
        return self._normalizer.repairs

    def feed(self, chunk: bytes) -> list[ev.Event]:
        """Return the events of a network chunk."""
        block = self._text_block
        if block is not None and chunk.startswith(_LONE_TEXT):
            lone = self._lone_text(chunk, block)
            if lone is not None:
                return [lone]
        try:
            frames = self._splitter.feed(chunk)
        except ProtocolViolation as error:
            self._normalizer.fail(error)
            frames = []
        return self._take(frames)

    def finish(self) -> list[ev.Event]:
        """Return what the end of the file brings: at least the terminal event that did not come."""
        events = self._take(self._splitter.finish())
        normalizer = self._normalizer
        if not normalizer.done and not normalizer.started and self._stray:
            normalizer.fail(error_from_text(self._stray))
        normalizer.eof()
        return events + self._drain()

    def _take(self, frames: list[tuple[bytes, bytes]]) -> list[ev.Event]:
        normalizer, hot = self._normalizer, self._HOT
        for name, data in frames:
            if normalizer.done:
                break
            handler = hot.get(name or sniff_name(data))
            if handler is None or not handler(self, data):
                self._cold(name, data)
        return self._drain()

    def _drain(self) -> list[ev.Event]:
        events, self._normalizer.out = self._normalizer.out, []
        return events

    # ---- the fast path -----------------------------------------------------------------------------------------

    def _lone_text(self, chunk: bytes, block: Block) -> ev.TextDelta | None:
        """Return the event of a chunk that is exactly one delta of the text that is open; None when it is not.

        That is what a paced stream consists of, and there every call counts: code that runs once in milliseconds runs
        from cold caches. Whatever is unusual about the chunk takes the ordinary way.
        """
        end = len(chunk) - 2
        if block.closed or block.tail or self._splitter.has_pending or chunk.find(b"\n\n") != end:
            return None
        try:
            frame = _decode_text(chunk[_LONE_TEXT_SIZE:end])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        text = frame.delta
        if (frame.item_id, frame.output_index, frame.content_index) != self._text_key or not text:
            return None
        if self._normalizer.done or "\ud800" <= text[-1] <= "\udbff":
            return None
        block.pieces.append(text)
        return ev.TextDelta(block.index, text)

    def _text_delta(self, data: bytes) -> bool:
        try:
            frame = _decode_text(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        block = self._text_block
        key = (frame.item_id, frame.output_index, frame.content_index)
        if block is None or block.closed or key != self._text_key:
            block = self._assembly.text_block(
                {"item_id": frame.item_id, "output_index": frame.output_index, "content_index": frame.content_index},
                "text",
            )
            if block is None:
                return True
            self._text_block, self._text_key = block, key
        self._normalizer.delta(block, frame.delta)
        return True

    def _call_delta(self, data: bytes) -> bool:
        try:
            frame = _decode_call(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        block = self._call_block
        key = (frame.item_id, frame.output_index)
        if block is None or block.closed or key != self._call_key:
            block = self._assembly.call_block(
                {"item_id": frame.item_id, "output_index": frame.output_index}, "function_call"
            )
            if block is None:
                return True
            self._call_block, self._call_key = block, key
        self._normalizer.delta(block, frame.delta)
        return True

    def _summary_delta(self, data: bytes) -> bool:
        try:
            frame = _decode_summary(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        place = {
            "item_id": frame.item_id,
            "output_index": frame.output_index,
            "summary_index": frame.summary_index,
        }
        self._assembly.reason(place, "summary", frame.delta)
        return True

    # ---- the tolerant path -------------------------------------------------------------------------------------

    def _cold(self, name: bytes, data: bytes) -> None:
        self._text_block = self._call_block = None  # a snapshot may have settled them
        if not data.strip() or data == b"[DONE]":
            return
        payload = tolerant_object(data)
        if payload is None:
            if not name:
                self._stray = (self._stray + "\n" + data.decode(errors="replace"))[:_MAX_STRAY_CHARS]
            return
        kind = payload.get("type")
        event_name = name.decode(errors="replace")
        kind = kind if isinstance(kind, str) and (kind in self.EVENTS or not event_name) else event_name
        handler = self.EVENTS.get(kind)
        if handler is not None:
            handler(self, payload)
        elif kind.startswith("codex."):
            keep_aside(self.asides, kind, data)
            self._aside(kind, payload)
        elif not kind:
            self._json_body(payload)

    def _aside(self, name: str, payload: Json) -> None:
        """Pass on an event only Codex understands; it may not precede the start."""
        event = ev.Opaque(ORIGIN, name, payload)
        if self._normalizer.started:
            self._normalizer.out.append(event)
        elif len(self._early) < _MAX_EARLY_ASIDES:
            self._early.append(event)

    def _json_body(self, payload: Json) -> None:
        """A 200 that is JSON instead of a stream: a whole answer, or an error in one of its forms."""
        if payload.get("object") == "response" and payload.get("status") in self._ENDS:
            self._created({"response": payload})
            self._ENDS[payload["status"]](self, {"response": payload})
        elif any(payload.get(key) for key in ("error", "detail", "message")):
            self._normalizer.fail(error_from_json_body(payload))

    def _created(self, event: Json) -> None:
        if self._normalizer.started:
            return
        response = _response(event)
        created = response.get("created_at")
        self._normalizer.start(
            _string(response.get("id")),
            _string(response.get("model")),
            int(created) if isinstance(created, (int, float)) else 0,
        )
        self._normalizer.out += self._early
        self._early.clear()

    def _ping(self, event: Json) -> None:
        self._normalizer.out.append(ev.Ping())

    def _nothing(self, event: Json) -> None:
        pass

    def _item_added(self, event: Json) -> None:
        if is_object(event.get("item")):
            self._assembly.added(event["item"], event.get("output_index"))

    def _item_done(self, event: Json) -> None:
        if is_object(event.get("item")):
            self._assembly.finished(event["item"], event.get("output_index"))

    def _part_added(self, event: Json) -> None:
        self._assembly.text_snapshot(event, event.get("part"))

    def _part_done(self, event: Json) -> None:
        self._assembly.text_snapshot(event, event.get("part"), last=True)

    def _text_delta_slow(self, event: Json) -> None:
        self._say(self._assembly.text_block(event, "text"), event)

    def _text_done(self, event: Json) -> None:
        self._assembly.text_snapshot(event, {"type": "output_text", "text": event.get("text")})

    def _refusal_delta(self, event: Json) -> None:
        self._say(self._assembly.text_block(event, "refusal"), event)

    def _refusal_done(self, event: Json) -> None:
        self._assembly.text_snapshot(event, {"type": "refusal", "refusal": event.get("refusal")})

    def _annotation(self, event: Json) -> None:
        self._assembly.cite(event)

    def _call_delta_slow(self, event: Json) -> None:
        self._say(self._assembly.call_block(event, "function_call"), event)

    def _call_done(self, event: Json) -> None:
        self._assembly.call_snapshot(event, "function_call")

    def _input_delta(self, event: Json) -> None:
        self._say(self._assembly.call_block(event, "custom_tool_call"), event)

    def _input_done(self, event: Json) -> None:
        self._assembly.call_snapshot(event, "custom_tool_call")

    def _say(self, block: Block | None, event: Json) -> None:
        if block is not None:
            self._normalizer.delta(block, _string(event.get("delta")))

    def _summary_delta_slow(self, event: Json) -> None:
        self._assembly.reason(event, "summary", _string(event.get("delta")))

    def _summary_done(self, event: Json) -> None:
        self._assembly.reason_snapshot(event, "summary", _string(event.get("text")))

    def _summary_part_done(self, event: Json) -> None:
        part = event.get("part")
        if is_object(part):
            self._assembly.reason_snapshot(event, "summary", _string(part.get("text")))

    def _reasoning_delta(self, event: Json) -> None:
        self._assembly.reason(event, "text", _string(event.get("delta")))

    def _reasoning_done(self, event: Json) -> None:
        self._assembly.reason_snapshot(event, "text", _string(event.get("text")))

    def _partial_image(self, event: Json) -> None:
        self._assembly.picture(event)

    # ---- ends --------------------------------------------------------------------------------------------------

    def _completed(self, event: Json) -> None:
        response = _response(event)
        status = response.get("status")
        if status in ("incomplete", "failed"):
            self._ENDS[status](self, event)
        else:
            self._stop(event, "stop", "")

    def _incomplete(self, event: Json) -> None:
        details = _response(event).get("incomplete_details")
        raw = _string(details.get("reason")) if is_object(details) else ""
        self._stop(event, _INCOMPLETE_REASONS.get(raw, "stop"), raw or "incomplete")

    def _finish_reason(self) -> ev.FinishReason:
        if self._normalizer.has_shown("tool_call"):
            return "tool_calls"
        return "refusal" if self._normalizer.has_shown("refusal") else "stop"

    def _stop(self, event: Json, reason: ev.FinishReason, raw: str) -> None:
        response = _response(event)
        self._created(event)
        output = response.get("output")
        if is_array(output):
            self._assembly.reconcile(output)
        self._assembly.close_all()
        if reason == "stop" and not raw:
            reason = self._finish_reason()
        self._normalizer.stop(
            reason,
            usage=usage_from_response(response),
            raw_reason=raw,
            service_tier=_string(response.get("service_tier")) or None,
        )

    def _failed(self, event: Json) -> None:
        usage = usage_from_response(_response(event))
        if usage is not None and self._normalizer.started:
            self._normalizer.out.append(ev.UsageUpdate(usage))
        self._normalizer.fail(error_from_payload(event))

    # ---- dispatch ----------------------------------------------------------------------------------------------

    _HOT: ClassVar[dict[bytes, Callable[[ResponsesDecoder, bytes], bool]]] = {
        b"response.output_text.delta": _text_delta,
        b"response.text.delta": _text_delta,
        b"response.function_call_arguments.delta": _call_delta,
        b"response.reasoning_summary_text.delta": _summary_delta,
    }

    EVENTS: ClassVar[dict[str, Callable[[ResponsesDecoder, Json], None]]] = {
        "response.created": _created,
        "response.in_progress": _created,
        "response.queued": _created,
        "response.metadata": _nothing,
        "keepalive": _ping,
        "ping": _ping,
        "response.output_item.added": _item_added,
        "response.output_item.done": _item_done,
        "response.content_part.added": _part_added,
        "response.content_part.done": _part_done,
        "response.output_text.delta": _text_delta_slow,
        "response.text.delta": _text_delta_slow,
        "response.output_text.done": _text_done,
        "response.text.done": _text_done,
        "response.output_text.annotation.added": _annotation,
        "response.refusal.delta": _refusal_delta,
        "response.refusal.done": _refusal_done,
        "response.function_call_arguments.delta": _call_delta_slow,
        "response.function_call_arguments.done": _call_done,
        "response.custom_tool_call_input.delta": _input_delta,
        "response.custom_tool_call_input.done": _input_done,
        "response.reasoning_summary_text.delta": _summary_delta_slow,
        "response.reasoning_summary_text.done": _summary_done,
        "response.reasoning_summary_part.done": _summary_part_done,
        "response.reasoning_text.delta": _reasoning_delta,
        "response.reasoning_text.done": _reasoning_done,
        "response.image_generation_call.partial_image": _partial_image,
        "response.completed": _completed,
        "response.done": _completed,
        "response.incomplete": _incomplete,
        "response.failed": _failed,
        "response.error": _failed,
        "error": _failed,
    }

    _ENDS: ClassVar[dict[str, Callable[[ResponsesDecoder, Json], None]]] = {
        "completed": _completed,
        "incomplete": _incomplete,
        "failed": _failed,
    }


def sniff_name(data: bytes) -> bytes:
    """Return the event name of a frame without an `event:` line, when it stands first in its data."""
    if data.startswith(b'{"type":"'):
        return data[9 : data.find(b'"', 9)]
    return b""


def tolerant_object(data: bytes) -> Json | None:
    """Parse a frame's data; bytes that are no UTF-8 are replaced. None when it is no JSON object."""
    try:
        value = jsonio.loads(data)
    except ValueError:
        try:
            value = jsonio.loads(data.decode(errors="replace"))
        except ValueError:
            return None
    return value if is_object(value) else None


def _response(event: Json) -> Json:
    response = event.get("response")
    return response if is_object(response) else {}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


_INCOMPLETE_REASONS: dict[str, ev.FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
