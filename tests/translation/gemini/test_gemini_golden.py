"""Real client bodies and what they mean; and every Responses transcript as a Gemini client sees it, however cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from translation import registry
from translation.codec import Quirks, RelayTarget, WireContext
from translation.errors import GatewayError
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.response import Fold
from translation.passes.pipeline import prepare
from translation.protocols.gemini import CODEC
from translation.wire.ids import counting_ids

GOLDEN = Path(__file__).parents[2] / "golden"
CODEX = Quirks(subset=True, efforts=("low", "medium", "high", "xhigh"))
MODEL = "gemini-2.5-pro"


def opened(case: str) -> Any:
    body = (GOLDEN / "gemini" / case / "request.json").read_bytes()
    context = WireContext(
        path=f"/v1/models/{MODEL}:generateContent", params={"model": MODEL}, ids=counting_ids(), now_s=1.0
    )
    return CODEC.open_request(body, context)


def test_a_real_body_means_what_it_meant(golden, gemini_case):
    request = CODEC.decode_request(opened(gemini_case))
    text = msgspec.json.format(msgspec.json.encode(request), indent=1).decode() + "\n"
    golden("gemini", gemini_case).expect("request.ir.json", text)


def test_a_real_body_becomes_a_body_of_known_keys(gemini_case):
    prepared = prepare(CODEC.decode_request(opened(gemini_case)), CODEX)
    encode = registry.get_upstream("openai-responses").encode_request
    sent = orjson.loads(encode(prepared.request, RelayTarget(model="gpt-5.5", quirks=CODEX)))
    assert sent["store"] is False and sent["stream"] is True and sent["input"]
    assert not {"contents", "generationConfig", "systemInstruction", "temperature"} & set(sent)


def test_every_transcript_streams_and_collects_to_the_same_answer(gemini, openai_responses_case, cuts):
    data = (GOLDEN / "openai-responses" / openai_responses_case / "stream.sse").read_bytes()
    thoughts = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    said: list[Any] = []
    for pieces in cuts(data):
        decoder = registry.get_upstream("openai-responses").decoder()
        events: list[ev.Event] = [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()
        grammar.check(events)
        chunks = gemini.chunks(events, **thoughts)
        fold = Fold()
        fold.feed(events)
        if fold.error is not None:
            assert "error" in chunks[-1]
            with pytest.raises(GatewayError):
                fold.result()
            continue
        whole = gemini.collect(events, **thoughts)
        streamed, collected = gemini.parts(chunks), gemini.parts([whole])
        for is_thought in (None, True):
            assert words(streamed, is_thought) == words(collected, is_thought)
        for kind in ("functionCall", "inlineData"):
            assert [p[kind] for p in streamed if kind in p] == [p[kind] for p in collected if kind in p]
        said.append(collected)
    assert all(parts == said[0] for parts in said)


def words(parts: list[dict[str, Any]], is_thought: bool | None) -> str:
    return "".join(part.get("text", "") for part in parts if part.get("thought") is is_thought)
