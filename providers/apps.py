"""The app's entry in Django's registry. Upstreams: adapters and transports are pure and never import this."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProvidersConfig(AppConfig):
    """Upstreams."""

    name = "providers"
    verbose_name = _("Providers")
