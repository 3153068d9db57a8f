"""Tells other processes that rows changed, over Redis; each of them would notice by polling a moment later.

Runs after the commit of a change, wherever that was: a request of the dashboard, a task, a command. Never fails the
change: a Redis that is away costs a short timeout. Who listens: `gateway/state/redis_bus.py`.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

TIMEOUT_S = 0.5


def announce_change(version: int) -> None:
    """Publish that rows have `version` now; a subscriber of `accounts/changes.py`."""
    from redis.exceptions import RedisError

    from codexproxy.gateway.state.redis_bus import channel

    try:
        _client().publish(channel(settings.REDIS_PREFIX), str(version))
    except (RedisError, OSError) as error:
        log.warning("other processes will notice a change by polling: %s", error)


@functools.cache
def _client() -> Redis:
    from redis import Redis

    return Redis.from_url(settings.REDIS_URL, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S)
