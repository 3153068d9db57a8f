"""The official Claude Code CLI, headless, through the demo: a prompt, a command, a file, a resumed conversation."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import Demo, start_demo, stop_demo

ONBOARDED = '{"hasCompletedOnboarding":true}'


class ClaudeCode:
    """One person's Claude Code: a home, a working folder, and `run` for one prompt."""

    def __init__(self, binary: Path, demo: Demo, home: Path) -> None:
        self.binary = binary
        self.work = home / "work"
        self.work.mkdir()
        (home / ".claude").mkdir()
        (home / ".claude.json").write_text(ONBOARDED)
        (home / ".claude" / ".claude.json").write_text(ONBOARDED)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CLAUDE_CONFIG_DIR": str(home / ".claude"),
            "ANTHROPIC_BASE_URL": demo.url,
            "ANTHROPIC_API_KEY": demo.key,
            "ANTHROPIC_MODEL": "claude-sonnet-4-5",
            "ANTHROPIC_SMALL_FAST_MODEL": "claude-haiku-4-5",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "1",
            "API_TIMEOUT_MS": "60000",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "IS_SANDBOX": "1",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }

    def run(self, prompt: str, *more: str) -> str:
        """Run one prompt and return what was printed; the CLI's errors go into a failure's text."""
        done = self.attempt(prompt, *more)
        assert done.returncode == 0, (
            f"claude ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
        return done.stdout

    def attempt(self, prompt: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run one prompt, which may fail."""
        return subprocess.run(
            [str(self.binary), "--dangerously-skip-permissions", *more, "-p", prompt],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def binary(npm_clients: Path) -> Path:
    found = npm_clients / "@anthropic-ai" / "claude-code" / "bin" / "claude.exe"
    assert found.exists(), "the claude-code package has no binary for this platform"
    return found


@pytest.fixture
def claude(binary: Path, demo: Demo, tmp_path: Path) -> ClaudeCode:
    return ClaudeCode(binary, demo, tmp_path)


@pytest.fixture
def spent_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo of its own, for a test that uses up its accounts."""
    running = start_demo(tmp_path_factory.mktemp("spent-demo"))
    yield running
    stop_demo(running)


def test_a_plain_prompt_is_answered(claude: ClaudeCode) -> None:
    assert "PONG-42" in claude.run("Please answer. [[SAY:PONG-42]]")


def test_a_command_is_really_executed(claude: ClaudeCode) -> None:
    answer = claude.run("Use the Bash tool. [[SH:echo hi-claude > out.txt]]")
    assert (claude.work / "out.txt").read_text() == "hi-claude\n"
    assert answer.strip()


def test_a_file_is_really_written(claude: ClaudeCode) -> None:
    claude.run(f"Use the Write tool. [[WRITE:{claude.work / 'w.txt'}]]")
    assert (claude.work / "w.txt").exists()


def test_a_conversation_is_resumed_with_its_history(claude: ClaudeCode) -> None:
    first = json.loads(claude.run("First turn. [[SAY:one]]", "--output-format", "json"))
    again = json.loads(
        claude.run("Second turn. [[SAY:two]]", "--resume", first["session_id"], "--output-format", "json")
    )
    assert (first["result"], again["result"]) == ("one", "two")
    assert again["usage"]["input_tokens"] + again["usage"]["cache_read_input_tokens"] > 0


def test_a_spent_quota_is_shown_with_its_reset_and_not_asked_for_again(
    binary: Path, spent_demo: Demo, tmp_path: Path
) -> None:
    """Claude Code tries ten times by default, for minutes, unless the answer tells it not to."""
    claude = ClaudeCode(binary, spent_demo, tmp_path)
    del claude.environment["CLAUDE_CODE_MAX_RETRIES"]
    done = claude.attempt("Hello. [[FAULT:F1 seconds=5400]]")
    assert done.returncode == 1
    assert "The usage limit has been reached" in done.stdout and "resting until" in done.stdout
    time.sleep(2)  # a retry would have come by now, and the writer has written
    (database,) = spent_demo.data_dir.rglob("codexproxy.sqlite3")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as rows:
        asked = rows.execute("SELECT status, outcome FROM stats_usagerecord").fetchall()
    assert asked == [(429, "rate_limited")]
