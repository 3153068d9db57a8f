"""Fixtures of the Messages codec's tests: JSON on one side, IR on the other, and the client's grammar as a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from translation import registry
from translation.codec import OpenedRequest, Quirks, RelayTarget, WireContext
from translation.ir import events as ev
from translation.ir.request import GenerateRequest
from translation.ir.response import Fold
from translation.passes import pipeline
from translation.protocols.anthropic_messages import CODEC
from translation.wire.ids import counting_ids

NOW_S = 1_763_900_000.75
CODEX = Quirks(subset=True, efforts=("low", "medium", "high", "xhigh"))


class Messages:
    """A client of the codec. Bodies are dicts; `messages` defaults to one user message."""

    def open(self, headers: dict[str, str] | None = None, **body: Any) -> OpenedRequest:
        """Send `body` through `open_request`."""
        body.setdefault("messages", [{"role": "user", "content": "hi"}])
        body.setdefault("model", "claude-sonnet-4-5")
        body.setdefault("max_tokens", 1024)
        context = WireContext(headers=headers or {}, now_s=NOW_S, ids=counting_ids())
        return CODEC.open_request(orjson.dumps(body), context)

    def decode(self, headers: dict[str, str] | None = None, **body: Any) -> GenerateRequest:
        """Return the IR of `body`."""
        return CODEC.decode_request(self.open(headers, **body))

    def upstream(self, quirks: Quirks = CODEX, **body: Any) -> dict[str, Any]:
        """Return what the Codex backend would get."""
        return self.upstream_of(self.open(**body), quirks)

    def upstream_of(self, opened: OpenedRequest, quirks: Quirks = CODEX) -> dict[str, Any]:
        """Return what the Codex backend would get for an opened request."""
        prepared = pipeline.prepare(CODEC.decode_request(opened), quirks)
        target = RelayTarget(model="gpt-5.5", quirks=quirks)
        return orjson.loads(registry.get_upstream("openai-responses").encode_request(prepared.request, target))

    def stream(self, events: Sequence[ev.Event], **body: Any) -> bytes:
        """Return the bytes of a stream of `events`, one call per event."""
        encoder = CODEC.encoder(self.open(stream=True, **body))
        return b"".join(encoder.encode([event]) for event in events)

    def frames(self, events: Sequence[ev.Event], **body: Any) -> list[dict[str, Any]]:
        """Return the parsed events of a stream, checked against the client's grammar."""
        frames = parse_frames(self.stream(events, **body))
        check_grammar(frames)
        return frames

    def collect(self, events: Sequence[ev.Event], **body: Any) -> dict[str, Any]:
        """Return the collected answer to the same events."""
        fold = Fold()
        fold.feed(events)
        return orjson.loads(CODEC.encode_response(fold.result(), self.open(**body)))


def parse_frames(data: bytes) -> list[dict[str, Any]]:
    """Cut a stream into parsed events, and insist that every event is named as its data says."""
    assert data.endswith(b"\n\n") or not data
    frames: list[dict[str, Any]] = []
    for frame in data.split(b"\n\n")[:-1]:
        if frame.startswith(b":"):
            continue
        name, _, line = frame.partition(b"\n")
        payload = orjson.loads(line.removeprefix(b"data: "))
        assert name == b"event: " + payload["type"].encode()
        frames.append(payload)
    return frames


def check_grammar(frames: list[dict[str, Any]]) -> None:
    """Walk the order of spec/translation.md §6.2: one start, one open block at a time, one end."""
    kinds = [frame["type"] for frame in frames]
    if kinds == ["error"]:
        return
    assert kinds[0] == "message_start" and kinds.count("message_start") == 1
    open_block: int | None = None
    following = 0
    for frame in frames[1:]:
        match frame["type"]:
            case "content_block_start":
                assert open_block is None and frame["index"] == following
                open_block, following = following, following + 1
            case "content_block_delta":
                assert frame["index"] == open_block
            case "content_block_stop":
                assert frame["index"] == open_block
                open_block = None
            case _:
                assert frame["type"] in ("ping", "message_delta", "message_stop", "error")
    if kinds[-1] == "error":
        assert "message_delta" not in kinds and "message_stop" not in kinds
    else:
        assert kinds[-2:] == ["message_delta", "message_stop"] and kinds.count("message_stop") == 1
        assert open_block is None
        assert "output_tokens" in frames[-2]["usage"]


def _add_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta["type"]:
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        case "input_json_delta":
            block["json"] = block.get("json", "") + delta["partial_json"]
        case kind:
            name = kind.removesuffix("_delta")
            block[name] += delta[name]


def accumulate(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up a stream as the SDKs do."""
    message = frames[0]["message"]
    for frame in frames[1:]:
        match frame["type"]:
            case "content_block_start":
                message["content"].append(frame["content_block"])
            case "content_block_delta":
                _add_delta(message["content"][-1], frame["delta"])
            case "content_block_stop":
                arguments = message["content"][-1].pop("json", "")
                if arguments:
                    message["content"][-1]["input"] = orjson.loads(arguments)
            case "message_delta":
                message |= {**frame["delta"], "usage": frame["usage"]}
            case _:
                pass
    return message


@pytest.fixture(scope="session")
def messages() -> Messages:
    """A stateless client, so that property tests may share it."""
    return Messages()


@pytest.fixture(scope="session")
def grammar_of() -> Any:
    """Return the check of the client's grammar."""
    return check_grammar


@pytest.fixture(scope="session")
def parse() -> Any:
    """Return the parser of stream bytes."""
    return parse_frames


@pytest.fixture(scope="session")
def added_up() -> Any:
    """Return the accumulator."""
    return accumulate
