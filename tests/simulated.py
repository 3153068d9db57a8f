"""A simulated upstream in a thread of its own, for tests whose own code blocks: services, admin pages, commands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from providers.simulator.server import Simulator


@contextmanager
def simulated_upstream(**options: Any) -> Iterator[Simulator]:
    """Run a simulator until the block ends."""
    sim = Simulator(**options)
    loop = asyncio.new_event_loop()
    ready, stopping = threading.Event(), asyncio.Event()

    async def live() -> None:
        async with sim:
            ready.set()
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),), name="simulator", daemon=True)
    thread.start()
    assert ready.wait(10), "the simulator did not start"
    try:
        yield sim
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
        loop.close()
