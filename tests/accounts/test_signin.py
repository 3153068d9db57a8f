"""Log-ins that a person finishes elsewhere, against the simulated log-in server: browser, relay, listener, device."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.utils import timezone

from accounts import services
from accounts.callback_listener import CallbackListener, is_on_this_machine
from accounts.models import Account, AccountStatus, AuditEntry, PendingLogin
from accounts.services import signin
from providers.oauth.client import OAuthClient
from providers.oauth.contract import MaybeSent, OAuthRequest, OAuthResponse
from providers.simulator.server import Simulator
from tests.factories import AccountFactory
from tests.simulated import simulated_upstream

pytestmark = pytest.mark.django_db


@pytest.fixture
def sim(settings: Any) -> Iterator[Simulator]:
    with simulated_upstream(accounts=[{"email": "sim@example.com"}], device_approve_after=None) as running:
        settings.OPENAI_AUTH_URL = running.origin
        yield running


@pytest.fixture
def send() -> Iterator[OAuthClient]:
    with OAuthClient() as client:
        yield client


def approve(auth_url: str) -> str:
    """Be the browser: open the log-in page, and return the address it sends back to."""
    answer = httpx.get(auth_url, follow_redirects=False, trust_env=False)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def test_a_pasted_callback_address_adds_the_account(sim: Simulator, send: OAuthClient) -> None:
    started = services.browser_login_start(actor="alice", label="mine")
    done = services.browser_login_finish(callback_url=approve(started.auth_url), send=send)
    row = Account.objects.get()
    assert (done.outcome, done.account_id, done.is_new) == ("done", row.pk, True)
    assert (row.email, row.label, bool(row.refresh_token)) == ("sim@example.com", "mine", True)
    assert AuditEntry.objects.get(action="account.added").actor == "alice"
    assert PendingLogin.objects.get().secret is None, "the verifier goes when it is used up"


def test_the_log_in_address_encodes_spaces_as_percent_20(sim: Simulator) -> None:
    url = services.browser_login_start(actor="alice").auth_url
    assert "+" not in url
    assert "scope=openid%20profile%20email%20offline_access" in url
    query = parse_qs(urlsplit(url).query)
    assert query["redirect_uri"] == ["http://localhost:1455/auth/callback"]
    assert query["code_challenge_method"] == ["S256"]


def test_submitting_twice_is_a_success_twice_and_one_exchange(sim: Simulator, send: OAuthClient) -> None:
    callback = approve(services.browser_login_start(actor="alice").auth_url)
    first = services.browser_login_finish(callback_url=callback, send=send)
    again = services.browser_login_finish(callback_url=callback, send=send)
    assert (again.outcome, again.account_id) == ("done", first.account_id)
    assert len(sim.requests_to("token")) == 1


def test_a_second_handler_during_the_exchange_sends_nothing_and_is_no_error(sim: Simulator, send: OAuthClient) -> None:
    callback = approve(services.browser_login_start(actor="alice").auth_url)
    inner: list[PendingLogin] = []

    def slow(request: OAuthRequest) -> OAuthResponse:
        inner.append(services.browser_login_finish(callback_url=callback, send=send))
        return send(request)

    assert services.browser_login_finish(callback_url=callback, send=slow).outcome == "done"
    assert [row.outcome for row in inner] == ["pending"]
    assert len(sim.requests_to("token")) == 1


def test_a_failed_exchange_may_be_tried_again(sim: Simulator, send: OAuthClient) -> None:
    callback = approve(services.browser_login_start(actor="alice").auth_url)

    def broken(request: OAuthRequest) -> OAuthResponse:
        raise MaybeSent("The connection broke.")

    with pytest.raises(services.LoginServerFailed, match="broke"):
        services.browser_login_finish(callback_url=callback, send=broken)
    assert services.browser_login_finish(callback_url=callback, send=send).outcome == "done"


def test_an_expired_or_unknown_state_is_refused_and_nothing_is_sent(sim: Simulator, send: OAuthClient) -> None:
    callback = approve(services.browser_login_start(actor="alice").auth_url)
    PendingLogin.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    for url in (callback, callback.replace("state=", "state=x")):
        with pytest.raises(services.AccountsError, match="start it again"):
            services.browser_login_finish(callback_url=url, send=send)
    assert sim.requests_to("token") == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no code and state"),
        ("http://localhost:1455/auth/callback", "no code and state"),
        ("http://localhost:1455/auth/callback?code=c", "no code and state"),
        ("http://[::1/auth?code=c&state=s", "not the address"),
        ("http://localhost:1455/auth/callback?code=" + "c" * 9000 + "&state=s", "too long"),
        ("http://localhost:1455/auth/callback?error=access_denied&error_description=You%20said%20no", "You said no"),
    ],
)
def test_an_address_that_holds_no_log_in_is_refused_with_words(url: str, words: str, send: OAuthClient) -> None:
    with pytest.raises(services.AccountsError, match=words):
        services.browser_login_finish(callback_url=url, send=send)


def test_a_refusal_in_the_browser_ends_the_log_in_and_says_so(send: OAuthClient) -> None:
    row = services.browser_login_start(actor="alice").row
    with pytest.raises(services.AccountsError):
        services.browser_login_finish(
            callback_url=f"http://localhost:1455/auth/callback?error=access_denied&state={row.state}", send=send
        )
    row.refresh_from_db()
    assert (row.outcome, row.message) == ("failed", "The log-in was refused: access_denied.")


def test_logging_in_again_revives_the_same_account(sim: Simulator, send: OAuthClient) -> None:
    for _ in range(2):
        started = services.browser_login_start(actor="alice")
        done = services.browser_login_finish(callback_url=approve(started.auth_url), send=send)
        Account.objects.update(status=AccountStatus.NEEDS_LOGIN) if done.is_new else None
    row = Account.objects.get()
    assert (done.is_new, row.status) == (False, "active")


def test_a_cancelled_log_in_cannot_be_finished(sim: Simulator, send: OAuthClient) -> None:
    started = services.browser_login_start(actor="alice")
    services.login_cancel(login_id=started.row.pk)
    with pytest.raises(services.AccountsError):
        services.browser_login_finish(callback_url=approve(started.auth_url), send=send)
    assert not Account.objects.exists()


def test_log_ins_under_way_are_bounded_and_old_ones_are_forgotten() -> None:
    for _ in range(signin.MAX_PENDING + 5):
        services.browser_login_start(actor="alice")
    assert PendingLogin.objects.count() == signin.MAX_PENDING
    PendingLogin.objects.update(expires_at=timezone.now() - signin.REMEMBERED)
    services.browser_login_start(actor="alice")
    assert PendingLogin.objects.count() == 1


def test_no_secret_of_a_log_in_is_stored_in_clear(sim: Simulator) -> None:
    services.browser_login_start(actor="alice")
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM accounts_pendinglogin")
        assert cursor.fetchone()[0].startswith("v1:")
    assert "Secret" not in repr(PendingLogin.objects.get())


# ---- device code ---------------------------------------------------------------------------------------------------


def test_a_device_code_is_shown_polled_and_ends_with_the_account(sim: Simulator, send: OAuthClient) -> None:
    row = services.device_login_start(actor="alice", send=send, label="phone")
    assert row.user_code
    assert row.verification_url == f"{sim.origin}/codex/device"

    def poll() -> PendingLogin:
        PendingLogin.objects.update(next_poll_at=timezone.now())
        return services.device_login_poll(login_id=row.pk, send=send)

    assert poll().outcome == "pending"
    assert sim.approve_device(row.user_code)
    done = poll()
    assert (done.outcome, done.is_new) == ("done", True)
    assert Account.objects.get().label == "phone"
    assert poll().outcome == "done", "asking again gets the same answer"


def test_it_asks_the_server_no_faster_than_it_said(sim: Simulator, send: OAuthClient) -> None:
    row = services.device_login_start(actor="alice", send=send)
    for _ in range(5):
        services.device_login_poll(login_id=row.pk, send=send)
    assert len(sim.requests_to("device")) == 1, "the start, and no poll"


def test_an_expired_device_code_says_so_without_asking(sim: Simulator, send: OAuthClient) -> None:
    row = services.device_login_start(actor="alice", send=send)
    PendingLogin.objects.update(expires_at=timezone.now(), next_poll_at=timezone.now())
    done = services.device_login_poll(login_id=row.pk, send=send)
    assert (done.outcome, done.message) == ("failed", "The code has expired; start again.")


def test_it_slows_down_when_the_server_is_busy() -> None:
    def busy(request: OAuthRequest) -> OAuthResponse:
        return OAuthResponse(status=429, headers={"retry-after": "30"})

    row = PendingLogin.objects.create(
        kind="device", actor="a", expires_at=timezone.now() + timedelta(minutes=5), secret="deviceauth_x"
    )
    services.device_login_poll(login_id=row.pk, send=busy)
    row.refresh_from_db()
    assert row.outcome == "pending"
    assert row.next_poll_at is not None
    assert (row.next_poll_at - timezone.now()).total_seconds() > 25


def test_a_server_without_device_log_in_is_a_sentence(send: OAuthClient) -> None:
    def missing(request: OAuthRequest) -> OAuthResponse:
        return OAuthResponse(status=404)

    with pytest.raises(services.LoginServerFailed, match="not enabled"):
        services.device_login_start(actor="alice", send=missing)
    with pytest.raises(services.NotFound):
        services.device_login_poll(login_id="nope", send=send)


# ---- refresh tokens ------------------------------------------------------------------------------------------------


def test_the_same_refresh_token_twice_at_once_is_spent_once() -> None:
    from accounts.importing import ImportEntry
    from providers.contract import Secret
    from tests.factories import access_jwt

    entry = ImportEntry(refresh_token=Secret("rt_twice"))
    refused: list[str] = []

    def server(request: OAuthRequest) -> OAuthResponse:
        with pytest.raises(services.AccountsError) as second:
            services.account_add(entry=entry, actor="b", send=lambda _: pytest.fail("spent twice"))
        refused.append(str(second.value))
        return OAuthResponse(status=200, body=f'{{"access_token":"{access_jwt()}"}}'.encode())

    services.account_add(entry=entry, actor="a", send=server)
    assert len(refused) == 1
    assert "not used twice" in refused[0]
    assert not PendingLogin.objects.exists()


def test_a_refresh_token_that_an_account_owns_is_not_spent(sim: Simulator, send: OAuthClient) -> None:
    from accounts.importing import parse_import

    AccountFactory(refresh_token="rt_owned-by-a-row")
    report = services.account_import(document=parse_import("rt_owned-by-a-row"), actor="a", send=send)
    assert (len(report.updated), report.errors) == (1, ())
    assert sim.requests_to("token") == []


# ---- the listener --------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_listener_finishes_a_log_in_and_closes(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.callback_listener.LINGER_S", 0.0)
    listener = CallbackListener(port=0)
    assert listener.open()
    assert listener.open(), "a second log-in uses the same one"
    host, port = listener.address
    assert host == "127.0.0.1"
    callback = approve(services.browser_login_start(actor="alice").auth_url)
    local = callback.replace("localhost:1455", f"127.0.0.1:{port}")
    assert httpx.get(f"http://127.0.0.1:{port}/favicon.ico", trust_env=False).status_code == 404
    assert httpx.get(local.replace("state=", "state=x"), trust_env=False).status_code == 400
    answer = httpx.get(local, trust_env=False)
    assert (answer.status_code, "logged in" in answer.text) == (200, True)
    assert Account.objects.get().email == "sim@example.com"
    deadline = timezone.now() + timedelta(seconds=10)
    while listener.is_open and timezone.now() < deadline:
        pass
    assert not listener.is_open


def test_a_busy_port_is_no_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not CallbackListener(port=taken.getsockname()[1]).open()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost:8080", True), ("127.0.0.1", True), ("[::1]:8080", True), ("gateway.example.com", False), ("", False)],
)
def test_it_listens_only_for_browsers_of_this_machine(host: str, expected: bool) -> None:
    assert is_on_this_machine(host) is expected
