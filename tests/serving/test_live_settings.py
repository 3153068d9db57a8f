"""Settings that take effect at once: validated, stored, audited, loaded; secrets never shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import load_command_class
from django.db import connection

from accounts import changes
from accounts.models import AuditEntry
from codexproxy.gateway.snapshot import GatewaySettings
from codexproxy.live_settings import DEFINITIONS, BadSetting, load_settings, setting_set, setting_value, shown_settings
from codexproxy.models import Setting

pytestmark = pytest.mark.django_db

KEY = "cpx-" + "k" * 43
Run = Callable[..., tuple[int, list[Any], str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command as the console script does; return exit code, parsed stdout lines, stderr."""

    def run_command(*words: str) -> tuple[int, list[Any], str]:
        code = 0
        try:
            load_command_class("codexproxy", "settings").run_from_argv(["codexproxy", "settings", *words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, [json.loads(line) for line in out.splitlines()], err

    return run_command


def test_without_rows_everything_is_as_it_was() -> None:
    loaded = load_settings()
    fresh = GatewaySettings()
    assert loaded.ollama == fresh.ollama and loaded.ollama.enabled is False
    assert (loaded.pool, loaded.default_model) == (fresh.pool, fresh.default_model)
    assert loaded.first_event_timeout_s == loaded.idle_timeout_s == 600  # spec/operations.md §7


CASES: list[tuple[str, str, Callable[[GatewaySettings], bool]]] = [
    ("auth.max_concurrent_per_account", "7", lambda s: s.max_concurrent_per_account == 7),
    ("auth.request_interval_ms", "0", lambda s: s.pool.pace_s == 0.0),
    ("auth.rotation_strategy", "sticky", lambda s: s.pool.strategy == "sticky"),
    ("auth.tier_priority", '["Pro", "plus"]', lambda s: s.pool.tiers == ("pro", "plus")),
    ("model.default", "gpt-5.4-high", lambda s: s.default_model == "gpt-5.4-high"),
    ("api.timeout_seconds", "90", lambda s: s.first_event_timeout_s == s.idle_timeout_s == 90.0),
    ("quota.skip_exhausted", "false", lambda s: s.skip_exhausted is False),
    ("ollama.enabled", "yes", lambda s: s.ollama.enabled is True),
    ("ollama.host", "::1", lambda s: s.ollama.host == "::1"),
    ("ollama.port", "11500", lambda s: s.ollama.port == 11500),
    ("ollama.key", KEY, lambda s: s.ollama.key.reveal() == KEY),
    ("ollama.version", "0.31.2", lambda s: s.codec_options["ollama.version"] == "0.31.2"),
    ("ollama.disable_vision", "true", lambda s: s.codec_options["ollama.disable_vision"] == "true"),
    ("anthropic.hide_empty_thinking", "true", lambda s: s.codec_options["anthropic.hide_empty_thinking"] == "true"),
    ("anthropic.hosted_web_search", "true", lambda s: s.codec_options["anthropic.hosted_web_search"] == "true"),
    ("chat.cursor_overflow_answer", "true", lambda s: s.codec_options["chat.cursor_overflow_answer"] == "true"),
    ("model.aliases", '{" smart ":"gpt-5.5-high"}', lambda s: s.aliases == {"smart": "gpt-5.5-high"}),
    ("quota.skip_exhausted", "off", lambda s: s.skip_exhausted is False),
    ("ws_pool.enabled", "true", lambda s: s.sockets.enabled is True),
    ("ws_pool.max_age_ms", "600000", lambda s: s.sockets.max_age_s == 600.0),
    ("ws_pool.max_per_account", "2", lambda s: s.sockets.max_per_account == 2),
]


OFF_THE_PATH = [
    ("auth.refresh_concurrency", "4", 4),
    ("auth.refresh_enabled", "off", False),
    ("auth.refresh_margin_seconds", "60", 60),
    ("quota.refresh_interval_minutes", "15", 15),
    ("quota.concurrency", "3", 3),
    ("quota.warning_thresholds.primary", "[70, 95]", (70, 95)),
    ("quota.warning_thresholds.secondary", "60", (60,)),
]


@pytest.mark.parametrize(("key", "text", "value"), OFF_THE_PATH)
def test_a_setting_of_the_background_work_is_read_when_it_runs(key: str, text: str, value: object) -> None:
    setting_set(key, text, actor="test")
    assert setting_value(key) == value


@pytest.mark.parametrize(("key", "text", "read"), CASES)
def test_a_setting_reaches_the_snapshot_and_can_be_taken_back(
    key: str, text: str, read: Callable[[GatewaySettings], bool]
) -> None:
    version = changes.current_version()
    setting_set(key, text, actor="test")
    assert read(load_settings())
    assert changes.current_version() == version + 1
    setting_set(key, "null", actor="test")
    assert not read(load_settings()) and not Setting.objects.exists()
    assert AuditEntry.objects.filter(action="setting.set", target=key).count() == 2


def test_every_key_was_tried_above() -> None:
    assert {key for key, *_ in [*CASES, *OFF_THE_PATH]} == set(DEFINITIONS)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("auth.rotation_strategy", "random"),
        ("auth.max_concurrent_per_account", "0"),
        ("auth.request_interval_ms", "-1"),
        ("auth.request_interval_ms", "60001"),
        ("auth.tier_priority", "pro; plus"),
        ("model.default", "llama3"),
        ("api.timeout_seconds", "0"),
        ("api.timeout_seconds", "nan"),
        ("api.timeout_seconds", "soon"),
        ("anthropic.hide_empty_thinking", "perhaps"),
        ("model.aliases", "smart"),
        ("model.aliases", '["smart"]'),
        ("model.aliases", '{"smart": 1}'),
        ("model.aliases", '{"": "gpt-5.5"}'),
        ("model.aliases", '{"a": "gpt-5.5", " a": "gpt-5.4"}'),
        ("model.aliases", '{"smart": "llama3"}'),
        ("model.aliases", '{"a": "b", "b": "a"}'),
        ("model.aliases", '{"%s": "gpt-5.5"}' % ("x" * 300)),
        ("ollama.enabled", "maybe"),
        ("ollama.host", ""),
        ("ollama.host", "a b"),
        ("ollama.port", "0"),
        ("ollama.port", "70000"),
        ("ollama.port", "x"),
        ("ollama.key", "sk-1"),
        ("ollama.version", "v" * 80),
        ("ws_pool.enabled", "perhaps"),
        ("ws_pool.max_age_ms", "3600000"),
        ("ws_pool.max_age_ms", "1"),
        ("ws_pool.max_per_account", "0"),
        ("no.such", "1"),
    ],
)
def test_what_it_may_not_be_is_said_with_the_key(key: str, text: str) -> None:
    with pytest.raises(BadSetting, match=key.replace(".", r"\.")):
        setting_set(key, text, actor="test")
    assert not Setting.objects.exists()


