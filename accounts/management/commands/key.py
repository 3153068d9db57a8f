"""`codexproxy key create | list | revoke`: API keys of clients from the command line. JSON on stdout."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import selectors, services
from accounts.management.plain import PlainCommand
from accounts.models import ApiKey


class Command(PlainCommand):
    """Create, list and revoke API keys."""

    help = "Create, list and revoke API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the three subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="{create,list,revoke}")
        create = commands.add_parser("create", help="issue a key; its clear text is shown once")
        create.add_argument("--user", required=True, help="whose key it is; created if unknown")
        create.add_argument("--name", required=True, help="what the key is for")
        create.add_argument("--admin", action="store_true", help="the key may manage this gateway")
        create.add_argument(
            "--allowed-model", action="append", default=[], metavar="MODEL", help="repeat to allow several models only"
        )
        create.add_argument("--expires-at", metavar="ISO", help="for example 2030-01-31 or 2030-01-31T12:00:00Z")
        create.add_argument("--max-concurrency", type=int, metavar="N", help="requests at once")
        create.add_argument("--pool", default="", metavar="LABEL", help="use only accounts that carry this label")
        commands.add_parser("list", help="one JSON object per key")
        revoke = commands.add_parser("revoke", help="make a key useless for good")
        revoke.add_argument("key", metavar="PREFIX|ID", help="the first 12 characters of the key, or its id")
        revoke.add_argument("--reason", default="", help="shown to whom it concerns")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one subcommand."""
        actions: dict[str, Callable[..., None]] = {"create": self._create, "list": self._list, "revoke": self._revoke}
        actions[options["action"]](**options)

    def _create(self, **options: Any) -> None:
        expires_at = parse_moment(options["expires_at"]) if options["expires_at"] else None
        user = services.get_or_create_user(username=options["user"], actor=self.actor)
        issued = services.api_key_create(
            user=user,
            name=options["name"],
            actor=self.actor,
            is_admin=options["admin"],
            allowed_models=options["allowed_model"],
            expires_at=expires_at,
            max_concurrency=options["max_concurrency"],
            pool=options["pool"],
        )
        self.print_json(selectors.api_key_summary(issued.row) | {"key": issued.key.reveal()})

    def _list(self, **options: Any) -> None:
        for row in ApiKey.objects.select_related("user").order_by("id"):
            self.print_json(selectors.api_key_summary(row))

    def _revoke(self, **options: Any) -> None:
        row = selectors.get_api_key(options["key"])
        if row is None:
            raise CommandError("No key has this start or id; 'codexproxy key list' shows them.")
        revoked = services.api_key_revoke(api_key_id=row.pk, actor=self.actor, reason=options["reason"])
        self.print_json(selectors.api_key_summary(revoked))


def parse_moment(text: str) -> datetime:
    """Read an ISO time; without a zone it is UTC. Raises: CommandError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError("A time is written like 2030-01-31 or 2030-01-31T12:00:00Z.", returncode=2) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
