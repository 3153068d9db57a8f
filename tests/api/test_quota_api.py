"""The JSON API of limits, without what mounts it: shapes and statuses. Who may call is the mounting API's."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.utils import timezone
from ninja.testing import TestClient

from accounts import quota
from accounts.models import Account, AccountCookie, AuditEntry, User
from codexproxy.api.management.quota import account_quota, fresh_quota, router
from providers.contract import QuotaWindow, RateLimits
from tests.accounts.test_quota_service import CREDITS, Backend, usage
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db


class Operator(TestClient):
    """Calls as olga."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        return super().request(*args, user=User(username="olga"), **kwargs)


@pytest.fixture
def client() -> TestClient:
    return Operator(router)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The upstream of every call; tests fill in the answers."""
    found = Backend()
    for function in ("quota_refresh", "reset_credits", "reset_credit_consume"):
        original = getattr(__import__("accounts.services.quota", fromlist=[function]), function)
        monkeypatch.setitem(original.__kwdefaults__, "send", found)
    return found


def test_live_limits_are_shown_in_the_documented_shape_and_stored(client: TestClient, backend: Backend) -> None:
    row = AccountFactory()
    backend.answers["usage"] = usage(42)
    answer = client.get(f"/accounts/{row.pk}/quota")
    assert answer.status_code == 200
    assert answer.json()["quota"]["rate_limit"]["remaining_percent"] == 58
    assert answer.json()["raw"]["plan_type"] == "pro"
    assert Account.objects.get().quota_at is not None


@pytest.mark.parametrize(
    ("fields", "answer", "status"),
    [({"status": "paused"}, None, 409), ({}, (500, b""), 502), ({}, (403, {"detail": "no"}), 502)],
)
def test_limits_that_cannot_be_asked_for_say_why(
    client: TestClient, backend: Backend, fields: dict[str, Any], answer: Any, status: int
) -> None:
    backend.answers["usage"] = answer
    found = client.get(f"/accounts/{AccountFactory(**fields).pk}/quota")
    assert found.status_code == status and found.json()["detail"]
    assert client.get("/accounts/0123456789abcdef/quota").status_code == 404


def test_t27_warnings_are_listed_with_the_account_the_window_and_the_level(client: TestClient) -> None:
    window = QuotaWindow(used_percent=92, window_minutes=300, reset_at=time.time() + 60)
    known = quota.merge(quota.Quota(), RateLimits(windows={"codex": {"primary": window}}), time.time())
    row = AccountFactory(email="one@example.com", quota=quota.dump(known))
    [found] = client.get("/quota/warnings").json()["warnings"]
    assert (found["accountId"], found["email"], found["window"]) == (row.pk, "one@example.com", "primary")
    assert (found["level"], found["usedPercent"]) == ("critical", 92)


def test_t28_resets_are_listed_spent_and_refused(client: TestClient, backend: Backend) -> None:
    row = AccountFactory()
    backend.answers |= {"rate_limit_reset_credits": CREDITS, "consume": {"code": "reset"}, "usage": usage(1)}
    listed = client.get(f"/accounts/{row.pk}/reset-credits").json()
    assert (listed["available_count"], len(listed["credits"])) == (1, 3)
    assert listed["next_expires_at"].startswith("2099-07-31")
    path = f"/accounts/{row.pk}/reset-credits/consume"
    assert client.post(path, json={"redeem_request_id": "mine"}).status_code == 400
    spent = client.post(path)
    assert spent.status_code == 200 and spent.json()["success"] is True
    assert spent.json()["quota"]["rate_limit"]["used_percent"] == 1
    again = client.post(path)
    assert again.status_code == 429 and "in" in again.json()["detail"]
    AuditEntry.objects.all().delete()
    backend.answers["consume"] = (502, b"")
    assert client.post(path).status_code == 502


def test_cookies_are_set_named_and_dropped_and_their_values_stay_here(client: TestClient) -> None:
    row = AccountFactory()
    path = f"/accounts/{row.pk}/cookies"
    assert client.get(path).json() == {"cookies": None}
    assert client.post(path, json={"cookies": {"a": "canary"}}).json() == {"success": True, "cookies": {"a": "***"}}
    assert client.post(path, json={"cookies": "b=2; c=3"}).json()["cookies"] == {"a": "***", "b": "***", "c": "***"}
    for wrong in ("", "x", {"a b": "1"}):
        assert client.post(path, json={"cookies": wrong}).status_code == 400
    assert client.delete(path).json() == {"success": True}
    assert not AccountCookie.objects.exists()


def test_the_list_of_accounts_can_show_what_is_known_or_ask_first(backend: Backend) -> None:
    backend.answers["usage"] = lambda request: (
        usage(7) if "workspace-good" in str(request.headers) else (401, {"detail": "Unauthorized"})
    )
    AccountFactory(chatgpt_account_id="workspace-good"), AccountFactory()
    problems = fresh_quota(list(Account.objects.order_by("created_at")))
    good, bad = Account.objects.order_by("created_at")
    assert list(problems) == [bad.pk]
    assert account_quota(good, timezone.now())["quota"]["rate_limit"]["used_percent"] == 7
    assert account_quota(bad, timezone.now()) == {"quota": None, "quotaFetchedAt": None, "quotaVerifyRequired": False}
