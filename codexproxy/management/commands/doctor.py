"""`codexproxy doctor`: looks at everything and says in one sentence per finding what to do."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from django.conf import settings
from django.core import checks
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from codexproxy.live_settings import load_settings
from codexproxy.serving.listener_probe import listener_state

Level = Literal["ok", "warning", "problem"]
MARKS: dict[Level, str] = {"ok": "✓", "warning": "!", "problem": "✗"}


LEAST_FREE_BYTES = 500 * 1024 * 1024
BUILT_AT = 1_793_000_000
"""October 2026: a clock that shows an earlier time is wrong, and tokens, limits and certificates with it."""
MAX_DRIFT_S = 60
WORKER_SILENCE = timedelta(minutes=5)
"""The worker has a task every minute."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence about one thing."""

    level: Level
    text: str


class Command(BaseCommand):
    """Look at the set-up, the database, the secrets, the accounts, the listener, the worker, the disk and the clock."""

    help = "Check everything and say in one sentence per finding what to do."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="one JSON object per finding")
        parser.add_argument("--upstream", action="store_true", help="also ask the upstream whether it can be reached")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the findings; the exit status is 1 when there is a problem."""
        findings = list(diagnose(asks_upstream=options["upstream"]))
        for finding in findings:
            line = json.dumps(asdict(finding)) if options["json"] else f"{MARKS[finding.level]} {finding.text}"
            self.stdout.write(line)
        if any(finding.level == "problem" for finding in findings):
            raise SystemExit(1)


def diagnose(*, asks_upstream: bool = False) -> Iterator[Finding]:
    """Yield what there is to say, the set-up first. Later findings need what earlier ones found well."""
    yield from _setup()
    yield from _shared_state()
    yield from _machine()
    if asks_upstream:
        yield from _upstream()
    if connection.vendor not in ("sqlite", "postgresql"):
        return  # said above: there is nothing to ask
    database = list(_database())
    yield from database
    if all(finding.level == "ok" for finding in database):
        yield from _rows()
        yield from _worker()
        yield from _listener()


def _setup() -> Iterator[Finding]:
    messages = checks.run_checks()
    for message in messages:
        level: Level = "problem" if message.level >= checks.ERROR else "warning"
        yield Finding(level=level, text=f"{message.msg} {message.hint or ''}".strip())
    if not messages:
        yield Finding(level="ok", text="The settings are sound.")


def _shared_state() -> Iterator[Finding]:
    if not settings.REDIS_URL:
        return
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2) as client:
            version, policy = client.info("server")["redis_version"], client.info("memory").get("maxmemory_policy")
    except (RedisError, OSError, ValueError) as error:
        yield Finding(level="problem", text=f"Redis does not answer ({error}). Start it, or mend REDIS_URL.")
        return
    yield Finding(level="ok", text=f"Redis answers (version {version}).")
    if policy not in (None, "noeviction"):
        yield Finding(
            level="warning",
            text=f"Redis may evict keys when its memory is full ({policy}), and with them slots in use. "
            "Set its maxmemory-policy to noeviction.",
        )


def _database() -> Iterator[Finding]:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        yield Finding(level="problem", text=f"The database does not answer ({error}). Start it, or mend DATABASE_URL.")
        return
    if missing:
        yield Finding(
            level="problem",
            text=f"{len(missing)} migrations are missing. Run `codexproxy migrate`; `codexproxy serve` does it too.",
        )
        return
    yield Finding(level="ok", text=f"The database answers ({connection.vendor}) and is up to date.")


def _rows() -> Iterator[Finding]:
    from accounts.models import Account, AccountStatus, ApiKey
    from codexproxy.dashboard.setup import has_administrator

    for message in checks.run_checks(tags=[checks.Tags.database], databases=["default"]):
        yield Finding(level="problem", text=f"{message.msg} {message.hint or ''}".strip())
    total = Account.objects.count()
    active = Account.objects.filter(status=AccountStatus.ACTIVE)
    cooling = active.filter(cooling_until__gt=timezone.now()).count()
    ready = active.count() - cooling
    if not total:
        yield Finding(level="warning", text="There is no account yet. Add one with `codexproxy account add`.")
    elif ready:
        yield Finding(level="ok", text=f"{ready} of {total} accounts are ready, {cooling} are cooling down.")
    else:
        yield Finding(
            level="problem",
            text=f"None of {total} accounts is ready ({cooling} cooling down). See `codexproxy account list`.",
        )
    if ApiKey.objects.filter(revoked_at__isnull=True).exists():
        yield Finding(level="ok", text="There is an API key for clients.")
    else:
        yield Finding(
            level="warning",
            text="There is no API key for clients. Create one with `codexproxy key create --user NAME --name NAME`.",
        )
    if has_administrator():
        yield Finding(level="ok", text="Somebody can administer this gateway.")
    else:
        yield Finding(
            level="warning",
            text="Nobody can log in to the dashboard yet. `codexproxy serve` prints a set-up link at every start.",
        )


def _machine() -> Iterator[Finding]:
    free = shutil.disk_usage(settings.DATA_DIR).free
    words = f"{free / 1024**3:.1f} GB are free in the data directory"
    if free < LEAST_FREE_BYTES:
        yield Finding(level="problem", text=f"Only {words}. Make room, or nothing can be stored soon.")
    else:
        yield Finding(level="ok", text=f"{words}.")
    if time.time() < BUILT_AT:
        yield Finding(level="problem", text=f"The clock shows {timezone.now():%Y-%m-%d}. Set it, best by NTP.")


def _upstream() -> Iterator[Finding]:
    import httpx

    address = settings.CODEX_BASE_URL
    try:
        answer = httpx.get(address, timeout=10, follow_redirects=False)
    except httpx.HTTPError as error:
        problem = type(error).__name__
        yield Finding(level="problem", text=f"{address} cannot be reached ({problem}). Check network, DNS and proxy.")
        return
    yield Finding(level="ok", text=f"{address} answers (status {answer.status_code}, without a login).")
    told = parsedate_to_datetime(answer.headers["date"]).timestamp() if "date" in answer.headers else time.time()
    drift_s = time.time() - told
    if abs(drift_s) > MAX_DRIFT_S:
        yield Finding(level="warning", text=f"The clock differs by {drift_s:.0f} s from the upstream's. Set it by NTP.")


def _worker() -> Iterator[Finding]:
    from django_celery_beat.models import PeriodicTask

    latest = PeriodicTask.objects.filter(enabled=True, last_run_at__isnull=False).order_by("-last_run_at").first()
    if latest is None or latest.last_run_at is None:
        yield Finding(level="warning", text="No scheduled work has run yet. `codexproxy serve` also starts the worker.")
    elif timezone.now() - latest.last_run_at > WORKER_SILENCE:
        yield Finding(
            level="warning",
            text=f"Scheduled work last ran at {latest.last_run_at:%Y-%m-%d %H:%M} UTC. Is `codexproxy serve` running?",
        )
    else:
        yield Finding(level="ok", text="The worker and its schedule are alive.")


def _listener() -> Iterator[Finding]:
    state = listener_state(load_settings().ollama)
    words: dict[str, tuple[Level, str]] = {
        "off": ("ok", "The listener for Ollama apps is off."),
        "running": ("ok", f"Ollama apps are served at {state.address}."),
        "keyless": ("warning", "Ollama apps are refused: no key stands for them. Set `ollama.key`."),
        "taken": ("warning", f"Another program listens at {state.address}. Stop it, or set another `ollama.port`."),
        "silent": ("warning", f"Nothing listens at {state.address}. Is `codexproxy serve` running? Its log says more."),
    }
    level, text = words[state.kind]
    yield Finding(level=level, text=text)
