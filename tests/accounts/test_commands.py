"""The command line: JSON out, one sentence on failure, no secret where none belongs."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import load_command_class
from django.db import connection

from accounts import services, verifying
from accounts.callback_listener import CallbackListener
from accounts.loader import load_accounts, load_keys
from accounts.management.commands import account as account_command
from accounts.models import Account, AccountStatus, ApiKey, PendingLogin, User
from providers.contract import Secret
from providers.oauth.contract import OAuthRequest, OAuthResponse
from tests.factories import AccountFactory, access_jwt
from tests.simulated import simulated_upstream

pytestmark = pytest.mark.django_db

Run = Callable[..., tuple[int, list[Any], str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command as the console script does; return exit code, parsed stdout lines, stderr."""

    def run_command(*words: str) -> tuple[int, list[Any], str]:
        code = 0
        try:
            load_command_class("accounts", words[0]).run_from_argv(["codexproxy", *words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, [json.loads(line) for line in out.splitlines()], err

    return run_command


def test_it_adds_an_account_and_prints_it_without_its_tokens(run: Run) -> None:
    token = access_jwt("w", "u", plan="pro", email="e@example.com")
    code, (shown,), _ = run("account", "add", "--access-token", token, "--label", "mine")
    assert code == 0
    assert {"id", "label", "email", "plan", "status"} <= set(shown)
    assert (shown["label"], shown["email"], shown["plan"], shown["status"]) == (
        "mine",
        "e@example.com",
        "pro",
        "active",
    )
    assert "eyJ" not in json.dumps(shown)
    _, listed, _ = run("account", "list")
    assert listed == [shown]


@pytest.mark.parametrize("way", ["stdin", "file"])
def test_it_reads_a_token_from_elsewhere_than_the_arguments(
    run: Run, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = access_jwt()
    monkeypatch.setattr("sys.stdin", io.StringIO(token + "\n"))
    (tmp_path / "token").write_text(token)
    argument = "-" if way == "stdin" else f"@{tmp_path / 'token'}"
    assert run("account", "add", "--access-token", argument)[0] == 0
    assert Account.objects.get().access_token == Secret(token)


def test_it_adds_every_login_of_an_auth_json(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"tokens": {"access_token": access_jwt(), "refresh_token": "rt_1"}}))
    code, shown, _ = run("account", "add", "--auth-json", str(path), "--label", "cli")
    assert (code, len(shown), shown[0]["has_refresh_token"], shown[0]["label"]) == (0, 1, True, "cli")


def test_it_renames_an_account_that_is_added_again_with_another_label(run: Run) -> None:
    run("account", "add", "--access-token", access_jwt(), "--label", "first")
    _, (shown,), _ = run("account", "add", "--access-token", access_jwt(), "--label", "second")
    assert shown["label"] == "second"
    assert Account.objects.count() == 1


def test_it_imports_what_works_and_fails_with_the_place_of_the_rest(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text(f"{access_jwt()}\nhalf-a-secret\n")
    code, shown, err = run("account", "import", str(path))
    assert (code, [row["result"] for row in shown]) == (1, ["added"])
    assert "line 2" in err
    assert "half-a-secret" not in err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("account", "add", "--access-token", "nonsense"), 1),
        (("account", "add", "--access-token", ""), 1),
        (("account", "add", "--auth-json", "missing.json"), 1),
        (("account", "add"), 2),
        (("account", "refresh", "nobody"), 1),
        (("account", "remove", "nobody"), 1),
        (("account", "export"), 1),
        (("account", "export", "--format", "zip"), 2),
        (("account", "dance"), 2),
        (("key", "create", "--user", "u"), 2),
        (("key", "create", "--user", "u", "--name", "n", "--expires-at", "soon"), 2),
        (("key", "create", "--user", "u", "--name", "n", "--expires-at", "2001-01-01"), 1),
        (("key", "create", "--user", " ", "--name", "n"), 1),
        (("key", "revoke", "cpx-unknown1"), 1),
    ],
)
def test_it_fails_with_words_and_an_exit_code(run: Run, words: tuple[str, ...], code: int) -> None:
    found, out, err = run(*words)
    assert (found, out) == (code, [])
    assert err.strip()


