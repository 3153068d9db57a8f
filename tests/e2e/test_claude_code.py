"""The official Claude Code CLI, headless, through the demo: a prompt, a command, a file, a resumed conversation."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Demo

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
        done = subprocess.run(
            [str(self.binary), "--dangerously-skip-permissions", *more, "-p", prompt],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (
            f"claude ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
        return done.stdout


@pytest.fixture
def claude(npm_clients: Path, demo: Demo, tmp_path: Path) -> ClaudeCode:
    binary = npm_clients / "@anthropic-ai" / "claude-code" / "bin" / "claude.exe"
    assert binary.exists(), "the claude-code package has no binary for this platform"
    return ClaudeCode(binary, demo, tmp_path)


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
