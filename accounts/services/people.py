"""Creating, changing and removing people and their API keys. The clear text of a key exists only in `IssuedKey`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from django.db import transaction
from django.utils import timezone
from msgspec import Struct

from accounts import audit, keys
from accounts.changes import bump_snapshot
from accounts.models import ApiKey, User
from accounts.services.errors import AccountsError
from accounts.services.pools import pool_label
from providers.contract import Secret


class IssuedKey(Struct, frozen=True, kw_only=True):
    """A new API key: its row, and the clear text that exists only here."""

    row: ApiKey
    key: Secret


@transaction.atomic
def user_create(
    *, username: str, actor: str, email: str = "", role: Literal["member", "staff", "superuser"] = "member"
) -> User:
    """Create a person without a password; one is set through the dashboard. Raises: AccountsError."""
    name = username.strip()
    if not name or len(name) > 150:
        raise AccountsError("A user name has 1 to 150 characters.")
    if User.objects.filter(username=name).exists():
        raise AccountsError(f"There is already a user named {name!r}.")
    user = User(username=name, email=email, is_staff=role != "member", is_superuser=role == "superuser")
    user.set_unusable_password()
    user.save()
    audit.record(actor=actor, action="user.created", target=name, role=role)
    return user


@transaction.atomic
def api_key_create(
    *,
    user: User,
    name: str,
    actor: str,
    is_admin: bool = False,
    allowed_models: Sequence[str] = (),
    expires_at: datetime | None = None,
    max_concurrency: int | None = None,
    pool: str = "",
) -> IssuedKey:
    """Issue an API key; its clear text is returned once and stored nowhere. Raises: AccountsError."""
    if not name.strip():
        raise AccountsError("A key needs a name, so that it can be recognized later.")
    if expires_at is not None and expires_at <= timezone.now():
        raise AccountsError("The key would have expired already; give a time in the future.")
    if max_concurrency is not None and max_concurrency < 1:
        raise AccountsError("A key must be allowed at least one request at once.")
    label = pool_label(pool) if pool.strip() else ""
    clear = keys.mint_key()
    row = ApiKey.objects.create(
        user=user,
        name=name.strip()[:100],
        prefix=clear[: keys.SHOWN_CHARS],
        digest=keys.digest(clear),
        is_admin=is_admin,
        allowed_models=[model.strip() for model in allowed_models if model.strip()],
        expires_at=expires_at,
        max_concurrency=max_concurrency,
        pool=label,
    )
    audit.record(
        actor=actor, action="key.created", target=str(row.pk), name=row.name, user=user.username, is_admin=is_admin,
        pool=label,
    )  # fmt: skip
    bump_snapshot()
    return IssuedKey(row=row, key=Secret(clear))


@transaction.atomic
def api_key_revoke(*, api_key_id: int, actor: str, reason: str = "") -> ApiKey:
    """Make a key useless for good; doing it twice changes nothing. Raises: AccountsError."""
    row = ApiKey.objects.select_for_update(of=("self",)).select_related("user").filter(pk=api_key_id).first()
    if row is None:
        raise AccountsError("There is no such key.")
    if row.revoked_at is None:
        row.revoked_at, row.revoked_reason = timezone.now(), reason[:200]
        row.save(update_fields=["revoked_at", "revoked_reason"])
        audit.record(actor=actor, action="key.revoked", target=str(row.pk), name=row.name, reason=reason)
        bump_snapshot()
    return row


@transaction.atomic
def api_key_edit(
    *,
    api_key_id: int,
    actor: str,
    name: str,
    is_admin: bool,
    allowed_models: Sequence[str],
    expires_at: datetime | None,
    max_concurrency: int | None,
    pool: str = "",
) -> None:
    """Change what a key may do. Raises: AccountsError."""
    label = pool_label(pool) if pool.strip() else ""
    changed = ApiKey.objects.filter(pk=api_key_id).update(
        name=name.strip()[:100],
        is_admin=is_admin,
        allowed_models=list(allowed_models),
        expires_at=expires_at,
        max_concurrency=max_concurrency,
        pool=label,
    )
    if not changed:
        raise AccountsError("There is no such key.")
    audit.record(
        actor=actor, action="key.edited", target=str(api_key_id), name=name, is_admin=is_admin, models=allowed_models,
        pool=label,
    )  # fmt: skip
    bump_snapshot()


@transaction.atomic
def api_key_remove(*, api_key_id: int, actor: str) -> None:
    """Delete a key and its counters; revoking keeps them. Raises: AccountsError."""
    row = ApiKey.objects.filter(pk=api_key_id).first()
    if row is None:
        raise AccountsError("There is no such key.")
    audit.record(actor=actor, action="key.removed", target=str(api_key_id), name=row.name)
    row.delete()
    bump_snapshot()


@transaction.atomic
def user_save(*, user: User, actor: str, fields: Sequence[str] = ()) -> None:
    """Store a person whose form was filled in; their keys live and die with `is_active`."""
    is_new = user.pk is None
    user.save()
    audit.record(
        actor=actor, action="user.created" if is_new else "user.edited", target=user.username, fields=list(fields)
    )
    bump_snapshot()


@transaction.atomic
def user_remove(*, user: User, actor: str) -> None:
    """Delete a person and their keys."""
    audit.record(actor=actor, action="user.removed", target=user.username)
    user.delete()
    bump_snapshot()


def get_or_create_user(*, username: str, actor: str) -> User:
    """Return the person of this name, created if needed. Raises: AccountsError."""
    known = User.objects.filter(username=username.strip()).first()
    return known or user_create(username=username, actor=actor)
