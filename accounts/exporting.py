"""Writes logins out in the formats other tools read. Pure: values in, JSON-ready values out. Holds live secrets.

The shapes are facts of the tools named (spec/operations.md §1.6). What `importing.py` reads, this writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from providers.contract import Secret


class ExportEntry(Struct, frozen=True, kw_only=True):
    """One account as exports see it. Empty text means unknown."""

    id: str
    access_token: Secret | None = None
    refresh_token: Secret | None = None
    id_token: Secret | None = None
    label: str = ""
    email: str = ""
    account_id: str = ""
    user_id: str = ""
    plan: str = ""
    status: str = ""
    token_expires_at: datetime | None = None
    last_refreshed_at: datetime | None = None
    created_at: datetime | None = None
    request_count: int = 0
    quota: Mapping[str, Any] = {}


def _clear(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _full(entries: Sequence[ExportEntry], now: datetime) -> Any:
    return {
        "accounts": [
            {
                "id": entry.id,
                "token": _clear(entry.access_token),
                "refreshToken": _clear(entry.refresh_token),
                "idToken": _clear(entry.id_token),
                "email": entry.email or None,
                "accountId": entry.account_id or None,
                "userId": entry.user_id or None,
                "planType": entry.plan or None,
                "label": entry.label or None,
                "status": entry.status,
                "expiresAt": _iso(entry.token_expires_at),
                "addedAt": _iso(entry.created_at),
                "usage": {"request_count": entry.request_count},
                "cachedQuota": dict(entry.quota) or None,
            }
            for entry in entries
        ]
    }


def _minimal(entries: Sequence[ExportEntry], now: datetime) -> Any:
    return {
        "accounts": [
            _present(refreshToken=_clear(entry.refresh_token), label=entry.label)
            for entry in entries
            if entry.refresh_token
        ]
    }


def _codex_files(entries: Sequence[ExportEntry], now: datetime) -> list[dict[str, Any]]:
    return [
        _present(
            access_token=_clear(entry.access_token),
            refresh_token=_clear(entry.refresh_token),
            id_token=_clear(entry.id_token),
            account_id=entry.account_id,
            last_refresh=_iso(entry.last_refreshed_at or entry.created_at or now),
            email=entry.email,
            type="codex",
            expired=_iso(entry.token_expires_at),
        )
        for entry in entries
        if entry.access_token
    ]


def _cpa(entries: Sequence[ExportEntry], now: datetime) -> Any:
    files = _codex_files(entries, now)
    return files[0] if len(files) == 1 else files


def _sub2api(entries: Sequence[ExportEntry], now: datetime) -> Any:
    return {
        "exported_at": _iso(now),
        "proxies": [],
        "accounts": [
            {
                "name": entry.label or entry.email or entry.id,
                "platform": "openai",
                "type": "oauth",
                "credentials": _present(
                    access_token=_clear(entry.access_token),
                    refresh_token=_clear(entry.refresh_token),
                    email=entry.email,
                    chatgpt_account_id=entry.account_id,
                    chatgpt_user_id=entry.user_id,
                    plan_type=entry.plan,
                    expires_at=_iso(entry.token_expires_at),
                ),
                "concurrency": 0,
                "priority": 0,
            }
            for entry in entries
            if entry.access_token
        ],
        "type": "sub2api-data",
        "version": 1,
    }


FORMATS: Mapping[str, Callable[[Sequence[ExportEntry], datetime], Any]] = MappingProxyType(
    {"full": _full, "minimal": _minimal, "cockpit_tools": _codex_files, "cpa": _cpa, "sub2api": _sub2api}
)


def export_accounts(entries: Sequence[ExportEntry], format_name: str, now: datetime) -> Any:
    """Return the JSON-ready export. Raises: KeyError for a format that does not exist."""
    return FORMATS[format_name](entries, now)


def file_name(format_name: str, now: datetime) -> str:
    """Return what the file of an export is called."""
    middle = "" if format_name == "full" else f"-{format_name}"
    return f"accounts-export{middle}-{now:%Y-%m-%d}.json"
