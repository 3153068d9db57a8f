"""`codexproxy account login | add | list | import | export | check | refresh | pause | resume | pool | remove`.

Upstream logins from the command line.

JSON on stdout, one object per line and account, never a token (`export` with its explicit flag excepted).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from django.core.management.base import CommandError, CommandParser
from msgspec.structs import replace

from accounts import checking, exporting, refresh, selectors, services
from accounts.importing import ImportDocument, ImportEntry, parse_import
from accounts.management.login import log_in_with_browser, log_in_with_device
from accounts.management.plain import SOURCE_HELP, PlainCommand, read_secret, read_text
from accounts.models import Account
from accounts.verifying import Verdict, verify_account
from providers.contract import Secret
from providers.oauth.client import OAuthClient


class Command(PlainCommand):
    """Log in, add, list, import, export, check, refresh, pause, resume and remove upstream accounts."""

    help = "Log in, add, list, import, export, check, refresh, pause, resume, pool and remove upstream accounts."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(
            dest="action",
            required=True,
            metavar="{login,add,list,import,export,check,refresh,pause,resume,pool,remove}",
        )
        login = commands.add_parser("login", help="log in to ChatGPT, in a browser or with a code")
        login.add_argument("--device", action="store_true", help="show a code to type on any other device")
        login.add_argument("--no-listener", action="store_true", help="wait for a pasted address only")
        login.add_argument("--label", default="", help="a name for the account")
        add = commands.add_parser("add", help="add one login, or those of an auth.json")
        source = add.add_mutually_exclusive_group(required=True)
        source.add_argument("--access-token", metavar="T", help=SOURCE_HELP)
        source.add_argument("--refresh-token", metavar="R", help=f"{SOURCE_HELP}; it is exchanged at once")
        source.add_argument("--auth-json", metavar="FILE", help="auth.json of the Codex CLI; '-' reads standard input")
        add.add_argument("--label", default="", help="a name for the account")
        add.add_argument("--verify", action="store_true", help="ask the upstream whether it accepts the login")
        commands.add_parser("list", help="one JSON object per account")
        importing = commands.add_parser("import", help="add every login of a file, in any known format")
        importing.add_argument("file", metavar="FILE|-")
        export = commands.add_parser("export", help="write accounts out, tokens included")
        export.add_argument("--format", default="full", choices=sorted(exporting.FORMATS))
        export.add_argument("--ids", default="", metavar="A,B", help="only these accounts")
        export.add_argument(
            "--yes-include-secrets", action="store_true", help="confirm that live tokens are to be written out"
        )
        pool = commands.add_parser(
            "pool", help="put an account into pools, or take it out; keys may be restricted to one"
        )
        pool.add_argument("id", metavar="ID", help="id, label or e-mail")
        pool.add_argument("--add", action="append", default=[], metavar="LABEL", help="repeat for several")
        pool.add_argument("--remove", action="append", default=[], metavar="LABEL", help="repeat for several")
        check = commands.add_parser("check", help="ask the log-in server which logins are alive, by renewing them")
        check.add_argument("ids", nargs="*", metavar="ID", help="ids, labels or e-mails; without any, all accounts")
        check.add_argument("--stagger", type=float, default=checking.STAGGER_S, metavar="SECONDS")
        for name, words in (
            ("refresh", "get a new access token now"),
            ("pause", "give it no more requests"),
            ("resume", "use it again, whatever stopped it"),
            ("remove", "forget an account"),
        ):
            commands.add_parser(name, help=words).add_argument("id", metavar="ID", help="id, label or e-mail")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one subcommand."""
        actions: dict[str, Callable[..., None]] = {
            "login": self._login,
            "check": self._check,
            "pause": self._switch,
            "resume": self._switch,
            "add": self._add,
            "list": self._list,
            "import": self._import,
            "export": self._export,
            "refresh": self._refresh,
            "pool": self._pool,
            "remove": self._remove,
        }
        actions[options["action"]](**options)

    def _login(self, **options: Any) -> None:
        terms: dict[str, Any] = {"actor": self.actor, "label": options["label"], "say": self.stderr.write}
        if options["device"]:
            done = log_in_with_device(**terms)
        else:
            done = log_in_with_browser(with_listener=not options["no_listener"], **terms)
        assert done.account is not None  # a log-in that ended well has one
        self.print_json(selectors.account_summary(done.account) | {"result": "added" if done.is_new else "updated"})

    def _check(self, **options: Any) -> None:
        ids = [_find(reference).id for reference in options["ids"]]
        found = checking.accounts_check(ids=ids, stagger_s=max(0.0, options["stagger"]))
        for one in found:
            self.print_json({"id": one.account_id, "email": one.email, "result": one.result, "message": one.message})
        if any(one.result == "dead" for one in found):
            raise CommandError("Some logins are dead; log in again with 'codexproxy account login'.")

    def _switch(self, **options: Any) -> None:
        row = _find(options["id"])
        event: Literal["paused", "resumed"] = "paused" if options["action"] == "pause" else "resumed"
        services.accounts_switch(ids=[row.id], event=event, actor=self.actor)
        row.refresh_from_db()
        self.print_json(selectors.account_summary(row))

    def _add(self, **options: Any) -> None:
        document = _document(options)
        if options["label"]:
            entries = tuple(replace(entry, label=options["label"]) for entry in document.entries)
            document = replace(document, entries=entries)
        report = self._store(document)
        for row in (*report.added, *report.updated):
            if options["label"] and row.label != options["label"]:
                services.account_edit(
                    account_id=row.id, actor=self.actor, label=options["label"], max_concurrency=row.max_concurrency
                )
                row.refresh_from_db()
            self.print_json(selectors.account_summary(row) | _verdict(row, options))
        self._finish(report)

    def _import(self, **options: Any) -> None:
        report = self._store(parse_import(read_text(options["file"])))
        for one in report.outcomes:
            if one.account is not None:
                self.print_json(selectors.account_summary(one.account) | {"result": one.result, "place": one.place})
        self._finish(report)

    def _store(self, document: ImportDocument) -> services.ImportReport:
        with OAuthClient() as send:
            return services.account_import(document=document, actor=self.actor, send=send)

    def _finish(self, report: services.ImportReport) -> None:
        if report.errors:
            raise CommandError("\n".join(report.errors))

    def _list(self, **options: Any) -> None:
        for row in Account.objects.order_by("created_at", "id"):
            self.print_json(selectors.account_summary(row))

    def _export(self, **options: Any) -> None:
        if not options["yes_include_secrets"]:
            raise CommandError("An export holds live tokens; repeat with --yes-include-secrets if that is wanted.")
        ids = [part.strip() for part in options["ids"].split(",") if part.strip()]
        self.stdout.write(services.account_export(format_name=options["format"], ids=ids, actor=self.actor))

    def _refresh(self, **options: Any) -> None:
        row = _find(options["id"])
        with OAuthClient() as send:
            result = refresh.refresh_account(row.id, http_send=send, owner=refresh.lease_owner(), reason="manual")
        row.refresh_from_db()
        self.print_json(selectors.account_summary(row) | {"result": result.outcome, "message": result.message})
        if result.outcome not in ("refreshed", "adopted"):
            raise CommandError(result.message)

    def _pool(self, **options: Any) -> None:
        row = services.account_pools(
            account_id=_find(options["id"]).id, actor=self.actor, add=options["add"], remove=options["remove"]
        )
        self.print_json(selectors.account_summary(row))

    def _remove(self, **options: Any) -> None:
        row = _find(options["id"])
        services.accounts_remove(ids=[row.id], actor=self.actor)
        self.print_json({"id": row.id, "removed": True})


def _document(options: dict[str, Any]) -> ImportDocument:
    if options["auth_json"]:
        return parse_import(read_text(options["auth_json"]))
    access, renewing = read_secret(options["access_token"]), read_secret(options["refresh_token"])
    if not access and not renewing:
        raise CommandError("The token is empty.")
    return ImportDocument(
        entries=(
            ImportEntry(
                access_token=Secret(access.removeprefix("Bearer ").strip()) if access else None,
                refresh_token=Secret(renewing) if renewing else None,
            ),
        )
    )


def _verdict(row: Account, options: dict[str, Any]) -> dict[str, Any]:
    if not options["verify"]:
        return {}
    if options["refresh_token"]:  # the exchange was the proof; a call right after one gets accounts deactivated (§15.7)
        return Verdict(is_accepted=True, message="The log-in server exchanged the refresh token.").as_json()
    return verify_account(row).as_json()


def _find(reference: str) -> Account:
    row = selectors.get_account(reference)
    if row is None:
        raise CommandError(f"There is no account {reference!r}, or more than one; 'codexproxy account list' shows ids.")
    return row
