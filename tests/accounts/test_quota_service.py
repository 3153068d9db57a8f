"""Asking the upstream about limits and resets: what is stored, what a refusal costs, what can be done only once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import quota, selectors
from accounts.models import Account, AccountStatus, AuditEntry, QuotaSample
from accounts.services.errors import AccountsError
from accounts.services.quota import (
    ResetCooling,
    UpstreamSilent,
    quota_refresh,
    quota_roll,
    quota_sample,
    reset_credit_consume,
    reset_credits,
)
from codexproxy.live_settings import BadSetting, setting_set, setting_value
from codexproxy.tasks import check_quota
from providers.adapters.codex import account_calls
from providers.contract import Credential, Secret, UpstreamRequest
from providers.simulator.server import Simulator
from providers.transport.control import ControlAnswer, send_control
from tests.factories import AccountFactory
from translation.errors import UpstreamUnreachable

pytestmark = pytest.mark.django_db
HOUR = 3600


def usage(used: float = 12, *, limit_reached: bool = False, reset_in_s: float = HOUR) -> dict[str, Any]:
    window = {"used_percent": used, "limit_window_seconds": 18_000, "reset_at": time.time() + reset_in_s}
    return {
        "plan_type": "pro",
        "rate_limit": {"allowed": not limit_reached, "limit_reached": limit_reached, "primary_window": window},
        "rate_limit_reset_credits": {"available_count": 1},
        "credits": {"has_credits": True, "balance": "12.5"},
    }


def account(**fields: Any) -> Account:
    """Return a row as it is read back: its tokens are secrets, not text."""
    return Account.objects.get(pk=AccountFactory(**fields).pk)


class Backend:
    """Answers control calls by the end of their path; remembers them."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[UpstreamRequest] = []
        self.egresses: list[str | None] = []

    def __call__(self, request: UpstreamRequest, egress: str | None) -> ControlAnswer:
        self.asked.append(request)
        self.egresses.append(egress)
        answer = self.answers[request.url.rpartition("/")[2].replace("-", "_")]
        answer = answer(request) if isinstance(answer, Callable) else answer
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return ControlAnswer(status=status, headers={}, body=raw)


def used(row: Account) -> float | None:
    row.refresh_from_db()
    window = quota.load(row.quota).windows.get("codex", {}).get("primary")
    return window.used_percent if window is not None else None


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_stored_where_everybody_reads_it() -> None:
    row, backend = account(plan="plus"), Backend(usage=usage(42))
    [check] = quota_refresh(rows=[row], send=backend)
    assert (check.problem, used(row), row.plan) == ("", 42, "pro")
    assert row.quota_checked_at is not None and row.quota_at is not None
    assert quota.load(row.quota).reset_credits == 1
    headers = dict(backend.asked[0].headers)
    assert headers["chatgpt-account-id"] == row.chatgpt_account_id
    assert headers["originator"] == "codex_cli_rs" and headers["user-agent"].startswith("codex_cli_rs/")


@pytest.mark.parametrize(
    ("status", "body", "becomes"),
    [
        (401, {"error": {"code": "account_deactivated", "message": "deactivated"}}, AccountStatus.BANNED),
        (401, {"detail": "Unauthorized"}, AccountStatus.NEEDS_LOGIN),
        (403, {"detail": "no"}, AccountStatus.BANNED),
        (403, b"<html>Just a moment...</html>", AccountStatus.ACTIVE),
        (429, {"error": {"type": "usage_limit_reached"}}, AccountStatus.ACTIVE),
        (500, {"rate_limit": {}}, AccountStatus.ACTIVE),
        (200, b"<html>fine</html>", AccountStatus.ACTIVE),
    ],
)
def test_the_status_of_the_answer_counts_first_and_only_a_refused_login_costs_the_account(
    status: int, body: Any, becomes: AccountStatus
) -> None:
    row = account(refresh_token=None)
    [check] = quota_refresh(rows=[row], send=Backend(usage=(status, body)))
    row.refresh_from_db()
    assert check.problem and check.limits is None
    assert row.status == becomes and not row.quota
    assert row.quota_checked_at is not None  # not asked again at once


def test_an_account_that_is_paused_or_expired_is_not_asked() -> None:
    rows = [
        account(status=AccountStatus.PAUSED),
        account(token_expires_at=timezone.now() - timedelta(minutes=1)),
    ]
    backend = Backend()
    assert all(check.problem for check in quota_refresh(rows=rows, send=backend))
    assert backend.asked == []


def test_many_accounts_are_asked_at_once_but_never_more_than_allowed() -> None:
    rows = [account() for _ in range(12)]
    running, most = 0, 0

    def slow(_: UpstreamRequest) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1
        return usage()

    checks = quota_refresh(rows=rows, concurrency=3, send=Backend(usage=slow), spacing_s=0)
    assert not any(check.problem for check in checks)
    assert 1 < most <= 3


