"""`codexproxy doctor`: looks at everything and says in one sentence per finding what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from django.core import checks
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

Level = Literal["ok", "warning", "problem"]
MARKS: dict[Level, str] = {"ok": "✓", "warning": "!", "problem": "✗"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence about one thing."""

    level: Level
    text: str


class Command(BaseCommand):
    """Look at the set-up, the database, the secrets and the accounts."""

    help = "Check everything and say in one sentence per finding what to do."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the findings; the exit status is 1 when there is a problem."""
        findings = list(diagnose())
        for finding in findings:
            self.stdout.write(f"{MARKS[finding.level]} {finding.text}")
        if any(finding.level == "problem" for finding in findings):
            raise SystemExit(1)


def diagnose() -> Iterator[Finding]:
    """Yield what there is to say, the set-up first. Later findings need what earlier ones found well."""
    yield from _setup()
    if connection.vendor not in ("sqlite", "postgresql"):
        return  # said above: there is nothing to ask
    database = list(_database())
    yield from database
    if all(finding.level == "ok" for finding in database):
        yield from _rows()


def _setup() -> Iterator[Finding]:
    messages = checks.run_checks()
    for message in messages:
        level: Level = "problem" if message.level >= checks.ERROR else "warning"
        yield Finding(level=level, text=f"{message.msg} {message.hint or ''}".strip())
    if not messages:
        yield Finding(level="ok", text="The settings are sound.")


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
