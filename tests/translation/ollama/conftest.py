"""Fixtures of the Ollama codec's tests: a small harness that speaks JSON on one side and IR on the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from translation import registry
from translation.codec import ModelInfo, OpenedRequest, Quirks, RelayTarget, WireAnswer, WireContext
from translation.ir import events as ev
from translation.ir.request import GenerateRequest
from translation.ir.response import Fold
from translation.passes.pipeline import prepare
from translation.protocols.ollama import CODEC, Ollama
from translation.wire.ids import counting_ids

NOW_S = 1_763_900_000.75
CHAT, GENERATE = "/api/chat", "/api/generate"
CODEX = Quirks(subset=True, efforts=("none", "low", "medium", "high", "xhigh"))
MODELS = (
    ModelInfo(
        id="gpt-5.5",
        display_name="GPT-5.5",
        created=1_767_225_600,
        context_window=272_000,
        efforts=("low", "medium"),
        default_effort="medium",
        input_modalities=("text", "image"),
    ),
    ModelInfo(id="gpt-5.3-codex-spark"),
    ModelInfo(id="secret", is_hidden=True),
)


class App:
    """A client of the codec. Bodies are dicts; `messages` (or `prompt`) default to one word of the user."""

    def context(self, path: str = CHAT, clock: Callable[[], float] | None = None, **options: str) -> WireContext:
        return WireContext(path=path, now_s=NOW_S, ids=counting_ids(), clock=clock, options=options)

    def open(self, path: str = CHAT, clock: Callable[[], float] | None = None, **body: Any) -> OpenedRequest:
        """Send `body` through `open_request`."""
        body.setdefault("model", "gpt-5.5")
        if path == GENERATE:
            body.setdefault("prompt", "hi")
        else:
            body.setdefault("messages", [{"role": "user", "content": "hi"}])
        return CODEC.open_request(orjson.dumps(body), self.context(path, clock))

    def decode(self, path: str = CHAT, **body: Any) -> GenerateRequest:
        """Return the IR of `body`."""
        return CODEC.decode_request(self.open(path, **body))

    def upstream(self, path: str = CHAT, **body: Any) -> dict[str, Any]:
        """Return what the Codex backend would get."""
        prepared = prepare(self.decode(path, **body), CODEX)
        target = RelayTarget(model="gpt-5.5", quirks=CODEX)
        return orjson.loads(registry.get_upstream("openai-responses").encode_request(prepared.request, target))

    def stream(self, events: Sequence[ev.Event], path: str = CHAT, **body: Any) -> bytes:
        """Return the bytes of a stream of `events`, one call per event."""
        encoder = CODEC.encoder(self.open(path, **body))
        return b"".join(encoder.encode([event]) for event in events)

    def lines(self, events: Sequence[ev.Event], path: str = CHAT, **body: Any) -> list[dict[str, Any]]:
        """Return the parsed lines of a stream."""
        return self.parse(self.stream(events, path, **body))

    def parse(self, data: bytes) -> list[dict[str, Any]]:
        """Cut a stream into parsed lines, and insist on the framing."""
        assert data.endswith(b"\n") or not data
        return [orjson.loads(line) for line in data.split(b"\n")[:-1]]

    def collect(self, events: Sequence[ev.Event], path: str = CHAT, **body: Any) -> dict[str, Any]:
        """Return the collected answer to the same events."""
        fold = Fold()
        fold.feed(events)
        return orjson.loads(CODEC.encode_response(fold.result(), self.open(path, stream=False, **body)))

    def ask(self, path: str, body: Any = b"", **options: str) -> WireAnswer:
        """Call a static route."""
        assert isinstance(CODEC, Ollama)
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return CODEC.answer(raw, self.context(path, None, **options), MODELS)


@pytest.fixture(scope="session")
def app() -> App:
    """A stateless client, so that property tests may share it."""
    return App()
