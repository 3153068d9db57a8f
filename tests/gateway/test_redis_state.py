"""What only the state on Redis can do: share, survive outages, bear clocks that differ, stay bounded, hear changes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from codexproxy.gateway.state import redis_link
from codexproxy.gateway.state.contract import LINK_OVERHEAD_BYTES, Candidate, Grant
from codexproxy.gateway.state.redis_bus import channel
from codexproxy.gateway.state.redis_link import RedisLink
from codexproxy.gateway.state.redis_state import RedisState
from tests.gateway.redis_server import URL, OwnRedis, needs_redis, needs_redis_server, redis_state
from translation.errors import StateUnavailable

pytestmark = [pytest.mark.real_time, needs_redis]

A, B = Candidate("a", 3), Candidate("b", 3)


async def take(state: RedisState, *candidates: Candidate, now: float | None = None) -> Grant | None:
    return await state.acquire(candidates, spread=True, ttl_s=60, now=time.time() if now is None else now)


async def until(is_so: Callable[[], bool], patience_s: float = 10.0) -> None:
    """Wait for something that happens soon."""
    async with asyncio.timeout(patience_s):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.fixture
async def state() -> AsyncIterator[RedisState]:
    async with redis_state() as found:
        yield found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    found = OwnRedis(tmp_path)
    found.start()
    yield found
    found.stop()


# ---- shared ---------------------------------------------------------------------------------------------------------


async def test_two_processes_together_never_take_more_slots_than_there_are() -> None:
    async with redis_state() as one, redis_state(prefix=one._prefix.strip("{}:")) as other:
        grants = await asyncio.gather(*(take(state, A, B) for state in (one, other) for _ in range(20)))
        taken = [grant.holder for grant in grants if grant is not None]
        assert sorted(taken) == ["a"] * 3 + ["b"] * 3
        assert len({grant.lease_id for grant in grants if grant is not None}) == 6


async def test_what_one_process_learns_the_other_knows() -> None:
    now = time.time()
    async with redis_state() as one, redis_state(prefix=one._prefix.strip("{}:")) as other:
        await one.cool("a", until=now + 60, reason="weekly limit")
        await one.acquire([B], spread=False, ttl_s=60, now=now, affinity=("talk", 60))
        assert await one.count("n", ttl_s=60, now=now) == 1
        assert (await other.cooldowns(["a"], now=now))["a"].reason == "weekly limit"
        assert await other.count("n", ttl_s=60, now=now) == 2
        kept = await other.acquire([Candidate("c", 1), B], spread=True, ttl_s=60, now=now, affinity=("talk", 60))
        assert kept is not None and (kept.holder, kept.is_kept) == ("b", True)


async def test_machines_whose_clocks_differ_by_an_hour_agree() -> None:
    async with (
        redis_state() as one,
        redis_state(prefix=one._prefix.strip("{}:"), clock=lambda: time.time() - 3600) as behind,
    ):
        there = time.time() - 3600
        await behind.cool("a", until=there + 60, reason="limit")
        grant = await take(behind, B, now=there)
        assert grant is not None and grant.expires_at == pytest.approx(there + 60)
        assert (await one.cooldowns(["a"], now=time.time()))["a"].until == pytest.approx(time.time() + 60, abs=1.0)
        assert await one.slots_taken("b", now=time.time()) == 1
        assert await one.slots_taken("b", now=time.time() + 61) == 0


async def test_a_change_that_another_process_announces_is_heard() -> None:
    heard: list[float] = []
    state = RedisState(URL, prefix="test-bus")
    state.on_change(lambda: heard.append(time.monotonic()))
    await state.start()
    await until(lambda: len(heard) == 1)  # the subscription itself: something may have been missed before it
    async with Redis.from_url(URL) as publisher:
        await publisher.publish(channel("test-bus"), "7")
    await until(lambda: len(heard) == 2)
    await state.close()


# ---- cost and bounds ------------------------------------------------------------------------------------------------


async def test_a_request_waits_for_one_round_trip_and_the_rest_travels_in_another(state: RedisState) -> None:
    before = state.link.exchanges
    now = time.time()
    grant = await state.acquire([A, B], spread=True, ttl_s=60, now=now, affinity=("talk", 60))
    assert grant is not None
    assert state.link.exchanges == before + 1
    await state.forget("blocks:a")
    state.prolong(grant, ttl_s=60, now=now)
    state.release(grant)
    assert await state.slots_taken("a", now=now) == 0  # queued behind them, so it comes with them
    assert state.link.exchanges == before + 2


async def test_many_requests_at_once_share_their_round_trips(state: RedisState) -> None:
    before = state.link.exchanges
    await asyncio.gather(*(take(state, Candidate("a", 1000)) for _ in range(200)))
    assert state.link.exchanges <= before + 3


async def test_every_key_has_a_lifetime(state: RedisState) -> None:
    now = time.time()
    grant = await state.acquire([A, B], spread=True, ttl_s=60, now=now, pace_s=0.05, affinity=("talk", 60))
    assert grant is not None
    state.prolong(grant, ttl_s=90, now=now)
    await state.cool("b", until=now + 60, reason="limit")
    await state.count("n", ttl_s=60, now=now)
    await state.remember("k", "v", ttl_s=60, now=now)
    assert await state.recall("k", now=now) == "v"
    async with Redis.from_url(URL) as client:
        keys = [key async for key in client.scan_iter(f"{state._prefix}*")]
        lifetimes = {key.decode().removeprefix(state._prefix): await client.ttl(key) for key in keys}
    assert set(lifetimes) >= {"slots:a", "served:a", "serial", "rest:b", "counter:n", "memory:k", "memory:talk"}
    assert min(lifetimes.values()) > 0, lifetimes
    assert lifetimes["slots:a"] > 60, "a prolonged slot lives as long as it was prolonged"


async def test_memory_is_bounded_and_drops_the_soonest_to_fade() -> None:
    async with redis_state(max_remembered=5) as state:
        now = time.time()
        for number in range(7):
            await state.remember(str(number), "v", ttl_s=60 + number, now=now)
        assert [await state.recall(str(number), now=now) for number in range(7)] == [None, None, *["v"] * 5]


async def test_links_are_bounded_in_bytes_and_those_unused_for_longest_go_first() -> None:
    async with redis_state(max_link_bytes=3 * (LINK_OVERHEAD_BYTES + 100)) as state:
        now = time.time()
        for at, key in enumerate("abc"):
            await state.keep_link(key, b"x" * 100, parent=None, ttl_s=60, now=now + at)
        await state.read_links("a", ttl_s=60, now=now + 3)
        await state.keep_link("d", b"x" * 100, parent=None, ttl_s=60, now=now + 4)
        await state.keep_link("huge", b"x" * 10_000, parent=None, ttl_s=60, now=now + 5)
        assert [key for key in "abcd" if await state.read_links(key, ttl_s=60, now=now + 6)] == ["a", "c", "d"]
        assert await state.read_links("huge", ttl_s=60, now=now + 6) == []
        await state.keep_link("e", b"", parent=None, ttl_s=1, now=now + 100)  # all others are over by then
        async with Redis.from_url(URL) as client:
            assert await client.get(f"{state._prefix}link_bytes") == str(LINK_OVERHEAD_BYTES).encode()
            keys = {key.decode().removeprefix(state._prefix) async for key in client.scan_iter(f"{state._prefix}*")}
            assert keys == {"link:e", "links", "link_sizes", "link_bytes"}
            assert all([await client.ttl(state._prefix + key) > 0 for key in keys])


async def test_a_conversation_of_many_megabytes_does_not_stand_before_a_lease(state: RedisState) -> None:
    await state.keep_link("big", b"x" * 16_000_000, parent=None, ttl_s=60, now=time.time())
    reading = asyncio.create_task(state.read_links("big", ttl_s=60, now=time.time()))
    await asyncio.sleep(0)
    assert await take(state, A) is not None
    assert not reading.done(), "the lease came first"
    assert [len(value) for value in await reading] == [16_000_000]


# ---- callers that leave ---------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_while_it_waits_for_a_slot_leaves_none_taken(state: RedisState) -> None:
    cancelled = 0
    for steps in range(20):
        asking = asyncio.create_task(take(state, A, B))
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        [result] = await asyncio.gather(asking, return_exceptions=True)
        if isinstance(result, Grant):
            state.release(result)  # it was served before it left
        else:
            cancelled += 1
    assert cancelled > 2
    assert [await state.slots_taken(holder, now=time.time()) for holder in "ab"] == [0, 0]


async def test_a_server_that_forgot_the_scripts_is_told_them_again(state: RedisState) -> None:
    async with Redis.from_url(URL) as client:
        await client.script_flush()
    assert await take(state, A) is not None
    assert await take(state, A) is not None
    assert await state.slots_taken("a", now=time.time()) == 2


# ---- outages --------------------------------------------------------------------------------------------------------


@needs_redis_server
async def test_without_redis_calls_fail_at_once_and_all_works_again_when_it_is_back(server: OwnRedis) -> None:
    async with redis_state(url=server.url) as state:
        kept = await take(state, A)
        assert kept is not None and state.problem == ""
        server.stop()
        with pytest.raises(StateUnavailable) as caught:
            await take(state, A)
        assert caught.value.status == 503 and caught.value.retry_after_s
        began = time.monotonic()
        for _ in range(50):
            with pytest.raises(StateUnavailable):
                await take(state, A)
        assert time.monotonic() - began < 0.5, "an outage that is known costs no waiting"
        assert "does not answer" in state.problem

        server.start()
        await until(lambda: state.problem == "")
        assert await take(state, A) is not None


@needs_redis_server
async def test_an_idle_process_notices_an_outage_by_itself(server: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "PROBE_S", 0.1)
    async with redis_state(url=server.url) as state:
        server.stop()
        await until(lambda: state.problem != "")
        server.start()
        await until(lambda: state.problem == "")


@needs_redis_server
async def test_a_redis_that_comes_after_the_gateway_is_found(server: OwnRedis) -> None:
    server.stop()
    state = RedisState(server.url, prefix="test")
    await state.start()
    assert state.problem
    with pytest.raises(StateUnavailable):
        await take(state, A)
    server.start()
    await until(lambda: state.problem == "")
    assert await take(state, A) is not None
    await state.close()


@needs_redis_server
async def test_a_redis_that_hangs_is_given_up_after_a_short_time(
    server: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "ANSWER_S", 0.3)
    async with redis_state(url=server.url) as state:
        first = await take(state, A)
        assert first is not None
        server.signal(signal.SIGSTOP)
        began = time.monotonic()
        results = await asyncio.gather(*(take(state, A, B) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [StateUnavailable] * 3
        assert 0.2 < time.monotonic() - began < 1.5
        server.signal(signal.SIGCONT)
        await until(lambda: state.problem == "")
        # What the frozen server had heard it does when it wakes, and nobody knows of those slots: they are taken back.
        assert [await state.slots_taken(holder, now=time.time()) for holder in "ab"] == [1, 0]


@needs_redis_server
async def test_a_slot_that_is_freed_during_an_outage_is_free_after_it(server: OwnRedis) -> None:
    async with redis_state(url=server.url) as state:
        grant = await take(state, A)
        assert grant is not None
        server.signal(signal.SIGSTOP)
        asking = asyncio.create_task(take(state, A))
        await asyncio.sleep(0.05)
        state.release(grant)
        with pytest.raises(StateUnavailable):
            await asking
        server.signal(signal.SIGCONT)
        await until(lambda: state.problem == "")
        assert await state.slots_taken("a", now=time.time()) == 0


async def test_posts_beyond_the_bound_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "MAX_POSTS", 10)
    link = RedisLink("redis://127.0.0.1:1/0", ())
    for number in range(15):
        link.post(("DEL", str(number)))
    assert link.dropped == 5


async def test_calls_beyond_the_bound_are_refused(state: RedisState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "MAX_CALLS", 10)
    results = await asyncio.gather(*(take(state, Candidate("a", 100)) for _ in range(15)), return_exceptions=True)
    assert sum(isinstance(result, StateUnavailable) for result in results) == 5


async def test_closing_writes_what_is_queued() -> None:
    async with redis_state() as watching:
        name = watching._prefix.strip("{}:")
        async with redis_state(prefix=name) as state:
            grant = await take(state, A)
            assert grant is not None
            state.release(grant)
            await state.close()
            assert await watching.slots_taken("a", now=time.time()) == 0
