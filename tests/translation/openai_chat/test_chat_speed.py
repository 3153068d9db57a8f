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
from translation.protocols.openai_chat import CODEC
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
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are"}]
    for turn in range(turns):
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "read", "arguments": '{"p":"x"}'}}
        messages += [
            {"role": "user", "content": [{"type": "text", "text": "q" * 3900}]},
            {"role": "assistant", "content": "hm", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": "r" * 3700},
            {"role": "assistant", "content": "done"},
        ]
    return orjson.dumps({"model": "gpt-5.5", "messages": messages})


def test_ten_megabytes_of_conversation_cost_less_than_their_json():
    body = long_conversation()
    opened = CODEC.open_request(body, WireContext())
    quirks = Quirks(subset=True)
    parse = best(lambda: jsonio.loads_object(body))
    understand = best(lambda: prepare(CODEC.decode_request(opened), quirks))
    assert understand < 2 * parse


def test_a_delta_is_cheaper_than_serializing_its_chunk(chat):
    encoder = CODEC.encoder(chat.open(stream=True))
    encoder.encode([ev.Start(id="r"), ev.BlockStart(index=0, kind="text")])
    deltas: list[ev.Event] = [ev.TextDelta(0, " token") for _ in range(5000)]

    def serialize() -> None:
        for _ in deltas:
            choice = {"index": 0, "delta": {"content": " token"}, "finish_reason": None}
            chunk = {"id": "chatcmpl-" + "0" * 32, "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.5"}
            b"".join([b"data: ", orjson.dumps({**chunk, "choices": [choice]}), b"\n\n"])

    def encode() -> None:
        for delta in deltas:
            encoder.encode([delta])

    assert best(encode) < best(serialize)
