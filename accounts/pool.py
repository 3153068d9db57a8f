"""Chooses an account and takes one of its slots; learns from outcomes. Pure over the shared state's operations.

A `Lease` is freed by one synchronous, idempotent, thread-safe `release`, from three places: the flow's `finally`, the
response's `close`, and the shared state's TTL as the reaper. Never imports Django; facts for the database leave
through `on_fact`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from accounts import health, quota, rotation
from accounts.quota_board import QuotaBoard
from accounts.values import AccountView
from providers.contract import RateLimits
from translation.errors import GatewayError, NoCapacity, UpstreamBlocked

AFFINITY_TTL_S = 4 * 3600.0
"""How long a conversation remembers its account (spec/operations.md §22)."""
UNSUPPORTED_TTL_S = 6 * 3600.0
"""How long an account is passed over for a model its plan refused."""
BUSY_RETRY_S = 2.0
LONG_REST_S = 60.0
"""A rest that nobody waits for: told as a spent plan, which ends a Codex client's turn with the time of the reset."""
LOCK_SPREAD_S = 15.0
"""How long the shared state repeats that a bucket is shut: until every process has a snapshot that says it."""


class State(Protocol):
    """The part of the shared state the pool needs; see `codexproxy/gateway/state/contract.py`."""

    async def acquire(
        self,
        candidates: Sequence[Any],
        *,
        spread: bool,
        ttl_s: float,
        now: float,
        affinity: tuple[str, float] | None = None,
    ) -> Any: ...
    def release(self, grant: Any) -> None: ...
    def prolong(self, grant: Any, *, ttl_s: float, now: float) -> None: ...
    async def cool(self, key: str, *, until: float, reason: str) -> None: ...
    async def cooldowns(self, keys: Sequence[str], *, now: float) -> dict[str, Any]: ...
    async def count(self, key: str, *, ttl_s: float, now: float) -> int: ...
    async def remember(self, key: str, value: str, *, ttl_s: float, now: float) -> None: ...
    async def forget(self, key: str) -> None: ...


class Lease:
    """One slot of one account, held by whoever streams from it.

    `keeps_account`: the conversation was on this account before, so what is bound to it (turn state) still holds.
    """

    __slots__ = ("_grant", "_state", "account", "is_released", "keeps_account")

    def __init__(self, state: State, grant: Any, account: AccountView, *, keeps_account: bool) -> None:
        self._state = state
        self._grant = grant
        self.account = account
        self.keeps_account = keeps_account
        self.is_released = False

    def release(self) -> None:
        """Give the slot back; further calls do nothing."""
        if not self.is_released:
            self.is_released = True
            self._state.release(self._grant)

    def prolong(self, *, ttl_s: float, now: float) -> None:
        """Say that the stream still lives, so that the reaper leaves it alone."""
        if not self.is_released:
            self._state.prolong(self._grant, ttl_s=ttl_s, now=now)


FactSink = Callable[[str, health.Penalty], None]
CandidateMaker = Callable[[str, int, float, tuple[str, ...]], Any]


class AccountPool:
    """Leases slots of accounts. Holds no counters of its own: they live in the shared state."""

    def __init__(self, state: State, make_candidate: CandidateMaker, on_penalty: FactSink, lease_ttl_s: float) -> None:
        self._state = state
        self._make_candidate = make_candidate
        self._on_penalty = on_penalty
        self._lease_ttl_s = lease_ttl_s
        self.quotas = QuotaBoard()

    async def lease(
        self,
        accounts: Sequence[AccountView],
        *,
        model: str,
        strategy: str,
        conversation: str | None,
        exclude: Collection[str],
        now: float,
        skips_exhausted: bool = True,
    ) -> Lease:
        """Take a slot for `model`, on the conversation's account if it is good, else by `strategy`.

        `skips_exhausted`: pass over accounts whose limit for `model` is known to be used up.

        Raises: NoCapacity, which says why and when it is worth another try.
        """
        usable = [account for account in accounts if account.is_usable]
        shut = self._shut(usable, model, now) if skips_exhausted else {}
        ready = [a for a in usable if a.id not in exclude and a.id not in shut and a.cooling_until <= now]
        if ready:
            grant = await self._acquire(ready, model, strategy, conversation, now)
            if grant is not None:
                account = next(account for account in ready if account.id == grant.holder)
                return Lease(self._state, grant, account, keeps_account=grant.is_kept)
        raise await self._no_capacity(accounts, usable, model, shut, exclude, now)

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
        await self._state.cool(_model_rest(account, model), until=now + UNSUPPORTED_TTL_S, reason="lacks the model")

    # ---- inside ------------------------------------------------------------------------------------------------

    async def _acquire(
        self, ready: list[AccountView], model: str, strategy: str, conversation: str | None, now: float
    ) -> Any:
        """Return a grant or None. All in one operation of the state: each may be a journey to a server."""
        turn = await self._state.count("turn", ttl_s=86_400.0, now=now) if strategy == "round_robin" else 0
        candidates = [
            self._make_candidate(a.id, a.max_concurrency, rotation.rank(a), (_model_rest(a, model),))
            for a in rotation.order(strategy, ready, turn)
        ]
        return await self._state.acquire(
            candidates,
            spread=strategy not in ("round_robin", "sticky"),
            ttl_s=self._lease_ttl_s,
            now=now,
            affinity=(f"aff:{conversation}", AFFINITY_TTL_S) if conversation is not None else None,
        )

    def _shut(self, accounts: list[AccountView], model: str, now: float) -> dict[str, float]:
        """Return until when the limits of accounts are used up, for those whose are."""
        ends = ((account.id, self.quotas.exhausted_until(account, model, now)) for account in accounts)
        return {account_id: end for account_id, end in ends if end is not None}

    async def _no_capacity(
        self,
        accounts: Sequence[AccountView],
        usable: list[AccountView],
        model: str,
        shut: dict[str, float],
        exclude: Collection[str],
        now: float,
    ) -> NoCapacity:
        """Say why nothing could be leased, and when to try again."""
        if not accounts:
            return NoCapacity("No available accounts: none has been added yet. Add one in the dashboard.")
        keys = [key for account in usable for key in (account.id, _model_rest(account, model))]
        resting = await self._state.cooldowns(keys, now=now)
        fitting = [account for account in usable if _model_rest(account, model) not in resting]
        ends = {
            account.id: max(
                account.cooling_until,
                resting[account.id].until if account.id in resting else 0.0,
                shut.get(account.id, 0.0),
            )
            for account in fitting
        }
        rests = [end for end in ends.values() if end > now]
        is_busy = any(end <= now and account_id not in exclude for account_id, end in ends.items())
        if rests and not is_busy:
            wait_s = max(1.0, min(rests) - now)
            return NoCapacity(
                f"All accounts are resting because of their limits; the first is back in {_words(wait_s)}.",
                status=429,
                code="rate_limit_exceeded",
                error_type="usage_limit_reached" if wait_s > LONG_REST_S else None,
                retry_after_s=wait_s,
                extra={"resets_at": int(now + wait_s), "resets_in_seconds": math.ceil(wait_s)},
            )
        if is_busy:
            return NoCapacity(
                "All accounts are busy with as many requests as they may run at once. Try again in a moment.",
                status=429,
                code="rate_limit_exceeded",
                retry_after_s=BUSY_RETRY_S,
            )
        if exclude:
            return NoCapacity("No available accounts: those that were tried failed, and there is no other.")
        return NoCapacity("No available accounts: every account needs a login, is paused or lacks this model.")


def _model_rest(account: AccountView, model: str) -> str:
    return f"lacks:{account.id}:{model}"


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
