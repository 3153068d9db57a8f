"""Cost of a line, as a ratio to serializing it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from translation.ir import events as ev
from translation.protocols.ollama import CODEC

pytestmark = pytest.mark.perf


def best(work: Callable[[], Any], rounds: int = 7) -> float:
    """Seconds of the fastest round."""
    times: list[float] = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def test_a_delta_is_cheaper_than_serializing_its_line(app):
    encoder = CODEC.encoder(app.open())
    encoder.encode([ev.Start(id="r"), ev.BlockStart(index=0, kind="text")])
    deltas: list[ev.Event] = [ev.TextDelta(0, " token") for _ in range(5000)]
    head = {"model": "gpt-5.5", "created_at": "2025-11-23T12:13:20.750000000Z"}

    def serialize() -> None:
        for _ in deltas:
            message = {"role": "assistant", "content": " token"}
            b"".join([orjson.dumps({**head, "message": message, "done": False}), b"\n"])

    def encode() -> None:
        for delta in deltas:
            encoder.encode([delta])

    assert best(encode) < best(serialize)
