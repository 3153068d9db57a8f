"""The real thing: `codexproxy serve --demo` as a process, and real clients installed from their registry.

Nothing here reaches beyond loopback except the installation of clients, which needs npm once.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

HERE = Path(__file__).parent
START_TIMEOUT_S = 60
CLIENTS = HERE / "clients"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is an end-to-end test, and slower than the usual limit."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(240))
            item.add_marker(pytest.mark.xdist_group("e2e"))


@dataclass(frozen=True)
class Demo:
    """A running demo: where it is and what opens it."""

    url: str
    key: str
    data_dir: Path
    process: subprocess.Popen[str]


def free_port() -> int:
    """Return a loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_demo(data_dir: Path) -> Demo:
    """Start `serve --demo` and wait until it answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = data_dir / "serve.log"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    } | {"CODEXPROXY_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"}
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("codexproxy")), "serve", "--demo", "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"serve --demo ended at once:\n{log.read_text()}")
        found = re.search(r"cpx-[A-Za-z0-9_-]{32,}", log.read_text())
        if found and _is_ready(url):
            return Demo(url=url, key=found[0], data_dir=data_dir, process=process)
        time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"serve --demo did not become ready:\n{log.read_text()}")


def stop_demo(demo: Demo) -> int:
    """End it as an operator would, and return the exit code."""
    demo.process.send_signal(signal.SIGTERM)
    return demo.process.wait(timeout=45)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo shared by the tests of a session."""
    running = start_demo(tmp_path_factory.mktemp("demo"))
    yield running
    stop_demo(running)


@pytest.fixture(scope="session")
def npm_clients() -> Path:
    """Install the pinned npm clients once; their folder is kept between runs.

    Without npm these tests cannot say anything, and say so.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.fail("npm is missing: install Node.js 20 or newer, or deselect with -m 'not e2e'.")
    installed = CLIENTS / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (CLIENTS / "package.json").stat().st_mtime:
        subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", str(CLIENTS)],
            check=True,
            capture_output=True,
            timeout=220,
        )
    return CLIENTS / "node_modules"
