"""The scheduler of background tasks, of which one is awake in a deployment, however many machines run one.

Each asks Redis for the same lock at every tick; who holds it sends what is due, the others wait. A holder that dies or
loses Redis is followed within `LEASE_S`. A task that was sent twice around such a change does no harm: tasks are
idempotent. Without Redis there is one machine, and Celery's own scheduler is used.
"""

from __future__ import annotations

import datetime
import logging
import os
import socket
from typing import Any

from django.conf import settings
from django_celery_beat.schedulers import DatabaseScheduler
from redis import Redis
from redis.exceptions import LockError, RedisError

log = logging.getLogger(__name__)

LEASE_S = 15.0
WAIT_S = 1.0
TIMEOUT_S = 2.0


def lock_name() -> str:
    """Return the key of the lock; its value is the host and the process id of the one that is awake."""
    return f"{{{settings.REDIS_PREFIX}}}:beat"


class SoleScheduler(DatabaseScheduler):
    """Invariant: sends nothing unless it has just proved that the lock is its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        client = Redis.from_url(settings.REDIS_URL, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S)
        self._lock = client.lock(lock_name(), timeout=LEASE_S, thread_local=False)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._is_awake = False
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, if this is the scheduler that does; return the seconds until the next tick."""
        if not self._may_send():
            return WAIT_S
        return min(float(super().tick(*args, **kwargs)), LEASE_S / 3)

    def close(self) -> None:
        """Write what is known and let the next scheduler take over at once."""
        super().close()
        if self._is_awake:
            try:
                self._lock.release()
            except (LockError, RedisError, OSError) as error:
                log.info("the lock of the scheduler was not given back, it lapses by itself: %s", error)

    def _may_send(self) -> bool:
        was_awake = self._is_awake
        try:
            if was_awake:
                self._lock.reacquire()  # raises when it is no longer ours
            else:
                self._is_awake = self._lock.acquire(blocking=False, token=self._name)
        except (LockError, RedisError, OSError) as error:
            self._is_awake = False
            if was_awake:
                log.warning("this scheduler rests, its lock is lost: %s", error)
        if self._is_awake and not was_awake:
            log.info("this scheduler sends the tasks of the deployment")
            self._last_full_sync = datetime.datetime.min  # read again when tasks ran last: another one sent them
        return self._is_awake
