"""One contract suite for every implementation of the shared state; on Redis where `TEST_REDIS_URL` names one.

Clocks of the states stand at 0, where the tests' own times begin. What only Redis can do: `test_redis_state.py`.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

import pytest

from codexproxy.gateway.state import memory
from codexproxy.gateway.state.contract import LINK_OVERHEAD_BYTES, MAX_LINKS, Candidate, SharedState
from codexproxy.gateway.state.memory import MAX_REMEMBERED, MemoryState
from tests.gateway.redis_server import needs_redis, redis_state

pytestmark = pytest.mark.real_time


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[SharedState]:
    if request.param == "memory":
        yield MemoryState()
        return
    async with redis_state(clock=lambda: 0.0) as found:
        yield found


async def take(state: SharedState, *candidates: Candidate, spread: bool = False, now: float = 0.0) -> str | None:
    grant = await state.acquire(candidates, spread=spread, ttl_s=10, now=now)
    return grant.holder if grant is not None else None


async def test_it_takes_the_first_candidate_until_its_slots_are_gone(state: SharedState) -> None:
    a, b = Candidate("a", 2), Candidate("b", 1)
    assert [await take(state, a, b) for _ in range(4)] == ["a", "a", "b", None]


async def test_spreading_takes_the_candidate_with_the_fewest_slots_in_use(state: SharedState) -> None:
    a, b = Candidate("a", 3), Candidate("b", 3)
    assert [await take(state, a, b, spread=True) for _ in range(4)] == ["a", "b", "a", "b"]


async def test_spreading_one_request_after_the_other_moves_on_among_equals(state: SharedState) -> None:
    seen = []
    for _ in range(4):
        grant = await state.acquire([Candidate("a", 3), Candidate("b", 3)], spread=True, ttl_s=10, now=0)
        assert grant is not None
        state.release(grant)
        seen.append(grant.holder)
    assert seen == ["a", "b", "a", "b"]


async def test_spreading_prefers_the_lower_rank_among_equally_busy_candidates(state: SharedState) -> None:
    candidates = (Candidate("late", 3, rank=9.0), Candidate("soon", 3, rank=1.0))
    assert [await take(state, *candidates, spread=True) for _ in range(2)] == ["soon", "late"]


async def test_a_released_slot_is_free_again_and_releasing_twice_frees_only_one(state: SharedState) -> None:
    a = Candidate("a", 2)
    first = await state.acquire([a], spread=False, ttl_s=10, now=0)
    await state.acquire([a], spread=False, ttl_s=10, now=0)
    assert first is not None
    state.release(first)
    state.release(first)
    assert await state.slots_taken("a", now=0) == 1


async def test_a_slot_nobody_renews_is_reaped_when_its_time_is_over(state: SharedState) -> None:
    a = Candidate("a", 1)
    assert await take(state, a, now=0) == "a"
    assert await take(state, a, now=9.9) is None
    assert await take(state, a, now=10.1) == "a"


async def test_a_prolonged_slot_outlives_its_first_deadline(state: SharedState) -> None:
    a = Candidate("a", 2)
    kept = await state.acquire([a], spread=False, ttl_s=10, now=0)
    await state.acquire([a], spread=False, ttl_s=10, now=0)
    assert kept is not None
    state.prolong(kept, ttl_s=10, now=8)
    assert await state.slots_taken("a", now=12) == 1


async def test_prolonging_a_released_slot_does_not_bring_it_back(state: SharedState) -> None:
    grant = await state.acquire([Candidate("a", 1)], spread=False, ttl_s=10, now=0)
    assert grant is not None
    state.release(grant)
    state.prolong(grant, ttl_s=10, now=1)
    assert await state.slots_taken("a", now=1) == 0


async def test_a_cooling_candidate_is_passed_over_until_its_rest_ends(state: SharedState) -> None:
    a, b = Candidate("a", 1), Candidate("b", 1)
    await state.cool("a", until=5, reason="limit")
    assert await take(state, a, b, now=1) == "b"
    assert await take(state, a, b, now=5.1) == "a"


async def test_a_candidate_cools_when_one_of_its_parts_does(state: SharedState) -> None:
    spark, plain = Candidate("a", 9, rests=("a:spark",)), Candidate("a", 9)
    await state.cool("a:spark", until=5, reason="limit")
    assert await take(state, spark, now=1) is None
    assert await take(state, plain, now=1) == "a"
    assert await take(state, spark, now=5.1) == "a"


@pytest.mark.parametrize("spread", [True, False])
async def test_a_grant_names_who_was_passed_over(state: SharedState, spread: bool) -> None:
    await state.cool("rests", until=5, reason="limit")
    await take(state, Candidate("full", 1))
    candidates = [Candidate("rests", 1), Candidate("full", 1), Candidate("good", 1), Candidate("later", 1)]
    grant = await state.acquire(candidates, spread=spread, ttl_s=10, now=1)
    assert grant is not None
    assert (grant.holder, grant.resting, grant.full) == ("good", ("rests",), ("full",))


async def test_pacing_puts_the_starts_of_one_holder_apart(state: SharedState) -> None:
    async def start(holder: str, now: float) -> float:
        grant = await state.acquire([Candidate(holder, 9)], spread=False, ttl_s=100, now=now, pace_s=2.0)
        assert grant is not None
        return grant.start_at

    assert [await start("a", now) for now in (10, 10, 11, 30)] == [10, 12, 14, 30]
    assert await start("b", 10) == 10


async def test_pacing_looks_only_at_slots_that_are_still_taken(state: SharedState) -> None:
    first = await state.acquire([Candidate("a", 9)], spread=False, ttl_s=100, now=10, pace_s=2.0)
    assert first is not None
    state.prolong(first, ttl_s=100, now=10)
    second = await state.acquire([Candidate("a", 9)], spread=False, ttl_s=100, now=10, pace_s=2.0)
    assert second is not None and second.start_at == 12
    state.release(first)
    state.release(second)
    third = await state.acquire([Candidate("a", 9)], spread=False, ttl_s=100, now=10, pace_s=2.0)
    assert third is not None and third.start_at == 10


async def test_without_pacing_a_grant_starts_at_once(state: SharedState) -> None:
    for _ in range(2):
        grant = await state.acquire([Candidate("a", 9)], spread=False, ttl_s=10, now=3)
        assert grant is not None and grant.start_at == 3


async def test_a_rest_is_never_shortened(state: SharedState) -> None:
    await state.cool("a", until=100, reason="weekly limit")
    await state.cool("a", until=10, reason="short limit")
    found = await state.cooldowns(["a", "b"], now=50)
    assert found["a"].until == 100 and found["a"].reason == "weekly limit"
    assert "b" not in found


async def test_warming_ends_a_rest_at_once(state: SharedState) -> None:
    await state.cool("a", until=100, reason="limit")
    await state.warm("a")
    assert await state.cooldowns(["a"], now=1) == {}


async def test_a_counter_grows_and_forgets_itself(state: SharedState) -> None:
    assert [await state.count("n", ttl_s=10, now=now) for now in (0, 5, 14)] == [1, 2, 3]
    assert await state.count("n", ttl_s=10, now=25) == 1


async def test_forgetting_restarts_a_counter(state: SharedState) -> None:
    await state.count("n", ttl_s=10, now=0)
    await state.forget("n")
    assert await state.count("n", ttl_s=10, now=1) == 1


async def test_memory_fades_after_its_time(state: SharedState) -> None:
    await state.remember("k", "v", ttl_s=10, now=0)
    assert await state.recall("k", now=9) == "v"
    assert await state.recall("k", now=11) is None


async def test_memory_is_bounded_and_drops_the_oldest() -> None:
    state = MemoryState()
    for number in range(MAX_REMEMBERED + 1):
        await state.remember(str(number), "v", ttl_s=10, now=0)
    assert await state.recall("0", now=1) is None
    assert await state.recall(str(MAX_REMEMBERED), now=1) == "v"


async def test_release_is_safe_from_another_thread(state: SharedState) -> None:
    grants = [await state.acquire([Candidate("a", 50)], spread=False, ttl_s=10, now=0) for _ in range(50)]
    threads = [threading.Thread(target=state.release, args=(grant,)) for grant in grants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert await state.slots_taken("a", now=0) == 0


# ---- links ----------------------------------------------------------------------------------------------------------


async def keep(state: SharedState, key: str, value: bytes, parent: str | None = None, now: float = 0.0) -> None:
    await state.keep_link(key, value, parent=parent, ttl_s=10, now=now)


async def test_links_are_read_from_the_first_to_the_last(state: SharedState) -> None:
    await keep(state, "1", b"one")
    await keep(state, "2", b"\x00\xfftwo", parent="1")
    await keep(state, "3", b"three", parent="2")
    await keep(state, "other", b"branch", parent="1")
    assert await state.read_links("3", ttl_s=10, now=1) == [b"one", b"\x00\xfftwo", b"three"]
    assert await state.read_links("other", ttl_s=10, now=1) == [b"one", b"branch"]
    assert await state.read_links("unknown", ttl_s=10, now=1) == []


async def test_a_link_is_lost_with_any_of_its_ancestors(state: SharedState) -> None:
    await keep(state, "1", b"one", now=0)
    await keep(state, "2", b"two", parent="1", now=5)
    assert await state.read_links("2", ttl_s=1, now=11) == []


async def test_reading_keeps_the_whole_chain_alive(state: SharedState) -> None:
    await keep(state, "1", b"one", now=0)
    await keep(state, "2", b"two", parent="1", now=5)
    assert await state.read_links("2", ttl_s=10, now=9)
    assert await state.read_links("2", ttl_s=10, now=18) == [b"one", b"two"]
    assert await state.read_links("2", ttl_s=10, now=29) == []


async def test_a_link_written_again_is_replaced(state: SharedState) -> None:
    await keep(state, "1", b"one")
    await keep(state, "2", b"old", parent="1")
    await keep(state, "2", b"new")
    assert await state.read_links("2", ttl_s=10, now=1) == [b"new"]


async def test_a_chain_has_a_longest_length_and_no_ring_hangs_a_reader(state: SharedState) -> None:
    for number in range(MAX_LINKS + 1):
        await keep(state, str(number), b"x", parent=str(number - 1) if number else None)
    assert len(await state.read_links(str(MAX_LINKS - 1), ttl_s=10, now=1)) == MAX_LINKS
    assert await state.read_links(str(MAX_LINKS), ttl_s=10, now=1) == []
    await keep(state, "a", b"x", parent="b")
    await keep(state, "b", b"x", parent="a")
    assert await state.read_links("a", ttl_s=10, now=1) == []


async def test_links_are_bounded_in_bytes_and_those_unused_for_longest_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MAX_LINK_BYTES", 3 * (LINK_OVERHEAD_BYTES + 100))
    state = MemoryState()
    for key in "abc":
        await keep(state, key, b"x" * 100)
    await state.read_links("a", ttl_s=10, now=1)
    await keep(state, "d", b"x" * 100)
    kept = [key for key in "abcd" if await state.read_links(key, ttl_s=10, now=1)]
    assert kept == ["a", "c", "d"]
    await keep(state, "huge", b"x" * 10_000)
    assert state._link_bytes == 0, "one that fits nowhere is not kept, and nothing is leaked"


# ---- affinity --------------------------------------------------------------------------------------------------------

LAST = ("talk", 100.0)


async def test_an_affinity_keeps_the_holder_and_says_so(state: SharedState) -> None:
    candidates = [Candidate("a", 5), Candidate("b", 5)]
    first = await state.acquire(candidates, spread=True, ttl_s=10, now=0, affinity=LAST)
    again = await state.acquire(candidates, spread=True, ttl_s=10, now=0, affinity=LAST)
    assert first is not None and again is not None
    assert (first.holder, first.is_kept, first.left) == ("a", False, "")
    assert (again.holder, again.is_kept) == ("a", True)


async def test_an_affinity_moves_with_the_conversation_when_its_holder_rests(state: SharedState) -> None:
    candidates = [Candidate("a", 5), Candidate("b", 5)]
    await state.acquire(candidates, spread=False, ttl_s=10, now=0, affinity=LAST)
    await state.cool("a", until=5, reason="limit")
    moved = await state.acquire(candidates, spread=False, ttl_s=10, now=1, affinity=LAST)
    stays = await state.acquire(candidates, spread=False, ttl_s=10, now=6, affinity=LAST)
    assert moved is not None and stays is not None
    assert (moved.holder, moved.is_kept, moved.left) == ("b", False, "a")
    assert (stays.holder, stays.is_kept, stays.left) == ("b", True, "")


async def test_an_affinity_to_a_full_holder_or_a_stranger_is_no_reason_to_fail(state: SharedState) -> None:
    await state.remember("talk", "gone", ttl_s=100, now=0)
    grant = await state.acquire([Candidate("a", 1), Candidate("b", 1)], spread=False, ttl_s=10, now=0, affinity=LAST)
    assert grant is not None and (grant.holder, grant.left) == ("a", "gone")
    grant = await state.acquire([Candidate("a", 1), Candidate("b", 1)], spread=False, ttl_s=10, now=0, affinity=LAST)
    assert grant is not None and grant.holder == "b" and grant.full == ("a",)


async def test_an_affinity_fades(state: SharedState) -> None:
    candidates = [Candidate("a", 5), Candidate("b", 5)]
    await state.acquire(candidates, spread=True, ttl_s=10, now=0, affinity=LAST)
    later = await state.acquire(candidates, spread=True, ttl_s=10, now=101, affinity=LAST)
    assert later is not None and not later.is_kept


async def test_what_was_only_asked_for_in_vain_leaves_nothing_behind(state: SharedState) -> None:
    assert await state.acquire([], spread=False, ttl_s=10, now=0) is None
    assert await state.acquire([Candidate("a", 0)], spread=False, ttl_s=10, now=0, affinity=LAST) is None
    assert await state.recall("talk", now=0) is None
