"""Real client bodies and what they mean; and transcripts as an Ollama app sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from translation import registry
from translation.codec import WireContext
from translation.ir import events as ev
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
