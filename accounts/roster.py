"""Who can serve a request at all: what is true for a whole snapshot, worked out once and kept until the next one.

A `Roster` leaves out what needs a person or another key (unusable, another pool, a plan without the model), a `Stage`
of it what is used up at the moment; both say why of each. Rests and slots are left to `pool.py` and the shared state.
Pure, never imports Django.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from accounts import quota, rotation
from accounts.quota import Quota
from accounts.values import AccountView, PoolRules
from accounts.why import Passed
from providers.catalog import plans_without
from translation.codec import ModelInfo

MAX_ROSTERS = 512
"""Model names are the clients' to invent."""
STAGE_TTL_S = 1.0
"""How long a stage counts, unless something was used up meanwhile; resets and headroom move slower."""


class Rules(Protocol):
    """The settings a pool reads."""

    @property
    def pool(self) -> PoolRules: ...
    @property
    def skip_exhausted(self) -> bool: ...


class World(Protocol):
    """What a pool sees of a snapshot; see `codexproxy/gateway/snapshot.py`."""

    @property
    def accounts(self) -> tuple[AccountView, ...]: ...
    @property
    def models(self) -> Mapping[str, ModelInfo]: ...
    @property
    def settings(self) -> Rules: ...


class Quotas(Protocol):
    """What is known of quota at this moment; see `quota_board.py`."""

    @property
    def changes(self) -> int: ...
    def of(self, account: AccountView) -> Quota: ...
    def exhausted_until(self, account: AccountView, model: str, now: float) -> float | None: ...


class Wish(Struct, frozen=True, kw_only=True):
    """What one request asks of the pool. An empty `pool` is every account; no `conversation` has no affinity."""

    provider: str
    model: str
    api_key: int = 0
    pool: str = ""
    conversation: str | None = None


class CandidateMaker(Protocol):
    """Makes the shared state's candidates."""

    def __call__(self, holder: str, capacity: int, rank: float, rests: tuple[str, ...], /) -> Any: ...


class Stage(Struct, frozen=True):
    """A roster at one moment: who is ready, in groups of candidates in the strategy's order, and who was left out."""

    set_at: float
    changes: int
    ready: tuple[AccountView, ...]
    groups: list[list[Any]]
    passed: tuple[Passed, ...]


class Roster:
    """Those who fit a wish."""

    def __init__(
        self, fit: Sequence[AccountView], passed: Sequence[Passed], size: int, make: CandidateMaker, model: str
    ) -> None:
        self.fit = tuple(fit)
        self.passed = tuple(passed)
        self.size = size
        self.by_id = {each.id: each for each in fit}
        self.resting_until = max((each.cooling_until for each in fit), default=0.0)
        """When the last of the persisted rests ends; after that nobody needs to be asked."""
        self._make = make
        self._model = model
        self._stages: dict[tuple[str, tuple[str, ...], bool], Stage] = {}
        self._candidates: dict[str, Any] = {}

    def stage(self, rules: Rules, quotas: Quotas, now: float) -> Stage:
        """Return who is ready now."""
        key = (rules.pool.strategy, rules.pool.tiers, rules.skip_exhausted)
        known = self._stages.get(key)
        if known is None or known.changes != quotas.changes or not known.set_at <= now < known.set_at + STAGE_TTL_S:
            known = self._stages[key] = self._set(rules, quotas, now)
        return known

    def groups(self, some: Sequence[AccountView], rules: Rules, quotas: Quotas, now: float) -> list[list[Any]]:
        """Return some of those who fit as candidates, in groups."""
        seen = [replace(each, quota=quotas.of(each)) for each in some]
        found = rotation.groups(rules.pool.strategy, seen, model=self._model, tiers=rules.pool.tiers, now=now)
        return [[self.candidate(one.account, one.rank) for one in group] for group in found]

    def candidate(self, account: AccountView, rank: float | None = None) -> Any:
        """Return one account as a candidate; without a rank it is asked alone, where ranks mean nothing."""
        known = self._candidates.get(account.id)
        if known is None or (rank is not None and known.rank != rank):
            known = self._make(account.id, account.max_concurrency, rank or 0.0, rests_of(account, self._model))
            self._candidates[account.id] = known
        return known

    def _set(self, rules: Rules, quotas: Quotas, now: float) -> Stage:
        ready: list[AccountView] = []
        passed = list(self.passed)
        for account in self.fit:
            end = quotas.exhausted_until(account, self._model, now) if rules.skip_exhausted else None
            if end is None:
                ready.append(account)
            else:
                passed.append(Passed(account.id, "exhausted", until=int(end)))
        return Stage(now, quotas.changes, tuple(ready), self.groups(ready, rules, quotas, now), tuple(passed))


class Rosters:
    """The rosters of one snapshot, by what was asked for."""

    def __init__(self, make: CandidateMaker) -> None:
        self._make = make
        self._accounts: tuple[AccountView, ...] = ()
        self._models: Mapping[str, ModelInfo] = {}
        self._known: dict[tuple[str, str, str], Roster] = {}

    def of(self, world: World, wish: Wish) -> Roster:
        """Return who fits `wish`."""
        if world.accounts is not self._accounts or world.models is not self._models:
            self._accounts, self._models, self._known = world.accounts, world.models, {}
        key = (wish.provider, wish.model, wish.pool)
        roster = self._known.get(key)
        if roster is None:
            if len(self._known) >= MAX_ROSTERS:
                self._known.clear()
            roster = self._known[key] = _draw_up(world, wish, self._make)
        return roster


def rests_of(account: AccountView, model: str) -> tuple[str, ...]:
    """Return the cooldown keys of the parts of an account that `model` needs: itself, and the limits it uses up."""
    buckets = quota.relevant_buckets(account.quota, model)
    return (model_rest(account.id, model), *(quota.rest_key(account.id, bucket) for bucket in buckets))


def model_rest(account_id: str, model: str) -> str:
    """Return the cooldown key of one model of an account."""
    return f"{account_id}/{model}"


def _draw_up(world: World, wish: Wish, make: CandidateMaker) -> Roster:
    lacking = plans_without(world.models, wish.model)
    there = [account for account in world.accounts if account.provider == wish.provider]
    fit: list[AccountView] = []
    passed: list[Passed] = []
    for account in there:
        if wish.pool and wish.pool not in account.pools:
            passed.append(Passed(account.id, "pool"))
        elif not account.is_usable:
            passed.append(Passed(account.id, "unusable", account.unusable_kind))
        elif (account.plan or "").lower() in lacking:
            passed.append(Passed(account.id, "plan", account.plan or ""))
        else:
            fit.append(account)
    return Roster(fit, passed, len(there), make, wish.model)