# ---- who is asked when ----------------------------------------------------------------------------------------------


def test_only_active_accounts_that_have_served_are_asked_and_only_when_their_turn_has_come() -> None:
    now = timezone.now()
    account(label="never served")
    account(label="paused", status=AccountStatus.PAUSED, last_used_at=now)
    account(label="fresh", last_used_at=now, quota_checked_at=now - timedelta(minutes=5))
    account(label="old", last_used_at=now, quota_checked_at=now - timedelta(minutes=13))
    account(label="never asked", last_used_at=now)
    due = selectors.accounts_due_for_quota(now, 10)
    assert [row.label for row in due] == ["never asked", "old"]
    assert selectors.accounts_due_for_quota(now, 0) == []


def test_locked_and_rolled_over_accounts_are_asked_every_half_hour_even_without_an_interval() -> None:
    now = timezone.now()
    locked = quota.dump(quota.lock(quota.Quota(), "codex", now.timestamp() + HOUR, now.timestamp()))
    over = quota.dump(quota.lock(quota.Quota(), "codex", now.timestamp() - 1, now.timestamp() - HOUR))
    account(label="locked", last_used_at=now, quota=locked)
    account(label="over", last_used_at=now, quota=over)
    account(label="just asked", last_used_at=now, quota=locked, quota_checked_at=now - timedelta(minutes=29))
    assert {row.label for row in selectors.accounts_due_for_quota(now, 0)} == {"locked", "over"}


def test_the_beat_task_rolls_and_asks_by_the_live_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(
        "codexproxy.tasks.quota_refresh", lambda rows, concurrency: asked.append([r.label for r in rows]) or []
    )
    now = timezone.now()
    account(label="a", last_used_at=now)
    check_quota()
    assert asked == []
    setting_set("quota.refresh_interval_minutes", "15", actor="test")
    check_quota()
    assert asked == [["a"]]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("quota.warning_thresholds.primary", "[50, 90,50]", (50, 90)),
        ("quota.warning_thresholds.secondary", "95", (95,)),
        ("quota.concurrency", "3", 3),
        ("quota.skip_exhausted", "false", False),
    ],
)
def test_settings_are_read_back_as_they_were_meant(key: str, text: str, value: Any) -> None:
    setting_set(key, text, actor="test")
    assert setting_value(key) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [("quota.warning_thresholds.primary", "0,90"), ("quota.warning_thresholds.primary", "high"),
     ("quota.concurrency", "0"), ("quota.refresh_interval_minutes", "-1")],
)  # fmt: skip
def test_settings_out_of_range_are_refused(key: str, text: str) -> None:
    with pytest.raises(BadSetting):
        setting_set(key, text, actor="test")


def test_t25_rolling_is_stored_once() -> None:
    now = time.time()
    row = account(quota=quota.dump(quota.lock(quota.Quota(), "codex", now - 1, now - HOUR)))
    account()
    assert (quota_roll(now=now), quota_roll(now=now)) == (1, 0)
    row.refresh_from_db()
    assert quota.load(row.quota).needs_check


def test_history_keeps_a_point_for_who_reported_and_forgets_after_two_weeks() -> None:
    now = timezone.now()
    row = account()
    quota_refresh(rows=[row], send=Backend(usage=usage(42)))
    account(quota_at=now - timedelta(days=1))
    QuotaSample.objects.create(account=row, at=now - timedelta(days=15), primary_used=1)
    assert quota_sample(now=now, since=now - timedelta(minutes=10)) == 1
    [sample] = selectors.quota_history(row.pk, now - timedelta(days=30))
    assert (sample.primary_used, sample.secondary_used) == (42, None)


# ---- T28: banked resets ---------------------------------------------------------------------------------------------

CREDITS = {
    "available_count": 1,
    "credits": [
        {"id": "rc_01", "status": "available", "granted_at": "2026-07-01T20:03:43Z", "expires_at": "2099-07-31"},
        {"id": "rc_02", "status": "granted", "granted_at": 1_782_936_223, "expires_at": 1_785_528_223},
        {"id": "rc_03", "status": "redeemed", "redeemed_at": "not a time"},
        {"status": "available"},
    ],
}  # fmt: skip


def test_banked_resets_are_listed_whatever_their_times_look_like() -> None:
    found = reset_credits(row=account(), send=Backend(rate_limit_reset_credits=CREDITS))
    assert [(credit.id, credit.status, credit.is_usable) for credit in found] == [
        ("rc_01", "available", True), ("rc_02", "expired", False), ("rc_03", "redeemed", False)
    ]  # fmt: skip
    assert found[0].granted_at == 1_782_936_223
    assert account_calls.reset_credits_from(b'[{"id":"x","status":"available"}]', 0) is not None


