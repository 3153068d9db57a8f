"""`codexproxy simulate`: the simulated Codex upstream alone, for demos, tests and benchmarks.

Everything is in `providers/simulator/__main__.py`; nothing here may touch the database.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, ClassVar

from django.core.management.base import BaseCommand

from providers.simulator.__main__ import add_arguments, main

_OPTIONS = (
    "host",
    "port",
    "reply",
    "accounts",
    "pace_ms",
    "first_event_ms",
    "quota_step",
    "seed",
    "tls_cert",
    "tls_key",
)
_SWITCHES = ("strict_accounts", "no_websockets")


class Command(BaseCommand):
    """Run the simulated upstream."""

    help = "Run the simulated Codex upstream alone."
    requires_system_checks: ClassVar[list[str]] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the simulator's own options."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Hand over to the simulator."""
        argv = [f"--{name.replace('_', '-')}={options[name]}" for name in _OPTIONS if options[name] is not None]
        argv += [f"--{name.replace('_', '-')}" for name in _SWITCHES if options[name]]
        main(argv)
