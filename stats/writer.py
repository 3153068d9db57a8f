"""Drains the usage queue into rows, in batches, off the event loop. Owns its thread and with it one connection.

Nothing is lost quietly: a failed batch goes back to the queue and is tried again, more slowly each time; a record that
the database will never take is logged with its request id. The queue itself is in `meter.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections

from stats.meter import UsageQueue, UsageRecord
from stats.services import usage_record_batch

logger = logging.getLogger(__name__)

BATCH_SIZE = 500
INTERVAL_S = 1.0
LONGEST_PAUSE_S = 30.0

Write = Callable[[Sequence[UsageRecord]], int]


class UsageWriter:
    """One drain of one queue. `run()` is a task of the composition root; `flush()` ends it at shutdown."""

    def __init__(self, queue: UsageQueue, *, write: Write = usage_record_batch, interval_s: float = INTERVAL_S) -> None:
        self._queue = queue
        self._write = write
        self._interval_s = interval_s
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="usage-writer")
        self._stopping = asyncio.Event()
        self._in_flight: asyncio.Future[int] | None = None
        self.written = 0
        self.failures = 0
        """Failed batches in a row; zero when all is well."""

    async def run(self) -> None:
        """Write what is queued once per interval, until `flush()` is called."""
        while not self._stopping.is_set():
            await self._pause()
            while not self._stopping.is_set() and await self._write_one_batch():
                pass

    async def flush(self, deadline_s: float = 10.0) -> int:
        """Stop `run()` and write the rest. Return how many records could not be written before the deadline."""
        self._stopping.set()
        ends_at = time.monotonic() + deadline_s
        while len(self._queue) or self._in_flight:
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                break
            try:
                await asyncio.wait_for(self._write_one_batch(), left_s)
            except TimeoutError:
                break
            if self.failures:
                await asyncio.sleep(min(0.2, left_s))
        if len(self._queue):
            logger.error(
                "usage records lost at shutdown: the database did not take them", extra={"lost": len(self._queue)}
            )
        self._executor.shutdown(wait=False)
        return len(self._queue)

    async def _pause(self) -> None:
        pause_s = min(self._interval_s * 2**self.failures, LONGEST_PAUSE_S)
        try:
            await asyncio.wait_for(self._stopping.wait(), pause_s)
        except TimeoutError:
            return

    async def _write_one_batch(self) -> bool:
        """Write up to `BATCH_SIZE` records; return whether it makes sense to go on at once."""
        if self._in_flight is None:
            batch = self._queue.take(BATCH_SIZE)
            if not batch:
                return False
            self._in_flight = asyncio.ensure_future(self._write_in_thread(batch))
            self._in_flight.add_done_callback(lambda future: self._settle(batch, future))
        # Waited for, never cancelled: a thread cannot be stopped, so neither may our knowledge of how its batch ended.
        await asyncio.wait([self._in_flight])
        return self.failures == 0

    async def _write_in_thread(self, batch: list[UsageRecord]) -> int:
        write = sync_to_async(_write_with_live_connection, thread_sensitive=False, executor=self._executor)
        return await write(self._write, batch)

    def _settle(self, batch: list[UsageRecord], future: asyncio.Future[int]) -> None:
        self._in_flight = None
        error: BaseException | None = asyncio.CancelledError() if future.cancelled() else future.exception()
        if error is None:
            self.failures = 0
            self.written += future.result()
            return
        self.failures = min(self.failures + 1, 16)
        self._queue.put_back(batch)
        logger.warning("usage records not written, will try again", extra={"records": len(batch)}, exc_info=error)


def _write_with_live_connection(write: Write, batch: list[UsageRecord]) -> int:
    """Write a batch on a connection that is neither broken nor too old; keep in `batch` only what is still to write."""
    close_old_connections()
    try:
        return write(batch)
    except (OperationalError, InterfaceError):
        raise  # the database is away or busy: the whole batch waits
    except (DatabaseError, ValueError):
        return _write_one_by_one(write, batch)
    finally:
        close_old_connections()


def _write_one_by_one(write: Write, batch: list[UsageRecord]) -> int:
    """Save what can be saved of a batch that the database refuses as a whole."""
    written = 0
    while batch:
        try:
            written += write(batch[:1])
        except (OperationalError, InterfaceError):
            raise
        except (DatabaseError, ValueError):
            logger.exception("usage record refused by the database", extra={"request_id": batch[0].request_id})
        del batch[0]
    return written
