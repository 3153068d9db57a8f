"""The dashboard's pages: they open, ask a constant number of questions, do their work, and show no secret."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from accounts import keys
from accounts.loader import load_keys
from accounts.models import Account, AccountStatus, ApiKey, AuditEntry, User
from accounts.status import describe
from providers.contract import Secret
from tests.factories import AccountFactory, ApiKeyFactory, AuditEntryFactory, UserFactory, access_jwt

pytestmark = pytest.mark.django_db

FACTORIES: dict[str, Any] = {
    "account": AccountFactory,
    "apikey": ApiKeyFactory,
    "auditentry": AuditEntryFactory,
    "user": UserFactory,
}


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(UserFactory(username="operator", is_staff=True, is_superuser=True))
    return client


def url(model: str, page: str = "changelist", *args: Any) -> str:
    return reverse(f"admin:accounts_{model}_{page}", args=args)


@pytest.mark.parametrize("model", sorted(FACTORIES))
def test_it_opens_every_list_with_a_constant_number_of_queries(operator: Client, model: str) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert operator.get(url(model)).status_code == 200
        return len(queries)

    FACTORIES[model]()
    operator.get(url(model))
    few = count()
    for _ in range(10):
        FACTORIES[model]()
    assert count() == few


@pytest.mark.parametrize("model", sorted(FACTORIES))
def test_it_finds_rows_by_searching(operator: Client, model: str) -> None:
    FACTORIES[model]()
    assert operator.get(url(model), {"q": "nothing-like-this"}).status_code == 200


@pytest.mark.parametrize("model", sorted(FACTORIES))
def test_it_shows_no_secret_on_any_page(operator: Client, model: str) -> None:
    canaries = []
    row = FACTORIES[model]()
    if model == "account":
        canaries = [row.access_token, row.refresh_token, row.access_token.split(".")[1]]
    if model == "apikey":
        canaries = [bytes(row.digest).hex(), str(bytes(row.digest))]
    pages = [url(model), url(model, "change", row.pk), url(model, "delete", row.pk), url(model, "history", row.pk)]
    for page in pages:
        text = operator.get(page).content.decode()
        assert "v1:" not in text
        for canary in canaries:
            assert canary not in text


@pytest.mark.parametrize("state", ["ready", "cooling", "needs_login", "banned", "paused", "disabled"])
def test_it_sorts_every_account_into_exactly_the_filter_its_words_name(operator: Client, state: str) -> None:
    now = timezone.now()
    rows = [
        AccountFactory(label="ready"),
        AccountFactory(label="ready too", token_expires_at=now - timedelta(days=1)),
        AccountFactory(
            label="cooling", cooling_until=now + timedelta(minutes=42), cooling_reason="5-hour limit reached"
        ),
        AccountFactory(label="login", status=AccountStatus.NEEDS_LOGIN),
        AccountFactory(label="stale", refresh_token=None, token_expires_at=now - timedelta(days=1)),
        AccountFactory(label="banned", status=AccountStatus.BANNED),
        AccountFactory(label="paused", status=AccountStatus.PAUSED, cooling_until=now + timedelta(days=1)),
        AccountFactory(label="off", status=AccountStatus.DISABLED),
    ]
    response = operator.get(url("account"), {"state": state})
    found = {row.pk for row in response.context["cl"].queryset}
    assert found == {row.pk for row in rows if describe(Account.objects.get(pk=row.pk), now).kind == state}


def test_it_says_what_why_and_until_when(operator: Client) -> None:
    now = timezone.now()
    row = AccountFactory(cooling_until=now + timedelta(minutes=42), cooling_reason="5-hour limit reached")
    assert describe(Account.objects.get(pk=row.pk), now).words == "Cooling down · 5-hour limit reached · 42 min"
    text = " ".join(strip_tags(operator.get(url("account")).content.decode()).split())
    assert "Cooling down 5-hour limit reached · 4" in text


def test_it_adds_accounts_from_pasted_text(operator: Client) -> None:
    assert operator.get(url("account", "add")).status_code == 200
    response = operator.post(url("account", "add"), {"way": "paste", "text": access_jwt(), "label": "pasted"})
    assert "Added: 1" in response.content.decode()
    assert Account.objects.get().label == "pasted"
    assert AuditEntry.objects.get(action="account.added").actor == "operator"


def test_it_never_echoes_what_was_pasted(operator: Client) -> None:
    response = operator.post(url("account", "add"), {"way": "paste", "text": "half-a-secret", "label": ""})
    assert response.status_code == 200
    assert "neither an access token" in response.content.decode()
    assert "half-a-secret" not in response.content.decode()


def test_it_pauses_and_resumes(operator: Client) -> None:
    row = AccountFactory(status=AccountStatus.BANNED)
    for action, status in (("pause", "paused"), ("resume", "active")):
        operator.post(url("account"), {"action": action, "_selected_action": [row.pk]})
        row.refresh_from_db()
        assert row.status == status
    assert AuditEntry.objects.filter(action="account.status", actor="operator").count() == 2


def test_it_edits_an_account_without_touching_its_tokens(operator: Client) -> None:
    row = AccountFactory(refresh_token="rt_kept")
    fields = {"label": "renamed", "max_concurrency": "5", "pools": "Night\nteam a\nnight"}
    response = operator.post(url("account", "change", row.pk), fields)
    assert response.status_code == 302
    row.refresh_from_db()
    assert row.pools == ["night", "team a"]
    assert (row.label, row.max_concurrency, row.refresh_token) == ("renamed", 5, Secret("rt_kept"))


def test_a_pool_that_cannot_be_named_so_is_refused_in_the_form(operator: Client) -> None:
    row = AccountFactory()
    response = operator.post(url("account", "change", row.pk), {"label": "x", "pools": "a/b"})
    assert response.status_code == 200 and "1 to 32 letters" in response.content.decode()
    key = ApiKeyFactory()
    response = operator.post(url("apikey", "change", key.pk), {"name": "x", "pool": "!"})
    assert response.status_code == 200 and "1 to 32 letters" in response.content.decode()
    response = operator.post(url("apikey", "change", key.pk), {"name": "x", "pool": "Night "})
    key.refresh_from_db()
    assert response.status_code == 302 and key.pool == "night"


def test_it_shows_a_new_key_once_and_forbids_keeping_the_page(operator: Client) -> None:
    user = UserFactory()
    response = operator.post(
        url("apikey", "add"),
        {"user": user.pk, "name": "laptop", "allowed_models": "a\nb, a\n", "expires_at_0": "", "expires_at_1": ""},
    )
    text = response.content.decode()
    found = re.search(r'<code id="new-api-key"[^>]*>([^<]+)</code>', text)
    assert found is not None, text
    row = ApiKey.objects.get()
    assert keys.digest(found[1]) in load_keys()
    assert row.allowed_models == ["a", "b"]
    assert "no-store" in response["Cache-Control"]
    for page in (url("apikey"), url("apikey", "change", row.pk), url("auditentry")):
        assert found[1] not in operator.get(page).content.decode()


def test_it_changes_what_a_key_may_do_but_not_whose_it_is(operator: Client) -> None:
    row, other = ApiKeyFactory(allowed_models=["a"]), UserFactory()
    owner, digest = row.user_id, bytes(row.digest)
    page = url("apikey", "change", row.pk)
    assert operator.get(page).status_code == 200
    operator.post(
        page, {"user": other.pk, "name": "renamed", "allowed_models": "", "expires_at_0": "", "expires_at_1": ""}
    )
    row.refresh_from_db()
    assert (row.name, row.allowed_models, row.user_id, bytes(row.digest)) == ("renamed", [], owner, digest)


def test_it_asks_before_it_revokes(operator: Client) -> None:
    row = ApiKeyFactory(request_count=12)
    form = {"action": "revoke", "_selected_action": [row.pk]}
    page = operator.post(url("apikey"), form)
    row.refresh_from_db()
    assert row.revoked_at is None
    assert "so far: 12." in page.content.decode()
    operator.post(url("apikey"), {**form, "confirmed": "yes", "reason": "left"})
    row.refresh_from_db()
    assert (row.revoked_at is not None, row.revoked_reason) == (True, "left")


def test_it_lets_nobody_edit_the_audit_log(operator: Client) -> None:
    row = AuditEntryFactory()
    assert operator.get(url("auditentry", "add")).status_code == 403
    assert operator.post(url("auditentry", "delete", row.pk), {"post": "yes"}).status_code == 403


def test_it_makes_a_key_stop_when_its_owner_is_switched_off_or_removed(operator: Client) -> None:
    key = ApiKeyFactory()
    version = load_version()
    operator.post(url("user", "delete", key.user_id), {"post": "yes"})
    assert load_keys() == {}
    assert load_version() > version


def test_it_keeps_powers_from_staff_without_them(client: Client, django_user_model: type[User]) -> None:
    from django.contrib.auth.models import Permission

    staff = UserFactory(is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    boss = UserFactory(username="boss", is_staff=True, is_superuser=True)
    client.force_login(staff)
    client.post(url("user", "change", staff.pk), {"username": staff.username, "is_superuser": "on", "is_active": "on"})
    staff.refresh_from_db()
    assert not staff.is_superuser
    assert client.post(url("user", "change", boss.pk), {"username": "x"}).status_code == 403
    assert client.post(url("user", "delete", boss.pk), {"post": "yes"}).status_code == 403
    client.post(
        url("apikey", "add"), {"user": staff.pk, "name": "n", "is_admin": "on", "expires_at_0": "", "expires_at_1": ""}
    )
    assert not ApiKey.objects.get().is_admin


def test_it_is_closed_to_members(client: Client) -> None:
    client.force_login(UserFactory())
    for model in FACTORIES:
        assert client.get(url(model)).status_code == 302


def load_version() -> int:
    from accounts.changes import current_version

    return current_version()
