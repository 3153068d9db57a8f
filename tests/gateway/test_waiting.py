"""Waiting for a slot: who is next, what is kept and what is left behind. T numbers: spec/operations.md §18."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from accounts.lease import Lease
from accounts.pool import AccountPool
from accounts.refusing import CROWD_RETRY_S
from accounts.roster import Wish
from accounts.values import AccountView, ApiKeyView, PoolRules
from accounts.waiting import POLL_S, WaitingRoom
from accounts.why import Decision
from codexproxy.gateway.snapshot import GatewaySettings, Snapshot
from codexproxy.gateway.state.contract import Candidate
from codexproxy.gateway.state.memory import MemoryState
from codexproxy.gateway.types import ClientRequest
from providers.catalog import bundled_models
from tests.gateway.playbook import HELLO, NOW, Client, Play, SlowState, account
from tests.gateway.test_playbooks_leaving import CancelledAt, _await
from translation import errors, registry

NEVER_S = 1e6
"""A poll that never comes: what works with it needs no poll."""


class Hall:
    """A pool whose accounts can be swapped, and words for those who stand in line."""

    def __init__(self, *accounts: AccountView, poll_s: float = NEVER_S, slow: bool = True, **rules: Any) -> None:
        self.state = SlowState() if slow else MemoryState()
        self.pool = AccountPool(self.state, Candidate, lambda *_: None, lease_ttl_s=900)
        self.pool.room = WaitingRoom(poll_s)
        self.rules = PoolRules(pace_s=0, **rules)
        self.put(*accounts)
        self.served: list[str] = []

    def put(self, *accounts: AccountView) -> None:
        """Let these be the accounts from now on."""
        settings = GatewaySettings(pool=self.rules)
        self.world = Snapshot(accounts=accounts, models=bundled_models(), settings=settings)

    async def lease(self, key: int = 1, *, decision: Decision | None = None, pool: str = "") -> Lease:
        """Lease as a request of this api key."""
        wish = Wish(provider="codex", model="gpt-5.5", api_key=key, pool=pool)
        return await self.pool.lease(
            self.world, wish, frozenset(), decision or Decision(), now=NOW, look=lambda: self.world
        )

    def request(self, name: str, key: int = 1, *, holds_s: float = 1.0, pool: str = "") -> asyncio.Task[None]:
        """Start a request that keeps its slot for a while; its name is noted when it gets one."""

        async def run() -> None:
            lease = await self.lease(key, pool=pool)
            self.served.append(name)
            try:
                await asyncio.sleep(holds_s)
            finally:
                lease.release()

        return asyncio.create_task(run())

    async def settle(self) -> None:
        """Let everyone come to rest without time passing."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def check_nothing_is_left(self) -> None:
        """No slot, no place in line, no timer."""
        for each in self.world.accounts:
            assert await self.state.slots_taken(each.id, now=NOW) == 0
        room = self.pool.room
        assert len(room) == 0 and not room._lines and not room._wanted and room._poll is None


async def _result(awaitable: CancelledAt) -> Any:
    return await awaitable


async def elapsed(work: Callable[[], Any]) -> float:
    began = asyncio.get_running_loop().time()
    await work()
    return asyncio.get_running_loop().time() - began


# ---- who is next ----------------------------------------------------------------------------------------------------


async def test_a_freed_slot_wakes_the_next_at_once() -> None:
    hall = Hall(account("a", max_concurrency=1))
    held = await hall.lease()
    waiting = asyncio.create_task(hall.lease())
    await hall.settle()
    assert len(hall.pool.room) == 1
    held.release()
    assert await elapsed(lambda: waiting) < 0.001
    (await waiting).release()
    await hall.check_nothing_is_left()


async def test_requests_of_one_key_are_served_in_their_order() -> None:
    hall = Hall(account("a", max_concurrency=1))
    tasks = []
    for number in range(6):
        tasks.append(hall.request(str(number)))
        await hall.settle()
    await asyncio.gather(*tasks)
    assert hall.served == list("012345")
    await hall.check_nothing_is_left()


