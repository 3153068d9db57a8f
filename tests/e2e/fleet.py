"""Several `codexproxy serve` over one PostgreSQL and one Redis, in front of one simulated upstream: real processes.

`TEST_DATABASE_URL` and `TEST_REDIS_URL` name the servers; a database and a prefix of keys of the fleet's own are made
there and dropped again. Every `serve` has its own data folder, as on a machine of its own.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from redis import Redis

from codexproxy.serving.demo import free_port

DATABASE_URL = os.environ.get("TEST_DATABASE_URL", "")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "")
START_S = 60.0
PROGRAM = str(Path(sys.executable).with_name("codexproxy"))
DROPPED = ("DJANGO_SETTINGS_MODULE", "HOST", "PORT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "LOG_FORMAT")

PREPARE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
from accounts import importing
from accounts.models import Account
from accounts.services.logins import account_import
account_import(document=importing.parse_import({listing!r}), actor="test")
Account.objects.update(max_concurrency={slots})
"""


class Member:
    """One `serve`: its address, its log, and the processes under it."""

    def __init__(self, folder: Path, environment: dict[str, str], *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environment = environment | {"CODEXPROXY_DATA_DIR": str(folder)}
        self.log = folder / "serve.log"
        with self.log.open("a") as out:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", "--port", str(port), *arguments],
                stdout=out, stderr=subprocess.STDOUT, env=self.environment,
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait until it takes requests."""
        ends_at = time.monotonic() + START_S
        while time.monotonic() < ends_at:
            if self.process.poll() is not None:
                break
            if self.readiness()[0] == 200:
                return
            time.sleep(0.05)
        raise AssertionError(f"serve did not become ready:\n{self.log.read_text()[-4000:]}")

    def readiness(self) -> tuple[int, str]:
        """Return status and text of the readiness probe; 0 when nobody answers."""
        try:
            answer = httpx.get(f"{self.url}/health/ready", timeout=5)
        except httpx.HTTPError as error:
            return 0, str(error)
        return answer.status_code, answer.text

    def gateways(self) -> list[int]:
        """Return the process ids of its gateway processes."""
        return [pid for pid, command in self.children().items() if "codexproxy.serving.gateway" in command]

    def children(self) -> dict[int, str]:
        """Return what runs under it, by process id."""
        listing = subprocess.run(
            ["ps", "--ppid", str(self.process.pid), "-o", "pid=,args="], capture_output=True, text=True, check=False
        ).stdout
        return {int(line.split()[0]): line for line in listing.splitlines()}

    def stop(self) -> int:
        """End it as an operator would."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


class Fleet:
    """The servers around the members, and what tests do with all of it."""

    def __init__(self, folder: Path, *, accounts: int = 1, slots: int = 3, simulator: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._members: list[Member] = []
        self._name = f"fleet_{secrets.token_hex(6)}"
        self.prefix = self._name
        import psycopg  # kept out of processes on SQLite

        with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self._name}"')
        port = free_port()
        self.upstream = f"http://127.0.0.1:{port}"
        command = ["-m", "providers.simulator", "--port", str(port), "--accounts", str(accounts), *simulator]
        self._simulator = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
        kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
        self.environment = kept | {
            "CODEXPROXY_DATA_DIR": str(folder / "operator"),
            "DATABASE_URL": self._own_database(),
            "REDIS_URL": REDIS_URL,
            "REDIS_PREFIX": self.prefix,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "ENCRYPTION_KEYS": secrets.token_urlsafe(32),
            "CODEX_BASE_URL": f"{self.upstream}/backend-api",
            "OPENAI_AUTH_URL": self.upstream,
            "IP_ECHO_URL": f"{self.upstream}/ip",
            "CLIENT_FEED_URL": f"{self.upstream}/appcast.xml",
            "PYTHONUNBUFFERED": "1",
        }
        self.redis = Redis.from_url(REDIS_URL)
        self._slots = slots

    def _own_database(self) -> str:
        parts = urlsplit(DATABASE_URL)
        return urlunsplit(parts._replace(path=f"/{self._name}"))

    def prepare(self) -> None:
        """Make the tables, take over the upstream's accounts, and limit each to its slots."""
        listing = json.dumps(self.look("accounts"))
        self.run("shell", "--verbosity", "0", "--command", PREPARE.format(listing=listing, slots=self._slots))

    def change_rows(self, statement: str) -> None:
        """Change rows behind the gateway's back and make every process load them."""
        import psycopg  # kept out of processes on SQLite

        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(statement)
            connection.execute("UPDATE accounts_snapshotversion SET version = version + 1")
        self.redis.publish(f"{{{self.prefix}}}:changes", "")
        time.sleep(0.5)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        import psycopg  # kept out of processes on SQLite

        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def serve(self, *arguments: str, **environment: str) -> Member:
        """Start one more member, in a data folder of its own."""
        member = Member(self._folder / f"member-{len(self._members)}", self.environment | environment, *arguments)
        self._members.append(member)
        return member

    def run(self, *arguments: str) -> str:
        """Run a command of the operator's and return what it says."""
        done = subprocess.run(
            [PROGRAM, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"codexproxy {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def key(self, *options: str) -> str:
        """Make an API key and return it."""
        made = json.loads(self.run("key", "create", "--user", "tester", "--name", secrets.token_hex(4), *options))
        return str(made["key"])

    def accounts(self) -> list[dict[str, Any]]:
        """Return what the gateway knows of its accounts."""
        return [json.loads(line) for line in self.run("account", "list").splitlines()]

    # ---- the upstream ----------------------------------------------------------------------------------------------

    def look(self, what: str, **params: str) -> Any:
        """Ask the simulated upstream about itself, waiting for it to start."""
        ends_at = time.monotonic() + START_S
        while True:
            try:
                return httpx.get(f"{self.upstream}/__sim/{what}", params=params, timeout=10).json()
            except httpx.HTTPError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.05)

    def tell(self, what: str, body: Any) -> Any:
        """Change something at the simulated upstream."""
        answer = httpx.post(f"{self.upstream}/__sim/{what}", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def calls(self, account: str) -> int:
        """Return how many calls the upstream had from an account."""
        return int(self.look("counters").get(f"account.{account}", 0))

    # ---- the end ---------------------------------------------------------------------------------------------------

    def slots_taken(self) -> int:
        """Return how many slots are taken now, over all accounts and keys."""
        return sum(self.redis.zcard(key) for key in self.redis.scan_iter(f"{{{self.prefix}}}:slots:*"))

    def close(self) -> None:
        """End everything and leave nothing behind."""
        for member in self._members:
            if member.process.poll() is None:
                member.stop()
        self._simulator.kill()
        self._simulator.wait()
        for pattern in (f"{{{self.prefix}}}:*", f"{self.prefix}:*"):
            keys = list(self.redis.scan_iter(pattern))
            if keys:
                self.redis.delete(*keys)
        self.redis.close()
        import psycopg  # kept out of processes on SQLite

        with psycopg.connect(DATABASE_URL, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self._name}" WITH (FORCE)')

    def no_tracebacks(self) -> None:
        """Fail if a member's log holds one."""
        for member in self._members:
            found = re.search(r"Traceback[\s\S]{0,2000}", member.log.read_text())
            assert found is None, found[0] if found else ""
