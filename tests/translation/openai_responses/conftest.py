"""A harness for the Responses codec: JSON on the client's side, frames on the upstream's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from translation.codec import OpenedRequest, Quirks, RelayTarget, WireContext
from translation.errors import GatewayError
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.response import Fold, GenerateResponse
from translation.protocols.openai_responses import CODEC
from translation.protocols.openai_responses.tap import ResponsesTap
from translation.wire.ids import counting_ids
from translation.wire.sse import SSESplitter

CODEX = RelayTarget(model="gpt-5.5", prompt_cache_key="cp_1", quirks=Quirks(subset=True))


class Relayed:
    """What a tap let through, and what it learned."""

    def __init__(self, tap: ResponsesTap, output: bytes) -> None:
        self.tap = tap
        self.output = output
        self.frames = frames_of(output)
        self.names = [name for name, _ in self.frames]

    def payload(self, name: str) -> dict[str, Any]:
        """Return the payload of the only frame called `name`."""
        (payload,) = [payload for known, payload in self.frames if known == name]
        return payload


def frames_of(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Parse frames; every one must have an `event:` line that agrees with its data."""
    splitter = SSESplitter()
    frames = [(name.decode(), json.loads(data)) for name, data in splitter.feed(data) + splitter.finish()]
    for name, payload in frames:
        assert name == payload["type"]
    return frames


class Responses:
    """Drives the codec. Bodies are dicts; `input` defaults to "hi"."""

    def open(self, headers: dict[str, str] | None = None, **body: Any) -> OpenedRequest:
        """Send a body through `open_request`."""
        if "messages" not in body:
            body.setdefault("input", "hi")
        body.setdefault("model", "my-model")
        context = WireContext(headers=headers or {}, now_s=1_787_000_000.5, ids=counting_ids())
        return CODEC.open_request(orjson.dumps(body), context)

    def refused(self, **body: Any) -> GatewayError:
        """Return the error that a body is refused with."""
        with pytest.raises(GatewayError) as caught:
            self.relay(**body)
        return caught.value

    def relay(self, headers: dict[str, str] | None = None, target: RelayTarget = CODEX, **body: Any) -> dict[str, Any]:
        """Return the upstream body of the relay lane."""
        return orjson.loads(CODEC.relay_request(self.open(headers, **body), target))

    def translate(
        self, headers: dict[str, str] | None = None, target: RelayTarget = CODEX, **body: Any
    ) -> dict[str, Any]:
        """Return the upstream body after a trip through the IR."""
        request = CODEC.decode_request(self.open(headers, **body))
        return orjson.loads(CODEC.encode_request(request, target))

    def events(self, chunks: Iterable[bytes]) -> list[ev.Event]:
        """Decode a stream and check its grammar."""
        decoder = CODEC.decoder()
        events: list[ev.Event] = []
        for chunk in chunks:
            events += decoder.feed(chunk)
        events += decoder.finish()
        grammar.check(events)
        return events

    def fold(self, events: Iterable[ev.Event]) -> GenerateResponse:
        """Collect events."""
        fold = Fold()
        fold.feed(events)
        return fold.result()

    def tap(self, chunks: Iterable[bytes], headers: dict[str, str] | None = None, **body: Any) -> Relayed:
        """Send a stream through a tap."""
        tap = CODEC.tap(self.open(headers, stream=True, **body))
        output = b"".join([tap.feed(chunk) for chunk in chunks])
        output += tap.finish()
        return Relayed(tap, output)


@pytest.fixture
def responses() -> Responses:
    """The codec under test."""
    return Responses()


class Script:
    """Writes an upstream stream, frame by frame, with sequence numbers."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._sequence = 0

    def event(self, name: str, **fields: Any) -> Script:
        """Add any event."""
        payload = {"type": name, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        self.frames.append(b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(payload)))
        return self

    def created(self, **fields: Any) -> Script:
        """Open the response."""
        response = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "gpt-5.5", "output": []}
        return self.event("response.created", response={**response, **fields})

    def message(self, index: int = 0, item_id: str = "msg_1") -> Script:
        """Announce a message."""
        item = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        return self.event("response.output_item.added", output_index=index, item=item)

    def text(self, *pieces: str, index: int = 0, item_id: str = "msg_1") -> Script:
        """Add text deltas."""
        for piece in pieces:
            place = {"item_id": item_id, "output_index": index, "content_index": 0}
            self.event("response.output_text.delta", **place, delta=piece)
        return self

    def message_done(self, text: str, index: int = 0, item_id: str = "msg_1") -> Script:
        """Finish a message."""
        part = {"type": "output_text", "annotations": [], "text": text}
        item = {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": [part]}
        return self.event("response.output_item.done", output_index=index, item=item)

    def call_done(self, arguments: str, index: int = 0, item_id: str = "fc_1") -> Script:
        """Finish a call."""
        item = {"id": item_id, "type": "function_call", "call_id": "call_1", "name": "f", "arguments": arguments}
        return self.event("response.output_item.done", output_index=index, item=item)

    def end(self, status: str = "completed", **fields: Any) -> Script:
        """Write the terminal event."""
        response = {"id": "resp_1", "object": "response", "status": status, "model": "gpt-5.5", "output": []}
        return self.event(f"response.{status}", response={**response, **fields})

    @property
    def data(self) -> bytes:
        """The whole stream."""
        return b"".join(self.frames)


@pytest.fixture
def script() -> Script:
    """An empty upstream stream."""
    return Script()