async def test_keys_take_turns_so_that_a_crowd_of_one_does_not_starve_another() -> None:
    hall = Hall(account("a", max_concurrency=1))
    tasks = []
    for name, key in [*((f"crowd-{n}", 1) for n in range(6)), ("alone", 2), ("late", 3)]:
        tasks.append(hall.request(name, key))
        await hall.settle()
    await asyncio.gather(*tasks)
    assert hall.served[:4] == ["crowd-0", "crowd-1", "alone", "late"]
    await hall.check_nothing_is_left()


async def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    hall = Hall(account("a", max_concurrency=1))
    held = await hall.lease()
    first = hall.request("first")
    await hall.settle()
    held.release()
    newcomer = hall.request("newcomer", 2)  # the slot is free, the one who waits is called but has not come yet
    await asyncio.gather(first, newcomer)
    assert hall.served == ["first", "newcomer"]


async def test_nobody_waits_behind_those_who_want_other_accounts() -> None:
    hall = Hall(account("a", max_concurrency=1, pools=("red",)), account("b", max_concurrency=1, pools=("blue",)))
    held = await hall.lease(pool="red")
    waiting = asyncio.create_task(hall.lease(pool="red"))
    await hall.settle()
    blue = await hall.lease(pool="blue")
    assert blue.account.id == "b" and not waiting.done()
    waiting_blue = asyncio.create_task(hall.lease(pool="blue"))
    await hall.settle()
    blue.release()
    (await waiting_blue).release()
    assert not waiting.done()
    held.release()
    (await waiting).release()
    await hall.check_nothing_is_left()


async def test_nobody_waits_while_a_slot_is_free() -> None:
    hall = Hall(account("a", max_concurrency=1), account("b", max_concurrency=1))
    await hall.lease()
    assert await elapsed(hall.lease) == pytest.approx(0, abs=0.01)
    assert hall.pool.room._loop is None, "the room was used"


# ---- how it ends ----------------------------------------------------------------------------------------------------


async def test_patience_ends_with_a_429_that_says_when_to_come_back() -> None:
    hall = Hall(account("a", max_concurrency=1), wait_s=30)
    held = await hall.lease()
    decision = Decision()

    async def wait() -> None:
        with pytest.raises(errors.NoCapacity) as caught:
            await hall.lease(decision=decision)
        assert (caught.value.status, caught.value.retry_after_s) == (429, 2)
        assert "1 busy" in caught.value.message

    assert await elapsed(wait) == pytest.approx(30, abs=0.01)
    assert [(each.place, each.end) for each in decision.waits] == [(1, "too_long")]
    assert await elapsed(wait) == pytest.approx(0, abs=0.01), "a request waits so long in all, not with every attempt"
    held.release()
    await hall.check_nothing_is_left()


async def test_a_line_that_is_full_refuses_at_once() -> None:
    hall = Hall(account("a", max_concurrency=1), max_waiting=2)
    held = await hall.lease()
    tasks = [hall.request(str(number)) for number in range(2)]
    await hall.settle()
    with pytest.raises(errors.NoCapacity, match="2 requests wait already") as caught:
        await hall.lease(2)
    assert (caught.value.status, caught.value.retry_after_s) == (429, CROWD_RETRY_S)
    held.release()
    await asyncio.gather(*tasks)
    await hall.check_nothing_is_left()


async def test_a_slot_that_another_process_freed_is_found_within_a_poll() -> None:
    hall = Hall(account("a", max_concurrency=1), poll_s=POLL_S)
    elsewhere = await hall.state.acquire([Candidate("a", 1)], spread=False, ttl_s=900, now=NOW)
    assert elsewhere is not None
    tasks = [hall.request(str(number), holds_s=0.0) for number in range(3)]
    await hall.settle()
    hall.state.release(elsewhere)
    assert await elapsed(lambda: asyncio.gather(*tasks)) <= POLL_S + 0.01
    await hall.check_nothing_is_left()


