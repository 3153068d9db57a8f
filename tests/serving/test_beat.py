"""Of several schedulers one is awake, and it proves before every tick that it still is."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from redis import Redis
from redis.exceptions import ConnectionError as RedisGone

from codexproxy.celery import app
from codexproxy.serving import beat
from codexproxy.serving.beat import WAIT_S, SoleScheduler, lock_name
from tests.gateway.redis_server import URL, needs_redis

pytestmark = [needs_redis, pytest.mark.django_db(transaction=True)]


class Counting(SoleScheduler):
    """A scheduler that counts what it would send."""

    def __init__(self, name: str) -> None:
        super().__init__(app=app)
        self._name = name
        self.sent: list[str] = []

    def apply_async(self, entry, *args: object, **kwargs: object) -> None:
        self.sent.append(entry.name)


@pytest.fixture
def schedulers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Counting, Counting]]:
    monkeypatch.setattr(settings, "REDIS_URL", URL)
    monkeypatch.setattr(settings, "REDIS_PREFIX", f"test-{secrets.token_hex(6)}")
    found = Counting("one:1"), Counting("other:2")
    yield found
    for scheduler in found:
        scheduler._finalize.cancel()  # or it would write rows when the tests are over
    with Redis.from_url(URL) as client:
        client.delete(lock_name())


def test_only_one_of_two_sends_what_is_due(schedulers: tuple[Counting, Counting]) -> None:
    one, other = schedulers
    PeriodicTask.objects.update(last_run_at=timezone.now() - timedelta(days=1))
    for _ in range(20):
        one.tick()
        assert other.tick() == WAIT_S
    assert set(one.sent) == set(settings.CELERY_BEAT_SCHEDULE)
    assert other.sent == []


def test_the_other_one_takes_over_when_the_lock_is_given_back(schedulers: tuple[Counting, Counting]) -> None:
    one, other = schedulers
    one.tick()
    with Redis.from_url(URL) as client:
        assert client.get(lock_name()) == b"one:1"
        one.close()
        other.tick()
        assert client.get(lock_name()) == b"other:2"
    assert one.tick() == WAIT_S


def test_one_that_lost_its_lock_or_its_redis_rests(
    schedulers: tuple[Counting, Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = schedulers
    one.tick()
    with Redis.from_url(URL) as client:
        client.delete(lock_name())  # as if it had slept longer than the lock lives
    other.tick()
    assert one.tick() == WAIT_S

    def gone() -> bool:
        raise RedisGone("no")

    monkeypatch.setattr(other._lock, "reacquire", gone)
    assert other.tick() == WAIT_S


def test_the_lock_outlives_the_pauses_between_ticks() -> None:
    assert beat.LEASE_S > 5 * WAIT_S
