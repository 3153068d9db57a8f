"""What is known of limits: merging, locks, rollover, warnings. Pure values, time is an argument."""

from __future__ import annotations

import pytest

from accounts import quota
from accounts.quota import Quota
from providers.contract import QuotaWindow, RateLimits

NOW = 1_800_000_000.0
HOUR = 3600.0
SPARK_MODEL = "gpt-5.3-codex-spark"


def window(used: float, reset_in_s: float | None = 2 * HOUR, minutes: int | None = 300) -> QuotaWindow:
    reset_at = NOW + reset_in_s if reset_in_s is not None else None
    return QuotaWindow(used_percent=used, window_minutes=minutes, reset_at=reset_at)


def known(bucket: str = "codex", /, *, at: float = NOW, **windows: QuotaWindow) -> Quota:
    return quota.merge(Quota(), RateLimits(windows={bucket: windows}), at)


# ---- T22: merging ---------------------------------------------------------------------------------------------------


def test_t22_a_report_changes_the_buckets_it_names_and_nothing_else() -> None:
    before = known(primary=window(10), secondary=window(40, minutes=10_080))
    before = quota.merge(before, RateLimits(windows={"codex_bengalfox": {"primary": window(5)}}), NOW + 1)
    after = quota.merge(before, RateLimits(windows={"codex": {"primary": window(11)}}), NOW + 2)
    assert after.windows["codex"]["primary"].used_percent == 11
    assert after.windows["codex"]["secondary"].used_percent == 40
    assert after.windows["codex_bengalfox"]["primary"].used_percent == 5


def test_t22_credits_and_reset_credits_survive_a_report_without_them() -> None:
    before = quota.merge(Quota(), RateLimits(credits={"balance": "12.5"}, reset_credits=2, plan="plus"), NOW)
    after = quota.merge(before, RateLimits(windows={"codex": {"primary": window(1)}}), NOW + 1)
    assert (after.credits, after.reset_credits) == ({"balance": "12.5"}, 2)


def test_t22_an_older_report_of_a_bucket_changes_nothing_of_it() -> None:
    after = quota.merge(
        known(at=NOW + 5, primary=window(50)), RateLimits(windows={"codex": {"primary": window(9)}}), NOW
    )
    assert after.windows["codex"]["primary"].used_percent == 50


def test_t22_a_window_keeps_the_length_and_reset_that_a_later_report_leaves_out() -> None:
    after = quota.merge(
        known(primary=window(10)), RateLimits(windows={"codex": {"primary": window(12, None, None)}}), NOW
    )
    assert after.windows["codex"]["primary"] == QuotaWindow(
        used_percent=12, window_minutes=300, reset_at=NOW + 2 * HOUR
    )


def test_t22_the_whole_truth_drops_buckets_it_does_not_name_and_partial_reports_do_not() -> None:
    before = quota.merge(known(primary=window(1)), RateLimits(windows={"old_model": {"primary": window(3)}}), NOW)
    partial = RateLimits(windows={"codex": {"primary": window(2)}})
    assert "old_model" in quota.merge(before, partial, NOW + 1).windows
    whole = RateLimits(windows={"codex": {"primary": window(2)}}, is_whole=True)
    assert "old_model" not in quota.merge(before, whole, NOW + 1).windows


# ---- exhausted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("used", "end"), [(99.9, None), (100, NOW + 2 * HOUR), (130, NOW + 2 * HOUR)])
def test_a_bucket_is_exhausted_at_100_percent_and_not_before(used: float, end: float | None) -> None:
    assert quota.exhausted_until(known(primary=window(used)), "gpt-5.5", NOW) == end


def test_the_longer_of_two_full_windows_decides() -> None:
    both = known(primary=window(100, HOUR), secondary=window(100, 50 * HOUR, 10_080))
    assert quota.exhausted_until(both, "gpt-5.5", NOW) == NOW + 50 * HOUR


def test_an_exhausted_code_review_bucket_keeps_ordinary_requests_away() -> None:
    assert quota.exhausted_until(known("code_review", primary=window(100)), "gpt-5.5", NOW) == NOW + 2 * HOUR


def test_t24_a_spark_bucket_closes_only_spark_and_the_plans_bucket_does_not_close_spark() -> None:
    spark = quota.lock(Quota(), quota.bucket_of(SPARK_MODEL), NOW + HOUR, NOW)
    assert quota.exhausted_until(spark, SPARK_MODEL, NOW) == NOW + HOUR
    assert quota.exhausted_until(spark, "gpt-5.5", NOW) is None
    plan = quota.lock(Quota(), quota.bucket_of("gpt-5.5"), NOW + HOUR, NOW)
    assert quota.exhausted_until(plan, SPARK_MODEL, NOW) is None


def test_a_model_draws_from_the_bucket_that_bears_its_name() -> None:
    names = {"codex_new": "GPT-7 Codex Nova"}
    assert quota.bucket_of("gpt-7-codex-nova", names) == "codex_new"
    assert quota.bucket_of("gpt-5.5", names) == "codex"


def test_a_full_window_without_a_reset_counts_for_a_minute_and_then_needs_a_check() -> None:
    stuck = known(primary=window(100, None))
    assert quota.exhausted_until(stuck, "gpt-5.5", NOW) == NOW + quota.UNKNOWN_RESET_S
    assert quota.rolled(stuck, NOW + 30) is stuck
    assert quota.rolled(stuck, NOW + 61).needs_check


# ---- T23: locks -----------------------------------------------------------------------------------------------------


