"""Strategies: in which order accounts are tried. Pure functions from candidates to an order.

Slots in use are the shared state's knowledge, so `least_used` asks it to spread: fewest slots first, then the earlier
quota reset (use it before it resets), then whoever was not chosen for longest. The order given here, by requests and
last use as the database knows them, decides between accounts that were never chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from accounts.values import AccountView

RESET_BUCKET_S = 3600.0
"""Resets within the same hour count as equal; otherwise one account would always win by seconds."""


def least_used(candidates: Sequence[AccountView], turn: int) -> list[AccountView]:
    """Order by quota reset, requests, last use."""
    return sorted(candidates, key=_least_used_key)


def round_robin(candidates: Sequence[AccountView], turn: int) -> list[AccountView]:
    """Start one further with every request; ordered by id, so that the turn means the same everywhere."""
    ordered = sorted(candidates, key=lambda account: account.id)
    start = turn % len(ordered) if ordered else 0
    return ordered[start:] + ordered[:start]


def sticky(candidates: Sequence[AccountView], turn: int) -> list[AccountView]:
    """Most recently used first: one account until it drops out."""
    return sorted(candidates, key=lambda account: (-account.last_used_at, account.id))


STRATEGIES: dict[str, Callable[[Sequence[AccountView], int], list[AccountView]]] = {
    "least_used": least_used,
    "round_robin": round_robin,
    "sticky": sticky,
}


def order(strategy: str, candidates: Sequence[AccountView], turn: int) -> list[AccountView]:
    """Order `candidates`; an unknown strategy means least_used (spec/operations.md §2.2)."""
    return STRATEGIES.get(strategy, least_used)(candidates, turn)


def rank(account: AccountView) -> float:
    """Return the hour of the next quota reset; the earlier, the better."""
    reset = account.window_reset_at
    return reset // RESET_BUCKET_S if reset is not None else float("inf")


def _least_used_key(account: AccountView) -> tuple[float, int, float, str]:
    return (rank(account), account.request_count, account.last_used_at, account.id)
