"""The usage writer: nothing is lost quietly, counters move with the rows, one bad record spoils no batch."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from django.db import OperationalError

from accounts.models import Account, ApiKey
from stats.meter import UsageQueue, UsageRecord
from stats.models import UsageRecord as Row
from stats.services import usage_record_batch
from stats.writer import UsageWriter
from tests.factories import AccountFactory, ApiKeyFactory

START_S = 1_800_000_000.0


def record(number: int = 0, **fields) -> UsageRecord:
    return UsageRecord(request_id=f"req_{number}", started_at=START_S + number, **fields)


def filled(count: int) -> UsageQueue:
    queue = UsageQueue()
    for number in range(count):
        queue.put(record(number))
    return queue


async def test_it_writes_everything_that_is_queued_when_it_is_flushed() -> None:
    written: list[UsageRecord] = []
    writer = UsageWriter(filled(1_234), write=lambda batch: written.extend(batch) or len(batch))
    running = asyncio.ensure_future(writer.run())

    assert await writer.flush() == 0

    await running
    assert [item.request_id for item in written] == [f"req_{number}" for number in range(1_234)]
    assert writer.written == 1_234


async def test_it_writes_by_itself_once_per_interval() -> None:
    wrote = threading.Event()
    writer = UsageWriter(filled(3), write=lambda batch: wrote.set() or len(batch), interval_s=0.01)
    running = asyncio.ensure_future(writer.run())

    assert await asyncio.to_thread(wrote.wait, 5)

    await writer.flush()
    await running
    assert writer.written == 3


async def test_a_failed_batch_goes_back_in_its_order_and_is_written_later() -> None:
    attempts: list[int] = []
    written: list[str] = []

    def write(batch) -> int:
        attempts.append(len(batch))
        if len(attempts) < 3:
            raise OperationalError("database is locked")
        written.extend(item.request_id for item in batch)
        return len(batch)

    writer = UsageWriter(filled(5), write=write, interval_s=0.005)

    assert await writer.flush(deadline_s=5) == 0

    assert attempts == [5, 5, 5]
    assert written == [f"req_{number}" for number in range(5)]
    assert writer.failures == 0


async def test_a_database_that_stays_away_costs_no_more_than_the_deadline_and_is_told(caplog) -> None:
    def write(batch) -> int:
        raise OperationalError("no route to host")

    writer = UsageWriter(filled(7), write=write)
    with caplog.at_level(logging.ERROR, logger="stats.writer"):
        lost = await writer.flush(deadline_s=0.3)

    assert lost == 7
    assert "usage records lost" in caplog.text


async def test_cancelling_the_task_loses_nothing_that_is_in_the_thread() -> None:
    release = threading.Event()
    started = threading.Event()
    written: list[UsageRecord] = []

    def write(batch) -> int:
        started.set()
        release.wait(5)
        written.extend(batch)
        return len(batch)

    writer = UsageWriter(filled(2), write=write, interval_s=0.001)
    running = asyncio.ensure_future(writer.run())
    assert await asyncio.to_thread(started.wait, 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    release.set()

    assert await writer.flush() == 0
    assert len(written) == 2


async def test_one_record_that_the_database_refuses_does_not_hold_up_the_others(caplog) -> None:
    written: list[str] = []

    def write(batch) -> int:
        if any(item.request_id == "req_1" for item in batch):
            raise ValueError("A string literal cannot contain NUL")
        written.extend(item.request_id for item in batch)
        return len(batch)

    assert await UsageWriter(filled(3), write=write).flush() == 0

    assert written == ["req_0", "req_2"]
    assert "refused by the database" in caplog.text


@pytest.mark.django_db
def test_a_batch_moves_the_counters_of_its_keys_and_accounts() -> None:
    account, key, idle = AccountFactory(), ApiKeyFactory(), ApiKeyFactory()
    mine = {"api_key_id": key.pk, "user_id": key.user_id, "account_id": account.pk}

    assert usage_record_batch([record(1, **mine, requests=4), record(9, **mine), record(5, **mine)]) == 3

    stored = Account.objects.get(pk=account.pk)
    assert (stored.request_count, stored.last_used_at.timestamp()) == (6, START_S + 9)
    assert ApiKey.objects.get(pk=key.pk).request_count == 6
    assert ApiKey.objects.get(pk=idle.pk).last_used_at is None


@pytest.mark.django_db(transaction=True)
def test_usage_of_a_key_that_was_deleted_meanwhile_is_kept_without_it() -> None:
    key = ApiKeyFactory()
    gone = key.pk
    key.delete()

    usage_record_batch([record(1, api_key_id=gone, user_id=key.user_id, account_id="nobody", output_tokens=7)])

    row = Row.objects.get()
    assert (row.api_key_id, row.user_id, row.account_id, row.output_tokens) == (None, key.user_id, None, 7)


@pytest.mark.django_db
def test_hostile_text_fits_its_column() -> None:
    usage_record_batch([record(1, model="gpt\x00\ud800" + "x" * 500, error_message="é" * 900, ttfb_ms=-3)])

    row = Row.objects.get()
    assert row.model.startswith("gpt?x")
    assert len(row.model) <= 128
    assert len(row.error_message) == 500
    assert row.ttfb_ms == 0


@pytest.mark.django_db(transaction=True)
def test_the_real_write_runs_in_a_thread_of_its_own_and_leaves_no_connection_behind() -> None:
    async def write_all() -> int:
        return await UsageWriter(filled(600)).flush()

    assert asyncio.run(write_all()) == 0

    assert Row.objects.count() == 600
