"""Quota on rows: what a report changes, what rests because of it, and when the hot path has to hear of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from accounts import quota, quota_rows
from accounts.changes import current_version
from accounts.loader import load_accounts
from accounts.models import Account
from accounts.reporting import accounts_report
from accounts.values import AccountReport
from providers.contract import QuotaWindow, RateLimits
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db
HOUR = 3600.0
SPARK_MODEL = "gpt-5.3-codex-spark"


def limits(used: float, reset_at: float, bucket: str = "codex", minutes: int = 300, **more: object) -> RateLimits:
    window = QuotaWindow(used_percent=used, window_minutes=minutes, reset_at=reset_at)
    return RateLimits(windows={bucket: {"primary": window}}, **more)  # type: ignore[arg-type]


def heard(row: Account, report: RateLimits, at: float) -> Account:
    accounts_report([AccountReport(account_id=row.pk, limits=report, limits_at=at)])
    row.refresh_from_db()
    return row


def refused(row: Account, bucket: str, until: float) -> Account:
    accounts_report([AccountReport(account_id=row.pk, cooling_until=until, cooling_reason="x", bucket=bucket)])
    row.refresh_from_db()
    return row


def test_a_used_up_limit_lets_the_account_rest_until_its_reset_and_says_which_limit_it_is() -> None:
    now = time.time()
    row = heard(AccountFactory(), limits(100, now + HOUR), now)
    assert row.cooling_until == datetime.fromtimestamp(now + HOUR, UTC)
    assert row.cooling_reason == "5-hour limit reached"
    assert heard(row, limits(100, now + 90 * HOUR, minutes=10_080), now + 1).cooling_reason == "weekly limit reached"


def test_the_usage_endpoint_ends_a_rest_that_a_refusal_began_and_headers_do_not() -> None:
    now = time.time()
    row = refused(AccountFactory(), "codex", now + 5 * HOUR)
    assert row.cooling_until is not None
    assert heard(row, limits(3, now + HOUR), now).cooling_until is not None
    opened = heard(row, limits(3, now + HOUR, allowed=("codex",), is_whole=True), now + 1)
    assert (opened.cooling_until, opened.cooling_reason) == (None, "")


def test_a_rest_of_another_cause_outlives_the_quota() -> None:
    now = time.time()
    blocked_until = datetime.fromtimestamp(now + 9 * HOUR, UTC)
    row = refused(
        AccountFactory(cooling_until=blocked_until, cooling_reason="blocked at the edge"), "codex", now + HOUR
    )
    row = heard(row, limits(3, now + HOUR, allowed=("codex",), is_whole=True), now + 1)
    assert (row.cooling_until, row.cooling_reason) == (blocked_until, "blocked at the edge")


def test_t24_a_spark_refusal_leaves_the_account_ready_and_reaches_the_hot_path() -> None:
    now = time.time()
    row = refused(AccountFactory(), "codex_bengalfox", now + HOUR)
    assert row.cooling_until is None
    [view] = load_accounts()
    assert view.cooling_until == 0
    assert quota.exhausted_until(view.quota, SPARK_MODEL, now) == pytest.approx(now + HOUR)
    assert quota.exhausted_until(view.quota, "gpt-5.5", now) is None


def test_a_plan_refusal_is_the_quotas_to_tell_so_that_other_buckets_are_still_served() -> None:
    now = time.time()
    row = refused(AccountFactory(), "codex", now + HOUR)
    assert row.cooling_until is not None
    [view] = load_accounts()
    assert view.cooling_until == 0
    assert quota.exhausted_until(view.quota, "gpt-5.5", now) == pytest.approx(now + HOUR)
    assert quota.exhausted_until(view.quota, SPARK_MODEL, now) is None


def test_t23_a_later_shorter_refusal_changes_nothing() -> None:
    now = time.time()
    row = refused(AccountFactory(), "codex", now + 50 * HOUR)
    assert refused(row, "codex", now + 60).cooling_until == datetime.fromtimestamp(now + 50 * HOUR, UTC)


def test_t25_a_window_that_is_over_is_rolled_once_and_marked() -> None:
    now = time.time()
    row = heard(AccountFactory(), limits(100, now + 1), now)
    assert quota_rows.roll(row, now + 2)
    assert not quota_rows.roll(row, now + 2)
    assert quota.load(row.quota).needs_check
    assert row.cooling_until is not None  # over by itself; nothing shortens or clears it


@pytest.mark.parametrize(("used", "is_told"), [(51, False), (59.9, False), (61, True), (100, True)])
def test_the_hot_path_hears_of_steps_and_not_of_every_percent(used: float, is_told: bool) -> None:
    now = time.time()
    row = heard(AccountFactory(), limits(50, now + HOUR), now)
    before = current_version()
    heard(row, limits(used, now + HOUR), now + 1)
    assert (current_version() > before) is is_told
