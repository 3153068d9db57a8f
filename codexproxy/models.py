"""Rows of the project itself: settings that operators change while it runs.

Fields only. Which keys there are, what they may hold and what they do is in `live_settings.py`.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import EncryptedTextField


class Setting(models.Model):
    """One setting that differs from its default. Exactly one of `value` and `secret` holds it."""

    key = models.CharField(_("key"), max_length=80, primary_key=True)
    value = models.JSONField(_("value"), null=True, blank=True)
    secret = EncryptedTextField(_("secret"))
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("setting")
        verbose_name_plural = _("settings")
        ordering: ClassVar[list[str]] = ["key"]

    def __str__(self) -> str:
        return self.key
