"""The audit log: read only, newest first."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from accounts.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Who did what. Nobody edits it here."""

    list_display = ("at", "actor", "action", "target", "what")
    list_filter = ("action",)
    search_fields = ("actor", "action", "target")
    date_hierarchy = "at"
    ordering = ("-at", "-id")
    list_per_page = 50
    show_full_result_count = False
    fields = ("at", "actor", "action", "target", "what")
    readonly_fields = fields

    @admin.display(description=_("details"))
    def what(self, obj: AuditEntry) -> SafeString:
        """Show the details as one line."""
        return format_html("<span>{}</span>", json.dumps(obj.details, ensure_ascii=False) if obj.details else "")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only services write here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Entries are not edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Entries are not deleted by hand."""
        return False
