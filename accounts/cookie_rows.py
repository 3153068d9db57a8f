"""Cookies of accounts as rows: encrypted, bounded, and never shown in clear. Rules: `accounts/cookies.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts import audit
from accounts.changes import bump_snapshot
from accounts.cookies import MAX_COOKIES, Cookie
from accounts.fields import UnreadableSecret
from accounts.models import Account, AccountCookie


def load(rows: QuerySet[AccountCookie]) -> dict[str, tuple[Cookie, ...]]:
    """Return the cookies by account that are still good; one that no key decrypts is left out. One query."""
    found: dict[str, list[Cookie]] = defaultdict(list)
    for row in rows.exclude(expires_at__lte=timezone.now()).order_by("account_id", "name", "pk"):
        if row.value and not isinstance(row.value, UnreadableSecret):
            found[row.account_id].append(
                Cookie(
                    name=row.name,
                    value=row.value,
                    host=row.host,
                    egress=row.egress,
                    expires_at=row.expires_at.timestamp() if row.expires_at is not None else None,
                    is_manual=row.is_manual,
                )
            )
    return {account_id: tuple(cookies[:MAX_COOKIES]) for account_id, cookies in found.items()}


@transaction.atomic
def keep(account_id: str, cookies: Iterable[Cookie]) -> None:
    """Store cookies of one account; an empty value deletes. Expired ones go on the way."""
    rows = AccountCookie.objects.filter(account_id=account_id)
    rows.filter(expires_at__lte=timezone.now()).delete()
    for cookie in cookies:
        place = {"name": cookie.name, "host": cookie.host, "egress": cookie.egress}
        if not cookie.value:
            rows.filter(**place).delete()
            continue
        expires_at = datetime.fromtimestamp(cookie.expires_at, UTC) if cookie.expires_at is not None else None
        AccountCookie.objects.update_or_create(
            account_id=account_id,
            **place,
            defaults={"value": cookie.value, "expires_at": expires_at, "is_manual": cookie.is_manual},
        )
    spare = rows.order_by("-is_manual", "-pk").values_list("pk", flat=True)[MAX_COOKIES:]
    rows.filter(pk__in=list(spare)).delete()
    bump_snapshot()


def forget_kept(account_id: str) -> None:
    """Drop the cookies that were kept by themselves."""
    if AccountCookie.objects.filter(account_id=account_id, is_manual=False).delete()[0]:
        bump_snapshot()


@transaction.atomic
def set_by_hand(*, row: Account, cookies: Iterable[Cookie], actor: str) -> None:
    """Store what an operator typed. Only the names are written to the audit log."""
    chosen = list(cookies)
    keep(row.pk, chosen)
    audit.record(actor=actor, action="account.cookies_set", target=row.pk, names=[cookie.name for cookie in chosen])


@transaction.atomic
def clear(*, row: Account, actor: str) -> None:
    """Drop every cookie of an account."""
    AccountCookie.objects.filter(account=row).delete()
    audit.record(actor=actor, action="account.cookies_cleared", target=row.pk)
    bump_snapshot()
