"""The official Codex CLI, headless, through the demo, over HTTP and over WebSocket: prompts, commands, resuming."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

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


# ---- over WebSocket -------------------------------------------------------------------------------------------------


class Listener:
    """Stands between a client and the demo, passes every byte on, and remembers how each connection began."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        assert target.hostname and target.port
        self._target = (target.hostname, target.port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.asked: list[str] = []
        self.answered: list[str] = []
        self._open = [self._server]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            upstream = socket.create_connection(self._target)
            self._open += (client, upstream)
            for source, sink, lines in ((client, upstream, self.asked), (upstream, client, self.answered)):
                threading.Thread(target=self._pass, args=(source, sink, lines), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket, lines: list[str]) -> None:
        is_first = True
        try:
            while data := source.recv(65536):
                if is_first:
                    lines.append(data.partition(b"\r\n")[0].decode())
                    is_first = False
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


@pytest.fixture
def listener(demo: Demo) -> Iterator[Listener]:
    running = Listener(demo.url)
    yield running
    running.close()


@pytest.fixture
def socket_codex(npm_clients: Path, demo: Demo, tmp_path: Path, listener: Listener) -> Iterator[CodexCli]:
    """A Codex CLI that prefers WebSockets; when its test is over, it must have used nothing else."""
    between = dataclasses.replace(demo, url=listener.url)
    yield CodexCli(_binary(npm_clients), between, tmp_path, websockets="true")
    assert listener.asked and {line.split()[:2][0] for line in listener.asked} == {"GET"}, listener.asked
    assert {line.split()[1] for line in listener.answered} == {"101"}, listener.answered


def test_a_plain_prompt_is_answered_over_a_websocket(socket_codex: CodexCli) -> None:
    assert "PONG-43" in socket_codex.run("Please answer. [[SAY:PONG-43]]")


def test_a_shell_command_over_a_websocket_sends_only_its_result(socket_codex: CodexCli, listener: Listener) -> None:
    answer = socket_codex.run("Use your shell. [[SH:echo hi-codex > out.txt]]")
    assert (socket_codex.work / "out.txt").read_text() == "hi-codex\n"
    assert answer.strip()
    assert len(listener.asked) == 1, "the socket was lost between the turns"


def test_a_conversation_is_resumed_over_a_websocket(socket_codex: CodexCli) -> None:
    socket_codex.run("First turn. [[SAY:one]]")
    assert "two" in socket_codex.run("Second turn. [[SAY:two]]", "resume", "--last")
