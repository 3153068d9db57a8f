"""Any answer over a WebSocket: one text frame per event, the same JSON as over HTTP, one end, a turn to continue."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from codexproxy.api.frames import FrameClient, FrameSender
from codexproxy.api.turns import History, HistoryBudget, read_turn
from tests.translation.matrix.stories import Story, legal_stories, wild_stories

ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go on"}]}


def frames_of(story: Story, sizes: list[int]) -> tuple[list[dict[str, Any]], list[tuple[str, list[bytes]]], bool]:
    """Write a story's events `sizes` at a time; return the text frames, what `on_final` heard, and whether it ended."""
    sent: list[dict[str, Any]] = []
    finals: list[tuple[str, list[bytes]]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> bool:
        client = FrameClient(
            FrameSender(send),
            lambda *final: finals.append(final),
            lambda headers: None,
            shows_metadata=False,
            clock=time.time,
        )
        blocks = story.data.split(b"\n\n")[:-1]
        while blocks:
            size = sizes[len(blocks) % len(sizes)]
            await client.write(b"".join(block + b"\n\n" for block in blocks[:size]))
            blocks = blocks[size:]
        return client.is_ended

    is_ended = asyncio.run(run())
    assert all(message["type"] == "websocket.send" and "\n" not in message["text"] for message in sent)
    return [orjson.loads(message["text"]) for message in sent], finals, is_ended


@settings(deadline=None, max_examples=40, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(story=legal_stories() | wild_stories(), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_every_event_is_one_frame_and_the_end_comes_once(story: Story, sizes: list[int]) -> None:
    frames, finals, is_ended = frames_of(story, sizes)
    assert [(frame["type"], frame["sequence_number"]) for frame in frames] == [
        (name, number) for number, (name, _) in enumerate(story.events)
    ]
    assert [frame["type"] in ENDS for frame in frames] == [False] * (len(frames) - 1) + [True]
    ((response_id, output),) = finals
    assert is_ended and response_id == "resp_1"
    assert [orjson.loads(item) for item in output] == frames[-1]["response"]["output"]


@settings(deadline=None, max_examples=40, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(stories=st.lists(legal_stories(), min_size=1, max_size=3))
def test_each_turn_of_a_socket_begins_with_the_turn_before(stories: list[Story]) -> None:
    history = History(HistoryBudget())
    message: dict[str, Any] = {"type": "response.create", "model": "m", "input": [USER]}
    before = b"["
    for number, story in enumerate(stories):
        turn = read_turn(dict(message), history)
        assert turn.items is not None
        whole = b",".join(turn.items)
        assert (b"[" + whole).startswith(before)
        before = b"[" + whole
        _, ((_, output),), _ = frames_of(story, [3])
        history.keep(f"resp_{number}", [*turn.items, *output])
        message = {"type": "response.create", "model": "m", "input": [USER], "previous_response_id": f"resp_{number}"}
    sent = orjson.loads(read_turn(dict(message), history).body())
    assert len(sent["input"]) >= len(stories) + 1 and "previous_response_id" not in sent