def test_t28_a_spent_reset_opens_the_account_and_leaves_its_trace() -> None:
    now = time.time()
    locked = quota.dump(quota.lock(quota.Quota(), "codex", now + 50 * HOUR, now))
    row = account(quota=locked, cooling_until=timezone.now() + timedelta(hours=50))
    backend = Backend(consume={"code": "reset", "windows_reset": 2}, usage=usage(1))
    wanted = str(uuid.uuid4())
    assert reset_credit_consume(row=row, actor="olga", redeem_request_id=wanted, send=backend) == "reset"
    assert (used(row), row.cooling_until) == (1, None)
    assert orjson.loads(backend.asked[0].body)["redeem_request_id"] == wanted
    assert {entry.action for entry in AuditEntry.objects.filter(actor="olga", target=row.pk)} == {
        "account.reset_credit_asked", "account.reset_credit"
    }  # fmt: skip


@pytest.mark.parametrize(
    "afterwards", [(500, b""), (200, b"<html>"), usage(100, limit_reached=True)], ids=["error", "html", "stale"]
)
def test_t28_what_fails_or_lags_after_the_reset_does_not_make_it_a_failure(afterwards: Any) -> None:
    now = time.time()
    row = account(quota=quota.dump(quota.lock(quota.Quota(), "codex", now + 50 * HOUR, now)))
    backend = Backend(consume={"code": "reset"}, usage=afterwards)
    assert reset_credit_consume(row=row, actor="olga", send=backend) == "reset"
    row.refresh_from_db()
    assert quota.exhausted_until(quota.load(row.quota), "gpt-5.5", time.time()) is None
    assert quota.load(row.quota).needs_check


def test_t28_a_second_reset_has_to_wait_and_another_account_has_not() -> None:
    row, other = account(), account()
    backend = Backend(consume={"code": "nothing_to_reset"})
    assert reset_credit_consume(row=row, actor="olga", send=backend) == "nothing_to_reset"
    with pytest.raises(ResetCooling) as caught:
        reset_credit_consume(row=row, actor="olga", send=backend)
    assert 0 < caught.value.wait_s <= 30
    assert reset_credit_consume(row=other, actor="olga", send=backend) == "nothing_to_reset"
    AuditEntry.objects.filter(action="account.reset_credit_asked").update(at=timezone.now() - timedelta(seconds=31))
    assert reset_credit_consume(row=row, actor="olga", send=backend) == "nothing_to_reset"


def test_t28_an_id_that_is_no_uuid_spends_nothing() -> None:
    backend = Backend()
    with pytest.raises(AccountsError, match="UUID"):
        reset_credit_consume(row=account(), actor="olga", redeem_request_id="mine", send=backend)
    assert backend.asked == []


def test_t28_a_refused_or_unreachable_reset_says_so() -> None:
    def unreachable(_: UpstreamRequest) -> Any:
        raise UpstreamUnreachable("no route")

    for answer in (unreachable, (401, {"detail": "Unauthorized"}), (502, b"<html>")):
        with pytest.raises(UpstreamSilent):
            reset_credit_consume(row=account(), actor="olga", send=Backend(consume=answer))
    with pytest.raises(AccountsError, match="not active"):
        reset_credit_consume(row=account(status=AccountStatus.BANNED), actor="olga", send=Backend())


# ---- the real calls -------------------------------------------------------------------------------------------------


async def test_the_calls_work_against_the_simulated_upstream() -> None:
    async with Simulator(accounts=0) as simulator:
        login = simulator.add_account(id="one")
        base = simulator.codex_base_url
        token = Secret(login.access_token)
        credential = Credential(token=token, scope="one", upstream_account_id=login.chatgpt_account_id)
        ask = account_calls.usage_request(base, credential, ())
        answer = await asyncio.to_thread(send_control, ask, None)
        assert answer.status == 200
        limits = account_calls.usage_from(answer.body, time.time())
        assert limits is not None and limits.windows["codex"]["primary"].window_minutes == 300
        ask = account_calls.reset_credits_request(base, credential, ())
        answer = await asyncio.to_thread(send_control, ask, None)
        assert account_calls.reset_credits_from(answer.body, time.time()) is not None
        ask = account_calls.consume_request(base, credential, (), str(uuid.uuid4()), "")
        answer = await asyncio.to_thread(send_control, ask, None)
        assert account_calls.consume_code_from(answer.body) in ("reset", "nothing_to_reset", "no_credit")


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_shows_limits_and_spends_nothing_without_a_yes(capsys: pytest.CaptureFixture[str]) -> None:
    row = account(label="alex")
    call_command("quota", "show")
    assert orjson.loads(capsys.readouterr().out)["quota"] is None
    with pytest.raises(CommandError, match="--yes"):
        call_command("quota", "reset", row.pk)
    with pytest.raises(CommandError, match="no account"):
        call_command("quota", "ask", "nobody")
    with pytest.raises(CommandError, match="not active"):
        call_command("quota", "resets", account(status=AccountStatus.PAUSED).pk)
