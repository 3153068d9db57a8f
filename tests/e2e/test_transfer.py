"""`codexproxy transfer`: an embedded installation moves to PostgreSQL with all that it knows. Real databases."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.fleet import DATABASE_URL, DROPPED, PROGRAM, REDIS_URL, Fleet

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not (DATABASE_URL and REDIS_URL), reason="TEST_DATABASE_URL and TEST_REDIS_URL name no servers"),
    pytest.mark.timeout(180),
]
OUTER = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ENCRYPTION_KEYS", *DROPPED)

FILL = """
from accounts import importing
from accounts.models import Account, User
from accounts.services.logins import account_import
from django.contrib.auth.models import Group, Permission
from django_celery_beat.models import IntervalSchedule, PeriodicTask
account_import(document=importing.parse_import({listing!r}), actor="test")
Account.objects.update(label="moved 对")
group = Group.objects.create(name="operators")
group.permissions.set(Permission.objects.filter(codename="view_account"))
user = User.objects.create_user("olga", password="a long password")
user.groups.add(group)
every, _ = IntervalSchedule.objects.get_or_create(every=7, period="minutes")
PeriodicTask.objects.create(name="of the operator", task="stats.prune", interval=every)
"""
LOOK = """
import json
from accounts.models import Account, User
from django_celery_beat.models import PeriodicTask
user = User.objects.get(username="olga")
print(json.dumps({
    "tokens": [[a.chatgpt_account_id, a.access_token.reveal(), a.label, str(a.created_at), str(a.updated_at)]
               for a in Account.objects.order_by("pk")],
    "password": user.check_password("a long password"),
    "may": sorted(user.get_all_permissions()),
    "schedule": str(PeriodicTask.objects.get(name="of the operator").interval),
}))
"""


@dataclass
class Move:
    """An embedded installation with its environment, and the fleet whose PostgreSQL it moves to."""

    fleet: Fleet
    folder: Path
    embedded: dict[str, str]
    key: str

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return command(self.embedded | changes, *arguments)

    def to_target(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return self.run(*arguments, DATABASE_URL=self.fleet.environment["DATABASE_URL"], **changes)


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def move(tmp_path: Path) -> Iterator[Move]:
    fleet = Fleet(tmp_path / "fleet", accounts=2)
    try:
        folder = tmp_path / "embedded"
        kept = {name: value for name, value in os.environ.items() if name not in OUTER}
        upstreams = ("CODEX_BASE_URL", "OPENAI_AUTH_URL", "IP_ECHO_URL", "CLIENT_FEED_URL")
        embedded = kept | {name: fleet.environment[name] for name in upstreams}
        embedded["CODEXPROXY_DATA_DIR"] = str(folder)
        made = json.loads(
            succeeded(command(embedded, "key", "create", "--user", "olaf", "--name", "laptop", "--admin"))
        )
        filling = FILL.format(listing=json.dumps(fleet.look("accounts")))
        succeeded(command(embedded, "shell", "--verbosity", "0", "--command", filling))
        yield Move(fleet, folder, embedded, made["key"])
    finally:
        fleet.close()


def test_everything_moves_and_a_server_goes_on_where_the_embedded_one_stopped(move: Move) -> None:
    before = json.loads(succeeded(move.run("shell", "--verbosity", "0", "--command", LOOK)))
    succeeded(move.to_target("migrate", "--verbosity", "0"))

    done = move.to_target("transfer")

    told = json.loads(succeeded(done))
    assert told["tables"]["accounts_account"] == 2 and told["tables"]["accounts_apikey"] == 1
    assert "accounts_account: 2 rows" in done.stderr
    assert f"ENCRYPTION_KEYS_FILE={move.folder / 'encryption_key'}" in done.stderr
    assert f"SECRET_KEY_FILE={move.folder / 'secret_key'}" in done.stderr
    secret = (move.folder / "encryption_key").read_text().strip()
    assert secret not in done.stderr + done.stdout

    with sqlite3.connect(move.folder / "codexproxy.sqlite3") as old:
        for table, count in told["tables"].items():
            own = old.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            extra = 1 if table == "accounts_auditentry" else 0  # the transfer itself
            assert (own, count + extra) == (count, move.fleet.rows(f'SELECT count(*) FROM "{table}"')[0][0]), table

    # Another machine, with the secrets from the files that it was told to take along.
    files = {
        "SECRET_KEY": "", "SECRET_KEY_FILE": str(move.folder / "secret_key"),
        "ENCRYPTION_KEYS": "", "ENCRYPTION_KEYS_FILE": str(move.folder / "encryption_key"),
    }  # fmt: skip
    after = json.loads(
        succeeded(command(move.fleet.environment | files, "shell", "--verbosity", "0", "--command", LOOK))
    )
    assert after == before
    assert after["password"] is True and after["may"] == ["accounts.view_account"]

    member = move.fleet.serve(**files)
    member.wait_until_ready()
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {move.key}"}
    answer = httpx.post(f"{member.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    listed = httpx.get(f"{member.url}/auth/accounts", headers=headers, timeout=30)
    assert listed.status_code == 200, "the key is an administrator's still"
    new = json.loads(
        succeeded(command(move.fleet.environment | files, "key", "create", "--user", "new", "--name", "new"))
    )
    assert new["key"], "numbers go on behind the transferred ones"
    assert member.stop() == 0
    move.fleet.no_tracebacks()


def test_a_target_that_cannot_open_the_secrets_is_refused_and_stays_empty(move: Move) -> None:
    succeeded(move.to_target("migrate", "--verbosity", "0"))

    done = move.to_target("transfer", ENCRYPTION_KEYS=secrets.token_urlsafe(32))

    assert done.returncode == 1 and "Nothing was moved" in done.stderr
    assert f"ENCRYPTION_KEYS to the content of {move.folder / 'encryption_key'}" in done.stderr
    assert move.fleet.rows("SELECT count(*) FROM accounts_account") == [(0,)]
    assert move.fleet.rows("SELECT count(*) FROM accounts_user") == [(0,)]

    first = secrets.token_urlsafe(32)
    both = f"{first},{(move.folder / 'encryption_key').read_text().strip()}"
    succeeded(move.to_target("transfer", ENCRYPTION_KEYS=both))
    new_only = json.loads(
        succeeded(move.to_target("shell", "--verbosity", "0", "--command", LOOK, ENCRYPTION_KEYS=first))
    )
    assert len(new_only["tokens"]) == 2, "the first key closed every secret again"


def test_what_cannot_work_is_refused_in_words(move: Move, tmp_path: Path) -> None:
    done = move.run("transfer")
    assert done.returncode == 1 and "DATABASE_URL does not name the PostgreSQL" in done.stderr

    done = move.to_target("transfer")
    assert done.returncode == 1 and "Run 'codexproxy migrate'" in done.stderr

    succeeded(move.to_target("migrate", "--verbosity", "0"))
    done = move.to_target("transfer", "--from", str(tmp_path / "nothing.sqlite3"))
    assert done.returncode == 1 and "There is no embedded database at" in done.stderr
    (tmp_path / "text.sqlite3").write_text("this is no database, but long enough to be one" * 20)
    done = move.to_target("transfer", "--from", str(tmp_path / "text.sqlite3"))
    assert done.returncode == 1 and "cannot be read" in done.stderr

    succeeded(move.to_target("transfer"))
    done = move.to_target("transfer")
    assert done.returncode == 1 and "The target holds rows already (" in done.stderr
    assert "Traceback" not in done.stderr
