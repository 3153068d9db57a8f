"""A Redis for tests: the one that `TEST_REDIS_URL` names, with keys of one test only, or a server of its own."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from codexproxy.gateway.state.redis_state import RedisState

URL = os.environ.get("TEST_REDIS_URL", "")
needs_redis = pytest.mark.skipif(not URL, reason="TEST_REDIS_URL names no Redis")


@asynccontextmanager
async def redis_state(
    *, prefix: str = "", url: str = URL, clock: Callable[[], float] = time.time, max_remembered: int = 100_000
) -> AsyncIterator[RedisState]:
    """A started state; its keys are gone afterwards."""
    name = prefix or f"test-{secrets.token_hex(6)}"
    state = RedisState(url, prefix=name, clock=clock, max_remembered=max_remembered)
    await state.start()
    try:
        yield state
    finally:
        await state.close()
        async with Redis.from_url(url) as client:
            keys = [key async for key in client.scan_iter(f"{{{name}}}:*")]
            if keys:
                await client.delete(*keys)
