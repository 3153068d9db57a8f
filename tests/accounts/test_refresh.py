"""Renewing tokens: single flight, single use, and every way it can end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts import refresh, selectors
from accounts.loader import load_accounts
from accounts.models import Account, AccountStatus, AuditEntry
from accounts.refresh import RefreshResult, backoff_s, refresh_account
from codexproxy import live_settings, tasks
from providers.contract import Secret
from providers.oauth.contract import MaybeSent, NotSent, OAuthRequest, OAuthResponse
from tests.factories import AccountFactory, access_jwt

NOW = datetime(2026, 8, 28, 12, 0, tzinfo=UTC)
NEW_ACCESS = access_jwt("w-new", "u-new", plan="pro", serial=99)


def ok(**tokens: str) -> OAuthResponse:
    return OAuthResponse(status=200, body=json.dumps(tokens).encode())


def refusal(code: str, status: int = 401) -> OAuthResponse:
    return OAuthResponse(status=status, body=json.dumps({"error": {"code": code, "message": code}}).encode())


class AuthServer:
    """Plays its parts in order, the last one for ever; a part is an answer or an exception."""

    def __init__(self, *parts: OAuthResponse | Exception, on_request: Callable[[], None] | None = None) -> None:
        self.parts = list(parts)
        self.sent: list[str] = []
        self.on_request = on_request

    def __call__(self, request: OAuthRequest) -> OAuthResponse:
        self.sent.append(json.loads(request.body)["refresh_token"])
        if self.on_request is not None:
            self.on_request()
        part = self.parts.pop(0) if len(self.parts) > 1 else self.parts[0]
        if isinstance(part, Exception):
            raise part
        return part


def run(row: Account, server: AuthServer, *, at: datetime = NOW, **options: Any) -> RefreshResult:
    return refresh_account(row.pk, http_send=server, owner="me", now=lambda: at, **options)


@pytest.fixture
def row(db: None) -> Account:
    account: Account = AccountFactory(refresh_token="rt_first", token_expires_at=NOW + timedelta(seconds=100))
    return account


def test_it_commits_the_new_pair_and_forgets_the_marks(row: Account) -> None:
    server = AuthServer(ok(access_token=NEW_ACCESS, refresh_token="rt_second"))
    assert run(row, server).outcome == "refreshed"
    row.refresh_from_db()
    assert (row.access_token, row.refresh_token) == (Secret(NEW_ACCESS), Secret("rt_second"))
    assert (row.plan, row.last_refreshed_at) == ("pro", NOW)
    assert (row.lease_owner, row.lease_until, row.refresh_spent_at, row.refresh_failures) == ("", None, None, 0)
    assert server.sent == ["rt_first"]


def test_it_keeps_the_refresh_token_when_the_server_returned_none(row: Account) -> None:
    run(row, AuthServer(ok(access_token=NEW_ACCESS)))
    row.refresh_from_db()
    assert row.refresh_token == Secret("rt_first")


def test_it_marks_the_token_as_spent_before_it_leaves(row: Account) -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append(Account.objects.values_list("refresh_spent_at", "lease_owner").get(pk=row.pk))

    run(row, AuthServer(ok(access_token=NEW_ACCESS), on_request=look))
    assert seen == [(NOW, "me")]


def test_it_lets_only_one_process_refresh_at_a_time(row: Account) -> None:
    inner: list[RefreshResult] = []
    server = AuthServer(
        ok(access_token=NEW_ACCESS),
        on_request=lambda: inner.append(refresh_account(row.pk, http_send=server, owner="other", now=lambda: NOW)),
    )
    assert run(row, server).outcome == "refreshed"
    assert [result.outcome for result in inner] == ["busy"]
    assert server.sent == ["rt_first"]


def test_it_adopts_what_another_process_fetched_meanwhile(row: Account) -> None:
    stale = row.access_token
    Account.objects.filter(pk=row.pk).update(access_token=NEW_ACCESS)
    server = AuthServer(ok(access_token="never"))
    assert run(row, server, reason="rejected", seen=stale).outcome == "adopted"
    assert server.sent == []
    row.refresh_from_db()
    assert row.lease_until is None


def test_it_needs_two_refusals_in_a_row_before_it_believes_them(row: Account) -> None:
    server = AuthServer(refusal("invalid_grant", 400))
    assert run(row, server).outcome == "refused"
    row.refresh_from_db()
    assert row.status == AccountStatus.ACTIVE
    assert run(row, server, at=NOW + timedelta(seconds=1)).outcome == "failed", "not before its time"
    assert run(row, server, at=NOW + timedelta(minutes=1)).outcome == "refused"
    row.refresh_from_db()
    assert row.status == AccountStatus.NEEDS_LOGIN
    assert len(server.sent) == 2
    assert AuditEntry.objects.filter(action="account.needs_login", target=row.pk).exists()


def test_it_forgets_one_stray_refusal_after_a_success(row: Account) -> None:
    server = AuthServer(
        refusal("invalid_grant", 400), ok(access_token=NEW_ACCESS, refresh_token="rt_2"), refusal("invalid_grant", 400)
    )
    for minute in range(3):
        run(row, server, at=NOW + timedelta(minutes=minute))
    row.refresh_from_db()
    assert row.status == AccountStatus.ACTIVE


@pytest.mark.parametrize(
    ("code", "status"), [("refresh_token_reused", "needs_login"), ("account_deactivated", "banned")]
)
def test_it_believes_the_first_refusal_when_a_person_asks(row: Account, code: str, status: str) -> None:
    result = run(row, AuthServer(refusal(code)), reason="manual")
    row.refresh_from_db()
    assert (result.outcome, row.status) == ("refused", status)
    assert row.status_reason == result.message
    assert "rt_first" not in result.message


@pytest.mark.parametrize(
    "failure",
    [
        NotSent("refused"),
        OAuthResponse(status=503, body=b"<html>"),
        OAuthResponse(status=429, body=b"{}"),
        OAuthResponse(status=500, body=b"{}"),
        OAuthResponse(status=200, body=b"{}"),
    ],
)
def test_it_keeps_the_account_usable_while_the_server_cannot_answer(row: Account, failure: Any) -> None:
    assert run(row, AuthServer(failure)).outcome == "failed"
    row.refresh_from_db()
    (view,) = load_accounts()
    assert view.is_usable
    assert (row.refresh_failures, row.refresh_spent_at, row.lease_until) == (1, None, None)
    assert row.refresh_retry_at is not None
    assert 3.5 <= (row.refresh_retry_at - NOW).total_seconds() <= 6.5


def test_it_waits_longer_after_each_failure() -> None:
    assert [backoff_s(n, 0.5) for n in range(1, 8)] == pytest.approx([5, 15, 45, 135, 300, 600, 600])
    assert [backoff_s(1, 0.0), backoff_s(1, 0.999)] == pytest.approx([3.5, 6.5], abs=0.01)


def test_it_does_not_send_a_token_again_that_may_have_arrived_while_the_access_token_works(row: Account) -> None:
    server = AuthServer(MaybeSent("reset"), ok(access_token=NEW_ACCESS, refresh_token="rt_second"))
    assert run(row, server).outcome == "uncertain"
    (view,) = load_accounts()
    assert view.is_usable
    assert run(row, server, at=NOW + timedelta(seconds=90)).outcome == "uncertain"
    assert server.sent == ["rt_first"]
    assert AuditEntry.objects.filter(action="account.refresh_uncertain").count() == 1
    assert run(row, server, at=NOW + timedelta(seconds=200)).outcome == "refreshed", "nothing is left to lose"
    row.refresh_from_db()
    assert (row.status_reason, row.refresh_spent_at) == ("", None)


def test_it_believes_at_once_that_a_token_is_used_up_which_may_have_arrived(row: Account) -> None:
    server = AuthServer(MaybeSent("reset"), refusal("refresh_token_reused"))
    run(row, server)
    run(row, server, at=NOW + timedelta(seconds=200))
    row.refresh_from_db()
    assert row.status == AccountStatus.NEEDS_LOGIN


def test_it_detects_and_reports_a_crash_between_spending_and_committing(row: Account) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    before_crash = Account.objects.filter(pk=row.pk)
    with pytest.raises(KeyboardInterrupt):
        run(row, AuthServer(ok(access_token="lost"), on_request=die))
    # A killed process runs no `finally`: its lease is still there.
    before_crash.update(lease_owner="dead", lease_until=NOW + refresh.LEASE)
    later = NOW + refresh.LEASE + timedelta(seconds=1)
    assert refresh.report_interrupted_refreshes(NOW) == 0, "the lease may still be held"
    assert refresh.report_interrupted_refreshes(later) == 1
    assert refresh.report_interrupted_refreshes(later) == 0
    (told,) = AuditEntry.objects.filter(action="account.refresh_interrupted")
    assert told.target == row.pk
    row.refresh_from_db()
    assert "may be used up" in row.status_reason
    assert row.refresh_token == Secret("rt_first")


def test_it_does_not_touch_a_login_that_a_person_renewed_meanwhile(row: Account) -> None:
    def log_in_again() -> None:
        Account.objects.filter(pk=row.pk).update(refresh_token="rt_by_hand", access_token=access_jwt(serial=5))

    run(row, AuthServer(ok(access_token=NEW_ACCESS, refresh_token="rt_second"), on_request=log_in_again))
    row.refresh_from_db()
    assert row.refresh_token == Secret("rt_by_hand")


def test_it_commits_even_when_its_lease_was_taken_over(row: Account) -> None:
    def lose_lease() -> None:
        Account.objects.filter(pk=row.pk).update(lease_owner="other")

    run(row, AuthServer(ok(access_token=NEW_ACCESS, refresh_token="rt_second"), on_request=lose_lease))
    row.refresh_from_db()
    assert row.refresh_token == Secret("rt_second"), "a pair that was paid for is never thrown away"
    assert row.lease_owner == "other"


@pytest.mark.parametrize("status", ["paused", "banned", "disabled"])
def test_it_leaves_inactive_accounts_alone_unless_a_person_asks(row: Account, status: str) -> None:
    Account.objects.filter(pk=row.pk).update(status=status)
    server = AuthServer(ok(access_token=NEW_ACCESS, refresh_token="rt_second"))
    assert run(row, server).outcome == "skipped"
    assert run(row, server, reason="manual").outcome == "refreshed"
    row.refresh_from_db()
    assert row.status == status, "a refresh never reactivates what a person or a ban stopped"


def test_it_skips_what_has_no_refresh_token_or_is_gone(db: None) -> None:
    server = AuthServer(ok())
    assert run(AccountFactory(refresh_token=None), server).outcome == "skipped"
    assert refresh_account("gone", http_send=server, owner="me").outcome == "skipped"


def test_it_finds_what_is_due(db: None) -> None:
    def account(**fields: Any) -> str:
        fields.setdefault("token_expires_at", NOW + timedelta(seconds=60))
        return str(AccountFactory(**fields).pk)

    due = [account(token_expires_at=NOW - timedelta(days=1)), account(), account(token_expires_at=None)]
    account(token_expires_at=NOW + timedelta(seconds=400))
    account(refresh_token=None)
    account(status=AccountStatus.PAUSED)
    account(refresh_retry_at=NOW + timedelta(seconds=1))
    account(lease_until=NOW + timedelta(seconds=1))
    account(refresh_spent_at=NOW)
    account(token_expires_at=None, last_refreshed_at=NOW - timedelta(days=1))
    assert sorted(selectors.list_accounts_due(NOW)) == sorted(due)


def test_it_spreads_refreshes_within_fifteen_percent_of_the_margin() -> None:
    margins = [selectors.refresh_margin_s(f"{number:016x}") for number in range(200)]
    assert 255 <= min(margins) < 270
    assert 330 < max(margins) <= 345


@pytest.mark.django_db(transaction=True)
def test_it_runs_as_a_task(row: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    Account.objects.update(token_expires_at=timezone.now())
    server = AuthServer(ok(access_token=NEW_ACCESS, refresh_token="rt_second"))

    class Client:
        def __enter__(self) -> AuthServer:
            return server

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(tasks, "OAuthClient", Client)
    live_settings.setting_set("auth.refresh_enabled", "false", actor="test")
    tasks.refresh_due_tokens()
    assert server.sent == [], "switched off"
    live_settings.setting_set("auth.refresh_enabled", "true", actor="test")
    tasks.refresh_due_tokens()
    assert server.sent == ["rt_first"]


def test_it_finds_what_is_due_by_the_margin_of_the_operator(db: None) -> None:
    row = AccountFactory(token_expires_at=NOW + timedelta(seconds=900))
    assert selectors.list_accounts_due(NOW) == []
    assert selectors.list_accounts_due(NOW, margin_s=1200) == [row.pk]
    assert selectors.list_accounts_due(NOW + timedelta(seconds=899), margin_s=0) == []


@pytest.mark.django_db(transaction=True)
def test_it_renews_no_more_than_two_at_a_time_and_goes_on_after_a_failure() -> None:
    rows = [AccountFactory(refresh_token=f"rt_{number}") for number in range(6)]
    lock, running, most = threading.Lock(), [], []

    def send(request: OAuthRequest) -> OAuthResponse:
        spent = json.loads(request.body)["refresh_token"]
        with lock:
            running.append(spent)
            most.append(len(running))
        time.sleep(0.02)
        with lock:
            running.remove(spent)
        if spent == "rt_2":
            raise NotSent("refused")
        return ok(access_token=access_jwt(serial=int(spent[3:]) + 50), refresh_token=f"{spent}_next")

    results = refresh.refresh_accounts([row.pk for row in rows], http_send=send)
    assert [result.outcome for result in results] == ["refreshed", "refreshed", "failed", *["refreshed"] * 3]
    assert max(most) == 2


RACE = """
    import json, sys, threading, time
    import django
    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from accounts.models import Account
    from accounts.refresh import refresh_account, wait_for_refresh
    from providers.oauth.contract import OAuthResponse
    from tests.factories import AccountFactory, access_jwt

    call_command("migrate", verbosity=0)
    row = AccountFactory(refresh_token="rt_first")
    seen = Account.objects.get(pk=row.pk).access_token
    sent, outcomes, lock, start = [], [], threading.Lock(), threading.Barrier(50)

    def send(request):
        with lock:
            sent.append(json.loads(request.body)["refresh_token"])
        time.sleep(0.5)
        return OAuthResponse(status=200, body=json.dumps(
            {"access_token": access_jwt(serial=7), "refresh_token": "rt_second"}).encode())

    def work(number):
        start.wait()
        result = refresh_account(row.pk, http_send=send, owner=f"thread-{number}", reason="rejected", seen=seen)
        ok = result.outcome in ("refreshed", "adopted") or wait_for_refresh(row.pk, seen, 10.0)
        with lock:
            outcomes.append((result.outcome, ok))
        connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(50)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    final = Account.objects.get(pk=row.pk)
    print(json.dumps({"sent": sent, "refreshed": sum(o == "refreshed" for o, _ in outcomes),
        "served": sum(ok for _, ok in outcomes), "token": final.refresh_token.reveal()}))
"""


def test_it_spends_the_token_once_when_fifty_threads_want_it(tmp_path: Path) -> None:
    environment = os.environ | {"CODEXPROXY_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "codexproxy.settings"}
    environment.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RACE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == {"sent": ["rt_first"], "refreshed": 1, "served": 50, "token": "rt_second"}
