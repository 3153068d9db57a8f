"""Fixtures of the Chat codec's tests: a small harness that speaks JSON on one side and IR on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from translation.codec import OpenedRequest, Quirks, WireContext
from translation.ir import events as ev
from translation.ir.request import GenerateRequest
from translation.ir.response import Fold
from translation.passes.pipeline import Prepared, prepare
from translation.protocols.openai_chat import CODEC
from translation.wire.ids import counting_ids

NOW_S = 1_763_900_000.75


class Chat:
    """A client of the codec. Bodies are dicts; `messages` defaults to one user message."""

    def open(self, headers: dict[str, str] | None = None, **body: Any) -> OpenedRequest:
        """Send `body` through `open_request`."""
        if "messages" not in body and "input" not in body:
            body["messages"] = [{"role": "user", "content": "hi"}]
        body.setdefault("model", "gpt-5.5")
        context = WireContext(headers=headers or {}, now_s=NOW_S, ids=counting_ids())
        return CODEC.open_request(orjson.dumps(body), context)

    def decode(self, headers: dict[str, str] | None = None, **body: Any) -> GenerateRequest:
        """Return the IR of `body`."""
        return CODEC.decode_request(self.open(headers, **body))

    def prepare(self, quirks: Quirks | None = None, **body: Any) -> Prepared:
        """Return the IR after the passes."""
        return prepare(self.decode(**body), quirks or Quirks(subset=True))

    def stream(self, events: Sequence[ev.Event], headers: dict[str, str] | None = None, **body: Any) -> bytes:
        """Return the bytes of a stream of `events`, one call per event."""
        encoder = CODEC.encoder(self.open(headers, stream=True, **body))
        return b"".join(encoder.encode([event]) for event in events)

    def chunks(self, events: Sequence[ev.Event], headers: dict[str, str] | None = None, **body: Any) -> list[Any]:
        """Return the parsed chunks of a stream; `[DONE]` is the string."""
        return parse_frames(self.stream(events, headers, **body))

    def parse(self, data: bytes) -> list[Any]:
        """Return the parsed chunks of stream bytes."""
        return parse_frames(data)

    def collect(self, events: Sequence[ev.Event], headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
        """Return the collected answer to the same events."""
        fold = Fold()
        fold.feed(events)
        return orjson.loads(CODEC.encode_response(fold.result(), self.open(headers, **body)))


def parse_frames(data: bytes) -> list[Any]:
    """Cut a stream into parsed chunks, and insist on the framing."""
    assert data.endswith(b"\n\n") or not data
    frames = data.split(b"\n\n")[:-1]
    assert all(frame.startswith(b"data: ") for frame in frames)
    return ["[DONE]" if frame == b"data: [DONE]" else orjson.loads(frame[6:]) for frame in frames]


@pytest.fixture(scope="session")
def chat() -> Chat:
    """A stateless client, so that property tests may share it."""
    return Chat()


def _deltas(chunks: list[Any]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk != "[DONE]" and chunk.get("choices")]


@pytest.fixture
def deltas_of() -> Any:
    """Return the deltas of parsed chunks."""
    return _deltas


def _finishes(chunks: list[Any]) -> list[str]:
    found = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk != "[DONE]" and chunk.get("choices")]
    return [reason for reason in found if reason is not None]


@pytest.fixture
def finishes_of() -> Any:
    """Return the finish reasons among parsed chunks."""
    return _finishes
