"""Cost of the hot paths, as ratios to the work that cannot be avoided (JSON itself)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from translation.codec import Quirks, WireContext
from translation.ir import events as ev
from translation.passes.pipeline import prepare
from translation.protocols.gemini import CODEC
from translation.wire import jsonio

pytestmark = pytest.mark.perf


def best(work: Callable[[], Any], rounds: int = 7) -> float:
    """Seconds of the fastest round."""
    times: list[float] = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def long_conversation(turns: int = 1250) -> bytes:
    contents: list[dict[str, Any]] = []
    for _ in range(turns):
        contents += [
            {"role": "user", "parts": [{"text": "q" * 3900}]},
            {"role": "model", "parts": [{"text": "hm"}, {"functionCall": {"name": "read", "args": {"p": "x"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "read", "response": {"output": "r" * 3700}}}]},
            {"role": "model", "parts": [{"text": "do"}]},
            {"role": "model", "parts": [{"text": "ne"}]},
        ]
    return orjson.dumps({"contents": contents})


def test_ten_megabytes_of_conversation_cost_less_than_their_json():
    body = long_conversation()
    opened = CODEC.open_request(body, WireContext(path=":generateContent", params={"model": "gpt-5.5"}))
    quirks = Quirks(subset=True)
    parse = best(lambda: jsonio.loads_object(body))
    understand = best(lambda: prepare(CODEC.decode_request(opened), quirks))
    assert understand < 2 * parse


def test_a_delta_is_cheaper_than_serializing_its_chunk(gemini):
    encoder = CODEC.encoder(gemini.open("streamGenerateContent", {"alt": "sse"}))
    encoder.encode([ev.Start(id="r"), ev.BlockStart(index=0, kind="text")])
    deltas: list[ev.Event] = [ev.TextDelta(0, " token") for _ in range(5000)]

    def serialize() -> None:
        for _ in deltas:
            content = {"parts": [{"text": " token"}], "role": "model"}
            chunk = {
                "candidates": [{"content": content, "index": 0}],
                "modelVersion": "gpt-5.5",
                "responseId": "0" * 32,
            }
            b"".join([b"data: ", orjson.dumps(chunk), b"\n\n"])

    def encode() -> None:
        for delta in deltas:
            encoder.encode([delta])

    assert best(encode) < best(serialize)
