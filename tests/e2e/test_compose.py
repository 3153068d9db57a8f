"""compose.yaml rehearsed without an engine: each service's command, as processes, on real PostgreSQL and Redis.

The processes get what the image would hold and set, and nothing else of this checkout. What an engine alone can show
(the file system that cannot be written, the user) is checked in `tests/serving/test_image.py` as far as files tell.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from codexproxy.serving.demo import free_port
from tests.e2e.fleet import DATABASE_URL, DROPPED, PREPARE, REDIS_URL, Fleet
from tests.recipes import ROOT, dockerfile, image_copies, image_environment, image_healthcheck, services

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not (DATABASE_URL and REDIS_URL), reason="TEST_DATABASE_URL and TEST_REDIS_URL name no servers"),
    pytest.mark.timeout(180),
]
OUTER = ("SECRET_KEY", "ENCRYPTION_KEYS", "CODEXPROXY_DATA_DIR", "DATABASE_URL", "REDIS_URL", *DROPPED)
EVERY_SECOND = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every = IntervalSchedule.objects.create(every=1, period="seconds")
PeriodicTask.objects.create(name="now", task="stats.prune", interval=every)
"""


class Containers:
    """The services of compose.yaml that run our image, one process each, with one volume."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self._folder = folder
        self._services = services()
        self.app = folder / "app"
        self.app.mkdir()
        for source in image_copies():
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, self.app / source)
            else:
                shutil.copy(ROOT / source, self.app / source)
        self.files = self._listing()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if name not in OUTER}
        outside = {name: fleet.environment[name] for name in ("CODEX_BASE_URL", "OPENAI_AUTH_URL", "IP_ECHO_URL")}
        self.base = kept | image_environment() | outside | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.app),
            "CODEXPROXY_DATA_DIR": str(folder / "data"),
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }  # fmt: skip
        self.instead = {
            "DATABASE_URL": fleet.environment["DATABASE_URL"], "REDIS_URL": REDIS_URL, "REDIS_PREFIX": fleet.prefix,
        }  # fmt: skip
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def _listing(self) -> set[str]:
        return {str(path) for path in self.app.rglob("*")}

    def environment(self, name: str) -> dict[str, str]:
        return self.base | self._services[name]["environment"] | self.instead

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def up(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("w") as out:
            self.processes[name] = subprocess.Popen(
                self._services[name]["command"],
                cwd=self.app, env=self.environment(name), stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the gateway's container."""
        return subprocess.run(
            command, cwd=self.app, env=self.environment("gateway"),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def is_healthy(self) -> bool:
        return self.exec(*image_healthcheck()).returncode == 0

    def written(self) -> set[str]:
        """Return what the processes wrote into the image, which cannot be written to."""
        return self._listing() - self.files

    def down(self, name: str) -> int:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=60)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path / "fleet", accounts=1)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def containers(tmp_path: Path, fleet: Fleet) -> Iterator[Containers]:
    found = Containers(tmp_path, fleet)
    try:
        yield found
    finally:
        found.close()


def until(is_so: Callable[[], bool], what: str, log: Callable[[], str]) -> None:
    ends_at = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < ends_at, f"never: {what}\n{log()[-3000:]}"
        time.sleep(0.2)


def children(pid: int) -> str:
    done = subprocess.run(["ps", "--ppid", str(pid), "-o", "args="], capture_output=True, text=True, check=False)
    return done.stdout


def test_gateway_worker_and_beat_start_apart_and_do_their_work(containers: Containers, fleet: Fleet) -> None:
    assert not containers.is_healthy(), "nothing runs yet"
    containers.up("gateway")
    until(containers.is_healthy, "the gateway's health check", lambda: containers.log("gateway"))
    until(lambda: "Set-up link" in containers.log("gateway"), "the set-up link", lambda: containers.log("gateway"))
    until(
        lambda: children(containers.processes["gateway"].pid).count("codexproxy.serving.gateway") == 2,
        "two gateway processes",
        lambda: containers.log("gateway"),
    )

    listing = json.dumps(fleet.look("accounts"))
    for script in (PREPARE.format(listing=listing, slots=3), EVERY_SECOND):
        done = containers.exec("codexproxy", "shell", "--verbosity", "0", "--command", script)
        assert done.returncode == 0, done.stderr
    key = json.loads(containers.exec("codexproxy", "key", "create", "--user", "u", "--name", "n").stdout)["key"]
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {key}"}

    def answers() -> bool:
        url = f"{containers.url}/v1/chat/completions"
        return httpx.post(url, json=body, headers=headers, timeout=30).status_code == 200

    until(answers, "an answer", lambda: containers.log("gateway"))
    count = "SELECT count(*) FROM stats_usagerecord WHERE started_at < now() - interval '1 year'"
    until(lambda: fleet.rows("SELECT count(*) FROM stats_usagerecord WHERE outcome = 'ok'") != [(0,)], "usage", str)
    fleet.change_rows("UPDATE stats_usagerecord SET started_at = now() - interval '2 years'")
    assert fleet.rows(count) != [(0,)]
    assert "codexproxy.serving.worker" not in children(containers.processes["gateway"].pid)

    containers.up("beat")
    holder = f"{{{fleet.prefix}}}:beat"
    until(lambda: fleet.redis.get(holder) is not None, "the scheduler is awake", lambda: containers.log("beat"))
    assert int(fleet.redis.get(holder).split(b":")[1]) == containers.processes["beat"].pid
    assert fleet.rows(count) != [(0,)], "a scheduler alone does nothing"
    containers.up("worker")
    until(lambda: fleet.rows(count) == [(0,)], "the worker does what is due", lambda: containers.log("worker"))

    for name in ("beat", "worker", "gateway"):
        assert containers.down(name) == 0, containers.log(name)[-3000:]
        assert "Traceback" not in containers.log(name), containers.log(name)
    assert not containers.is_healthy()
    assert containers.written() == set()


def test_doctor_finds_nothing_wrong_with_what_the_image_holds(containers: Containers) -> None:
    workdir = [value for name, value in dockerfile() if name == "WORKDIR"]
    assert set(workdir) == {image_environment()["PYTHONPATH"]}
    where = containers.exec(
        "python", "-c", "import codexproxy, accounts; print(codexproxy.__file__, accounts.__file__)"
    )
    assert where.stdout.count(str(containers.app)) == 2, "the copy is what runs"
    assert containers.exec("codexproxy", "migrate", "--verbosity", "0").returncode == 0
    found = [json.loads(line) for line in containers.exec("codexproxy", "doctor", "--json").stdout.splitlines()]
    assert len(found) > 3 and [finding["text"] for finding in found if finding["level"] == "problem"] == []
