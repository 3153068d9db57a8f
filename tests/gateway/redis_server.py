"""A Redis for tests: the one that `TEST_REDIS_URL` names, with keys of one test only, or a server of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from codexproxy.gateway.state.redis_state import RedisState
from codexproxy.serving.demo import free_port

URL = os.environ.get("TEST_REDIS_URL", "")
needs_redis = pytest.mark.skipif(not URL, reason="TEST_REDIS_URL names no Redis")
needs_redis_server = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


@asynccontextmanager
async def redis_state(
    *, prefix: str = "", url: str = URL, clock: Callable[[], float] = time.time, **bounds: int
) -> AsyncIterator[RedisState]:
    """A started state; its keys are gone afterwards."""
    name = prefix or f"test-{secrets.token_hex(6)}"
    state = RedisState(url, prefix=name, clock=clock, **bounds)
    await state.start()
    try:
        yield state
    finally:
        await state.close()
        async with Redis.from_url(url) as client:
            keys = [key async for key in client.scan_iter(f"{{{name}}}:*")]
            if keys:
                await client.delete(*keys)


class OwnRedis:
    """A Redis that a test may stop and start again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([*command, "--dir", str(self._folder)], stdout=subprocess.DEVNULL)
        ends_at = time.monotonic() + 10
        while time.monotonic() < ends_at:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("redis-server did not start")

    def signal(self, number: int) -> None:
        """Freeze it, or let it go on."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it; what it knew is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
