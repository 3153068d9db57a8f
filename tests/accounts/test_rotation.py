"""The order in which each strategy tries accounts."""

from __future__ import annotations

import pytest

from accounts.rotation import RESET_BUCKET_S, order
from accounts.values import AccountView
from providers.contract import Credential, Secret


def account(name: str, **fields: object) -> AccountView:
    return AccountView(
        id=name,
        provider="codex",
        credential=Credential(token=Secret("t"), scope=name),
        **fields,  # type: ignore[arg-type]
    )


def names(strategy: str, accounts: list[AccountView], turn: int = 0) -> list[str]:
    return [each.id for each in order(strategy, accounts, turn)]


def test_least_used_takes_the_quota_that_resets_first() -> None:
    soon, late = RESET_BUCKET_S * 10, RESET_BUCKET_S * 50
    accounts = [account("never"), account("late", window_reset_at=late), account("soon", window_reset_at=soon)]
    assert names("least_used", accounts) == ["soon", "late", "never"]


def test_resets_within_one_hour_count_as_equal_and_requests_decide() -> None:
    accounts = [
        account("busy", window_reset_at=RESET_BUCKET_S * 3, request_count=9),
        account("idle", window_reset_at=RESET_BUCKET_S * 4 - 1, request_count=2),
    ]
    assert names("least_used", accounts) == ["idle", "busy"]


def test_equal_requests_leave_it_to_the_longest_unused_then_to_the_id() -> None:
    accounts = [account("c", last_used_at=5), account("b", last_used_at=9), account("a", last_used_at=9)]
    assert names("least_used", accounts) == ["c", "a", "b"]


def test_round_robin_starts_one_further_each_turn_whatever_the_given_order() -> None:
    accounts = [account("b"), account("c"), account("a")]
    assert [names("round_robin", accounts, turn) for turn in (0, 1, 5)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
    ]


def test_sticky_stays_with_the_most_recently_used() -> None:
    accounts = [account("old", last_used_at=1), account("b", last_used_at=7), account("a", last_used_at=7)]
    assert names("sticky", accounts) == ["a", "b", "old"]


def test_an_unknown_strategy_means_least_used() -> None:
    accounts = [account("x", request_count=5), account("y", request_count=1)]
    assert names("no such thing", accounts) == names("least_used", accounts) == ["y", "x"]


@pytest.mark.parametrize("strategy", ["least_used", "round_robin", "sticky"])
def test_nothing_to_choose_from_is_an_empty_order(strategy: str) -> None:
    assert order(strategy, [], 3) == []
