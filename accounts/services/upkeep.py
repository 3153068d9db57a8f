"""Changing and removing accounts, one or many at a time. Statuses change by the table in `lifecycle.py` only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from django.db import transaction
from django.utils import timezone
from msgspec import Struct

from accounts import audit
from accounts.changes import bump_snapshot
from accounts.importing import MAX_LABEL_CHARS
from accounts.lifecycle import next_status
from accounts.models import Account, AccountStatus
from accounts.services.errors import AccountsError, NotFound
from accounts.services.pools import pool_labels


class BatchResult(Struct, frozen=True, kw_only=True):
    """Whom it reached, by id, and who is not there."""

    done: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def _chosen(ids: Sequence[str]) -> tuple[dict[str, Account], tuple[str, ...]]:
    wanted = list(dict.fromkeys(ids))
    rows = {row.pk: row for row in Account.objects.select_for_update().filter(pk__in=wanted).order_by("pk")}
    return rows, tuple(account_id for account_id in wanted if account_id not in rows)


@transaction.atomic
def accounts_switch(
    *, ids: Sequence[str], event: Literal["paused", "resumed"], actor: str, reason: str = ""
) -> BatchResult:
    """Pause accounts, or use them again whatever stopped them; those that run requests finish them."""
    rows, missing = _chosen(ids)
    for row in rows.values():
        before, after = row.status, AccountStatus(next_status(row.status, event))
        row.status, row.status_reason, row.status_changed_at = after, reason[:300], timezone.now()
        if event == "resumed":  # a clean start: the next refusal counts from one
            row.refresh_failures = row.refresh_refusals = 0
            row.refresh_retry_at = None
        row.save(
            update_fields=[
                "status",
                "status_reason",
                "status_changed_at",
                "refresh_failures",
                "refresh_refusals",
                "refresh_retry_at",
                "updated_at",
            ]
        )
        audit.record(
            actor=actor, action="account.status", target=row.pk, before=str(before), after=str(after), reason=reason
        )
    if rows:
        bump_snapshot()
    return BatchResult(done=tuple(rows), missing=missing)


@transaction.atomic
def accounts_remove(*, ids: Sequence[str], actor: str) -> BatchResult:
    """Forget accounts and their tokens; usage records keep their ids."""
    rows, missing = _chosen(ids)
    for row in rows.values():
        audit.record(actor=actor, action="account.removed", target=row.pk, label=row.label, email=row.email)
    Account.objects.filter(pk__in=rows).delete()
    if rows:
        bump_snapshot()
    return BatchResult(done=tuple(rows), missing=missing)


@transaction.atomic
def account_edit(
    *, account_id: str, actor: str, label: str, max_concurrency: int | None, pools: Sequence[str] | None = None
) -> None:
    """Change an account's name, how many requests it takes at once, and (unless None) its pools.

    Raises: AccountsError.
    """
    if max_concurrency is not None and max_concurrency < 1:
        raise AccountsError("An account must be allowed at least one request at once; pause it instead.")
    changes: dict[str, Any] = {"label": label.strip()[:MAX_LABEL_CHARS], "max_concurrency": max_concurrency}
    if pools is not None:
        changes["pools"] = pool_labels(pools)
    if not Account.objects.filter(pk=account_id).update(**changes, updated_at=timezone.now()):
        raise NotFound("There is no such account.")
    audit.record(actor=actor, action="account.edited", target=account_id, **changes)
    bump_snapshot()


@transaction.atomic
def account_pools(*, account_id: str, actor: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Account:
    """Put an account into pools and take it out of others. Raises: AccountsError."""
    row = Account.objects.select_for_update().filter(pk=account_id).first()
    if row is None:
        raise NotFound("There is no such account.")
    gone = set(pool_labels(remove))
    row.pools = [label for label in pool_labels([*row.pools, *add]) if label not in gone]
    row.save(update_fields=["pools", "updated_at"])
    audit.record(actor=actor, action="account.edited", target=account_id, pools=row.pools)
    bump_snapshot()
    return row


@transaction.atomic
def account_reset_usage(*, account_id: str, actor: str) -> None:
    """Count an account's requests from zero; limits and their reset times stay. Raises: NotFound."""
    before = Account.objects.filter(pk=account_id).values_list("request_count", flat=True).first()
    if before is None:
        raise NotFound("There is no such account.")
    Account.objects.filter(pk=account_id).update(request_count=0, last_used_at=None, updated_at=timezone.now())
    audit.record(actor=actor, action="account.usage_reset", target=account_id, requests_before=before)
    bump_snapshot()
