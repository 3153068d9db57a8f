"""The management API: who gets in, the routes of operations §13.4 and §13.5, and what never leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.models import Account, AccountStatus, AuditEntry, PendingLogin, User
from codexproxy.api.management.api import api
from codexproxy.api.management.auth import AdminKey, Anyone, DashboardSession
from providers.simulator.faults import Fault
from providers.simulator.server import Simulator
from tests.factories import AccountFactory, ApiKeyFactory, UserFactory, access_jwt
from tests.simulated import simulated_upstream

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"
OPEN = {("POST", "/auth/dashboard-login"), ("POST", "/auth/dashboard-logout"), ("GET", "/auth/dashboard-status")}
SPEC_ROUTES = {
    ("GET", "/auth/status"),
    ("GET", "/auth/login"),
    ("POST", "/auth/login-start"),
    ("POST", "/auth/code-relay"),
    ("GET", "/auth/callback"),
    ("POST", "/auth/device-login"),
    ("GET", "/auth/device-poll/{device_code}"),
    ("POST", "/auth/import-cli"),
    ("POST", "/auth/token"),
    ("POST", "/auth/logout"),
    *OPEN,
    ("GET", "/auth/accounts"),
    ("POST", "/auth/accounts"),
    ("GET", "/auth/accounts/login"),
    ("POST", "/auth/accounts/import"),
    ("GET", "/auth/accounts/export"),
    ("POST", "/auth/accounts/batch-delete"),
    ("POST", "/auth/accounts/batch-status"),
    ("POST", "/auth/accounts/health-check"),
    ("DELETE", "/auth/accounts/{account_id}"),
    ("POST", "/auth/accounts/{account_id}/refresh"),
    ("POST", "/auth/accounts/{account_id}/reset-usage"),
    ("PATCH", "/auth/accounts/{account_id}/label"),
    ("GET", "/auth/accounts/{account_id}/quota"),
    ("GET", "/auth/accounts/{account_id}/reset-credits"),
    ("POST", "/auth/accounts/{account_id}/reset-credits/consume"),
    ("GET", "/auth/accounts/{account_id}/cookies"),
    ("POST", "/auth/accounts/{account_id}/cookies"),
    ("DELETE", "/auth/accounts/{account_id}/cookies"),
    ("GET", "/auth/quota/warnings"),
}


def operations() -> Iterator[tuple[str, str, Any]]:
    for router in api._get_bound_routers():
        for path, view in router.path_operations.items():
            for operation in view.operations:
                for method in operation.methods:
                    yield method, f"{router.prefix}{path}", operation


class Caller:
    """A client that sends JSON."""

    def __init__(self, **headers: str) -> None:
        self.client = Client(enforce_csrf_checks=True, headers=headers or None)

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        options.setdefault("content_type", "application/json")
        data = body if isinstance(body, str) else json.dumps(body) if body is not None else ""
        return self.client.generic(method, path, data, **options)


@pytest.fixture
def call() -> Caller:
    """Call with an admin key."""
    key = "cpx-" + "k" * 43
    ApiKeyFactory(clear=key, is_admin=True)
    return Caller(authorization=f"Bearer {key}")


@pytest.fixture
def sim(settings: Any) -> Iterator[Simulator]:
    with simulated_upstream(accounts=[{"email": "sim@example.com"}], device_approve_after=None) as running:
        settings.OPENAI_AUTH_URL, settings.CODEX_BASE_URL = running.origin, running.codex_base_url
        yield running


def approve(auth_url: str) -> str:
    return httpx.get(auth_url, trust_env=False).headers["location"]


# ---- who gets in ---------------------------------------------------------------------------------------------------


def test_every_route_names_its_authentication_and_only_three_are_open() -> None:
    found = {}
    for method, path, operation in operations():
        callbacks = list(operation.auth_callbacks)
        assert callbacks, f"{method} {path} has no authentication"
        assert all(isinstance(one, AdminKey | DashboardSession | Anyone) for one in callbacks), path
        found[method, path] = any(isinstance(one, Anyone) for one in callbacks)
    assert {route for route, is_open in found.items() if is_open} == OPEN


def test_a_route_that_names_none_would_be_closed_all_the_same() -> None:
    assert api.auth
    assert all(isinstance(one, AdminKey | DashboardSession) for one in api.auth)


def test_every_route_of_the_specification_is_there() -> None:
    assert {(method, path) for method, path, _ in operations()} >= SPEC_ROUTES


def test_nobody_gets_in_without_a_key_or_a_session() -> None:
    stranger = Caller()
    for method, path, _ in operations():
        if (method, path) not in OPEN:
            answer = stranger(method, path.replace("{account_id}", "x").replace("{device_code}", "x"), {})
            assert answer.status_code == 401, path
            assert "login required" in answer.json()["error"]


def test_an_ordinary_key_a_revoked_one_and_a_key_in_the_address_get_nowhere() -> None:
    plain, revoked, admin = "cpx-" + "p" * 43, "cpx-" + "r" * 43, "cpx-" + "a" * 43
    ApiKeyFactory(clear=plain)
    ApiKeyFactory(clear=revoked, is_admin=True, revoked_at=timezone.now())
    ApiKeyFactory(clear=admin, is_admin=True)
    answers = {key: Caller(authorization=f"Bearer {key}")("GET", "/auth/accounts") for key in (plain, revoked, admin)}
    assert [answers[key].status_code for key in (plain, revoked, admin)] == [403, 401, 200]
    assert Caller(**{"x-api-key": admin})("GET", "/auth/accounts").status_code == 200
    assert Caller()("GET", f"/auth/accounts?key={admin}").status_code == 401
    assert revoked not in answers[revoked].content.decode()


def test_a_session_needs_its_csrf_token_for_what_changes_something() -> None:
    row = AccountFactory()
    person = Caller()
    person.client.force_login(UserFactory(is_staff=True, is_superuser=True))
    assert person("GET", "/auth/accounts").status_code == 200
    refused = person("POST", "/auth/accounts/batch-delete", {"ids": [row.pk]})
    assert (refused.status_code, Account.objects.count()) == (403, 1)
    person.client.get("/admin/")
    token = person.client.cookies["csrftoken"].value
    done = person("POST", "/auth/accounts/batch-delete", {"ids": [row.pk]}, headers={"x-csrftoken": token})
    assert (done.status_code, Account.objects.count()) == (200, 0)


def test_staff_may_do_what_their_permissions_say_and_members_nothing() -> None:
    viewer, member = UserFactory(is_staff=True), UserFactory()
    viewer.user_permissions.set(Permission.objects.filter(codename="view_account"))
    for user, expected in ((viewer, [200, 403, 403]), (member, [403, 403, 403])):
        person = Caller()
        person.client.force_login(user)
        paths = [("GET", "/auth/accounts"), ("GET", "/auth/accounts/export"), ("GET", "/auth/login")]
        assert [person(*path).status_code for path in paths] == expected


def test_people_log_in_and_out_and_five_wrong_passwords_wait_a_minute() -> None:
    User.objects.create_user("boss", password=PASSWORD, is_staff=True)
    person = Caller()
    assert person("GET", "/auth/dashboard-status").json() == {"required": True, "authenticated": False}
    assert person("POST", "/auth/dashboard-login", {"password": PASSWORD}).status_code == 400
    body = {"username": "boss", "password": PASSWORD}
    assert person("POST", "/auth/dashboard-login", body, content_type="text/plain").status_code == 400
    assert person("POST", "/auth/dashboard-login", body).status_code == 200
    assert person("GET", "/auth/dashboard-status").json()["authenticated"] is True
    person("POST", "/auth/dashboard-logout")
    assert person("GET", "/auth/dashboard-status").json()["authenticated"] is False
    wrong = [person("POST", "/auth/dashboard-login", {**body, "password": "no"}).status_code for _ in range(6)]
    assert wrong == [401] * 5 + [429]
    assert person("POST", "/auth/dashboard-login", body).status_code == 429, "not even with the right one"
    inside = Caller()
    inside.client.login(username="boss", password=PASSWORD)
    inside.client.get("/admin/")
    token = {"x-csrftoken": inside.client.cookies["csrftoken"].value}
    User.objects.update(is_superuser=True)
    confirmed = inside("POST", "/auth/confirm-password", {"password": PASSWORD}, headers=token)
    assert confirmed.status_code == 200, "strangers at the door lock nobody out who is inside"
    AuditEntry.objects.filter(action="login.refused").update(at=timezone.now() - timedelta(minutes=2))
    assert person("POST", "/auth/dashboard-login", body).status_code == 200


# ---- lists ---------------------------------------------------------------------------------------------------------


def test_the_list_has_the_common_shape_and_no_token(call: Caller) -> None:
    row = AccountFactory(label="team A", request_count=12)
    AccountFactory(status=AccountStatus.NEEDS_LOGIN)
    AccountFactory(status=AccountStatus.UNPAID)
    AccountFactory(status=AccountStatus.PAUSED)
    AccountFactory(lease_until=timezone.now() + timedelta(minutes=1), lease_owner="x")
    AccountFactory(cooling_until=timezone.now() + timedelta(minutes=42), cooling_reason="5-hour limit reached")
    answer = call("GET", "/auth/accounts?quota=true")
    body = answer.json()
    first = body["accounts"][0]
    assert body["persistence_health"] == {"ok": True}
    assert (first["id"], first["label"], first["accountId"]) == (row.pk, "team A", row.chatgpt_account_id)
    assert first["usage"]["request_count"] == 12
    statuses = [one["status"] for one in body["accounts"]]
    assert statuses == ["active", "expired", "quota_exhausted", "disabled", "refreshing", "active"]
    assert (body["accounts"][5]["state"], body["accounts"][5]["stateReason"]) == ("cooling", "5-hour limit reached")
    text = answer.content.decode()
    assert "eyJ" not in text
    assert "rt_" not in text


@pytest.mark.django_db(transaction=True)
def test_a_fresh_list_asks_the_upstream_and_says_who_did_not_answer(call: Caller, settings: Any) -> None:
    with simulated_upstream(accounts=[{}, {"state": "invalidated"}]) as sim:
        settings.CODEX_BASE_URL = sim.codex_base_url
        for one in sim.accounts:
            AccountFactory(chatgpt_account_id=one.chatgpt_account_id, access_token=one.access_token)
        AccountFactory(status=AccountStatus.PAUSED)
        cached = call("GET", "/auth/accounts?quota=true").json()["accounts"]
        fresh = call("GET", "/auth/accounts?quota=fresh").json()["accounts"]
        assert len(sim.requests_to("usage")) == 2, "one for each active account"
        live = call("GET", f"/auth/accounts/{fresh[0]['id']}/quota").json()
        warnings = call("GET", "/auth/quota/warnings").json()
    assert [one["quota"] for one in cached] == [None, None, None]
    assert fresh[0]["quota"]["rate_limit"]["allowed"] is True
    assert [bool(one["quotaError"]) for one in fresh] == [False, True, False]
    assert live["quota"]["rate_limit"] == fresh[0]["quota"]["rate_limit"]
    assert warnings["warnings"] == []
    assert call("GET", "/auth/accounts/nope/quota").json()["error"]


def test_the_status_counts_the_pool_and_hands_out_no_key(call: Caller) -> None:
    AccountFactory(email="first@example.com")
    AccountFactory(status=AccountStatus.BANNED)
    body = call("GET", "/auth/status").json()
    assert (body["authenticated"], body["user"]["email"], body["proxy_api_key"]) == (True, "first@example.com", None)
    assert body["pool"] == {
        "total": 2,
        "active": 1,
        "expired": 0,
        "quota_exhausted": 0,
        "rate_limited": 0,
        "refreshing": 0,
        "disabled": 0,
        "banned": 1,
    }


def test_the_list_asks_a_constant_number_of_questions(call: Caller, django_assert_max_num_queries: Any) -> None:
    for _ in range(12):
        AccountFactory()
    with django_assert_max_num_queries(4):
        call("GET", "/auth/accounts")


# ---- adding --------------------------------------------------------------------------------------------------------


def test_it_adds_by_token_and_checks_it_once(call: Caller, sim: Simulator) -> None:
    account = next(iter(sim.accounts))
    answer = call("POST", "/auth/accounts", {"token": f"Bearer {account.access_token}", "label": "api"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["success"] is True
    assert answer.json()["account"]["email"] == "sim@example.com"
    assert len(sim.requests_to("usage")) == 1
    assert AuditEntry.objects.get(action="account.added").actor.startswith("key:cpx-")
    assert account.access_token not in answer.content.decode()


def test_it_adds_by_refresh_token_and_makes_no_further_call(call: Caller, sim: Simulator) -> None:
    answer = call("POST", "/auth/accounts", {"refreshToken": next(iter(sim.accounts)).refresh_token})
    assert answer.status_code == 200, answer.content
    assert sim.requests_to("usage") == [], "traffic right after an exchange has had accounts deactivated"


def test_it_refuses_a_deactivated_account_but_not_one_at_its_limit(call: Caller, sim: Simulator) -> None:
    account = next(iter(sim.accounts))
    account.state = "deactivated"
    refused = call("POST", "/auth/accounts", {"token": account.access_token})
    assert (refused.status_code, Account.objects.count()) == (400, 0)
    sim.faults.add(Fault("F20", "500"))
    account.state = "ok"
    assert call("POST", "/auth/accounts", {"token": account.access_token}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/auth/accounts", {}, 400),
        ("/auth/accounts", {"token": "nonsense"}, 400),
        ("/auth/accounts", {"token": ["eyJsecret"]}, 400),
        ("/auth/accounts", {"token": access_jwt(expires_in_s=-5)}, 400),
        ("/auth/accounts", "{broken", 400),
        ("/auth/token", {}, 400),
        ("/auth/token", {"token": access_jwt("")}, 400),
        ("/auth/accounts/import", {"nothing": 1}, 400),
        ("/auth/accounts/import", "", 400),
        ("/auth/code-relay", {"callbackUrl": ""}, 400),
        ("/auth/code-relay", {"callbackUrl": "http://localhost:1455/auth/callback?code=c&state=s"}, 400),
        ("/auth/accounts/batch-delete", {"ids": []}, 400),
        ("/auth/accounts/batch-status", {"ids": ["x"], "status": "banned"}, 400),
        ("/auth/accounts/health-check", {"stagger_ms": 1}, 400),
        ("/auth/accounts/nope/refresh", {}, 404),
        ("/auth/accounts/nope/reset-usage", {}, 404),
    ],
)
def test_it_refuses_with_a_sentence_and_never_repeats_what_was_sent(
    call: Caller, path: str, body: Any, status: int
) -> None:
    answer = call("POST", path, body)
    assert answer.status_code == status, answer.content
    assert answer.json()["error"]
    assert "eyJ" not in answer.content.decode()


def test_a_refused_exchange_is_502(call: Caller, sim: Simulator) -> None:
    account = next(iter(sim.accounts))
    account.state = "invalidated"
    answer = call("POST", "/auth/accounts", {"refreshToken": account.refresh_token})
    assert (answer.status_code, account.refresh_token in answer.content.decode()) == (502, False)


def test_it_adds_a_bare_token_without_asking_anyone(call: Caller) -> None:
    assert call("POST", "/auth/token", {"token": access_jwt()}).json() == {"success": True}


def test_it_takes_the_login_of_the_cli_on_this_machine(call: Caller, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    assert call("POST", "/auth/import-cli").status_code == 500
    (tmp_path / "auth.json").write_text(json.dumps({"tokens": {"access_token": access_jwt(), "refresh_token": "rt_x"}}))
    assert call("POST", "/auth/import-cli").json() == {"success": True}
    assert Account.objects.get().refresh_token


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
def test_it_imports_and_says_what_became_of_each(call: Caller, content_type: str) -> None:
    AccountFactory(chatgpt_account_id="w", chatgpt_user_id="old")
    lines = [access_jwt("w", "new"), access_jwt("w", "old"), "half-a-secret"]
    text = json.dumps(lines) if content_type == "application/json" else "\n".join(lines)
    body = call("POST", "/auth/accounts/import", text, content_type=content_type).json()
    assert (body["success"], body["added"], body["updated"], body["failed"]) == (True, 1, 1, 1)
    assert [one["result"] for one in body["results"]] == ["added", "updated", "refused"]
    assert len(body["errors"]) == 1
    assert "half-a-secret" not in json.dumps(body)


# ---- logging in ----------------------------------------------------------------------------------------------------


def test_a_login_is_started_and_relayed_and_relayed_again(call: Caller, sim: Simulator) -> None:
    started = call("POST", "/auth/login-start").json()
    assert started["state"] in started["authUrl"]
    callback = {"callbackUrl": approve(started["authUrl"])}
    assert call("POST", "/auth/code-relay", callback).json() == {"success": True}
    assert call("POST", "/auth/code-relay", callback).json() == {"success": True}
    assert Account.objects.get().email == "sim@example.com"
    assert len(sim.requests_to("token")) == 1


def test_a_login_whose_exchange_fails_is_500_and_may_be_tried_again(call: Caller, sim: Simulator) -> None:
    callback = approve(call("POST", "/auth/login-start").json()["authUrl"])
    for code in (callback.replace("code=ac_", "code=ac_x"), callback):
        answer = call("POST", "/auth/code-relay", {"callbackUrl": code})
    assert answer.status_code == 200
    assert (
        call("POST", "/auth/code-relay", {"callbackUrl": "http://localhost:1455/?error=access_denied"}).status_code
        == 400
    )


@pytest.mark.parametrize("path", ["/auth/login", "/auth/accounts/login"])
def test_a_browser_is_sent_to_the_log_in_page(call: Caller, sim: Simulator, path: str) -> None:
    answer = call("GET", path)
    assert answer.status_code == 302
    assert answer["location"].startswith(f"{sim.origin}/oauth/authorize?response_type=code")


def test_a_way_back_that_was_led_here_ends_on_the_accounts_page(call: Caller, sim: Simulator) -> None:
    callback = approve(call("POST", "/auth/login-start").json()["authUrl"])
    answer = call("GET", callback.removeprefix("http://localhost:1455"))
    assert answer.status_code == 302
    assert answer["location"] == f"/admin/accounts/account/{Account.objects.get().pk}/change/"
    assert call("GET", "/auth/callback?code=<script>&state=s").status_code == 400


def test_a_device_login_is_polled_with_a_handle_that_is_no_secret(call: Caller, sim: Simulator) -> None:
    started = call("POST", "/auth/device-login").json()
    assert set(started) == {
        "userCode",
        "verificationUri",
        "verificationUriComplete",
        "deviceCode",
        "expiresIn",
        "interval",
    }
    assert not started["deviceCode"].startswith("deviceauth_")
    path = f"/auth/device-poll/{started['deviceCode']}"
    assert call("GET", path).json() == {"pending": True, "code": "slow_down"}
    PendingLogin.objects.update(next_poll_at=timezone.now())
    assert call("GET", path).json() == {"pending": True, "code": "authorization_pending"}
    sim.approve_device(started["userCode"])
    PendingLogin.objects.update(next_poll_at=timezone.now())
    assert call("GET", path).json() == {"success": True}
    assert call("GET", "/auth/device-poll/unknown").status_code == 404


def test_an_expired_device_login_is_400(call: Caller, sim: Simulator) -> None:
    handle = call("POST", "/auth/device-login").json()["deviceCode"]
    PendingLogin.objects.update(expires_at=timezone.now())
    assert call("GET", f"/auth/device-poll/{handle}").status_code == 400


# ---- one and many --------------------------------------------------------------------------------------------------


def test_batches_say_who_was_not_there(call: Caller) -> None:
    rows = [AccountFactory(status=AccountStatus.BANNED), AccountFactory()]
    ids = [row.pk for row in rows]
    active = call("POST", "/auth/accounts/batch-status", {"ids": [*ids, "nope"], "status": "active"}).json()
    assert active == {"success": True, "updated": 2, "notFound": ["nope"]}
    call("POST", "/auth/accounts/batch-status", {"ids": ids, "status": "disabled"})
    assert set(Account.objects.values_list("status", flat=True)) == {"paused"}
    gone = call("POST", "/auth/accounts/batch-delete", {"ids": [*ids, "nope"]}).json()
    assert gone == {"success": True, "deleted": 2, "notFound": ["nope"]}


def test_one_account_is_named_reset_and_removed(call: Caller) -> None:
    row = AccountFactory(label="old", request_count=9, max_concurrency=4)
    path = f"/auth/accounts/{row.pk}"
    assert call("PATCH", f"{path}/label", {"label": "new"}).json() == {"success": True}
    assert call("PATCH", f"{path}/label", {"label": "x" * 65}).status_code == 400
    assert call("POST", f"{path}/reset-usage").json() == {"success": True}
    row.refresh_from_db()
    assert (row.label, row.request_count, row.max_concurrency) == ("new", 0, 4)
    call("PATCH", f"{path}/label", {"label": None})
    row.refresh_from_db()
    assert row.label == ""
    assert call("DELETE", path).json() == {"success": True}
    assert call("DELETE", path).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_refresh_and_health_check_tell_the_living_from_the_dead(call: Caller, settings: Any) -> None:
    with simulated_upstream(accounts=[{}, {"state": "deactivated"}]) as sim:
        settings.OPENAI_AUTH_URL = sim.origin
        alive, dead = (AccountFactory(refresh_token=one.refresh_token) for one in sim.accounts)
        off = AccountFactory(status=AccountStatus.PAUSED)
        one = call("POST", f"/auth/accounts/{alive.pk}/refresh").json()
        assert (one["result"], one["previousStatus"]) == ("alive", "active")
        body = call("POST", "/auth/accounts/health-check", {"stagger_ms": 500, "concurrency": 2}).json()
    assert body["summary"] == {"total": 3, "alive": 1, "dead": 1, "skipped": 1}
    found = {one["id"]: one for one in body["results"]}
    assert found[off.pk]["error"] == "manually disabled"
    assert "deactivated" in found[dead.pk]["error"]
    assert Account.objects.get(pk=dead.pk).status == "banned", "the check knows a ban from an expired login"


def test_forgetting_everything_takes_two_calls(call: Caller) -> None:
    AccountFactory(), AccountFactory()
    first = call("POST", "/auth/logout")
    assert (first.status_code, first.json()["accounts"], Account.objects.count()) == (409, 2, 2)
    AccountFactory()
    assert call("POST", "/auth/logout", {"confirm": first.json()["confirm"]}).status_code == 409, "one more meanwhile"
    again = call("POST", "/auth/logout").json()["confirm"]
    assert call("POST", "/auth/logout", {"confirm": again}).json() == {"success": True}
    assert not Account.objects.exists()


# ---- export --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["full", "minimal", "cockpit_tools", "cpa", "sub2api"])
def test_five_exports_read_back_as_the_same_logins(call: Caller, name: str) -> None:
    rows = [AccountFactory(refresh_token=f"rt_one-of-{number}") for number in range(2)]
    answer = call("GET", f"/auth/accounts/export?format={name}&ids={rows[0].pk},{rows[1].pk}")
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Disposition"].startswith('attachment; filename="accounts-export')
    from accounts.importing import parse_import

    tokens = {entry.refresh_token.reveal() for entry in parse_import(answer.content.decode()).entries}
    assert tokens == {"rt_one-of-0", "rt_one-of-1"}
    assert AuditEntry.objects.get(action="account.exported").details["format"] == name


def test_an_unknown_format_or_account_is_400(call: Caller) -> None:
    assert call("GET", "/auth/accounts/export?format=zip").status_code == 400
    assert call("GET", "/auth/accounts/export?ids=nope").status_code == 400


def test_a_session_exports_only_after_its_password() -> None:
    User.objects.create_superuser("boss", password=PASSWORD)
    AccountFactory(refresh_token="rt_canary-token")
    person = Caller()
    person.client.login(username="boss", password=PASSWORD)
    person.client.get("/admin/")
    headers = {"x-csrftoken": person.client.cookies["csrftoken"].value}
    refused = person("GET", "/auth/accounts/export")
    assert (refused.status_code, "rt_canary" in refused.content.decode()) == (403, False)
    assert person("POST", "/auth/confirm-password", {"password": "no"}, headers=headers).status_code == 400
    assert person("GET", "/auth/accounts/export").status_code == 403
    assert person("POST", "/auth/confirm-password", {"password": PASSWORD}, headers=headers).status_code == 200
    assert "rt_canary" in person("GET", "/auth/accounts/export").content.decode()
    assert AuditEntry.objects.filter(action="account.exported", actor="boss").count() == 1


def test_the_description_is_for_people_of_the_dashboard() -> None:
    person = Caller()
    assert person("GET", "/api/openapi.json").status_code == 302
    person.client.force_login(UserFactory(is_staff=True))
    document = person("GET", "/api/openapi.json").json()
    assert "/auth/accounts/{account_id}/refresh" in document["paths"]
    assert all("security" in one for path in document["paths"].values() for one in path.values())
