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
from translation.protocols.anthropic_messages import CODEC
from translation.shared.token_count import estimate_tokens
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
    turn_messages: list[dict[str, Any]] = []
    for turn in range(turns):
        call = {"type": "tool_use", "id": f"t{turn}", "name": "read", "input": {"p": "x"}}
        result = {"type": "tool_result", "tool_use_id": f"t{turn}", "content": "r" * 3700}
        turn_messages += [
            {"role": "user", "content": [{"type": "text", "text": "q" * 3900}]},
            {"role": "assistant", "content": [{"type": "text", "text": "hm"}, call]},
            {"role": "user", "content": [result]},
            {"role": "assistant", "content": "done"},
        ]
    return orjson.dumps({"model": "m", "system": "You are", "messages": turn_messages})


def test_ten_megabytes_of_conversation_cost_less_than_their_json():
    body = long_conversation()
    quirks = Quirks(subset=True)

    def understand() -> None:
        opened.decoded = None
        estimate_tokens(CODEC.decode_request(opened))
        prepare(CODEC.decode_request(opened), quirks)

    opened = CODEC.open_request(body, WireContext())
    parse = best(lambda: jsonio.loads_object(body))
    assert best(understand) < 2 * parse


def test_a_delta_is_cheaper_than_serializing_its_event(messages: Any):
    encoder = CODEC.encoder(messages.open(stream=True))
    encoder.encode([ev.Start(id="r"), ev.BlockStart(index=0, kind="text"), ev.TextDelta(0, "a")])
    delta_event: list[ev.Event] = [ev.TextDelta(0, " token")]

    def serialize() -> None:
        for _ in range(5000):
            event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " token"}}
            b"".join([b"event: content_block_delta\ndata: ", orjson.dumps(event), b"\n\n"])

    def encode() -> None:
        for _ in range(5000):
            encoder.encode(delta_event)

    assert best(encode) < best(serialize)
