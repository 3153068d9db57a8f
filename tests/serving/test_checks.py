"""Every mistake in the environment is named, with what to do; a sound set-up is silent."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from codexproxy.checks import check_setup
from codexproxy.env import database
from codexproxy.management.commands.doctor import diagnose
from tests.factories import AccountFactory, ApiKeyFactory


def found(**changes) -> list[str]:
    with override_settings(**changes):
        messages = check_setup()
    assert all(message.hint for message in messages), "a finding must say what to do"
    return [message.id for message in messages]


def test_a_sound_setup_is_silent() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"SECRET_KEY": "short"}, "codexproxy.E002"),
        ({"REDIS_URL": "localhost:6379"}, "codexproxy.E004"),
        ({"CODEX_BASE_URL": "chatgpt.com/backend-api"}, "codexproxy.E005"),
        ({"IP_ECHO_URL": "ftp://example.com"}, "codexproxy.E005"),
        ({"CODEX_BASE_URL": "https://chatgpt.com/backend-api/codex"}, "codexproxy.E006"),
        ({"CSRF_TRUSTED_ORIGINS": ["example.com"]}, "codexproxy.E007"),
        ({"USAGE_RETENTION_DAYS": 0}, "codexproxy.E008"),
        ({"OPENAI_AUTH_URL": "http://auth.example.com"}, "codexproxy.W002"),
        ({"DEBUG": True}, "codexproxy.W005"),
    ],
)
def test_each_mistake_is_named(changes: dict, finding: str) -> None:
    assert found(**changes) == [finding]


def test_a_simulator_on_this_machine_may_use_plain_http() -> None:
    assert found(CODEX_BASE_URL="http://127.0.0.1:9000/backend-api") == []


def test_secrets_that_others_can_read_are_reported(tmp_path) -> None:
    secret = tmp_path / "secret_key"
    secret.write_text("x" * 50)
    secret.chmod(0o644)
    assert found(DATA_DIR=tmp_path) == ["codexproxy.W001"]

    secret.chmod(0o600)
    assert found(DATA_DIR=tmp_path) == []


def test_a_data_folder_that_cannot_be_written_is_an_error(tmp_path) -> None:
    assert found(DATA_DIR=tmp_path / "missing") == ["codexproxy.E001"]


def test_several_workers_want_shared_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEXPROXY_WORKERS", "2")
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")

    assert found(REDIS_URL="") == ["codexproxy.W003", "codexproxy.W004"]


def test_a_database_that_is_not_supported_is_an_error_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://user:hunter2@host/name")
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", database("unused")["ENGINE"])

    assert found() == ["codexproxy.E003"]
    assert "hunter2" not in str(check_setup())


@pytest.mark.django_db
def test_the_doctor_says_what_is_missing_on_a_new_machine() -> None:
    findings = {finding.text: finding.level for finding in diagnose()}

    assert findings["The settings are sound."] == "ok"
    assert findings["There is no account yet. Add one with `codexproxy account add`."] == "warning"
    assert "problem" not in findings.values()


@pytest.mark.django_db
def test_the_doctor_is_content_with_a_working_gateway(admin_user, capsys) -> None:
    AccountFactory()
    ApiKeyFactory()

    call_command("doctor")

    out = capsys.readouterr().out
    assert "✓ 1 of 1 accounts are ready, 0 are cooling down." in out
    assert {line[0] for line in out.splitlines()} == {"✓"}


@pytest.mark.django_db
def test_the_doctor_fails_when_nothing_can_be_answered() -> None:
    AccountFactory(status="banned")

    with pytest.raises(SystemExit) as exit_:
        call_command("doctor")

    assert exit_.value.code == 1
