"""Every mistake in the environment is named, with what to do; a sound set-up is silent."""

from __future__ import annotations

import json
import socket
import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from codexproxy.checks import check_setup
from codexproxy.env import database
from codexproxy.gateway.snapshot import OllamaBridgeSettings
from codexproxy.management.commands import doctor
from codexproxy.management.commands.doctor import diagnose
from codexproxy.serving.demo import free_port
from codexproxy.serving.listener_probe import listener_state
from providers.contract import Secret
from tests.factories import AccountFactory, ApiKeyFactory
from tests.gateway.redis_server import URL, needs_redis


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

    assert found(REDIS_URL="") == ["codexproxy.E009", "codexproxy.W004"]


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


def scheduled(ago: timedelta) -> None:
    """A task of the worker ran so long ago."""
    every = IntervalSchedule.objects.create(every=1, period="minutes")
    PeriodicTask.objects.create(name="x", task="x", interval=every, last_run_at=timezone.now() - ago)


@pytest.mark.django_db
def test_the_doctor_is_content_with_a_working_gateway(admin_user, capsys) -> None:
    AccountFactory()
    ApiKeyFactory()
    scheduled(timedelta(minutes=1))

    call_command("doctor")

    out = capsys.readouterr().out
    assert "✓ 1 of 1 accounts are ready, 0 are cooling down." in out
    assert {line[0] for line in out.splitlines()} == {"✓"}


@needs_redis
def test_the_doctor_looks_at_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    def said() -> list[tuple[str, str]]:
        return [(finding.level, finding.text) for finding in doctor._shared_state()]

    monkeypatch.setattr(settings, "REDIS_URL", "")
    assert said() == []
    monkeypatch.setattr(settings, "REDIS_URL", URL)
    [(level, text)] = said()
    assert level == "ok" and text.startswith("Redis answers (version ")

    monkeypatch.setattr(settings, "REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    [(level, text)] = said()
    assert level == "problem" and "mend REDIS_URL" in text
    assert "hunter2" not in text


@pytest.mark.django_db
def test_the_doctor_fails_when_nothing_can_be_answered() -> None:
    AccountFactory(status="banned")

    with pytest.raises(SystemExit) as exit_:
        call_command("doctor")

    assert exit_.value.code == 1


@pytest.mark.django_db
def test_the_doctor_speaks_json_for_machines(capsys) -> None:
    call_command("doctor", "--json")

    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"ok", "warning"} == {finding["level"] for finding in findings}
    assert all(finding["text"].endswith(".") for finding in findings)


@pytest.mark.django_db
def test_the_doctor_notices_a_worker_that_stopped() -> None:
    scheduled(timedelta(hours=2))

    assert any("Scheduled work last ran" in finding.text for finding in diagnose() if finding.level == "warning")


@pytest.mark.django_db
def test_the_doctor_notices_a_full_disk_and_a_wrong_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1024))
    monkeypatch.setattr(doctor.time, "time", lambda: 0.0)

    problems = [finding.text for finding in diagnose() if finding.level == "problem"]
    assert [text.split()[0] for text in problems] == ["Only", "The"]


@pytest.mark.django_db
def test_the_doctor_asks_the_upstream_only_when_told_to(settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings.CODEX_BASE_URL = f"http://127.0.0.1:{port}"

    assert not any("reached" in finding.text for finding in diagnose())
    assert any("cannot be reached" in finding.text for finding in diagnose(asks_upstream=True))


# ---- the listener for Ollama apps, looked at from outside ------------------------------------------------------------


def serve_once(answer: bytes) -> int:
    """Answer one connection; return the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with server:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

    threading.Thread(target=run, daemon=True).start()
    return server.getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "key", "kind"),
    [
        (b'HTTP/1.1 404 Not Found\r\n\r\n{"error":"There is nothing at /no-such-path-here."}', "cpx-1", "running"),
        (b'HTTP/1.1 404 Not Found\r\n\r\n{"error":"There is nothing at /no-such-path-here."}', "", "keyless"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n404 page not found", "cpx-1", "taken"),
        (b"", "cpx-1", "taken"),
        (None, "cpx-1", "silent"),
    ],
)
def test_the_listener_is_told_from_others_at_its_port(answer: bytes | None, key: str, kind: str) -> None:
    if answer is None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
    else:
        port = serve_once(answer)
    found = listener_state(OllamaBridgeSettings(enabled=True, host="0.0.0.0", port=port, key=Secret(key)))
    assert (found.kind, found.address) == (kind, f"http://127.0.0.1:{port}")


def test_a_listener_that_is_off_is_not_looked_for() -> None:
    assert listener_state(OllamaBridgeSettings(port=1)).kind == "off"
