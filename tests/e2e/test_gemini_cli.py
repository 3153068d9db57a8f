"""The official Gemini CLI, headless, through the demo: a prompt, a shell command, a long answer."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Demo

SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"disableAutoUpdate": True, "disableUpdateNag": True},
    "telemetry": {"enabled": False},
}


class GeminiCli:
    """One person's Gemini CLI: a home, a working folder, and `run` for one prompt."""

    def __init__(self, script: Path, demo: Demo, home: Path) -> None:
        self.script = script
        self.work = home / "work"
        self.work.mkdir()
        (home / ".gemini").mkdir()
        (home / ".gemini" / "settings.json").write_text(json.dumps(SETTINGS))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "GOOGLE_GEMINI_BASE_URL": demo.url,
            "GEMINI_API_KEY": demo.key,
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
            "GEMINI_TELEMETRY_ENABLED": "false",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }

    def run(self, prompt: str) -> str:
        """Run one prompt and return what was printed; the CLI's errors go into a failure's text."""
        done = subprocess.run(
            ["node", str(self.script), "--yolo", "-m", "gemini-2.5-pro", "-p", prompt],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (
            f"gemini ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
        return done.stdout


@pytest.fixture
def gemini_cli(npm_clients: Path, demo: Demo, tmp_path: Path) -> GeminiCli:
    package = npm_clients / "@google" / "gemini-cli"
    if not package.exists():
        pytest.fail("gemini-cli is missing: remove tests/e2e/clients/node_modules, so that it is installed anew.")
    scripts = json.loads((package / "package.json").read_text())["bin"]
    return GeminiCli(package / scripts["gemini"], demo, tmp_path)


def test_a_prompt_is_answered(gemini_cli: GeminiCli) -> None:
    said = gemini_cli.run("Please answer. [[SAY:PONG-42]]")
    assert "PONG-42" in said and "[[SAY" not in said


def test_a_shell_command_is_run_and_its_output_goes_back(gemini_cli: GeminiCli) -> None:
    gemini_cli.run("Please run it. [[SH:echo it-ran > proof.txt]]")
    assert (gemini_cli.work / "proof.txt").read_text().strip() == "it-ran"


def test_a_long_answer_arrives_whole(gemini_cli: GeminiCli) -> None:
    assert len(gemini_cli.run("[[STREAM:400x1ms]]").split()) >= 400
