"""Hears from other processes that rows changed, over Redis' publish and subscribe. Loses messages while disconnected.

That is why the listener is also called after every new subscription, and why `wiring.py` polls versions besides.
Messages have no content: the rows are the truth. Who publishes is `codexproxy/serving/announcing.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from codexproxy.gateway.tasks import spawn

log = logging.getLogger(__name__)

CONNECT_S = 1.0
PAUSE_S = 1.0
CHECK_S = 10
"""A silent connection is tested this often."""


def channel(prefix: str) -> str:
    """Return the channel on which changes of rows are told."""
    return f"{{{prefix}}}:changes"


class RedisBus:
    """One subscription, made again whenever it breaks."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._channel = channel(prefix)
        self._callbacks: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` for every message, and after every subscription."""
        self._callbacks.append(callback)

    def start(self) -> None:
        """Begin to listen, if anybody wants to hear."""
        if self._callbacks:
            self._task = spawn(self._follow(), "redis bus")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)

    async def _follow(self) -> None:
        client: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] -- its **kwargs
            self._url, socket_connect_timeout=CONNECT_S, socket_keepalive=True, health_check_interval=CHECK_S
        )
        try:
            while True:
                try:
                    await self._listen(client)
                except (RedisError, OSError) as error:
                    log.warning("changes are noticed by polling only: %s", error)
                    await asyncio.sleep(PAUSE_S)
        finally:
            await client.aclose()

    async def _listen(self, client: Redis) -> None:
        subscription: Any = client.pubsub()  # pyright: ignore[reportUnknownMemberType] -- its **kwargs
        async with subscription:
            await subscription.subscribe(self._channel)
            async for _ in subscription.listen():  # the first one confirms the subscription
                for callback in self._callbacks:
                    callback()