def test_it_exports_tokens_only_when_told_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    row = AccountFactory(refresh_token="rt_exported")
    command = load_command_class("accounts", "account")
    command.run_from_argv(["codexproxy", "account", "export", "--ids", row.pk, "--yes-include-secrets"])
    assert json.loads(capsys.readouterr().out)["accounts"][0]["refreshToken"] == "rt_exported"


def test_it_refreshes_an_account_by_its_label(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    AccountFactory(label="mine", refresh_token="rt_first")
    answers = [
        OAuthResponse(status=200, body=json.dumps({"access_token": access_jwt(), "refresh_token": "rt_2"}).encode()),
        OAuthResponse(status=401, body=json.dumps({"error": {"code": "refresh_token_reused"}}).encode()),
    ]

    class Client:
        def __enter__(self) -> Callable[[OAuthRequest], OAuthResponse]:
            return lambda request: answers.pop(0)

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(account_command, "OAuthClient", Client)
    code, (shown,), _ = run("account", "refresh", "mine")
    assert (code, shown["result"]) == (0, "refreshed")
    code, (shown,), err = run("account", "refresh", "mine")
    assert (code, shown["status"]) == (1, AccountStatus.NEEDS_LOGIN)
    assert "already used" in err


@pytest.mark.django_db(transaction=True)
def test_it_logs_in_with_a_pasted_address(run: Run, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated_upstream(accounts=[{"email": "sim@example.com"}]) as sim:
        settings.OPENAI_AUTH_URL = sim.origin
        shown: list[str] = []

        def browser() -> Iterator[str]:
            yield "http://localhost:1455/auth/callback?nothing=here\n"
            login = PendingLogin.objects.get()
            shown.append(services.auth_url_of(login))
            yield httpx.get(shown[0], trust_env=False).headers["location"] + "\n"
            connection.close()

        monkeypatch.setattr("sys.stdin", browser())
        code, (row,), err = run("account", "login", "--no-listener", "--label", "mine")
    assert (code, row["email"], row["label"], row["result"]) == (0, "sim@example.com", "mine", "added")
    assert shown[0] in err
    assert "no code and state" in err, "a wrong paste is told, and may be repeated"


@pytest.mark.django_db(transaction=True)
def test_it_logs_in_through_the_local_callback(run: Run, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated_upstream(accounts=1) as sim, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        settings.OPENAI_AUTH_URL = sim.origin
        monkeypatch.setattr("accounts.management.login.CallbackListener", lambda: CallbackListener(port))

        def browser() -> Iterator[str]:
            url = services.auth_url_of(PendingLogin.objects.get())
            location = httpx.get(url, trust_env=False).headers["location"]
            httpx.get(location.replace("localhost:1455", f"127.0.0.1:{port}"), trust_env=False)
            connection.close()
            yield from ()

        monkeypatch.setattr("sys.stdin", browser())
        code, (row,), _ = run("account", "login")
    assert (code, row["result"]) == (0, "added")


def test_it_logs_in_with_a_device_code(run: Run, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated_upstream(accounts=[{"email": "sim@example.com"}], device_approve_after=1) as sim:
        settings.OPENAI_AUTH_URL = sim.origin
        code, (row,), err = run("account", "login", "--device")
    assert (code, row["email"], row["result"]) == (0, "sim@example.com", "added")
    assert f"{sim.origin}/codex/device" in err
    assert "deviceauth_" not in err


def test_it_imports_the_codex_cli_file_nested_or_flat(run: Run, tmp_path: Path) -> None:
    for number, shape in enumerate(("nested", "flat")):
        tokens = {"access_token": access_jwt("w", f"u{number}"), "refresh_token": "rt_1"}
        path = tmp_path / f"{shape}.json"
        path.write_text(json.dumps({"auth_mode": "chatgpt", "tokens": tokens} if shape == "nested" else tokens))
        code, (row,), _ = run("account", "add", "--auth-json", str(path))
        assert (code, row["has_refresh_token"]) == (0, True)
    assert Account.objects.count() == 2


def test_it_pauses_and_resumes_an_account(run: Run) -> None:
    row = AccountFactory(label="mine")
    assert [run("account", verb, "mine")[1][0]["status"] for verb in ("pause", "resume")] == ["paused", "active"]
    assert run("account", "pause", row.pk)[0] == 0


@pytest.mark.django_db(transaction=True)
def test_it_checks_which_logins_are_alive(run: Run, settings: Any) -> None:
    with simulated_upstream(accounts=[{}, {"state": "invalidated"}]) as sim:
        settings.OPENAI_AUTH_URL = sim.origin
        alive, dead = sim.accounts
        AccountFactory(label="alive", refresh_token=alive.refresh_token)
        AccountFactory(label="dead", refresh_token=dead.refresh_token)
        AccountFactory(label="no token", refresh_token=None)
        AccountFactory(label="off", status=AccountStatus.PAUSED)
        code, shown, err = run("account", "check", "--stagger", "0")
    assert [row["result"] for row in shown] == ["alive", "dead", "skipped", "skipped"]
    assert code == 1
    assert "log in again" in err
    assert Account.objects.get(label="dead").status == "needs_login"


def test_it_removes_an_account(run: Run) -> None:
    row = AccountFactory()
    assert run("account", "remove", row.pk)[0] == 0
    assert not Account.objects.exists()


def test_it_puts_an_account_into_pools_and_takes_it_out_again(run: Run) -> None:
    row = AccountFactory(label="main")
    _code, (shown,), _err = run("account", "pool", "main", "--add", "Team A", "--add", "night")
    assert shown["pools"] == ["team a", "night"]
    _code, (shown,), _err = run("account", "pool", row.id, "--remove", "TEAM A", "--add", "night")
    assert shown["pools"] == ["night"]
    assert load_accounts()[0].pools == ("night",)
    code, _out, err = run("account", "pool", "main", "--add", "a/b")
    assert code == 1 and "1 to 32 letters" in err


def test_a_key_is_restricted_to_a_pool(run: Run) -> None:
    _code, (created,), _err = run("key", "create", "--user", "ann", "--name", "laptop", "--pool", "Night")
    assert created["pool"] == "night"
    assert [view.pool for view in load_keys().values()] == ["night"]


def test_it_creates_lists_and_revokes_keys(run: Run) -> None:
    code, (created,), _ = run(
        "key",
        "create",
        "--user",
        "alice",
        "--name",
        "laptop",
        "--admin",
        "--allowed-model",
        "a",
        "--allowed-model",
        "b",
        "--expires-at",
        "2099-01-31",
        "--max-concurrency",
        "4",
    )
    assert code == 0
    assert created["key"].startswith(created["prefix"])
    assert (created["user"], created["is_admin"], created["allowed_models"]) == ("alice", True, ["a", "b"])
    assert (created["expires_at"], created["max_concurrency"]) == ("2099-01-31T00:00:00Z", 4)
    assert not User.objects.get(username="alice").has_usable_password()
    run("key", "create", "--user", "alice", "--name", "other")
    assert User.objects.count() == 1
    _, listed, _ = run("key", "list")
    assert [row["name"] for row in listed] == ["laptop", "other"]
    assert created["key"] not in json.dumps(listed)
    _, (revoked,), _ = run("key", "revoke", created["prefix"])
    assert revoked["status"] == "revoked"
    _, (revoked,), _ = run("key", "revoke", str(listed[1]["id"]))
    assert ApiKey.objects.filter(revoked_at__isnull=True).count() == 0


@pytest.mark.parametrize(
    ("status", "content_type", "is_accepted"),
    [
        (200, "application/json", True),
        (401, "application/json", False),
        (403, "application/json", False),
        (403, "text/html", None),
        (429, "application/json", None),
        (500, "application/json", None),
    ],
)
def test_it_asks_the_upstream_only_about_the_login(status: int, content_type: str, is_accepted: bool | None) -> None:
    row = AccountFactory(chatgpt_account_id="w")
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, headers={"content-type": content_type}, text='{"detail":"eyJabcdefghijkl.m.n"}')

    verdict = verifying.verify_account(Account.objects.get(pk=row.pk), httpx.MockTransport(answer))
    assert verdict.is_accepted is is_accepted
    assert "eyJ" not in verdict.message
    assert asked[0].url.path.endswith("/wham/usage")
    assert asked[0].headers["chatgpt-account-id"] == "w"
