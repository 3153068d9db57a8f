"""Questions asked of rows by pages, commands and tasks. Read only; never returns a secret in clear.

`account_summary` and `api_key_summary` are the one public projection of a row, shared by commands and the JSON API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from accounts import quota
from accounts.fields import UnreadableSecret
from accounts.models import Account, AccountStatus, ApiKey, QuotaSample

REFRESH_MARGIN_S = 300.0
REFRESH_MARGIN_JITTER = 0.15
UNKNOWN_EXPIRY_AGE = timedelta(days=8)
"""How old a token without a readable expiry may grow before it is refreshed; the official client's figure."""

QUOTA_RECHECK = timedelta(minutes=30)
"""How soon an account whose limits are unsure is asked for them again."""
MAX_SAMPLES = 5000


def account_summary(row: Account) -> dict[str, Any]:
    """Return what may be shown of an account, JSON-ready."""
    return {
        "id": row.id,
        "label": row.label or None,
        "email": row.email or None,
        "provider": row.provider,
        "plan": row.plan or None,
        "status": str(row.status),
        "status_reason": row.status_reason or None,
        "chatgpt_account_id": row.chatgpt_account_id or None,
        "chatgpt_user_id": row.chatgpt_user_id or None,
        "token_expires_at": iso(row.token_expires_at),
        "has_refresh_token": bool(row.refresh_token),
        "last_refreshed_at": iso(row.last_refreshed_at),
        "cooling_until": iso(row.cooling_until),
        "cooling_reason": row.cooling_reason or None,
        "max_concurrency": row.max_concurrency,
        "pools": list(row.pools or ()),
        "request_count": row.request_count,
        "last_used_at": iso(row.last_used_at),
        "created_at": iso(row.created_at),
    }


def api_key_summary(row: ApiKey) -> dict[str, Any]:
    """Return what may be shown of an API key, JSON-ready; the row's user must be loaded."""
    return {
        "id": row.pk,
        "user": row.user.get_username(),
        "name": row.name,
        "prefix": row.prefix,
        "is_admin": row.is_admin,
        "status": "revoked" if row.revoked_at else "active",
        "revoked_at": iso(row.revoked_at),
        "revoked_reason": row.revoked_reason or None,
        "expires_at": iso(row.expires_at),
        "allowed_models": list(row.allowed_models or ()),
        "max_concurrency": row.max_concurrency,
        "pool": row.pool or None,
        "request_count": row.request_count,
        "last_used_at": iso(row.last_used_at),
        "created_at": iso(row.created_at),
    }


def iso(moment: datetime | None) -> str | None:
    """Return a time as JSON writes it."""
    return moment.isoformat().replace("+00:00", "Z") if moment is not None else None


def get_account(reference: str) -> Account | None:
    """Return the account with this id, or the only one with this label or e-mail."""
    exact = Account.objects.filter(pk=reference).first()
    if exact is not None:
        return exact
    named = list(Account.objects.filter(Q(label=reference) | Q(email__iexact=reference))[:2])
    return named[0] if len(named) == 1 else None


def get_api_key(reference: str) -> ApiKey | None:
    """Return the API key with this id, or the only one whose shown start this is."""
    keys = ApiKey.objects.select_related("user")
    if reference.isdigit():
        return keys.filter(pk=int(reference)).first()
    named = list(keys.filter(prefix=reference.rstrip("…")[:12])[:2])
    return named[0] if len(named) == 1 else None


def refresh_margin_s(account_id: str, margin_s: float = REFRESH_MARGIN_S) -> float:
    """Return how long before its expiry a token is refreshed: 300 s ± 15 %, fixed per account.

    Spread, so that accounts that were added together are not refreshed together (spec/operations.md §3).
    """
    share = int.from_bytes(hashlib.sha256(account_id.encode()).digest()[:4], "big") / 2**32
    return margin_s * (1 + REFRESH_MARGIN_JITTER * (2 * share - 1))


def list_accounts_due(now: datetime, limit: int = 50, margin_s: float = REFRESH_MARGIN_S) -> list[str]:
    """Return the ids of accounts whose token should be refreshed now, the most urgent first."""
    horizon = now + timedelta(seconds=margin_s * (1 + REFRESH_MARGIN_JITTER))
    old = now - UNKNOWN_EXPIRY_AGE
    unknown = Q(token_expires_at__isnull=True) & (Q(last_refreshed_at__isnull=True) | Q(last_refreshed_at__lt=old))
    rows = (
        Account.objects.filter(status=AccountStatus.ACTIVE, refresh_token__isnull=False)
        .filter(Q(token_expires_at__lte=horizon) | unknown)
        .filter(Q(refresh_retry_at__isnull=True) | Q(refresh_retry_at__lte=now))
        .filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
        .filter(Q(refresh_spent_at__isnull=True) | Q(token_expires_at__lte=now) | Q(token_expires_at__isnull=True))
        .order_by("token_expires_at", "id")
        .values_list("id", "token_expires_at")[:limit]
    )
    return [
        account_id
        for account_id, expires_at in rows
        if expires_at is None or expires_at - timedelta(seconds=refresh_margin_s(account_id, margin_s)) <= now
    ]


def accounts_due_for_quota(now: datetime, interval_minutes: int, limit: int = 500) -> list[Account]:
    """Return active accounts whose limits should be asked for: by the interval (0: never), or because they are unsure.

    Unsure are those that are locked, full or rolled over by our clock alone; they are asked every half hour at most. An
    account that has not served yet is left alone: its first call has to be a real one (spec/operations.md §15.7).
    """
    rows = Account.objects.filter(
        status=AccountStatus.ACTIVE, access_token__isnull=False, last_used_at__isnull=False
    ).exclude(token_expires_at__lte=now)
    due: list[Account] = []
    for row in rows.order_by(F("quota_checked_at").asc(nulls_first=True), "id").iterator(chunk_size=200):
        age = now - row.quota_checked_at if row.quota_checked_at is not None else timedelta.max
        is_old = interval_minutes > 0 and age >= timedelta(minutes=interval_minutes * _spread(row.pk))
        if is_old or (age >= QUOTA_RECHECK and quota.is_check_due(quota.load(row.quota), now.timestamp())):
            due.append(row)
            if len(due) == limit:
                break
    return due


def quota_history(account_id: str, since: datetime) -> list[QuotaSample]:
    """Return an account's samples since then, oldest first."""
    return list(QuotaSample.objects.filter(account_id=account_id, at__gte=since).order_by("at")[:MAX_SAMPLES])


def _spread(account_id: str) -> float:
    """Return a factor of 1 ± 0.2, fixed per account, so that accounts are not asked all at once."""
    share = int.from_bytes(hashlib.sha256(b"quota" + account_id.encode()).digest()[:4], "big") / 2**32
    return 1 + 0.2 * (2 * share - 1)


def accounts_unreadable() -> list[str]:
    """Return the names of accounts with a token that no key decrypts."""
    rows: Iterable[Account] = Account.objects.only(
        "id", "label", "email", "access_token", "refresh_token", "id_token"
    ).iterator(chunk_size=200)
    return [
        str(row)
        for row in rows
        if any(isinstance(value, UnreadableSecret) for value in (row.access_token, row.refresh_token, row.id_token))
    ]


def accounts_with_interrupted_refresh(now: datetime) -> list[Account]:
    """Return accounts whose refresh token was spent by a process that never came back with the answer."""
    return list(
        Account.objects.filter(refresh_spent_at__isnull=False).filter(
            Q(lease_until__isnull=True) | Q(lease_until__lte=now)
        )
    )