async def test_when_everyone_who_was_busy_must_rest_all_who_wait_are_told_at_once() -> None:
    hall = Hall(account("a", max_concurrency=1), poll_s=POLL_S)
    held = await hall.lease()
    tasks = [hall.request(str(number), number % 3) for number in range(9)]
    await hall.settle()
    await hall.state.cool("a", until=NOW + 600, reason="usage limit reached")

    async def all_told() -> None:
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, errors.NoCapacity)
            assert (outcome.status, outcome.retry_after_s) == (429, pytest.approx(600, abs=1))

    assert await elapsed(all_told) <= POLL_S + 0.01
    held.release()
    await hall.check_nothing_is_left()


async def test_an_account_added_meanwhile_serves_those_who_wait() -> None:
    hall = Hall(account("a", max_concurrency=1), poll_s=POLL_S)
    held = await hall.lease()
    waiting = asyncio.create_task(hall.lease())
    await hall.settle()
    hall.put(account("a", max_concurrency=1), account("new"))
    assert (await waiting).account.id == "new"
    held.release()


async def test_an_account_that_was_paused_meanwhile_gets_nobody_from_the_line() -> None:
    hall = Hall(account("a", max_concurrency=1))
    held = await hall.lease()
    waiting = asyncio.create_task(hall.lease())
    await hall.settle()
    hall.put(account("a", max_concurrency=1, is_usable=False, unusable_kind="paused"))
    held.release()
    with pytest.raises(errors.NoCapacity, match="1 paused"):
        await waiting
    await hall.check_nothing_is_left()


@pytest.mark.parametrize("slow", [True, False])
async def test_t13_whoever_leaves_the_line_leaves_no_trace_and_hands_the_turn_on(slow: bool) -> None:
    number = 0
    while True:
        number += 1
        hall = Hall(account("a", max_concurrency=1), slow=slow)
        held = await hall.lease()
        leaving = CancelledAt(hall.lease(1), number)
        task = asyncio.create_task(_result(leaving))
        await hall.settle()
        behind = [hall.request("same key", 1, holds_s=0), hall.request("other key", 2, holds_s=0)]
        await hall.settle()
        held.release()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result().release()
        await asyncio.wait_for(asyncio.gather(*behind), 5)
        await hall.check_nothing_is_left()
        if not leaving.fired:
            break
    assert number > 2


@pytest.mark.parametrize("seed", range(8))
async def test_in_any_mixture_of_comings_and_goings_everyone_is_served_without_a_poll(seed: int) -> None:
    dice = random.Random(seed)
    accounts = [account(name, max_concurrency=2, pools=("red",) if name < "c" else ("blue",)) for name in "abcd"]
    hall = Hall(*accounts, wait_s=NEVER_S, max_waiting=1000)
    tasks: list[asyncio.Task[None]] = []
    for number in range(200):
        pool = dice.choice(["", "red", "blue"])
        tasks.append(hall.request(str(number), dice.randrange(5), holds_s=dice.random(), pool=pool))
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() * 0.2)
        if dice.random() < 0.2:
            dice.choice(tasks).cancel()
    done, pending = await asyncio.wait(tasks, timeout=NEVER_S / 2)
    assert not pending, "someone was forgotten"
    assert sum(task.cancelled() for task in done) + len(hall.served) >= 200
    assert not [task.exception() for task in done if not task.cancelled() and task.exception()]
    await hall.check_nothing_is_left()


# ---- pacing ---------------------------------------------------------------------------------------------------------


