"""`codexproxy quota show | ask | resets | reset`: limits of accounts from the command line. JSON on stdout."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import quota, selectors
from accounts.management.plain import PlainCommand
from accounts.models import Account
from accounts.quota_words import quota_json
from accounts.services.errors import AccountsError
from accounts.services.quota import quota_refresh, reset_credit_consume, reset_credits


class Command(PlainCommand):
    """Show and ask for the limits of accounts, list and spend banked resets."""

    help = "Show and ask for the limits of accounts, list and spend banked resets."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="{show,ask,resets,reset}")
        commands.add_parser("show", help="one JSON object per account, as last reported")
        for name, words in (
            ("ask", "ask the upstream for an account's limits now"),
            ("resets", "list an account's banked resets"),
            ("reset", "spend one banked reset; it cannot be taken back"),
        ):
            one = commands.add_parser(name, help=words)
            one.add_argument("id", metavar="ID", help="id, label or e-mail")
            if name == "reset":
                one.add_argument("--yes", action="store_true", help="confirm that it is to be spent")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one subcommand."""
        try:
            {"show": self._show, "ask": self._ask, "resets": self._resets, "reset": self._reset}[options["action"]](
                **options
            )
        except AccountsError as problem:
            raise CommandError(str(problem)) from problem

    def _show(self, **options: Any) -> None:
        for row in Account.objects.order_by("created_at", "id"):
            self._print(row)

    def _ask(self, **options: Any) -> None:
        row = _find(options["id"])
        [check] = quota_refresh(rows=[row], concurrency=1)
        if check.problem:
            raise CommandError(check.problem)
        row.refresh_from_db()
        self._print(row)

    def _resets(self, **options: Any) -> None:
        for credit in reset_credits(row=_find(options["id"])):
            self.print_json({"id": credit.id, "status": credit.status, "expires_at": credit.expires_at})

    def _reset(self, **options: Any) -> None:
        row = _find(options["id"])
        if not options["yes"]:
            raise CommandError("A banked reset cannot be taken back; repeat with --yes if it is to be spent.")
        self.print_json({"id": row.pk, "code": reset_credit_consume(row=row, actor=self.actor)})

    def _print(self, row: Account) -> None:
        shown = quota_json(quota.load(row.quota), row.plan, time.time())
        self.print_json({"id": row.pk, "name": str(row), "quota": shown, "reported_at": selectors.iso(row.quota_at)})


def _find(reference: str) -> Account:
    row = selectors.get_account(reference)
    if row is None:
        raise CommandError(f"There is no account {reference!r}, or more than one; 'codexproxy account list' shows ids.")
    return row
