"""Relay or translate, and the object that drives either through the pump.

Both lanes look alike to the pump: chunks in, client bytes out, and the outcome as attributes (`translation.codec.Tap`
is that shape). Relay keeps the client's own JSON and the upstream's own frames; translate goes through events. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from providers.contract import Target
from translation.codec import (
    Codec,
    ErrorSoftener,
    KeepsAnswer,
    OpenedRequest,
    RelayTarget,
    StreamDecoder,
    StreamEncoder,
    Tap,
    UpstreamCodec,
)
from translation.errors import EmptyResponse, GatewayError
from translation.ir import events as ev
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.passes import pipeline
from translation.wire.jsonio import loads_object

SILENT = frozenset({ev.Start, ev.Ping, ev.UsageUpdate, ev.Opaque, ev.Stop, ev.Error})
"""Events that are no output yet: until another one comes, a failure can still go to another account."""


class Lane(Struct, frozen=True):
    """The chosen lane and, for translate, why relay was not possible."""

    name: str
    reason: str = ""


def choose(codec: Codec, upstream: UpstreamCodec, opened: OpenedRequest, target: Target) -> Lane:
    """Relay when client and upstream speak the same wire and nothing must be rewritten."""
    if codec.name != upstream.name:
        return Lane("translate", f"{codec.name} client, {upstream.name} upstream")
    reason = upstream.needs_translation(opened, target.quirks)
    return Lane("translate", reason) if reason else Lane("relay")


class Call(Struct):
    """A request made ready for one target: the body that leaves, and how to drive what comes back.

    `collected` tells the whole answer, for clients that did not ask for a stream; None for those that did.
    """

    body: bytes
    driver: Tap
    collected: Callable[[], bytes] | None


def prepare(codec: Codec, upstream: UpstreamCodec, opened: OpenedRequest, target: RelayTarget, lane: Lane) -> Call:
    """Encode the request for `target` and build the driver of its answer."""
    if lane.name == "relay":
        tap = upstream.tap(opened)
        return Call(upstream.relay_request(opened, target), tap, None if opened.stream else tap.collected)
    request = codec.decode_request(opened)
    prepared = pipeline.prepare(request, target.quirks)
    body = upstream.encode_request(prepared.request, target)
    if opened.stream:
        return Call(body, TranslatedStream(codec, upstream, opened, prepared.inverses), None)
    answer = TranslatedAnswer(codec, upstream, opened, prepared.inverses)
    return Call(body, answer, answer.collected)


def instead_of(codec: Codec, error: GatewayError, opened: OpenedRequest) -> bytes | None:
    """Return the whole answer, in the form the client asked for, that `codec` gives instead of `error`, if any."""
    events = codec.instead_of(error, opened) if isinstance(codec, ErrorSoftener) else None
    if events is None:
        return None
    if opened.stream:
        return codec.encoder(opened).encode(events)
    fold = Fold()
    fold.feed(events)
    return codec.encode_response(fold.result(), opened)


class TranslatedStream:
    """Drives the translate lane: upstream bytes → events → inverses → the client's bytes."""

    def __init__(
        self, codec: Codec, upstream: UpstreamCodec, opened: OpenedRequest, inverses: Sequence[pipeline.Inverse]
    ) -> None:
        self._decoder: StreamDecoder = upstream.decoder()
        self._inverses = inverses
        self._encoder: StreamEncoder = codec.encoder(opened)
        self._held: list[ev.Event] = []
        self.usage: Usage | None = None
        self.finish_reason: ev.FinishReason | None = None
        self.error: GatewayError | None = None
        self.response_id = ""
        self.done = False
        self.has_output = False
        self._flows = False
        """Output has begun and no inverse waits for it: a text delta only needs encoding."""

    def feed(self, chunk: bytes) -> bytes:
        """Translate one chunk; before the first output event nothing leaves, so that a failure stays a status."""
        events = self._decoder.feed(chunk)
        if self._flows and len(events) == 1 and type(events[0]) is ev.TextDelta:
            return self._encoder.encode(events)  # what a paced stream consists of
        return self._advance(events)

    def finish(self) -> bytes:
        """Translate what the end of file means."""
        return self._advance(self._decoder.finish())

    def fail(self, error: GatewayError) -> bytes:
        """End with `error` in the client's dialect."""
        if self.done and self.error is None:
            return b""
        self.done, self.error, self._flows = True, error, False
        events: list[ev.Event] = [ev.Error(error)]
        for inverse in self._inverses:  # they may still hold text back
            events = inverse.inbound(events)
        return self._encoder.encode(events)

    def heartbeat(self) -> bytes:
        """See `StreamEncoder.heartbeat`."""
        return self._encoder.heartbeat()

    @property
    def asides(self) -> Mapping[str, bytes]:
        """See `StreamDecoder`."""
        return self._decoder.asides

    @property
    def answer(self) -> Mapping[str, Any] | None:
        """See `Tap`."""
        return self._encoder.final if isinstance(self._encoder, KeepsAnswer) else None

    def _advance(self, events: list[ev.Event]) -> bytes:
        for inverse in self._inverses:
            events = inverse.inbound(events)
        if not events or self.done:
            return b""
        if not self.has_output:
            events = self._gate(events)
            if not events:
                return b""
        self._flows = not self._inverses
        last = events[-1]
        if type(last) is ev.Stop or type(last) is ev.Error:
            self._ended(last)
        return self._encoder.encode(events)

    def _gate(self, events: list[ev.Event]) -> list[ev.Event]:
        self._held += events
        for event in events:
            kind = type(event)
            if kind not in SILENT:
                self.has_output = True
                break
            if kind is ev.Start:
                self.response_id = event.id  # type: ignore[union-attr]
            elif kind is ev.Error:
                self.done, self.error = True, event.error  # type: ignore[union-attr]
                return []
            elif kind is ev.Stop:
                self._ended(event)  # type: ignore[arg-type]
                if _is_suspiciously_empty(event):  # type: ignore[arg-type]
                    self.error = EmptyResponse("The upstream completed without an answer.")
                    return []
        if not (self.has_output or self.done):
            return []
        held, self._held = self._held, []
        return held

    def _ended(self, last: ev.Stop | ev.Error) -> None:
        self.done, self._flows = True, False
        if isinstance(last, ev.Error):
            self.error = last.error
        else:
            self.usage, self.finish_reason = last.usage, last.finish_reason