def test_a_secret_is_encrypted_and_shown_as_stars() -> None:
    setting_set("ollama.key", KEY, actor="test")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM codexproxy_setting")
        assert KEY not in str(cursor.fetchall())
    assert KEY not in str(list(AuditEntry.objects.values())) and KEY not in repr(load_settings())
    (shown,) = [setting for setting in shown_settings() if setting.key == "ollama.key"]
    assert shown.value == "***"


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    setting_set("ollama.port", "11500", actor="test")
    monkeypatch.setenv("OLLAMA_BRIDGE_PORT", "11600")
    monkeypatch.setenv("OLLAMA_BRIDGE_ENABLED", "1")
    loaded = load_settings()
    assert (loaded.ollama.port, loaded.ollama.enabled) == (11600, True)
    assert {s.key: s.source for s in shown_settings()}["ollama.port"] == "environment"


def test_a_value_that_became_illegal_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Setting.objects.create(key="auth.rotation_strategy", value="gone")
    Setting.objects.create(key="no.longer", value=1)
    monkeypatch.setenv("OLLAMA_BRIDGE_KEY", "sk-secret-thing")
    loaded = load_settings()
    assert loaded.pool.strategy == "least_used" and not loaded.ollama.key
    assert "auth.rotation_strategy" in caplog.text and "sk-secret-thing" not in caplog.text


def test_loading_is_one_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        load_settings()


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_shows_and_sets(run: Run) -> None:
    code, (shown,), _ = run("set", "ollama.port", "11500")
    assert code == 0 and shown == {"key": "ollama.port", "value": 11500, "default": 11434, "source": "setting"}
    code, (again,), _ = run("get", "ollama.port")
    assert code == 0 and again == shown
    _, everything, _ = run("get")
    assert [setting["key"] for setting in everything] == list(DEFINITIONS)


def test_the_command_says_what_is_wrong_in_one_sentence(run: Run) -> None:
    for words in (("set", "ollama.port", "x"), ("set", "no.such", "1"), ("get", "no.such")):
        code, shown, err = run(*words)
        assert code == 1 and shown == [] and words[1] in err


def test_the_command_reads_a_secret_from_a_file(run: Run, tmp_path: Any) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    code, (shown,), _ = run("set", "ollama.key", f"@{tmp_path / 'key'}")
    assert code == 0 and shown["value"] == "***" and load_settings().ollama.key.reveal() == KEY
