"""Makes a data folder ready to serve: migrations, the first API key, the one-time set-up link, demo accounts.

Safe when several processes start at once: a lock file, and on PostgreSQL a lock in the database for other machines,
lets one do the work and the others find it done. Secrets that come to be here are printed once, by `announcement()`,
and stored only as hashes.
"""

from __future__ import annotations

import fcntl
import os
import pkgutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import codexproxy

ACTOR = "first run"
DEMO_KEY_NAME = "demo"
DEMO_PATIENCE_S = 10.0
DATABASE_LOCK = 0x636F646578
"""Any number that nobody else locks; this one spells "codex"."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the person who started the gateway must be told. Empty where there is nothing new to tell."""

    setup_path: str = ""
    api_key: str = ""
    demo_accounts: int = 0
    warning: str = ""


def prepare(*, is_announcing: bool) -> Prepared:
    """Bring the data folder to where requests can be served; only an announcing process makes secrets."""
    from django.conf import settings

    with _lock(settings.DATA_DIR / "first_run.lock"):
        _migrate()
        if not is_announcing:
            return Prepared()
        upstream = os.environ.get("CODEXPROXY_DEMO_UPSTREAM", "")
        demo_accounts, warning = _demo_accounts(upstream) if upstream else (0, "")
        return Prepared(
            setup_path=_setup_path(),
            api_key=_demo_key() if upstream else _first_key(),
            demo_accounts=demo_accounts,
            warning=warning,
        )


def announcement(prepared: Prepared, url: str) -> str:
    """Return what `serve` prints when it is ready."""
    lines = ["", f"  Codex Proxy {codexproxy.__version__} is running. Stop it with Ctrl-C.", ""]
    lines.append(f"  Dashboard     {url}/admin/")
    if prepared.setup_path:
        lines.append(f"  Set-up link   {url}{prepared.setup_path}")
        lines.append("                choose a name and a password there; works once, for 24 hours")
    lines.append(f"  For clients   {url}/v1")
    if prepared.api_key:
        lines.append(f"  API key       {prepared.api_key}")
        lines.append("                shown only now, so keep it; more keys in the dashboard")
    if prepared.demo_accounts:
        lines.append(
            f"  Demo          {prepared.demo_accounts} accounts of a simulated upstream; nothing leaves this machine"
        )
    if prepared.warning:
        lines.append(f"  Note          {prepared.warning}")
    if prepared.api_key:
        from codexproxy.dashboard.overview import example_call

        lines += ["", "  Try it:", "", example_call(url, prepared.api_key)]
    return "\n".join([*lines, ""])


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with _database_lock():
            yield


@contextmanager
def _database_lock() -> Iterator[None]:
    """Keep machines that share the database apart. A file of SQLite has only this machine's processes around it."""
    from django.db import OperationalError, connection

    if connection.vendor != "postgresql":
        yield
        return
    keeper = connection.copy()  # its own: the usual one is closed before the fork that migrates
    try:
        try:
            with keeper.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [DATABASE_LOCK])
        except OperationalError as error:
            raise SystemExit(f"codexproxy: the database does not answer: {error}") from error
        yield
    finally:
        keeper.close()


def _migrate() -> None:
    """Apply migrations if any is missing, in a forked child: what it loads would stay in this process for good."""
    if not _is_any_migration_missing():
        return
    from django.db import connections

    connections.close_all()  # a connection must not be shared across a fork
    child = os.fork()
    if child == 0:
        status = 1
        try:
            from django.core.management import call_command

            call_command("migrate", verbosity=0, interactive=False)
            status = 0
        except Exception as error:
            print(f"codexproxy: the database could not be prepared: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise SystemExit(1)


def _is_any_migration_missing() -> bool:
    """Compare the files on disk with the rows applied: importing every migration would cost a fifth of the start."""
    from django.apps import apps
    from django.db import OperationalError, ProgrammingError, connection

    wanted = {
        (config.label, module.name)
        for config in apps.get_app_configs()
        for module in pkgutil.iter_modules([str(Path(config.path) / "migrations")])
        if not module.name.startswith("_")
    }
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            return bool(wanted - set(cursor.fetchall()))
    except (OperationalError, ProgrammingError) as error:
        if isinstance(error, OperationalError) and connection.vendor != "sqlite":
            raise SystemExit(f"codexproxy: the database does not answer: {error}") from error
        return True  # there is no such table: an empty database


def _setup_path() -> str:
    from django.conf import settings

    from codexproxy.dashboard.setup import SetupToken, has_administrator

    if has_administrator():
        return ""
    # Not `reverse`: it would load every page and the whole management API into a process that nobody has asked for one.
    return f"/admin/setup/{SetupToken(settings.DATA_DIR).create(time.time())}/"


def _first_key() -> str:
    from accounts.models import ApiKey

    if ApiKey.objects.exists():
        return ""
    return _new_key("first key")


def _demo_key() -> str:
    """Return a new key at every start of the demo, so that its example always works; the one before is dropped."""
    from accounts.models import ApiKey

    ApiKey.objects.filter(name=DEMO_KEY_NAME).delete()
    return _new_key(DEMO_KEY_NAME)


def _new_key(name: str) -> str:
    from accounts.services import people
    from codexproxy.dashboard.setup import FIRST_USERNAME

    user = people.get_or_create_user(username=FIRST_USERNAME, actor=ACTOR)
    return people.api_key_create(user=user, name=name, actor=ACTOR, is_admin=True).key.reveal()


def _demo_accounts(upstream: str) -> tuple[int, str]:
    """Add the simulator's accounts; return how many there are, and what went wrong in one sentence."""
    from accounts import importing
    from accounts.services.logins import account_import

    listing = _patiently_read(f"{upstream}/__sim/accounts")
    if not listing:
        return 0, "the simulated upstream did not start"
    report = account_import(document=importing.parse_import(listing), actor=ACTOR)
    return len(report.added) + len(report.updated), "; ".join(report.errors)


def _patiently_read(url: str) -> str:
    """Return what is at `url` on this machine, waiting for its server to start; empty if that takes too long."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ends_at = time.monotonic() + DEMO_PATIENCE_S
    while time.monotonic() < ends_at:
        try:
            with opener.open(url, timeout=2) as answer:
                return str(answer.read().decode())
        except (OSError, ValueError):
            time.sleep(0.05)
    return ""
