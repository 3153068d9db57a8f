"""The project as a Django app: management commands, system checks, and who is told of changes."""

from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Registers the checks of `checks.py`, and with Redis the announcing of changes."""

    name = "codexproxy"

    def ready(self) -> None:
        """Register them."""
        from django.conf import settings

        from codexproxy import checks  # noqa: F401 -- importing registers

        if settings.REDIS_URL:
            from accounts import changes
            from codexproxy.announcing import announce_change

            changes.subscribe(announce_change)
