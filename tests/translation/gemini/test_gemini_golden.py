"""Real client bodies and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson

from translation import registry
from translation.codec import Quirks, RelayTarget, WireContext
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
