"""The app's entry in Django's registry: whom we call as, and who may call us. Registers the system checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Accounts, people and their API keys."""

    name = "accounts"
    verbose_name = _("Accounts and people")

    def ready(self) -> None:
        """Register the checks."""
        from accounts import checks  # noqa: F401 - importing registers
