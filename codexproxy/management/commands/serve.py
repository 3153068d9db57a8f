"""`codexproxy serve` as a management command, for `help` and `call_command`. The work is in `codexproxy/serving/`."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from codexproxy.serving.options import BadOption, add_arguments, complete_options
from codexproxy.serving.supervisor import serve


class Command(BaseCommand):
    """Run everything of one machine."""

    help = "Run everything of one machine: the gateway, the dashboard and one background worker."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the options of `serve`."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until told to stop."""
        try:
            chosen = complete_options(
                host=options["host"],
                port=options["port"],
                workers=options["workers"],
                is_demo=options["demo"],
                has_worker=options["has_worker"],
                environ=os.environ,
            )
        except BadOption as error:
            raise CommandError(str(error)) from error
        raise SystemExit(serve(chosen))
