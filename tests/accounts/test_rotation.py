"""The order in which each strategy tries accounts. T numbers are those of spec/operations.md §18."""

from __future__ import annotations

import pytest

from accounts.quota import Quota
from accounts.rotation import RESET_BUCKET_S, STRATEGIES, groups, pace, turned
from accounts.values import AccountView
from providers.contract import Credential, QuotaWindow, Secret

NOW = 1_800_000_000.0
HOUR = 3600.0
SOON, LATE = NOW + HOUR, NOW + 50 * HOUR


def account(name: str, **fields: object) -> AccountView:
    return AccountView(
        id=name,
        provider="codex",
        credential=Credential(token=Secret("t"), scope=name),
        **fields,  # type: ignore[arg-type]
    )


def metered(name: str, *windows: tuple[float, int, float], bucket: str = "codex", **fields: object) -> AccountView:
    """An account with windows of (percent used, minutes long, hours until the reset)."""
    named = {
        which: QuotaWindow(used_percent=used, window_minutes=minutes, reset_at=NOW + hours * HOUR)
        for which, (used, minutes, hours) in zip(("primary", "secondary"), windows, strict=False)
    }
    return account(name, quota=Quota(windows={bucket: named}), **fields)


def names(strategy: str, accounts: list[AccountView], **wishes: object) -> list[str]:
    return [one.account.id for group in groups(strategy, accounts, now=NOW, **wishes) for one in group]  # type: ignore[arg-type]


# ---- least used -----------------------------------------------------------------------------------------------------


def test_t1_least_used_takes_the_quota_that_resets_first() -> None:
    accounts = [account("late", window_reset_at=LATE), account("soon", window_reset_at=SOON, request_count=99)]
    assert names("least_used", accounts) == ["soon", "late"]


def test_t1_the_reset_that_the_upstream_reported_last_counts() -> None:
    accounts = [metered("soon", (50, 300, 1)), account("late", window_reset_at=LATE)]
    assert names("least_used", accounts) == ["soon", "late"]


@pytest.mark.parametrize("count", [0, 10])
def test_t2_an_unknown_reset_is_neutral_and_requests_decide(count: int) -> None:
    accounts = [
        account("known", window_reset_at=SOON, request_count=5), account("new", request_count=count),
        account("late", window_reset_at=LATE),
    ]  # fmt: skip
    first_two = ["new", "known"] if count < 5 else ["known", "new"]
    assert names("least_used", accounts) == [*first_two, "late"]


def test_t2_a_reset_in_the_past_is_unknown() -> None:
    accounts = [account("known", window_reset_at=SOON, request_count=5), account("past", window_reset_at=NOW - HOUR)]
    assert names("least_used", accounts) == ["past", "known"]


def test_t3_resets_within_one_hour_tie_and_share_a_rank() -> None:
    hour = NOW - NOW % RESET_BUCKET_S + RESET_BUCKET_S
    accounts = [
        account("busy", window_reset_at=hour, request_count=9), account("idle", window_reset_at=hour + 3599),
        account("unknown", request_count=3),
    ]  # fmt: skip
    [group] = groups("least_used", accounts, now=NOW)
    assert [one.account.id for one in group] == ["idle", "unknown", "busy"]
    assert len({one.rank for one in group}) == 1


def test_equal_requests_leave_it_to_the_longest_unused_then_to_the_id() -> None:
    accounts = [account("c", last_used_at=5), account("b", last_used_at=9), account("a", last_used_at=9)]
    assert names("least_used", accounts) == ["c", "a", "b"]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_accounts_with_spent_quota_come_last_whatever_the_strategy(strategy: str) -> None:
    accounts = [metered("spent", (100, 300, 1), last_used_at=9), metered("open", (99, 300, 4), request_count=50)]
    assert [[one.account.id for one in group] for group in groups(strategy, accounts, now=NOW)] == [["open"], ["spent"]]


# ---- the others -----------------------------------------------------------------------------------------------------


def test_t5_round_robin_starts_one_further_each_turn_whatever_the_given_order() -> None:
    [group] = groups("round_robin", [account("b"), account("c"), account("a")], now=NOW)
    assert [[one.account.id for one in turned(group, turn)] for turn in (0, 1, 5)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
    ]


def test_t4_sticky_stays_with_the_most_recently_used() -> None:
    accounts = [account("old", last_used_at=1), account("b", last_used_at=7), account("a", last_used_at=7)]
    assert names("sticky", accounts) == ["a", "b", "old"]


def test_quota_aware_takes_the_most_headroom_that_resets_soonest() -> None:
    accounts = [
        metered("half left, half of the time left", (50, 300, 2.5)),
        metered("much left, little time left", (20, 300, 0.5)),
        metered("little left, much time left", (80, 300, 4.5)),
        account("nothing known"),
    ]
    assert names("quota_aware", accounts) == [
        "much left, little time left",
        "half left, half of the time left",
        "nothing known",
        "little left, much time left",
    ]


def test_quota_aware_goes_by_the_scarcer_window() -> None:
    weekly_gone = metered("weekly nearly gone", (0, 300, 1), (97, 10_080, 100))
    balanced = metered("balanced", (50, 300, 2.5), (50, 10_080, 84))
    assert names("quota_aware", [weekly_gone, balanced]) == ["balanced", "weekly nearly gone"]


def test_quota_aware_goes_by_the_limit_that_the_model_uses_up() -> None:
    spark = metered("spark is fresh", (5, 300, 1), bucket="codex_bengalfox")
    assert pace(spark, "gpt-5.3-codex-spark", NOW) > pace(spark, "gpt-5.5", NOW) == 1.0


def test_a_window_that_has_reset_is_on_schedule_again() -> None:
    assert pace(metered("a", (97, 300, -0.1)), "gpt-5.5", NOW) == 1.0


def test_paces_that_are_nearly_equal_share_the_load() -> None:
    accounts = [metered("a", (50, 300, 2.5)), metered("b", (48, 300, 2.5))]
    [group] = groups("quota_aware", accounts, now=NOW)
    assert len({one.rank for one in group}) == 1


# ---- tiers ----------------------------------------------------------------------------------------------------------


def test_t9_the_best_tier_is_tried_whole_before_the_next_and_plans_not_named_come_last() -> None:
    accounts = [
        account("free", plan="free"), account("plus", plan="Plus"), account("none"),
        account("pro-2", plan="pro", request_count=9), account("pro-1", plan="pro"),
    ]  # fmt: skip
    found = groups("least_used", accounts, tiers=("pro", "plus"), now=NOW)
    assert [[one.account.id for one in group] for group in found] == [["pro-1", "pro-2"], ["plus"], ["free", "none"]]


def test_an_unknown_strategy_means_least_used() -> None:
    accounts = [account("x", request_count=5), account("y", request_count=1)]
    assert names("no such thing", accounts) == names("least_used", accounts) == ["y", "x"]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_nothing_to_choose_from_is_an_empty_order(strategy: str) -> None:
    assert groups(strategy, []) == []
