"""`codexproxy settings get [KEY] | set KEY VALUE`: settings that take effect at once. JSON out, secrets as stars."""

from __future__ import annotations

from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser

from accounts.management.plain import PlainCommand, read_secret
from codexproxy.live_settings import DEFINITIONS, BadSetting, setting_set, shown_settings


class Command(PlainCommand):
    """Show and change settings of the running gateway."""

    help = "Show and change settings; changes take effect at once, in every process."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the two subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="{get,set}")
        get = commands.add_parser("get", help="one JSON object per setting")
        get.add_argument("key", nargs="?", metavar="KEY", help="only this one")
        change = commands.add_parser("set", help="change one setting; the value null takes it back to its default")
        change.add_argument("key", metavar="KEY", help=", ".join(DEFINITIONS))
        change.add_argument("value", metavar="VALUE", help="secrets also as '-' (standard input) or '@FILE'")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one subcommand."""
        key = options["key"]
        if options["action"] == "set":
            self._set(key, options["value"])
        shown = [setting for setting in shown_settings() if key in (None, setting.key)]
        if not shown:
            raise CommandError(f"There is no setting {key[:80]!r}; 'codexproxy settings get' shows all.")
        for setting in shown:
            self.print_json(msgspec.to_builtins(setting))

    def _set(self, key: str, text: str) -> None:
        definition = DEFINITIONS.get(key)
        try:
            setting_set(key, read_secret(text) if definition and definition.is_secret else text, actor=self.actor)
        except BadSetting as problem:
            raise CommandError(str(problem)) from problem
