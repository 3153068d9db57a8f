"""Quota in words, in bars and as JSON; and the pages that show it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import quota
from accounts.models import AuditEntry, QuotaSample, User
from accounts.quota import Quota
from accounts.quota_words import bars, hourly_used, quota_json
from codexproxy.dashboard.quota import pool_quota
from codexproxy.live_settings import setting_set
from providers.contract import QuotaWindow, RateLimits
from tests.factories import AccountFactory

NOW = 1_800_000_000.0
HOUR = 3600.0


def known(now: float = NOW, *, short: float = 22, long: float = 49) -> Quota:
    windows = {
        "primary": QuotaWindow(used_percent=short, window_minutes=300, reset_at=now + 2 * HOUR),
        "secondary": QuotaWindow(used_percent=long, window_minutes=10_080, reset_at=now + 50 * HOUR),
    }
    spark = {"primary": QuotaWindow(used_percent=85, window_minutes=300, reset_at=now + HOUR)}
    report = RateLimits(
        windows={"codex_bengalfox": spark, "codex": windows}, names={"codex_bengalfox": "Spark"},
        credits={"has_credits": True, "balance": "12.5"}, reset_credits=2,
    )  # fmt: skip
    return quota.merge(Quota(), report, now)


def test_every_window_is_a_bar_the_plans_own_first() -> None:
    assert [bar.words for bar in bars(known(), NOW)] == [
        "5 h · 78 % left · resets in 2 h", "7 d · 51 % left · resets in 2 d 2 h",
        "Spark · 5 h · 15 % left · resets in 1 h",
    ]  # fmt: skip
    assert [bar.level for bar in bars(known(), NOW)] == ["good", "good", "low"]


def test_a_locked_bucket_is_empty_until_the_lock_ends() -> None:
    locked = quota.lock(known(), "codex", NOW + 3 * HOUR, NOW)
    assert bars(locked, NOW)[0].words == "5 h · 0 % left · opens again in 3 h"


def test_a_window_that_is_over_is_drawn_full() -> None:
    assert bars(known(short=100), NOW + 3 * HOUR)[0].left_percent == 100


def test_the_json_shape_is_that_of_the_specification() -> None:
    shape = quota_json(quota.lock(known(), "codex_bengalfox", NOW + 9 * HOUR, NOW), "plus", NOW)
    assert shape is not None
    assert shape["rate_limit"] == {
        "allowed": True, "limit_reached": False, "used_percent": 22, "remaining_percent": 78,
        "reset_at": int(NOW + 2 * HOUR), "limit_window_seconds": 18_000,
    }  # fmt: skip
    assert shape["secondary_rate_limit"]["remaining_percent"] == 51
    assert shape["code_review_rate_limit"] is None
    assert (shape["plan_type"], shape["reset_credits_available"]) == ("plus", 2)
    assert shape["credits"] == {
        "has_credits": True, "unlimited": False, "overage_limit_reached": False, "balance": 12.5
    }  # fmt: skip
    spark = shape["rate_limits_by_limit_id"]["codex_bengalfox"]
    assert (spark["limit_name"], spark["limit_reached"], spark["used_percent"]) == ("Spark", True, 100)
    assert spark["reset_at"] == int(NOW + 9 * HOUR)
    assert quota_json(Quota(), "plus", NOW) is None


def test_credits_whose_balance_is_no_number_are_not_known() -> None:
    shape = quota_json(quota.merge(Quota(), RateLimits(credits={"balance": "lots"}), NOW), "", NOW)
    assert shape is not None and shape["credits"] is None


def test_the_chart_keeps_the_highest_use_of_each_hour_and_gaps_where_nothing_was_said() -> None:
    class Sample:
        def __init__(self, age_h: float, used: float | None) -> None:
            self.at, self.primary_used = timezone.now() - timedelta(hours=age_h), used

    samples = [Sample(2.9, 40), Sample(2.5, 44.6), Sample(0.1, 3), Sample(99, 9), Sample(1.5, None)]
    assert hourly_used(samples, time.time(), 4) == [None, 45, None, 3]


# ---- pages ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("olga", password="a long enough password"))
    return client


def test_t27_the_overview_warns_of_accounts_that_are_nearly_used_up(operator: Client) -> None:
    AccountFactory(label="nearly", quota=quota.dump(known(time.time(), short=92, long=81)))
    AccountFactory(label="fine", quota=quota.dump(known(time.time())))
    found = pool_quota(timezone.now())
    assert [(w.name, w.window, w.level) for w in found.warnings] == [
        ("nearly", "primary", "critical"), ("nearly", "secondary", "warning")
    ]  # fmt: skip
    assert [(bar.window, bar.left_percent) for bar in found.windows] == [("5 h", 43), ("7 d", 35)]
    page = operator.get("/admin/").content.decode()
    assert "5 h: 92 % used · resets in 2 h" in page and "critical" in page
    setting_set("quota.warning_thresholds.primary", "95", actor="test")
    assert [w.window for w in pool_quota(timezone.now()).warnings] == ["secondary"]


def test_the_account_page_shows_limits_history_and_banked_resets(operator: Client) -> None:
    row = AccountFactory(quota=quota.dump(known(time.time())), quota_at=timezone.now())
    QuotaSample.objects.create(account=row, at=timezone.now(), primary_used=22)
    page = operator.get(f"/admin/accounts/account/{row.pk}/change/").content.decode()
    for words in ("78 % left", "Spark", "2 banked resets", "Credits: 12.5", "hour by hour: highest 22 %"):
        assert words in page
    empty = operator.get(f"/admin/accounts/account/{AccountFactory().pk}/change/").content.decode()
    assert "Nothing was reported yet" in empty


def test_spending_a_reset_asks_first_and_then_leaves_its_trace(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[Any] = []
    monkeypatch.setattr(
        "accounts.admin.quota_actions.reset_credit_consume",
        lambda row, actor: (spent.append((row.pk, actor)), "reset")[1],
    )
    row = AccountFactory(label="alex")
    choice = {"action": "spend_reset", "_selected_action": row.pk}
    asked = operator.post("/admin/accounts/account/", choice).content.decode()
    assert "cannot be taken back" in asked and "alex" in asked and spent == []
    answer = operator.post("/admin/accounts/account/", {**choice, "confirmed": "1"}, follow=True)
    assert spent == [(row.pk, "olga")] and "The limits were reset." in answer.content.decode()


def test_asking_for_limits_says_what_did_not_answer(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    row = AccountFactory(label="alex", status="paused")
    monkeypatch.setattr("accounts.services.quota.send_control", None)  # a paused account is never asked
    answer = operator.post(
        "/admin/accounts/account/", {"action": "ask_for_limits", "_selected_action": row.pk}, follow=True
    ).content.decode()
    assert "alex: It is not active" in answer
    assert not AuditEntry.objects.exists()
