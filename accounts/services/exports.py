"""Handing live logins out: the one service that reveals tokens, and says so in the audit log."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.utils import timezone

from accounts import audit, exporting
from accounts.models import Account
from accounts.services.errors import AccountsError


def account_export(*, format_name: str, actor: str, ids: Sequence[str] = ()) -> str:
    """Return accounts with their live tokens as JSON text; leaves an audit entry. Raises: AccountsError."""
    if format_name not in exporting.FORMATS:
        raise AccountsError(f"There is no format {format_name!r}; known are {', '.join(sorted(exporting.FORMATS))}.")
    rows = Account.objects.order_by("created_at", "id")
    chosen = list(rows.filter(pk__in=ids) if ids else rows)
    missing = sorted(set(ids) - {row.id for row in chosen})
    if missing:
        raise AccountsError(f"There is no account {', '.join(missing)}.")
    document = exporting.export_accounts([_export_entry(row) for row in chosen], format_name, timezone.now())
    audit.record(actor=actor, action="account.exported", format=format_name, ids=[row.id for row in chosen])
    return json.dumps(document, ensure_ascii=False, indent=2)


def _export_entry(row: Account) -> exporting.ExportEntry:
    return exporting.ExportEntry(
        id=row.id,
        access_token=row.access_token,
        refresh_token=row.refresh_token,
        id_token=row.id_token,
        label=row.label,
        email=row.email,
        account_id=row.chatgpt_account_id,
        user_id=row.chatgpt_user_id,
        plan=row.plan,
        status=str(row.status),
        token_expires_at=row.token_expires_at,
        last_refreshed_at=row.last_refreshed_at,
        created_at=row.created_at,
        request_count=row.request_count,
        quota=row.quota or {},
    )
