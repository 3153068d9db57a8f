"""`spawn` and `run_apart`, the only places of the project that create tasks: named, referenced, never lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Run `coroutine` in the background; keeps it alive and logs what it raises."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


async def run_apart(coroutine: Coroutine[Any, Any, T], name: str) -> T:
    """Run `coroutine` as a task of its own and return or raise what it does; leaving early cancels it.

    What wakes such a task climbs its own few frames, not those of everyone who waits for it.
    """
    return await asyncio.get_running_loop().create_task(coroutine, name=name)


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        log.error("background task %s failed", task.get_name(), exc_info=task.exception())