class TranslatedAnswer:
    """Drives the translate lane for clients that want one JSON body: the same events, folded."""

    def __init__(
        self, codec: Codec, upstream: UpstreamCodec, opened: OpenedRequest, inverses: Sequence[pipeline.Inverse]
    ) -> None:
        self._codec = codec
        self._opened = opened
        self._decoder: StreamDecoder = upstream.decoder()
        self._inverses = inverses
        self._fold = Fold()
        self.usage: Usage | None = None
        self.finish_reason: ev.FinishReason | None = None
        self.error: GatewayError | None = None
        self.response_id = ""
        self.done = False
        self.has_output = False

    def feed(self, chunk: bytes) -> bytes:
        """Fold one chunk."""
        return self._advance(self._decoder.feed(chunk))

    def finish(self) -> bytes:
        """Fold what the end of file means."""
        return self._advance(self._decoder.finish())

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was said yet, so the flow answers with a status."""
        self.done, self.error = True, error
        return b""

    def heartbeat(self) -> bytes:
        """A JSON body has no heartbeat."""
        return b""

    @property
    def asides(self) -> Mapping[str, bytes]:
        """See `StreamDecoder`."""
        return self._decoder.asides

    @property
    def answer(self) -> Mapping[str, Any] | None:
        """See `Tap`."""
        return loads_object(self.collected())

    def collected(self) -> bytes:
        """See `WholeTap.collected`."""
        return self._codec.encode_response(self._fold.result(), self._opened)

    def _advance(self, events: list[ev.Event]) -> bytes:
        for inverse in self._inverses:
            events = inverse.inbound(events)
        if not events or self.done:
            return b""
        self._fold.feed(events)
        if not self.has_output:
            self.has_output = any(type(event) not in SILENT for event in events)
        last = events[-1]
        if isinstance(last, ev.Error):
            self.done, self.error = True, last.error
        elif isinstance(last, ev.Stop):
            self.done, self.usage, self.finish_reason = True, last.usage, last.finish_reason
            if not self.has_output and _is_suspiciously_empty(last):
                self.error = EmptyResponse("The upstream completed without an answer.")
        return b""


def _is_suspiciously_empty(stop: ev.Stop) -> bool:
    """An answer of no tokens may be meant, and one cut by a stop sequence is; tokens without output were not."""
    return stop.stop_sequence is None and (stop.usage is None or stop.usage.output_tokens > 0)
