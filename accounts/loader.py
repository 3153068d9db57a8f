"""Rows → frozen views for the snapshot; a constant number of queries, all-or-nothing. The hot path never calls this.

A row whose tokens no key decrypts is loaded as unusable with words that say so: one bad row must not stop the pool.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts import cookie_rows, quota, quota_rows
from accounts.cookies import Cookie
from accounts.fields import UnreadableSecret
from accounts.models import Account, AccountCookie, AccountStatus, ApiKey
from accounts.quota import Quota
from accounts.values import AccountView, ApiKeyView
from providers.contract import Credential, Secret

DEFAULT_MAX_CONCURRENCY = 3
_UNUSABLE = {
    AccountStatus.PAUSED: "paused by the operator",
    AccountStatus.NEEDS_LOGIN: "needs a new log-in",
    AccountStatus.UNPAID: "asked for a payment by the upstream",
    AccountStatus.BANNED: "banned by the upstream",
    AccountStatus.DISABLED: "disabled",
}


def load_accounts(*, max_concurrency: int = DEFAULT_MAX_CONCURRENCY) -> tuple[AccountView, ...]:
    """Return every account, oldest first; `max_concurrency` counts where the row has none of its own. Two queries."""
    cookies = cookie_rows.load(AccountCookie.objects.all())
    rows = Account.objects.defer("id_token").order_by("created_at", "id")
    return tuple(account_view(row, cookies.get(row.pk, ()), max_concurrency) for row in rows)


def load_keys() -> dict[bytes, ApiKeyView]:
    """Return every API key by its digest, revoked ones too, so that their owners learn why. One query."""
    return {bytes(row.digest): _key_view(row) for row in ApiKey.objects.select_related("user")}


def load_key(digest: bytes) -> dict[bytes, ApiKeyView]:
    """Return the one API key with this digest, or nothing. One indexed query; for callers off the hot path."""
    return {bytes(row.digest): _key_view(row) for row in ApiKey.objects.select_related("user").filter(digest=digest)}


def account_view(
    row: Account, cookies: tuple[Cookie, ...] = (), max_concurrency: int = DEFAULT_MAX_CONCURRENCY
) -> AccountView:
    """Return what the hot path sees of a row, live token and exit included."""
    kind, reason = _unusable(row)
    known = quota.load(row.quota)
    return AccountView(
        id=row.id,
        provider=row.provider,
        credential=Credential(
            token=row.access_token or Secret(""),
            scope=row.id,
            upstream_account_id=row.chatgpt_account_id or None,
            is_fedramp=row.is_fedramp,
        ),
        label=row.label,
        email=row.email,
        plan=row.plan or None,
        is_usable=not reason,
        unusable_reason=reason,
        unusable_kind=kind,
        max_concurrency=row.max_concurrency or max_concurrency,
        token_expires_at=_unix(row.token_expires_at),
        has_refresh_token=bool(row.refresh_token),
        cooling_until=_own_rest(row, known),
        cooling_reason=row.cooling_reason,
        request_count=row.request_count,
        last_used_at=_unix(row.last_used_at) or 0.0,
        window_reset_at=window_reset_at(row.quota),
        quota=known,
        cookies=cookies,
        pools=tuple(str(label) for label in row.pools or ()),
    )


def _unusable(row: Account) -> tuple[str, str]:
    """Return the kind and the words of what keeps an account from being used; both empty when nothing does."""
    if row.status != AccountStatus.ACTIVE:
        return str(row.status), row.status_reason or _UNUSABLE.get(AccountStatus(row.status), "not active")
    if isinstance(row.access_token, UnreadableSecret):
        return "unreadable", "its tokens cannot be decrypted; put the old key back into ENCRYPTION_KEYS"
    return ("", "") if row.access_token or row.refresh_token else ("needs_login", "it has no token; log in again")


def _own_rest(row: Account, known: Quota) -> float:
    """Return until when the whole account rests; a rest that only repeats a used-up limit is the quota's to tell.

    So that a model with a limit of its own is still served, and exhausted accounts when the operator wants them used.
    """
    until = _unix(row.cooling_until) or 0.0
    end = quota.exhausted_until(known, quota_rows.ANY_MODEL, 0.0)
    return 0.0 if end is not None and until <= end + quota_rows.SAME_MOMENT_S else until


def window_reset_at(stored: Any) -> float | None:
    """Return when the plan's short window resets, as the last report said; None when it did not say."""
    try:
        value = stored["windows"]["codex"]["primary"]["reset_at"]
    except (KeyError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) else None


def _key_view(row: ApiKey) -> ApiKeyView:
    reason = ""
    if row.revoked_at is not None:
        reason = f"it was revoked on {row.revoked_at:%Y-%m-%d}"
    elif not row.user.is_active:
        reason = "its owner's access is switched off"
    return ApiKeyView(
        id=row.pk,
        user_id=row.user_id,
        name=row.name,
        prefix=row.prefix,
        is_active=not reason,
        inactive_reason=reason,
        is_admin=row.is_admin,
        expires_at=_unix(row.expires_at),
        allowed_models=tuple(str(model) for model in row.allowed_models or ()),
        max_concurrency=row.max_concurrency,
        pool=row.pool,
    )


def _unix(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None
