"""The table of statuses, cell by cell through the code that really applies it, and availability."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from django.utils import timezone

from accounts import refresh, services
from accounts.importing import ImportEntry
from accounts.lifecycle import TABLE, Event, Facts, Status, availability, next_status
from accounts.loader import load_accounts
from accounts.models import Account, AccountStatus
from accounts.reporting import account_report
from accounts.status import describe
from accounts.values import AccountReport
from providers.contract import Secret
from providers.oauth.contract import OAuthRequest, OAuthResponse
from tests.factories import AccountFactory, access_jwt

NOW = 1_800_000_000.0


def _login_again(row: Account) -> None:
    token = access_jwt(row.chatgpt_account_id, row.chatgpt_user_id, serial=9)
    services.account_add(entry=ImportEntry(access_token=Secret(token)), actor="test")


def _renew(row: Account) -> None:
    def send(request: OAuthRequest) -> OAuthResponse:
        token = access_jwt(row.chatgpt_account_id, row.chatgpt_user_id, serial=9)
        return OAuthResponse(status=200, body=json.dumps({"access_token": token}).encode())

    assert refresh.refresh_account(row.pk, http_send=send, owner="t", reason="manual").outcome == "refreshed"


def _refuse(code: str) -> Callable[[Account], None]:
    def act(row: Account) -> None:
        def send(request: OAuthRequest) -> OAuthResponse:
            return OAuthResponse(status=401, body=json.dumps({"error": {"code": code, "message": code}}).encode())

        assert refresh.refresh_account(row.pk, http_send=send, owner="t", reason="manual").outcome == "refused"

    return act


def _reject(rejection: str) -> Callable[[Account], None]:
    return lambda row: account_report(AccountReport(account_id=row.pk, rejection=rejection))


def _switch(event: Any) -> Callable[[Account], None]:
    return lambda row: services.accounts_switch(ids=[row.pk], event=event, actor="test") and None


WAYS: list[tuple[str, Event, Callable[[Account], None]]] = [
    ("the same login is added again", "logged_in", _login_again),
    ("a refresh works", "token_renewed", _renew),
    ("the refresh token is refused", "login_lost", _refuse("refresh_token_reused")),
    ("the account is deactivated", "banned", _refuse("account_deactivated")),
    ("a request is answered with a ban", "banned", _reject("banned")),
    ("a request is answered with 403", "banned", _reject("forbidden")),
    ("a request is answered with 402", "payment_required", _reject("payment")),
    ("three empty 404 in an hour", "path_blocked", _reject("path_blocked")),
    ("the operator pauses", "paused", _switch("paused")),
    ("the operator resumes", "resumed", _switch("resumed")),
]


@pytest.mark.django_db
@pytest.mark.parametrize("before", get_args(Status))
@pytest.mark.parametrize(("words", "event", "act"), WAYS, ids=[words for words, _, _ in WAYS])
def test_it_becomes_what_the_table_says(before: Status, words: str, event: Event, act: Any) -> None:
    row = AccountFactory(status=before, refresh_token="rt_first")
    act(row)
    row.refresh_from_db()
    assert row.status == TABLE[before][event]
    assert load_accounts()[0].is_usable == (row.status == "active")


@pytest.mark.django_db
def test_a_401_without_a_refresh_token_ends_the_login_and_with_one_asks_for_a_refresh() -> None:
    lost, kept = AccountFactory(refresh_token=None), AccountFactory()
    for row in (lost, kept):
        account_report(AccountReport(account_id=row.pk, rejection="invalidated", message="signed out"))
        row.refresh_from_db()
    assert (lost.status, kept.status) == ("needs_login", "active")
    assert kept.token_expires_at is not None
    assert kept.token_expires_at <= timezone.now()


def test_every_status_has_every_event_and_every_event_is_tried() -> None:
    assert set(TABLE) == set(get_args(Status)) == set(AccountStatus.values)
    assert all(set(row) == set(get_args(Event)) for row in TABLE.values())
    assert {event for _, event, _ in WAYS} == set(get_args(Event))


def test_only_a_person_brings_back_what_a_ban_or_a_person_stopped() -> None:
    by_itself = [event for event in get_args(Event) if event not in ("logged_in", "resumed")]
    for status in ("banned", "disabled", "paused"):
        assert "active" not in {next_status(status, event) for event in by_itself}


def test_a_status_nobody_knows_is_treated_as_switched_off() -> None:
    assert next_status("rate_limited", "token_renewed") == "disabled"
    assert availability(Facts(status="rate_limited"), NOW).kind == "disabled"


@pytest.mark.parametrize(
    ("facts", "kind", "until"),
    [
        (Facts(status="active"), "ready", None),
        (Facts(status="active", token_expires_at=NOW + 1), "ready", None),
        (Facts(status="active", token_expires_at=NOW, has_refresh_token=True), "ready", None),
        (Facts(status="active", token_expires_at=NOW), "needs_login", None),
        (Facts(status="active", has_access_token=False), "needs_login", None),
        (Facts(status="active", cooling_until=NOW + 60), "cooling", NOW + 60),
        (Facts(status="active", cooling_until=NOW), "ready", None),
        (Facts(status="active", cooling_until=NOW + 60, token_expires_at=NOW), "needs_login", None),
        (Facts(status="paused", cooling_until=NOW + 60), "paused", None),
        (Facts(status="unpaid"), "unpaid", None),
        (Facts(status="banned"), "banned", None),
    ],
)
def test_it_derives_whether_an_account_can_work_and_until_when_not(facts: Facts, kind: str, until: Any) -> None:
    found = availability(facts, NOW)
    assert (found.kind, found.until, found.is_ready) == (kind, until, kind == "ready")


@pytest.mark.django_db
@pytest.mark.parametrize("status", AccountStatus.values)
def test_every_status_has_words_and_the_first_reason_stays(status: str) -> None:
    row = AccountFactory(status=status, status_reason="the first reason")
    account_report(AccountReport(account_id=row.pk, rejection="payment", message="no money"))
    row.refresh_from_db()
    state = describe(row, timezone.now())
    assert state.title
    assert ("the first reason" in state.words) == (row.status == status)