async def test_t12_who_finds_another_on_its_account_is_held_back_within_the_bounds_of_the_jitter() -> None:
    hall = Hall(account("a", max_concurrency=50))
    hall.rules = PoolRules(pace_s=0.05)
    hall.put(*hall.world.accounts)
    clock = asyncio.get_running_loop().time
    held_back: list[float] = []

    async def run() -> None:
        came = clock()
        lease = await hall.lease()
        held_back.append(clock() - came)
        assert lease.paced_s == pytest.approx(held_back[-1], abs=0.005)

    await asyncio.gather(*(run() for _ in range(20)))
    first, *others = sorted(held_back)
    assert first < 0.005
    assert all(0.05 * 0.7 - 0.002 <= each <= 0.05 * 1.3 + 0.005 for each in others), held_back
    assert max(others) - min(others) > 0.005, "paced like a clock"


async def test_t12_the_time_since_the_others_start_counts() -> None:
    hall = Hall(account("a"))
    hall.rules = PoolRules(pace_s=1.0)
    hall.put(*hall.world.accounts)
    first = await hall.lease()
    wish = Wish(provider="codex", model="gpt-5.5")
    later = await hall.pool.lease(hall.world, wish, frozenset(), Decision(), now=NOW + 0.6, look=lambda: hall.world)
    assert 0.1 - 0.01 <= later.paced_s <= 0.7 + 0.01
    last = await hall.pool.lease(hall.world, wish, frozenset(), Decision(), now=NOW + 60, look=lambda: hall.world)
    assert last.paced_s == 0
    for lease in (first, later, last):
        lease.release()


async def test_t12_requests_that_follow_each_other_and_pacing_switched_off_wait_for_nothing() -> None:
    hall = Hall(account("a", max_concurrency=50))
    assert await elapsed(lambda: asyncio.gather(*(hall.lease() for _ in range(20)))) < 0.03
    hall = Hall(account("a"))
    hall.rules = PoolRules(pace_s=5.0)
    hall.put(*hall.world.accounts)

    async def one_after_the_other() -> None:
        for _ in range(5):
            (await hall.lease()).release()

    assert await elapsed(one_after_the_other) < 0.03


async def test_t12_leaving_while_being_paced_gives_the_slot_back() -> None:
    hall = Hall(account("a"))
    hall.rules = PoolRules(pace_s=5.0)
    hall.put(*hall.world.accounts)
    first = await hall.lease()
    paced = asyncio.create_task(hall.lease())
    await hall.settle()
    assert await hall.state.slots_taken("a", now=NOW) == 2
    paced.cancel()
    await asyncio.wait([paced])
    first.release()
    await hall.check_nothing_is_left()


# ---- the whole way --------------------------------------------------------------------------------------------------


async def test_a_stream_that_waits_is_kept_company_and_then_answered(dialect: str) -> None:
    play = Play(dialect, accounts=(account("a", max_concurrency=1),))
    grant = await play.state.acquire([Candidate("a", 1)], spread=False, ttl_s=900, now=NOW)
    assert grant is not None
    client = Client()
    play.upstream.answers().sends(HELLO)
    running = asyncio.create_task(play.generate(client, stream=True))
    await asyncio.sleep(27)
    assert client.started and client.heartbeats >= 1 and not client.text
    play.state.release(grant)
    await running
    assert client.text == "Hello" and client.ended
    record = play.record()
    assert record.outcome == "ok" and '"waits":[[27' in record.why
    await play.check_nothing_is_left(requests=None)


@pytest.mark.parametrize("stream", [True, False])
async def test_who_waited_in_vain_is_told_in_its_dialect(dialect: str, stream: bool) -> None:
    play = Play(dialect, accounts=(account("a", max_concurrency=1),))
    grant = await play.state.acquire([Candidate("a", 1)], spread=False, ttl_s=900, now=NOW)
    assert grant is not None
    client = Client()
    await asyncio.create_task(play.generate(client, stream=stream))
    assert client.ended and client.error is not None and "busy" in client.error["message"]
    assert client.status == (200 if stream else 429)
    assert client.headers.get("retry-after") == (None if stream else "2")
    play.state.release(grant)
    assert play.record().outcome == "no_capacity"
    await play.check_nothing_is_left(requests=0)


MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}
DIALECTS: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "openai-chat": ("/v1/chat/completions", MESSAGES, b": "),
    "openai-responses": ("/v1/responses", {"input": "hi"}, b": "),
    "openai-completions": ("/v1/completions", {"prompt": "hi"}, b": "),
    "anthropic-messages": ("/v1/messages", {"max_tokens": 9, **MESSAGES}, b": "),
    "ollama": ("/api/chat", MESSAGES, b""),
}
"""Path, body, and how a heartbeat begins; Ollama's lines have none."""


@pytest.mark.parametrize("codec", sorted(DIALECTS))
async def test_t19_every_dialect_has_a_heartbeat_and_an_error_for_those_who_wait_in_vain(codec: str) -> None:
    path, asked, beat = DIALECTS[codec]
    play = Play(accounts=(account("a", max_concurrency=1),))
    grant = await play.state.acquire([Candidate("a", 1)], spread=False, ttl_s=900, now=NOW)
    assert grant is not None
    client = Client()
    body = orjson.dumps({"model": "gpt-5.5", "stream": True, **asked})
    request = ClientRequest(method="POST", path=path, headers={}, request_id="req_test", body=body)
    await asyncio.create_task(play.gateway.generate(registry.get(codec), play.key, request, client))
    assert client.ended and client.status == 200
    assert any(written.startswith(beat) for written in client.writes[:-1]) or not beat
    assert b"All accounts are busy" in client.writes[-1]
    play.state.release(grant)
    await play.check_nothing_is_left(requests=1)


@pytest.mark.parametrize("stream", [True, False])
async def test_t13_a_client_may_leave_at_every_await_of_a_wait(dialect: str, stream: bool) -> None:
    number = 0
    while True:
        number += 1
        play = Play(dialect, accounts=(account("a", max_concurrency=1),))
        grant = await play.state.acquire([Candidate("a", 1)], spread=False, ttl_s=900, now=NOW)
        assert grant is not None
        asyncio.get_running_loop().call_later(12, play.state.release, grant)
        play.upstream.answers().sends(HELLO)
        client = Client()
        leaving = CancelledAt(play.generate(client, stream=stream), number)
        task = asyncio.create_task(_await(leaving))
        await asyncio.wait([task])
        await asyncio.sleep(20)
        await play.check_nothing_is_left(requests=1)
        assert len(play.gateway.pool.room) == 0
        if not leaving.fired:
            assert client.ended
            break
        assert task.cancelled()
    assert number > 8


async def test_with_one_healthy_account_among_fifty_every_request_of_a_burst_succeeds() -> None:
    others = tuple(
        account(f"x{number:02}", is_usable=False) if number % 2 else account(f"x{number:02}", cooling_until=NOW + 900)
        for number in range(49)
    )
    play = Play("chat", accounts=(*others, account("healthy")))
    clients = [Client() for _ in range(200)]
    for _ in clients:
        play.upstream.answers().pauses(0.2).sends(HELLO)
    keys = [ApiKeyView(id=number % 7, user_id=3, name="k", prefix="cpx-") for number in range(200)]
    await asyncio.gather(
        *(play.generate(client, stream=True, key=key) for client, key in zip(clients, keys, strict=True))
    )
    assert {client.text for client in clients} == {"Hello"}
    assert set(play.upstream.tokens) == {"token-healthy"}
    assert len(play.gateway.pool.room) == 0
    await play.check_nothing_is_left(requests=200)


async def test_with_no_account_ready_everyone_of_a_burst_gets_429_with_the_time_of_the_soonest() -> None:
    accounts = tuple(account(f"x{number:02}", cooling_until=NOW + 600 + number) for number in range(50))
    play = Play("chat", accounts=accounts)
    clients = [Client() for _ in range(100)]
    await asyncio.gather(*(play.generate(client, stream=True) for client in clients))
    assert {(client.status, client.headers["retry-after"]) for client in clients} == {(429, "600")}
    assert clients[0].error is not None and "50 resting until" in clients[0].error["message"]
