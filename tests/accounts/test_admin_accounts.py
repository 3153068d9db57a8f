"""The account pages: three ways to add, a log-in under way, what can be done about one account, and the export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from accounts import services
from accounts.importing import parse_import
from accounts.models import Account, AccountStatus, AuditEntry, PendingLogin, User
from providers.simulator.server import Simulator
from tests.factories import AccountFactory, UserFactory, access_jwt
from tests.simulated import simulated_upstream

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"
ADD = "/admin/accounts/account/add/"
EXPORT = "/admin/accounts/account/export/"


@pytest.fixture
def operator(client: Client) -> Client:
    User.objects.create_superuser("operator", password=PASSWORD)
    client.login(username="operator", password=PASSWORD)
    return client


@pytest.fixture
def sim(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.setattr("accounts.admin.adding.is_on_this_machine", lambda host: False)
    with simulated_upstream(accounts=[{"email": "sim@example.com"}], device_approve_after=None) as running:
        settings.OPENAI_AUTH_URL, settings.CODEX_BASE_URL = running.origin, running.codex_base_url
        yield running


def words(response: Any) -> str:
    return " ".join(strip_tags(response.content.decode()).split())


# ---- adding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["browser", "device", "paste", "nonsense"])
def test_it_offers_three_ways_and_opens_the_chosen_one(operator: Client, way: str) -> None:
    page = operator.get(ADD, {"way": way})
    assert page.status_code == 200
    assert page.content.decode().count("cpx-way ") + page.content.decode().count('cpx-way"') == 3
    assert page.content.decode().count('aria-current="true"') == 1


def test_a_browser_log_in_goes_from_the_page_to_the_account(operator: Client, sim: Simulator) -> None:
    started = operator.post(ADD, {"way": "browser", "label": "mine"})
    page = operator.get(started["location"])
    found = re.search(r'id="auth-url" hidden>([^<]+)<', page.content.decode())
    assert found is not None
    auth_url = found[1].replace("&amp;", "&")
    assert "no-store" in page["Cache-Control"]
    state = f"{started['location']}state/"
    assert operator.get(state).json() == {"outcome": "pending"}
    callback = httpx.get(auth_url, trust_env=False).headers["location"]
    wrong = operator.post(started["location"], {"callback_url": callback.split("&state")[0]})
    assert "no code and state" in wrong.content.decode()
    assert callback.split("code=")[1][:20] not in wrong.content.decode(), "what was pasted is not shown again"
    done = operator.post(started["location"], {"callback_url": callback}, follow=True)
    row = Account.objects.get()
    assert done.redirect_chain[-1][0] == reverse("admin:accounts_account_change", args=[row.pk])
    assert "mine was added." in words(done)
    assert operator.get(state).json() == {"outcome": "done"}


def test_a_device_log_in_shows_the_code_and_ends_by_itself(operator: Client, sim: Simulator) -> None:
    started = operator.post(ADD, {"way": "device", "label": ""})
    row = PendingLogin.objects.get()
    page = operator.get(started["location"]).content.decode()
    assert row.user_code in page
    assert f"{sim.origin}/codex/device" in page
    assert "deviceauth_" not in page
    sim.approve_device(row.user_code)
    PendingLogin.objects.update(next_poll_at=timezone.now())
    assert operator.get(f"{started['location']}state/").json() == {"outcome": "done"}
    assert "sim@example.com was added." in words(operator.get(started["location"], follow=True))


def test_a_server_that_cannot_be_reached_is_a_sentence_on_the_page(operator: Client, settings: Any) -> None:
    settings.OPENAI_AUTH_URL = "http://127.0.0.1:9"
    page = operator.post(ADD, {"way": "device", "label": ""})
    assert (page.status_code, "could not be reached" in page.content.decode()) == (200, True)


def test_a_log_in_that_is_over_says_why_and_offers_to_start_again(operator: Client, sim: Simulator) -> None:
    started = operator.post(ADD, {"way": "browser", "label": ""})
    PendingLogin.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert operator.get(f"{started['location']}state/").json() == {"outcome": "failed"}
    page = operator.get(started["location"]).content.decode()
    assert "Nobody finished it in time" in page
    assert f"{ADD}?way=browser" in page


def test_a_log_in_can_be_cancelled_and_unknown_ones_are_not_found(operator: Client) -> None:
    started = operator.post(ADD, {"way": "browser", "label": ""})
    assert operator.post(started["location"], {"cancel": "yes"})["location"] == f"{ADD}?way=browser"
    assert operator.get(started["location"]).status_code == 404
    assert operator.get(f"{ADD}login/nope/state/").status_code == 404


def test_it_takes_an_uploaded_file_and_says_what_became_of_each_entry(operator: Client) -> None:
    AccountFactory(chatgpt_account_id="w", chatgpt_user_id="old", label="kept")
    tokens = [access_jwt("w", "new", email="new@example.com"), access_jwt("w", "old"), "half-a-secret"]
    upload = SimpleUploadedFile("tokens.txt", "\n".join(tokens).encode())
    page = operator.post(ADD, {"way": "paste", "file": upload, "label": ""})
    text = words(page)
    assert "Added: 1 · Updated: 1 · Refused: 1" in text
    assert "line 1 Added new@example.com" in text
    assert "line 2 Updated kept" in text
    assert "line 3 Refused" in text
    assert all(token not in page.content.decode() for token in tokens)


def test_it_takes_auth_json_of_the_codex_cli(operator: Client) -> None:
    document = {"auth_mode": "chatgpt", "tokens": {"access_token": access_jwt(), "refresh_token": "rt_x"}}
    upload = SimpleUploadedFile("auth.json", json.dumps(document).encode())
    operator.post(ADD, {"way": "paste", "file": upload, "label": "laptop"})
    row = Account.objects.get()
    assert (row.label, bool(row.refresh_token)) == ("laptop", True)


def test_an_empty_form_asks_for_something(operator: Client) -> None:
    assert "Paste something, or choose a file" in words(operator.post(ADD, {"way": "paste", "text": " ", "label": ""}))


# ---- one account ---------------------------------------------------------------------------------------------------


def test_an_account_that_lost_its_log_in_leads_to_a_new_one(operator: Client) -> None:
    row = AccountFactory(label="old laptop", email="alex@example.com", status=AccountStatus.NEEDS_LOGIN)
    page = operator.get(reverse("admin:accounts_account_change", args=[row.pk])).content.decode()
    link = f"{ADD}?way=browser&amp;again={row.pk}"
    assert link in page
    assert link in operator.get("/admin/accounts/account/").content.decode()
    assert "Log in as alex@example.com" in words(operator.get(link.replace("&amp;", "&")))


def test_the_page_of_an_account_says_all_that_is_known(operator: Client) -> None:
    now = timezone.now()
    windows = {
        "secondary": {"used_percent": 95, "window_minutes": 10080, "reset_at": now.timestamp() + 90_000},
        "primary": {"used_percent": 22, "window_minutes": 300, "reset_at": now.timestamp() + 3_600},
    }
    row = AccountFactory(
        quota={"windows": {"codex": windows}},
        quota_at=now,
        refresh_failures=2,
        refresh_retry_at=now + timedelta(minutes=9, seconds=30),
        cooling_until=now + timedelta(minutes=42),
        cooling_reason="5-hour limit reached",
    )
    services.accounts_switch(ids=[row.pk], event="resumed", actor="operator", reason="paid again")
    Account.objects.filter(pk=row.pk).update(
        refresh_failures=2, refresh_retry_at=row.refresh_retry_at, status_reason=""
    )
    text = words(operator.get(reverse("admin:accounts_account_change", args=[row.pk])))
    for expected in (
        "Cooling down 5-hour limit reached · 42 min",
        "5 h 78 % left resets in 1 h",
        "7 d 5 % left",
        "failed 2 times · next try in",
        "Paused or resumed · operator",
        row.chatgpt_user_id,
    ):
        assert expected in text, text


def test_buttons_do_what_they_say_and_go_back(operator: Client, sim: Simulator) -> None:
    account = next(iter(sim.accounts))
    row = AccountFactory(
        label="mine",
        refresh_token=account.refresh_token,
        access_token=account.access_token,
        chatgpt_account_id=account.chatgpt_account_id,
    )
    do = reverse("admin:accounts_account_do", args=[row.pk])
    back = "http://testserver/admin/accounts/account/?state=ready"
    for verb, said in (
        ("ask", "The limits of 1 accounts are up to date."),
        ("refresh", "The tokens were refreshed."),
        ("pause", "1 account: Paused."),
        ("resume", "1 account: Active."),
    ):
        answer = operator.post(do, {"do": verb}, headers={"referer": back})
        assert answer["location"] == back
        assert said in words(operator.get("/admin/accounts/account/")), verb
    evil = operator.post(do, {"do": "pause"}, headers={"referer": "https://evil.example.com/"})
    assert evil["location"] == reverse("admin:accounts_account_change", args=[row.pk])
    assert operator.get(do).status_code == 404
    assert operator.post(do, {"do": "dance"}).status_code == 404


def test_it_says_what_came_of_a_refresh_that_did_not_work(operator: Client, settings: Any) -> None:
    settings.OPENAI_AUTH_URL = "http://127.0.0.1:9"  # nothing listens there
    row = AccountFactory(label="mine")
    operator.post(reverse("admin:accounts_account_do", args=[row.pk]), {"do": "refresh"})
    assert "mine: The log-in server could not be reached" in words(operator.get("/admin/accounts/account/"))
    row.refresh_from_db()
    assert (row.status, row.refresh_spent_at) == ("active", None)


@pytest.mark.django_db(transaction=True)
def test_several_are_checked_at_once(client: Client, settings: Any) -> None:
    User.objects.create_superuser("operator", password=PASSWORD)
    client.login(username="operator", password=PASSWORD)
    with simulated_upstream(accounts=[{}, {"state": "invalidated"}]) as sim:
        settings.OPENAI_AUTH_URL = sim.origin
        rows = [AccountFactory(label=f"a{n}", refresh_token=one.refresh_token) for n, one in enumerate(sim.accounts)]
        form = {"action": "check_logins", "_selected_action": [row.pk for row in rows]}
        text = words(client.post("/admin/accounts/account/", form, follow=True))
    assert "a0: The tokens were refreshed." in text
    assert "a1: The session was ended; log in again." in text


def test_buttons_and_pages_need_their_permission(client: Client) -> None:
    viewer = UserFactory(is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_account"))
    client.force_login(viewer)
    row = AccountFactory()
    assert client.get("/admin/accounts/account/").status_code == 200
    assert client.post(reverse("admin:accounts_account_do", args=[row.pk]), {"do": "pause"}).status_code == 403
    for path in (ADD, EXPORT, f"{ADD}login/x/", f"{ADD}login/x/state/"):
        assert client.get(path).status_code == 403, path
    client.logout()
    for path in (ADD, EXPORT, f"{ADD}login/x/"):
        assert client.get(path).status_code == 302, path


# ---- export --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["full", "minimal", "cockpit_tools", "cpa", "sub2api"])
def test_it_exports_after_the_password_and_writes_it_down(operator: Client, name: str) -> None:
    row = AccountFactory(refresh_token="rt_canary-token")
    AccountFactory(refresh_token="rt_other-token")
    page = operator.get(EXPORT, {"ids": row.pk})
    assert "1 account with its live tokens" in words(page)
    assert "rt_canary" not in page.content.decode()
    file = operator.post(EXPORT, {"ids": row.pk, "format": name, "password": PASSWORD})
    assert "no-store" in file["Cache-Control"]
    today = f"{timezone.now():%Y-%m-%d}"
    middle = "" if name == "full" else f"-{name}"
    assert file["Content-Disposition"] == f'attachment; filename="accounts-export{middle}-{today}.json"'
    (entry,) = parse_import(file.content.decode()).entries
    assert entry.refresh_token is not None
    assert entry.refresh_token.reveal() == "rt_canary-token"
    assert AuditEntry.objects.get(action="account.exported").actor == "operator"


def test_it_exports_nothing_without_the_password_and_gives_up_after_five_tries(operator: Client) -> None:
    AccountFactory(refresh_token="rt_canary-token")
    for said in ["not the right password"] * 5 + ["Too many wrong passwords"]:
        page = operator.post(EXPORT, {"format": "full", "password": "wrong"})
        assert said in words(page)
        assert "rt_canary" not in page.content.decode()
    assert "Too many" in words(operator.post(EXPORT, {"format": "full", "password": PASSWORD}))
    assert not AuditEntry.objects.filter(action="account.exported").exists()


def test_the_chosen_accounts_go_to_the_export_page(operator: Client) -> None:
    row = AccountFactory()
    answer = operator.post("/admin/accounts/account/", {"action": "export", "_selected_action": [row.pk]})
    assert answer["location"] == f"{EXPORT}?ids={row.pk}"
