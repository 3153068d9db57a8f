"""The app's entry in Django's registry. Egress proxies: choice and health are pure, rows come with the dashboard."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ProxyPoolConfig(AppConfig):
    """Egress proxies."""

    name = "proxypool"
    verbose_name = _("Egress")
