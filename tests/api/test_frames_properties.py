"""Any answer over a WebSocket: one text frame per event, the same JSON as over HTTP, one end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from codexproxy.api.frames import FrameClient, FrameSender
from tests.translation.matrix.stories import Story, legal_stories, wild_stories

ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}


def frames_of(story: Story, sizes: list[int]) -> tuple[list[dict[str, Any]], bool]:
    """Write a story's events `sizes` at a time; return the text frames, and whether it ended."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> bool:
        client = FrameClient(FrameSender(send), lambda headers: None, shows_metadata=False, clock=time.time)
        blocks = story.data.split(b"\n\n")[:-1]
        while blocks:
            size = sizes[len(blocks) % len(sizes)]
            await client.write(b"".join(block + b"\n\n" for block in blocks[:size]))
            blocks = blocks[size:]
        return client.is_ended

    is_ended = asyncio.run(run())
    assert all(message["type"] == "websocket.send" and "\n" not in message["text"] for message in sent)
    return [orjson.loads(message["text"]) for message in sent], is_ended


@settings(deadline=None, max_examples=40, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(story=legal_stories() | wild_stories(), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_every_event_is_one_frame_and_the_end_comes_once(story: Story, sizes: list[int]) -> None:
    frames, is_ended = frames_of(story, sizes)
    assert [(frame["type"], frame["sequence_number"]) for frame in frames] == [
        (name, number) for number, (name, _) in enumerate(story.events)
    ]
    assert [frame["type"] in ENDS for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert is_ended
