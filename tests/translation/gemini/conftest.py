"""Fixtures of the Gemini codec's tests: a small harness that speaks JSON on one side and IR on the other."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from translation import registry
from translation.codec import OpenedRequest, Quirks, RelayTarget, WireContext
from translation.ir import events as ev
from translation.ir.request import GenerateRequest
from translation.ir.response import Fold
from translation.passes.pipeline import Prepared, prepare
from translation.protocols.gemini import CODEC
from translation.wire.ids import counting_ids

NOW_S = 1_763_900_000.75
SSE = {"alt": "sse"}
CODEX = Quirks(subset=True, efforts=("low", "medium", "high", "xhigh"))


def make_proof(seed: int = 0) -> str:
    """Return something of the shape of Codex's encrypted reasoning."""
    return base64.urlsafe_b64encode(b"\x80" + bytes(8) + bytes([seed]) * (16 + 32 + 32)).decode()


class Gemini:
    """A client of the codec. Bodies are dicts; `contents` defaults to one user message."""

    def open(
        self,
        verb: str = "generateContent",
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        model: str = "gpt-5.5",
        **body: Any,
    ) -> OpenedRequest:
        """Send `body` through `open_request`."""
        body.setdefault("contents", [{"role": "user", "parts": [{"text": "hi"}]}])
        context = WireContext(
            headers=headers or {},
            path=f"/v1beta/models/{model}:{verb}",
            params={"model": model},
            query=query or {},
            now_s=NOW_S,
            ids=counting_ids(),
        )
        return CODEC.open_request(orjson.dumps(body), context)

    def decode(self, **body: Any) -> GenerateRequest:
        """Return the IR of `body`."""
        return CODEC.decode_request(self.open(**body))

    def prepare(self, quirks: Quirks = CODEX, **body: Any) -> Prepared:
        """Return the IR after the passes."""
        return prepare(self.decode(**body), quirks)

    def upstream(self, **body: Any) -> dict[str, Any]:
        """Return what the Codex backend gets."""
        target = RelayTarget(model="gpt-5.5", quirks=CODEX)
        return orjson.loads(
            registry.get_upstream("openai-responses").encode_request(self.prepare(**body).request, target)
        )

    def stream(self, events: Sequence[ev.Event], query: dict[str, str] | None = None, **body: Any) -> bytes:
        """Return the bytes of a stream of `events`, one call per event."""
        encoder = CODEC.encoder(self.open("streamGenerateContent", SSE if query is None else query, **body))
        return b"".join(encoder.encode([event]) for event in events)

    def chunks(self, events: Sequence[ev.Event], **body: Any) -> list[Any]:
        """Return the parsed chunks of an SSE stream."""
        return parse_frames(self.stream(events, **body))

    def elements(self, events: Sequence[ev.Event], **body: Any) -> list[Any]:
        """Return the parsed elements of an array stream."""
        return orjson.loads(self.stream(events, {}, **body))

    def parse(self, data: bytes) -> list[Any]:
        """Return the parsed chunks of SSE bytes."""
        return parse_frames(data)

    def collect(self, events: Sequence[ev.Event], **body: Any) -> dict[str, Any]:
        """Return the collected answer to the same events."""
        fold = Fold()
        fold.feed(events)
        return orjson.loads(CODEC.encode_response(fold.result(), self.open(**body)))

    def parts(self, chunks: list[Any]) -> list[dict[str, Any]]:
        """Return all parts that say something."""
        candidates = [candidate for chunk in chunks for candidate in chunk.get("candidates", ())]
        found = [part for candidate in candidates for part in candidate["content"]["parts"]]
        return [part for part in found if part != {"text": ""}]


def parse_frames(data: bytes) -> list[Any]:
    """Cut a stream into parsed chunks, and insist on the framing."""
    assert data.endswith(b"\n\n") or not data
    frames = data.split(b"\n\n")[:-1]
    assert all(frame.startswith(b"data: ") and b"\n" not in frame for frame in frames)
    return [orjson.loads(frame[6:]) for frame in frames]


@pytest.fixture(scope="session")
def gemini() -> Gemini:
    """A stateless client, so that property tests may share it."""
    return Gemini()


@pytest.fixture(scope="session")
def proof() -> str:
    """Something of the shape of Codex's encrypted reasoning."""
    return make_proof()


@pytest.fixture(scope="session")
def other_proof() -> str:
    """Another one."""
    return make_proof(7)
