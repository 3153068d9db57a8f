"""Chooses an account and takes one of its slots; learns from outcomes. Pure over the shared state's operations.

A request chooses among the accounts of the snapshot it began with; while it waits, of the newest. Who fits at all is
`roster.py`, in which order `rotation.py`, the line for a slot `waiting.py`, what a refusal says `refusing.py`, what is
given out `lease.py`. Never imports Django; facts for the database leave through `on_penalty`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from accounts import health, quota, refusing, rotation
from accounts.lease import AFFINITY, Lease, Slots
from accounts.quota_board import QuotaBoard
from accounts.roster import CandidateMaker, Rosters, Wish, World, model_rest, rests_of
from accounts.values import AccountView
from accounts.waiting import ANY, WaitingRoom
from accounts.why import Decision, WaitEnd
from providers.contract import RateLimits
from translation.errors import GatewayError, NoCapacity, UpstreamBlocked

AFFINITY_TTL_S = 4 * 3600.0
"""How long a conversation remembers its account (spec/operations.md §22)."""
UNSUPPORTED_TTL_S = 6 * 3600.0
"""How long an account is passed over for a model its plan refused."""
LOCK_SPREAD_S = 15.0
"""How long the shared state repeats that a bucket is shut: until every process has a snapshot that says it."""
PACE_JITTER = 0.3
"""So much earlier or later than the pace; requests of one account must not tick like a clock."""
STICKY = "sticky"
ROUND_ROBIN = "round_robin"


class State(Slots, Protocol):
    """The part of the shared state the pool needs; see `codexproxy/gateway/state/contract.py`."""

    async def acquire(
        self,
        candidates: Sequence[Any],
        *,
        spread: bool,
        ttl_s: float,
        now: float,
        pace_s: float = 0.0,
        affinity: tuple[str, float] | None = None,
    ) -> Any: ...
    async def cool(self, key: str, *, until: float, reason: str) -> None: ...
    async def cooldowns(self, keys: Sequence[str], *, now: float) -> dict[str, Any]: ...
    async def count(self, key: str, *, ttl_s: float, now: float) -> int: ...
    async def remember(self, key: str, value: str, *, ttl_s: float, now: float) -> None: ...
    async def recall(self, key: str, *, now: float) -> str | None: ...
    async def forget(self, key: str) -> None: ...


FactSink = Callable[[str, health.Penalty], None]


def _ignore() -> None:
    """Nobody asked to be told."""


class AccountPool:
    """Leases slots of accounts. Holds no counters of its own: they live in the shared state."""

    def __init__(self, state: State, make_candidate: CandidateMaker, on_penalty: FactSink, lease_ttl_s: float) -> None:
        self._state = state
        self._rosters = Rosters(make_candidate)
        self._on_penalty = on_penalty
        self._lease_ttl_s = lease_ttl_s
        self.quotas = QuotaBoard()
        self.room = WaitingRoom()

    async def lease(
        self,
        world: World,
        wish: Wish,
        exclude: Collection[str],
        decision: Decision,
        *,
        now: float,
        look: Callable[[], World],
        on_wait: Callable[[], None] = _ignore,
    ) -> Lease:
        """Take a slot on the conversation's account if it is good, else by the strategy; wait for one if all are busy.

        `look` gives the newest world to those who wait; `on_wait` is called once, when a wait begins. Raises:
        NoCapacity, which says why and when to try again.
        """
        lease = await self._take(world, wish, exclude, decision, now, turn=None)
        if lease is None:
            lease = await self._wait(world, wish, exclude, decision, now, look, on_wait)
        return lease

    async def prefer(self, conversation: str, account_id: str, *, now: float) -> None:
        """Let `conversation` be on this account, as if it had been there before."""
        await self._state.remember(f"aff:{conversation}", account_id, ttl_s=AFFINITY_TTL_S, now=now)

    def learn(self, account: AccountView, limits: RateLimits, *, now: float) -> None:
        """Take note of what an answer said about limits; it counts from the next lease on."""
        self.quotas.learn(account, limits, now)

    async def report(self, account: AccountView, error: GatewayError, *, now: float, model: str = "") -> None:
        """Let an account bear the consequences of `error`; a client's hang-up or a bad request has none.

        A usage limit shuts the bucket that `model` draws from; everything else lets the whole account rest.
        """
        blocks = path_blocks = 0
        if isinstance(error, UpstreamBlocked):
            blocks = await self._state.count(f"blocks:{account.id}", ttl_s=health.BLOCK_MEMORY_S, now=now)
            if error.reason == "path block":
                path_blocks = await self._state.count(f"paths:{account.id}", ttl_s=health.BLOCK_MEMORY_S, now=now)
        bucket = quota.bucket_of(model, self.quotas.of(account).names)
        penalty = health.penalty(error, now=now, bucket=bucket, blocks_in_a_row=blocks, path_blocks=path_blocks)
        if penalty is None:
            return
        if penalty.bucket:
            self.quotas.lock(account, penalty.bucket, penalty.cool_until, now, is_guess=penalty.is_guess)
            until, key = min(penalty.cool_until, now + LOCK_SPREAD_S), quota.rest_key(account.id, penalty.bucket)
        else:
            until, key = penalty.cool_until, account.id
        await self._state.cool(key, until=until, reason=penalty.reason)
        self._on_penalty(account.id, penalty)

    async def report_success(self, account: AccountView) -> None:
        """End the count of blocks in a row."""
        await self._state.forget(f"blocks:{account.id}")

    async def mark_unsupported(self, account: AccountView, model: str, *, now: float) -> None:
        """Remember that the account's plan lacks `model`."""
        await self._state.cool(model_rest(account.id, model), until=now + UNSUPPORTED_TTL_S, reason="no such model")

    # ---- choosing ----------------------------------------------------------------------------------------------

    async def _take(
        self, world: World, wish: Wish, exclude: Collection[str], decision: Decision, now: float, *, turn: str | None
    ) -> Lease | None:
        """Take a free slot of whoever `turn` allows, or return None.

        `turn` is None for a newcomer, who leaves alone what others wait for; else what the waiting room called.
        """
        rules = world.settings.pool
        roster = self._rosters.of(world, wish)
        stage = roster.stage(world.settings, self.quotas, now)
        decision.look(roster.size, len(roster.fit), stage.passed)
        ready = stage.ready
        if exclude or roster.resting_until > now:
            ready = _untried(ready, exclude, now, decision)
        ready = self._allowed(ready, turn)
        if not ready:
            return None
        strategy = rotation.known(rules.strategy)
        is_whole = ready is stage.ready
        groups = stage.groups if is_whole else roster.groups(ready, world.settings, self.quotas, now)
        mark = None
        if strategy == ROUND_ROBIN:
            turns = await self._state.count("turn", ttl_s=86_400.0, now=now)
            groups = [rotation.turned(group, turns) for group in groups]
        elif strategy == STICKY:
            mark = await self._state.recall(_sticky_key(wish), now=now)
            groups = [sorted(group, key=lambda each: each.id != mark) for group in groups]
        pace_s = rules.pace_s * random.uniform(1 - PACE_JITTER, 1 + PACE_JITTER) if rules.pace_s else 0.0
        for group in groups:
            grant = await self._acquire(group, strategy, pace_s, wish, now)
            if grant is not None:
                _explain(grant, decision)
                how = AFFINITY if grant.is_kept else strategy
                lease = await self._settle(grant, roster.by_id[grant.holder], how, pace_s, now)
                if how == STICKY and mark not in grant.full:
                    await self._mark(lease, wish, now)
                return lease
        return None

    def _allowed(self, ready: Sequence[AccountView], turn: str | None) -> Sequence[AccountView]:
        if turn is None:
            return [each for each in ready if not self.room.is_wanted(each.id)] if len(self.room) else ready
        return ready if turn == ANY else [each for each in ready if each.id == turn]

    async def _acquire(self, candidates: list[Any], strategy: str, pace_s: float, wish: Wish, now: float) -> Any:
        """Take a slot, on the conversation's account if that is among them; one round trip of the shared state."""
        talk = wish.conversation
        return await self._state.acquire(
            candidates,
            spread=strategy in rotation.SPREADING,
            ttl_s=self._lease_ttl_s,
            now=now,
            pace_s=pace_s,
            affinity=(f"aff:{talk}", AFFINITY_TTL_S) if talk is not None else None,
        )

    async def _settle(self, grant: Any, account: AccountView, how: str, pace_s: float, now: float) -> Lease:
        """Make a lease of a grant; one that overlaps with others is held back, for one pace at most."""
        lease = Lease(self._state, self.room, grant, account, how=how)
        if grant.start_at > now:
            lease.paced_s = min(grant.start_at - now, pace_s)
            try:
                await asyncio.sleep(lease.paced_s)
            except BaseException:
                lease.release()
                raise
        return lease

    async def _mark(self, lease: Lease, wish: Wish, now: float) -> None:
        """Let everyone stick to the account of `lease`."""
        try:
            await self._state.remember(_sticky_key(wish), lease.account.id, ttl_s=AFFINITY_TTL_S, now=now)
        except BaseException:  # a client that leaves right here must not keep the slot
            lease.release()
            raise

    # ---- waiting -----------------------------------------------------------------------------------------------

    async def _wait(
        self,
        world: World,
        wish: Wish,
        exclude: Collection[str],
        decision: Decision,
        now: float,
        look: Callable[[], World],
        on_wait: Callable[[], None],
    ) -> Lease:
        """Line up until a slot is free. Raises: NoCapacity when none can become free, or none did in time."""
        refusal, busy = await self._refusal(world, wish, exclude, decision, now)
        rules = world.settings.pool
        patience_s = rules.wait_s - decision.waited_s
        if not busy or patience_s <= 0:
            raise refusal
        if len(self.room) >= rules.max_waiting:
            raise refusing.line_is_full(len(self.room))
        on_wait()
        clock = asyncio.get_running_loop().time
        began = clock()
        place = self.room.join(wish.api_key, busy)
        used: str | None = None
        end: WaitEnd = "left"
        try:
            while True:
                turn = await place.turn(began + patience_s - clock())
                if turn is None:
                    end = "too_long"
                    raise refusal
                at = now + clock() - began
                lease = await self._take(look(), wish, exclude, decision, at, turn=turn)
                if lease is not None:
                    used, end = lease.account.id, "served"
                    return lease
                refusal, busy = await self._refusal(look(), wish, exclude, decision, at)
                if not busy:
                    end = "hopeless"
                    raise refusal
                self.room.want(place, busy)
        finally:
            self.room.leave(place, used=used)
            decision.wait(clock() - began, place.ahead + 1, end)

    async def _refusal(
        self, world: World, wish: Wish, exclude: Collection[str], decision: Decision, now: float
    ) -> tuple[NoCapacity, list[str]]:
        """Say why nobody could be leased and when to try again; return also who is only busy."""
        roster = self._rosters.of(world, wish)
        stage = roster.stage(world.settings, self.quotas, now)
        keys = [key for each in stage.ready for key in (each.id, *rests_of(each, wish.model))]
        rests = await self._state.cooldowns(keys, now=now)
        turned_away = [refusing.passed_over(each, wish.model, rests, exclude, now) for each in stage.ready]
        everyone = [*stage.passed, *turned_away]
        decision.look(roster.size, len(roster.fit), stage.passed)
        decision.refuse(everyone)
        return refusing.refusal(everyone, wish, now), [each.account for each in turned_away if each.reason == "full"]


def _untried(
    ready: Sequence[AccountView], exclude: Collection[str], now: float, decision: Decision
) -> Sequence[AccountView]:
    """Return those who were not tried yet and have no rest that the snapshot knows of."""
    found: list[AccountView] = []
    for account in ready:
        if account.cooling_until > now:
            decision.pass_over(account.id, "resting", account.cooling_reason, account.cooling_until)
        elif account.id in exclude:
            decision.pass_over(account.id, "tried")
        else:
            found.append(account)
    return found


def _explain(grant: Any, decision: Decision) -> None:
    """Note who was passed over, and that the conversation left its account."""
    for account in grant.resting:
        decision.pass_over(account, "resting")
    for account in grant.full:
        decision.pass_over(account, "full")
    if grant.left:
        decision.move(grant.left)


def _sticky_key(wish: Wish) -> str:
    return f"sticky:{wish.provider}:{wish.pool}"