def test_t23_a_later_shorter_refusal_never_shortens_a_lock_or_a_full_window() -> None:
    weekly = quota.lock(Quota(), "codex", NOW + 100 * HOUR, NOW)
    assert quota.exhausted_until(quota.lock(weekly, "codex", NOW + 60, NOW), "gpt-5.5", NOW) == NOW + 100 * HOUR
    full = known(primary=window(100, 50 * HOUR))
    assert quota.lock(full, "codex", NOW + 60, NOW).locks["codex"] == NOW + 50 * HOUR


def test_a_lock_outlives_partial_reports_and_ends_with_the_usage_endpoints_word() -> None:
    locked = quota.lock(known(primary=window(100)), "codex", NOW + 2 * HOUR, NOW)
    partial = RateLimits(windows={"codex": {"primary": window(3)}})
    assert quota.exhausted_until(quota.merge(locked, partial, NOW + 1), "gpt-5.5", NOW) == NOW + 2 * HOUR
    whole = RateLimits(windows={"codex": {"primary": window(3)}}, allowed=("codex",), is_whole=True)
    assert quota.exhausted_until(quota.merge(locked, whole, NOW + 1), "gpt-5.5", NOW) is None


def test_a_bucket_that_is_said_to_be_shut_is_shut_although_no_window_is_full() -> None:
    said = RateLimits(windows={"codex": {"primary": window(80)}}, blocked=("codex",), is_whole=True)
    assert quota.exhausted_until(quota.merge(Quota(), said, NOW), "gpt-5.5", NOW) == NOW + 2 * HOUR


# ---- T25: rollover --------------------------------------------------------------------------------------------------


def test_t25_a_window_that_is_over_is_emptied_moved_on_by_whole_windows_and_marked_as_a_guess() -> None:
    later = NOW + 13 * HOUR  # the window of 5 h ended after 2 h, and again after 7 and 12
    after = quota.rolled(known(primary=window(100)), later)
    assert after.windows["codex"]["primary"] == window(0, 17 * HOUR)
    assert after.needs_check
    assert quota.exhausted_until(after, "gpt-5.5", later) is None


def test_t25_a_window_of_unknown_length_rolls_to_an_unknown_reset() -> None:
    after = quota.rolled(known(primary=window(100, HOUR, None)), NOW + 2 * HOUR)
    assert after.windows["codex"]["primary"] == window(0, None, None) and after.needs_check


def test_t25_a_lock_that_is_over_is_a_guess_too() -> None:
    locked = quota.lock(Quota(), "codex", NOW + HOUR, NOW)
    assert quota.rolled(locked, NOW) is locked
    assert quota.rolled(locked, NOW + 2 * HOUR) == Quota(needs_check=True, changed_at=NOW)
    assert quota.was_exhausted(locked, "gpt-5.5", NOW + 2 * HOUR)
    assert not quota.was_exhausted(locked, SPARK_MODEL, NOW + 2 * HOUR)


def test_t25_the_upstreams_next_word_confirms_the_guess() -> None:
    guessed = quota.rolled(known(primary=window(100)), NOW + 3 * HOUR)
    confirmed = quota.merge(guessed, RateLimits(windows={"codex": {"primary": window(1, 9 * HOUR)}}), NOW + 3 * HOUR)
    assert not confirmed.needs_check and not quota.is_check_due(confirmed, NOW + 3 * HOUR)


def test_what_has_not_rolled_is_the_same_object() -> None:
    quiet = known(primary=window(10), secondary=window(20, 50 * HOUR, 10_080))
    assert quota.rolled(quiet, NOW) is quiet


# ---- headroom and warnings ------------------------------------------------------------------------------------------


def test_headroom_is_that_of_the_tightest_window() -> None:
    found = quota.headroom(known(primary=window(20, HOUR), secondary=window(70, 50 * HOUR, 10_080)), "gpt-5.5", NOW)
    assert (found.left_percent, found.resets_at, found.is_known) == (30, NOW + 50 * HOUR, True)


def test_headroom_of_an_unknown_account_is_all_and_of_a_locked_one_none() -> None:
    assert quota.headroom(Quota(), "gpt-5.5", NOW).left_percent == 100
    locked = quota.lock(known(primary=window(20)), "codex", NOW + HOUR, NOW)
    assert quota.headroom(locked, "gpt-5.5", NOW).left_percent == 0


def test_headroom_counts_a_window_that_is_over_as_empty() -> None:
    assert quota.headroom(known(primary=window(90, HOUR)), "gpt-5.5", NOW + 2 * HOUR).left_percent == 100


@pytest.mark.parametrize(
    ("used", "steps", "level"),
    [(79, [80, 90], None), (80, [80, 90], "warning"), (89.9, [80, 90], "warning"), (90, [80, 90], "critical"),
     (100, [80, 90], "critical"), (50, [50], "critical"), (60, [90, 50], "warning"), (100, [], None)],
)  # fmt: skip
def test_t27_the_highest_step_is_critical_and_the_others_warn(used: float, steps: list[int], level: str | None) -> None:
    found = list(quota.warnings(known(primary=window(used)), {"primary": steps}, NOW))
    assert [each.level for each in found] == ([level] if level else [])


def test_t27_a_window_that_is_over_warns_of_nothing() -> None:
    assert list(quota.warnings(known(primary=window(95, HOUR)), {}, NOW + 2 * HOUR)) == []


# ---- stored ---------------------------------------------------------------------------------------------------------


def test_what_is_stored_comes_back_and_rubbish_is_nothing_known() -> None:
    full = quota.lock(known(primary=window(100), secondary=window(3)), "codex", NOW + 9, NOW, is_guess=True)
    assert quota.load(quota.dump(full)) == full
    assert quota.load({"windows": {"codex": {"primary": {"used_percent": 22, "window_minutes": 300}}}}).windows
    for rubbish in (None, [], "x", {"windows": 3}, {"locks": {"codex": "soon"}}):
        assert quota.load(rubbish) == Quota()
