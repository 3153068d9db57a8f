"""`codexproxy serve` as people start it: real processes, a fresh data folder, a signal at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from codexproxy.serving.demo import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PATIENCE_S = 40.0
NOT_INHERITED = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE"}


class Served:
    """A running `codexproxy serve`, its output so far, and its address."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        known = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        command = [sys.executable, "-m", "codexproxy", "serve", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            command,
            env={**known, "CODEXPROXY_DATA_DIR": str(folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first match of `pattern` in the output."""
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at:
            found = re.search(pattern, self.output)
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} never came:\n{self.output}")

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a page."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def post(self, path: str, body: dict, key: str) -> urllib.request.Request:
        """Return a request of a client."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        return urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)

    def children(self) -> dict[str, int]:
        """Return the process ids of the supervisor's children by what they run."""
        listing = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid=,args="], capture_output=True, text=True, check=False
        ).stdout
        return {line.split()[3]: int(line.split()[0]) for line in listing.splitlines()}

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        self._reader.join(5)
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line


@pytest.fixture
def serve(tmp_path: Path) -> Iterator:
    started: list[Served] = []

    def start(*arguments: str, **environment: str) -> Served:
        served = Served(tmp_path / "data", *arguments, **environment)
        started.append(served)
        return served

    yield start
    for served in started:
        with served.process:  # closes its pipe, too
            if served.process.poll() is None:
                served.stop()


def test_a_first_run_prints_all_that_is_needed_and_a_second_run_no_secret(serve) -> None:
    served = serve()
    served.wait_for("Stop it with Ctrl-C")
    link = served.wait_for(r"Set-up link\s+http://127.0.0.1:\d+(/admin/setup/[\w-]+/)")[1]
    key = served.wait_for(r"API key\s+(cpx-[\w-]{32,})")[1]

    assert served.get("/health/ready")[0] == 200
    status, page = served.get(link)
    assert (status, "Create and log in" in page) == (200, True)
    assert served.get("/admin/login/")[0] == 200
    assert served.get("/static/dashboard/dashboard.css")[0] == 200
    models = urllib.request.Request(f"{served.url}/v1/models", headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(models, timeout=10) as answer:
        assert json.load(answer)["data"]
    assert served.stop() == 0

    again = serve()
    again.wait_for("Stop it with Ctrl-C")
    assert "cpx-" not in again.output
    assert again.get(link)[0] == 404, "a new start makes a new link"
    assert again.stop(signal.SIGINT) == 0


def test_the_demo_streams_an_answer_and_records_it(serve) -> None:
    served = serve("--demo")
    served.wait_for("Stop it with Ctrl-C")
    assert "3 accounts of a simulated upstream" in served.output
    key = served.wait_for(r"API key\s+(cpx-[\w-]{32,})")[1]
    body = {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": "Say hello"}]}

    with urllib.request.urlopen(served.post("/v1/chat/completions", body, key), timeout=20) as answer:
        text = answer.read().decode()

    assert text.rstrip().endswith("data: [DONE]")
    assert served.stop() == 0
    assert "lost" not in served.output


def test_a_crashed_gateway_is_started_again(serve) -> None:
    served = serve()
    served.wait_for("Stop it with Ctrl-C")
    served.wait_for(".")
    gateway = next(pid for name, pid in served.children().items() if name.endswith("gateway"))

    os.kill(gateway, signal.SIGKILL)

    served.wait_for(r"gateway-0 ended \(killed by SIGKILL\); restarting")
    assert served.get("/health/live")[0] == 200, "the socket stayed open meanwhile"
    assert served.stop() == 0


def test_a_broken_setup_ends_at_once_and_says_what_to_do(serve) -> None:
    served = serve(SECRET_KEY="short")

    assert served.process.wait(PATIENCE_S) == 1
    served.wait_for("SECRET_KEY has 5 characters")
    assert "Traceback" not in served.output


def test_several_workers_without_a_shared_state_are_refused_with_what_to_do(serve) -> None:
    served = serve("--workers", "2")

    assert served.process.wait(PATIENCE_S) == 1
    served.wait_for("set REDIS_URL=redis://")
    assert "Traceback" not in served.output
