"""The project as a Django app: management commands and system checks."""

from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Registers the checks of `checks.py`."""

    name = "codexproxy"

    def ready(self) -> None:
        """Register the checks."""
        from codexproxy import checks  # noqa: F401 -- importing registers
