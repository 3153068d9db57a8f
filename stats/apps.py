"""The app that remembers what requests came to."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class StatsConfig(AppConfig):
    """Usage records, the figures of the day, and their pruning."""

    name = "stats"
    verbose_name = _("Usage")
