"""Real client bodies and what they mean; and every Responses transcript as an Ollama app sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from translation import registry
from translation.codec import WireContext
from translation.errors import GatewayError
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.response import Fold
from translation.protocols.ollama import CODEC
from translation.wire.ids import counting_ids

GOLDEN = Path(__file__).parents[2] / "golden"


def opened_case(name: str) -> Any:
    folder = GOLDEN / "ollama" / name
    context = WireContext(path=(folder / "path").read_text().strip(), ids=counting_ids())
    return CODEC.open_request((folder / "request.json").read_bytes(), context)


def decode_upstream(pieces: list[bytes]) -> list[ev.Event]:
    decoder = registry.get_upstream("openai-responses").decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [*events, *decoder.finish()]


def transcript(name: str) -> bytes:
    return (GOLDEN / "openai-responses" / name / "stream.sse").read_bytes()


def test_a_real_body_means_what_it_meant(golden, ollama_case):
    request = CODEC.decode_request(opened_case(ollama_case))
    text = msgspec.json.format(msgspec.json.encode(request), indent=1).decode() + "\n"
    golden("ollama", ollama_case).expect("request.ir.json", text)


def test_a_transcript_reads_as_it_did(golden, ollama_lines_case, app):
    events = decode_upstream([transcript(ollama_lines_case)])
    golden("ollama-lines", ollama_lines_case).expect("stream.ndjson", app.stream(events).decode())


def test_every_transcript_streams_and_collects_to_the_same_answer(app, openai_responses_case):
    events = decode_upstream([transcript(openai_responses_case)])
    grammar.check(events)
    lines = app.lines(events)
    fold = Fold()
    fold.feed(events)
    if fold.error is not None:
        assert list(lines[-1]) == ["error"]
        with pytest.raises(GatewayError):
            fold.result()
        return
    message = app.collect(events)["message"]
    for key in ("content", "thinking"):
        assert "".join(line["message"].get(key, "") for line in lines) == message.get(key, "")
    calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
    assert calls == message.get("tool_calls", [])


def _joined(app: Any, pieces: list[bytes]) -> tuple[str, list[Any], Any]:
    """Add up what the cuts cannot change; they may change how much text one line holds."""
    decoder = registry.get_upstream("openai-responses").decoder()
    encoder = CODEC.encoder(app.open())
    out = b"".join(encoder.encode(decoder.feed(piece)) for piece in pieces) + encoder.encode(decoder.finish())
    lines = [orjson.loads(line) for line in out.splitlines()]
    said = [line["message"] for line in lines if "message" in line]
    text = "".join(message["content"] for message in said)
    return text, [call for message in said for call in message.get("tool_calls", ())], lines[-1]


def test_it_does_not_matter_how_the_upstream_was_cut(app, cuts, openai_responses_case):
    ways = [_joined(app, pieces) for pieces in cuts(transcript(openai_responses_case))]
    assert all(way == ways[0] for way in ways[1:])
