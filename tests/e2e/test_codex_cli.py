"""The official Codex CLI, headless, through the demo over HTTP: a plain prompt, a shell command, a resumed session."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Demo

CONFIG = """
model = "gpt-5.5"
model_provider = "gateway"
check_for_update_on_startup = false
[analytics]
enabled = false
[feedback]
enabled = false
[features]
plugins = false
[model_providers.gateway]
name = "gateway"
base_url = "{url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
supports_websockets = {websockets}
request_max_retries = 1
stream_max_retries = 1
stream_idle_timeout_ms = 20000
"""


class CodexCli:
    """One person's Codex CLI: a home, a working folder, and `run` for one prompt."""

    def __init__(self, binary: Path, demo: Demo, home: Path, *, websockets: str = "false") -> None:
        self.binary = binary
        self.home = home
        self.work = home / "work"
        self.work.mkdir()
        (home / ".codex").mkdir()
        (home / ".codex" / "config.toml").write_text(CONFIG.format(url=demo.url, websockets=websockets))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CODEX_HOME": str(home / ".codex"),
            "GATEWAY_KEY": demo.key,
            "NO_COLOR": "1",
            "TERM": "dumb",
        }

    def run(self, prompt: str, *more: str) -> str:
        """Run one prompt and return the last message; the CLI's own output goes into a failure's text."""
        last = self.home / "last.txt"
        last.unlink(missing_ok=True)
        done = subprocess.run(
            [
                str(self.binary),
                "exec",
                "--skip-git-repo-check",
                "--dangerously-bypass-approvals-and-sandbox",
                "-C",
                str(self.work),
                "--output-last-message",
                str(last),
                *more,
                prompt,
            ],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"codex ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return last.read_text()


@pytest.fixture
def codex(npm_clients: Path, demo: Demo, tmp_path: Path) -> CodexCli:
    return CodexCli(_binary(npm_clients), demo, tmp_path)


def _binary(npm_clients: Path) -> Path:
    found = sorted(npm_clients.glob("@openai/codex-*/vendor/*/bin/codex"))
    assert found, "the codex package has no binary for this platform"
    return found[0]


def test_a_plain_prompt_is_answered(codex: CodexCli) -> None:
    assert "PONG-42" in codex.run("Please answer. [[SAY:PONG-42]]")


def test_a_shell_command_is_really_executed_and_its_result_answered(codex: CodexCli) -> None:
    answer = codex.run("Use your shell. [[SH:echo hi-codex > out.txt]]")
    assert (codex.work / "out.txt").read_text() == "hi-codex\n"
    assert answer.strip()


def test_a_conversation_is_resumed_with_its_history(codex: CodexCli) -> None:
    codex.run("First turn. [[SAY:one]]")
    assert "two" in codex.run("Second turn. [[SAY:two]]", "resume", "--last")


def test_long_answers_arrive_whole(codex: CodexCli) -> None:
    assert len(codex.run("[[STREAM:400x1ms]]").split()) >= 400


def test_a_client_that_wants_websockets_falls_back_to_http_at_once(
    npm_clients: Path, demo: Demo, tmp_path: Path
) -> None:
    codex = CodexCli(_binary(npm_clients), demo, tmp_path, websockets="true")
    assert "PONG-43" in codex.run("Please answer. [[SAY:PONG-43]]")
