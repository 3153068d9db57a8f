"""The console script `codexproxy`; the same as `python manage.py`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run a management command; `serve` is started without loading Django, because its supervisor stays small."""
    if sys.argv[1:2] == ["serve"]:
        from codexproxy.serving.supervisor import main as serve

        raise SystemExit(serve(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codexproxy.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
