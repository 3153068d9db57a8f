"""Strategies: in which order accounts are tried. Pure functions from views to groups of ranked accounts.

Slots in use are the shared state's knowledge, so spreading strategies give ranks and ask it to spread within a group:
fewest slots first, then the lower rank, then whoever was not chosen for longest. The order given here, by requests and
last use as the database knows them, decides between accounts that were never chosen. Read next: `roster.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from accounts import quota
from accounts.values import AccountView
from providers.adapters.codex.limits import PLAN_BUCKET
from providers.contract import QuotaWindow

RESET_BUCKET_S = 3600.0
"""Resets within the same hour count as equal; otherwise one account would always win by seconds."""
ON_SCHEDULE = 1.0
"""The pace of an account that has used exactly as much of its quota as has passed of its window."""
SHORTEST_LEFT = 0.02
"""A window about to reset counts as having this share of itself left, so that a pace stays a number."""
PACE_STEPS = 4
"""Paces are told apart in quarters; closer ones share the load."""
HIGHEST_PACE = 10.0

T = TypeVar("T")


class Ranked(Struct, frozen=True):
    """An account at its place; of equally busy ones the lower rank comes first."""

    account: AccountView
    rank: float = 0.0


Order = Callable[[Sequence[AccountView], str, float], list[Ranked]]


def least_used(candidates: Sequence[AccountView], model: str, now: float) -> list[Ranked]:
    """Prefer the earlier quota reset (use it before it resets), then fewer requests, then the older last use.

    An account whose reset is unknown is neutral: it ranks with the front-runner, so that it gets traffic and its reset
    becomes known (spec/operations.md §15.13).
    """
    hours = [_reset_hour(each, now) for each in candidates]
    front = min((hour for hour in hours if hour is not None), default=0.0)
    ranks = (front if hour is None else hour for hour in hours)
    return _by_rank([Ranked(each, rank) for each, rank in zip(candidates, ranks, strict=True)])


def round_robin(candidates: Sequence[AccountView], model: str, now: float) -> list[Ranked]:
    """Order by id, so that a turn means the same everywhere; `turned` starts one further with every request."""
    return [Ranked(each) for each in sorted(candidates, key=lambda account: account.id)]


def sticky(candidates: Sequence[AccountView], model: str, now: float) -> list[Ranked]:
    """Most recently used first: one account until it drops out."""
    return [Ranked(each) for each in sorted(candidates, key=lambda account: (-account.last_used_at, account.id))]


def quota_aware(candidates: Sequence[AccountView], model: str, now: float) -> list[Ranked]:
    """Prefer the quota that would be lost: most headroom that resets soonest."""
    return _by_rank(
        [Ranked(each, -(min(pace(each, model, now), HIGHEST_PACE) * PACE_STEPS // 1)) for each in candidates]
    )


STRATEGIES: dict[str, Order] = {
    "least_used": least_used,
    "round_robin": round_robin,
    "sticky": sticky,
    "quota_aware": quota_aware,
}
SPREADING = frozenset({"least_used", "quota_aware"})
"""Strategies under which equally good accounts share the load."""


def known(strategy: str) -> str:
    """Return the strategy's name; an unknown one means least_used (spec/operations.md §2.2)."""
    return strategy if strategy in STRATEGIES else "least_used"


def groups(
    strategy: str, candidates: Sequence[AccountView], *, model: str = "", tiers: Sequence[str] = (), now: float = 0.0
) -> list[list[Ranked]]:
    """Order `candidates`. A group is tried whole before the next: first by tier, then those with quota left."""
    found: dict[tuple[int, bool], list[Ranked]] = {}
    for one in STRATEGIES[known(strategy)](candidates, model, now):
        is_spent = quota.exhausted_until(one.account.quota, model, now) is not None
        found.setdefault((_tier(one.account, tiers), is_spent), []).append(one)
    return [found[place] for place in sorted(found)]


def turned(group: list[T], turn: int) -> list[T]:
    """Return it begun `turn` places further."""
    start = turn % len(group)
    return group[start:] + group[:start]


def pace(account: AccountView, model: str, now: float) -> float:
    """Return how far an account is behind its schedule: headroom over time left, of the scarcer of its windows.

    Above 1 quota would be lost at the reset, 0 is spent. Unknown is on schedule. Only the limit that `model` uses up
    counts.
    """
    known_quota = account.quota
    windows = known_quota.windows.get(quota.bucket_of(model, known_quota.names), {}).values()
    return min((_window_pace(window, now) for window in windows), default=ON_SCHEDULE)


def _window_pace(window: QuotaWindow, now: float) -> float:
    if window.reset_at is not None and window.reset_at <= now:
        return ON_SCHEDULE
    headroom = max(0.0, 100 - window.used_percent) / 100
    if window.reset_at is None or not window.window_minutes:
        return headroom
    left = (window.reset_at - now) / (window.window_minutes * 60)
    return headroom / min(1.0, max(left, SHORTEST_LEFT))


def _reset_hour(account: AccountView, now: float) -> float | None:
    window = account.quota.windows.get(PLAN_BUCKET, {}).get("primary")
    reset = window.reset_at if window is not None and window.reset_at is not None else account.window_reset_at
    return reset // RESET_BUCKET_S if reset is not None and reset > now else None


def _by_rank(ranked: list[Ranked]) -> list[Ranked]:
    return sorted(
        ranked, key=lambda one: (one.rank, one.account.request_count, one.account.last_used_at, one.account.id)
    )


def _tier(account: AccountView, tiers: Sequence[str]) -> int:
    plan = (account.plan or "").lower()
    return tiers.index(plan) if plan in tiers else len(tiers)
