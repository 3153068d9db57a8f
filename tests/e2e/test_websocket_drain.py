"""A whole `serve` that is told to stop while clients hold WebSockets: idle ones are closed, a running turn ends."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.conftest import start_demo


async def test_a_stop_closes_idle_sockets_and_lets_a_turn_finish(tmp_path: Path) -> None:
    demo = await asyncio.to_thread(start_demo, tmp_path)
    url = f"{demo.url.replace('http', 'ws')}/v1/responses"
    headers = {"authorization": f"Bearer {demo.key}"}
    async with connect(url, additional_headers=headers) as idle, connect(url, additional_headers=headers) as busy:
        await busy.send(
            json.dumps({"type": "response.create", "model": "gpt-5.5", "input": "[[STREAM:100x20ms]]", "stream": True})
        )
        assert json.loads(await busy.recv())["type"] == "response.created"
        demo.process.send_signal(signal.SIGTERM)
        stopped_at = time.monotonic()
        with pytest.raises(ConnectionClosed) as caught:
            await idle.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1012
        assert time.monotonic() - stopped_at < 1.5, "the idle socket waited for the busy one"
        kinds = []
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                kinds.append(json.loads(await busy.recv())["type"])
        assert kinds[-1] == "response.completed"
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1012
    assert await asyncio.to_thread(demo.process.wait, 30) == 0
    assert time.monotonic() - stopped_at < 15
