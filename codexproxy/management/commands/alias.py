"""`codexproxy alias list | set NAME TARGET | remove NAME`: names of models that clients may use. JSON out.

The aliases are the setting `model.aliases`; this command changes one of them at a time.
"""

from __future__ import annotations

from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from accounts.management.plain import PlainCommand
from codexproxy.live_settings import BadSetting, load_settings, setting_set
from providers.routing import SHIPPED_ALIASES

SETTING = "model.aliases"


class Command(PlainCommand):
    """Show and change aliases of models."""

    help = "Show and change aliases of models; changes take effect at once, in every process."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="action", required=True, metavar="{list,set,remove}")
        commands.add_parser("list", help="one JSON object per alias")
        change = commands.add_parser("set", help="let NAME stand for TARGET")
        change.add_argument("name", metavar="NAME", help="may hold *, such as 'claude-*haiku*'")
        change.add_argument("target", metavar="TARGET", help="a model, another alias, 'default', or '' for nothing")
        remove = commands.add_parser("remove", help="take NAME back; an alias we ship becomes what it was")
        remove.add_argument("name", metavar="NAME")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one subcommand."""
        name = options.get("name")
        if options["action"] == "set":
            self._change(lambda aliases: {**aliases, name: options["target"]})
        elif options["action"] == "remove":
            if name not in load_settings().aliases:
                raise CommandError(f"There is no alias {str(name)[:80]!r} of yours; 'codexproxy alias list' shows all.")
            self._change(lambda aliases: {alias: target for alias, target in aliases.items() if alias != name})
            return
        own = load_settings().aliases
        for alias, target in {**SHIPPED_ALIASES, **own}.items():
            if name in (None, alias):
                self.print_json({"name": alias, "target": target, "source": "setting" if alias in own else "shipped"})

    def _change(self, change: Any) -> None:
        try:
            with transaction.atomic():
                changed = change(dict(load_settings().aliases))
                setting_set(SETTING, msgspec.json.encode(changed).decode(), actor=self.actor)
        except BadSetting as problem:
            raise CommandError(str(problem)) from problem
