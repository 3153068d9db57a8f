"""`codexproxy transfer`: moves an embedded installation (SQLite) to the PostgreSQL in DATABASE_URL.

All rows of all apps go in one transaction: either everything has arrived and was counted, or nothing has. The embedded
database is opened for reading only. Rows are read through the models, so every secret is opened on the way and closed
again with the target's first key: a key that is missing is noticed here, not at the first request. PostgreSQL checks
foreign keys at the end of the transaction, which is why the order of tables does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.color import no_style
from django.db import DatabaseError, DataError, IntegrityError, connection, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from accounts import audit
from accounts.fields import UnreadableSecret
from accounts.management.plain import PlainCommand
from codexproxy.serving.first_run import DATABASE_LOCK

SOURCE = "embedded"
MADE_BY_MIGRATE = {"contenttypes.contenttype", "auth.permission"}
"""Tables that `migrate` fills; their rows are replaced, because rows of other tables name theirs by number."""
BATCH_ROWS = 1000
BUSY_S = 20


class Command(PlainCommand):
    """Copy every row from SQLite to PostgreSQL."""

    help = "Move an embedded installation (SQLite) to the PostgreSQL in DATABASE_URL, which must be migrated and empty."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare where the rows come from."""
        default = settings.DATA_DIR / "codexproxy.sqlite3"
        parser.add_argument("--from", dest="source", default=str(default), metavar="FILE", help=f"else {default}")

    def handle(self, *args: Any, **options: Any) -> None:
        """Copy, count, and say what else must go along."""
        path = Path(options["source"]).expanduser().resolve()
        if connection.vendor != "postgresql":
            raise CommandError(
                "DATABASE_URL does not name the PostgreSQL to move to. "
                "Set it like postgres://user:password@host:5432/name, then try again."
            )
        source = open_source(path)
        try:
            refuse_missing_migrations(source, "The embedded database", "Start this version once with it, stop it")
            refuse_missing_migrations(connection, "The target", "Run 'codexproxy migrate'")
            with transaction.atomic(using=SOURCE), transaction.atomic():
                counts = self.copy_all(path.parent)
                audit.record(actor=self.actor, action="installation.transferred", rows=sum(counts.values()))
        except (DataError, IntegrityError) as error:
            raise CommandError(f"PostgreSQL refuses the rows, nothing was written: {error}") from error
        finally:
            source.close()
        self._say_what_remains(path)
        self.print_json({"rows": sum(counts.values()), "tables": counts})

    def copy_all(self, folder: Path) -> dict[str, int]:
        """Copy every table in the transactions of the caller; return how many rows each had. Raises: CommandError."""
        tables = all_models()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DATABASE_LOCK])  # no first run of `serve` meanwhile
        refuse_rows(tables)
        for model in tables:
            if model._meta.label_lower in MADE_BY_MIGRATE:
                model._base_manager.all().delete()
        counts: dict[str, int] = {}
        for model in tables:
            count = copy_table(model, folder)
            arrived = model._base_manager.count()
            if arrived != count:
                raise CommandError(f"{model._meta.db_table}: {count} rows were sent and {arrived} arrived. Try again.")
            counts[model._meta.db_table] = count
            if count:
                self.stderr.write(f"{model._meta.db_table}: {count} rows")
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), tables):
                cursor.execute(statement)
        connection.check_constraints()
        return counts

    def _say_what_remains(self, path: Path) -> None:
        self.stderr.write("Everything has arrived. From now on, on every machine:")
        for name, file in (("ENCRYPTION_KEYS", "encryption_key"), ("SECRET_KEY", "secret_key")):
            kept = path.parent / file
            text = kept.read_text().strip() if kept.is_file() else ""
            if not text:
                self.stderr.write(f"  {name}: keep the value that is in the environment now")
            elif text in (*settings.ENCRYPTION_KEYS, settings.SECRET_KEY):
                self.stderr.write(f"  {name}: the content of {kept}, or {name}_FILE={kept}")
            else:
                self.stderr.write(f"  {name}: the value that is in the environment now; {kept} is used no more")
        self.stderr.write(
            f"Never start the embedded installation again: it would spend the same tokens. It is at {path}."
        )


def open_source(path: Path) -> BaseDatabaseWrapper:
    """Return a connection to the SQLite file, for reading only. Raises: CommandError."""
    if not path.is_file():
        raise CommandError(f"There is no embedded database at {path}. Name its file with --from.")
    connections.databases[SOURCE] = {
        **connections.databases["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"{path.as_uri()}?mode=ro",
        "OPTIONS": {"timeout": BUSY_S},
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
    }
    source = connections[SOURCE]
    try:
        source.ensure_connection()
        if "accounts_account" not in source.introspection.table_names():
            raise CommandError(f"{path} is not the database of Codex Proxy. Name its file with --from.")
    except DatabaseError as error:
        raise CommandError(f"{path} cannot be read: {error}. Name the database's file with --from.") from error
    return source


def refuse_missing_migrations(database: BaseDatabaseWrapper, name: str, remedy: str) -> None:
    """Refuse a database whose tables are not this version's. Raises: CommandError."""
    executor = MigrationExecutor(database)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError(f"{name} lacks migrations of this version. {remedy}, then try again.")


def all_models() -> list[type[models.Model]]:
    """Return every model that has a table of its own, those of many-to-many relations too."""
    return [m for m in apps.get_models(include_auto_created=True) if m._meta.managed and not m._meta.proxy]


def refuse_rows(tables: list[type[models.Model]]) -> None:
    """Refuse a target that somebody uses already. Raises: CommandError."""
    used = [m for m in tables if m._meta.label_lower not in MADE_BY_MIGRATE and m._base_manager.exists()]
    if used:
        names = ", ".join(sorted(model._meta.db_table for model in used))
        raise CommandError(
            f"The target holds rows already ({names}), and nothing is overwritten. "
            "Give DATABASE_URL a new database and run 'codexproxy migrate' with it; do not start 'serve' before."
        )


def copy_table(model: type[models.Model], folder: Path) -> int:
    """Stream the rows of one table from SQLite to PostgreSQL; return how many there were. Raises: CommandError."""
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in fields)
    count = 0
    statement = f"COPY {quote(model._meta.db_table)} ({columns}) FROM STDIN"  # names of our own
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(statement) as copy:
        for row in _rows(model, fields):
            _refuse_unreadable(model, row, folder)
            copy.write_row(
                [field.get_db_prep_save(value, connection) for field, value in zip(fields, row, strict=True)]
            )
            count += 1
    return count


def _rows(model: type[models.Model], fields: list[Any]) -> Iterator[tuple[Any, ...]]:
    names = [field.attname for field in fields]
    return model._base_manager.using(SOURCE).order_by("pk").values_list(*names).iterator(chunk_size=BATCH_ROWS)


def _refuse_unreadable(model: type[models.Model], row: tuple[Any, ...], folder: Path) -> None:
    lost = next((value for value in row if isinstance(value, UnreadableSecret)), None)
    if lost is not None:
        raise CommandError(
            f"Nothing was moved: a secret in {model._meta.db_table} cannot be opened here. {lost.reason} "
            f"Set ENCRYPTION_KEYS to the content of {folder / 'encryption_key'}, or to what the embedded installation "
            "had in its environment; more keys are separated by commas, the first one encrypts."
        )
