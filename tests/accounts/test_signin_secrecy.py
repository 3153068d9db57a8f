"""What a log-in must keep to itself: codes, verifiers, tokens. Looked for in logs, audit entries, rows and answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.core import serializers
from django.db import connection

from accounts import services
from accounts.callback_listener import CallbackListener
from accounts.models import Account, AuditEntry, PendingLogin
from providers.oauth.client import OAuthClient
from providers.oauth.contract import MaybeSent, OAuthRequest, OAuthResponse
from providers.simulator.server import Simulator
from tests.simulated import simulated_upstream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sim(settings: Any) -> Iterator[Simulator]:
    with simulated_upstream(accounts=[{"email": "sim@example.com"}]) as running:
        settings.OPENAI_AUTH_URL = running.origin
        yield running


def test_a_whole_log_in_leaves_no_secret_in_logs_entries_rows_or_output(
    sim: Simulator, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    listener = CallbackListener(port=0)
    assert listener.open()
    started = services.browser_login_start(actor="alice")
    verifier = started.row.secret
    assert verifier is not None
    callback = httpx.get(started.auth_url, trust_env=False).headers["location"]
    code = parse_qs(urlsplit(callback).query)["code"][0]
    caplog.clear()  # what the test's own client logged
    host, port = listener.address
    with caplog.filtering(_not_of_the_test):
        page = httpx.get(callback.replace("localhost:1455", f"{host}:{port}"), trust_env=False).text
    row = Account.objects.get()
    assert row.access_token
    assert row.refresh_token
    secrets = [code, verifier.reveal(), row.access_token.reveal(), row.refresh_token.reveal()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_pendinglogin")
        stored = str(cursor.fetchall())
        cursor.execute("SELECT * FROM accounts_account")
        stored += str(cursor.fetchall())
    entries = serializers.serialize("json", AuditEntry.objects.all())
    out = capfd.readouterr()
    for place, text in {
        "logs": "\n".join(record.getMessage() for record in caplog.records if _not_of_the_test(record)),
        "page": page,
        "rows": stored,
        "audit": entries,
        "output": out.out + out.err,
        "repr": repr(row) + repr(PendingLogin.objects.get()) + repr(started),
    }.items():
        assert [secret for secret in secrets if secret in text] == [], place


def _not_of_the_test(record: logging.LogRecord) -> bool:
    """httpx logs the addresses that this test's own client asks for."""
    return not (record.name.startswith("httpx") and record.threadName == "MainThread")


def test_an_error_of_an_exchange_names_neither_code_nor_verifier(sim: Simulator) -> None:
    started = services.browser_login_start(actor="alice")
    verifier = started.row.secret
    callback = f"http://localhost:1455/auth/callback?code=ac_very-secret-code&state={started.row.state}"
    with OAuthClient() as send, pytest.raises(services.LoginServerFailed) as refused:
        services.browser_login_finish(callback_url=callback, send=send)

    def broken(request: OAuthRequest) -> OAuthResponse:
        raise MaybeSent(f"The connection broke at {request}.")

    with pytest.raises(services.LoginServerFailed) as failed:
        services.browser_login_finish(callback_url=callback, send=broken)
    assert verifier is not None
    for text in (str(refused.value), str(failed.value), repr(failed.value)):
        assert "very-secret" not in text
        assert verifier.reveal() not in text


def test_the_log_in_client_logs_no_address_with_a_secret() -> None:
    """httpx logs every address at INFO: no request of a flow may carry a secret in its own."""
    with simulated_upstream(accounts=1, device_approve_after=0) as sim:
        seen: list[str] = []

        def note(request: OAuthRequest) -> OAuthResponse:
            seen.append(request.url)
            with OAuthClient() as send:
                return send(request)

        from django.test import override_settings

        with override_settings(OPENAI_AUTH_URL=sim.origin):
            row = services.device_login_start(actor="alice", send=note)
            PendingLogin.objects.update(next_poll_at=None)
            assert services.device_login_poll(login_id=row.pk, send=note).outcome == "done"
    assert len(seen) == 3
    assert all("?" not in url for url in seen)
