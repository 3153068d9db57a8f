"""The dashboard's pages of this app, one file per kind of row. Django finds them by importing this package."""

from __future__ import annotations

from accounts.admin.accounts import AccountAdmin
from accounts.admin.audit import AuditEntryAdmin
from accounts.admin.keys import ApiKeyAdmin
from accounts.admin.people import UserAdmin

__all__ = ["AccountAdmin", "ApiKeyAdmin", "AuditEntryAdmin", "UserAdmin"]
