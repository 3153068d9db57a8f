"""Stores what the hot path learned about accounts: counts, cooldowns, quota, refusals. Called off the path, in batches.

Counters and quota do not bump the snapshot (the pool knows them first-hand); a cooldown or a refusal does. A refused
access token is not a verdict while a refresh token is left: it is made due for a refresh (spec/operations.md §1.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.db import transaction
from django.utils import timezone

from accounts import audit, cookie_rows, quota_rows
from accounts.changes import bump_snapshot
from accounts.lifecycle import Event, next_status
from accounts.models import Account, AccountStatus
from accounts.values import AccountReport

_VERDICTS: dict[str, tuple[Event, str]] = {
    "banned": ("banned", "The upstream has banned this account."),
    "forbidden": ("banned", "The upstream forbids this account to be used."),
    "payment": ("payment_required", "The upstream asks for a payment."),
    "path_blocked": ("path_blocked", "The upstream answered with nothing three times within an hour."),
}
_REPORTED_FIELDS = [
    "request_count",
    "last_used_at",
    "cooling_until",
    "cooling_reason",
    "quota",
    "quota_at",
    "plan",
    "token_expires_at",
    "refresh_retry_at",
    "status",
    "status_reason",
    "status_changed_at",
    "updated_at",
]


@transaction.atomic
def accounts_report(reports: Sequence[AccountReport]) -> None:
    """Apply a batch in its order, in two queries; reports about accounts that are gone are dropped."""
    wanted = {report.account_id for report in reports}
    rows = {
        row.id: row
        for row in Account.objects.select_for_update()
        .defer("access_token", "id_token")
        .filter(pk__in=wanted)
        .order_by("pk")
    }
    now = timezone.now()
    known = [report for report in reports if report.account_id in rows]
    changed = [_apply(rows[report.account_id], report, now) for report in known]
    if not known:
        return
    for row in rows.values():
        row.updated_at = now
    Account.objects.bulk_update(_ordered(rows.values()), _REPORTED_FIELDS, batch_size=200)
    if any(changed):
        bump_snapshot()


def account_report(report: AccountReport) -> None:
    """Apply one report."""
    accounts_report([report])


def _ordered(rows: Iterable[Account]) -> list[Account]:
    return sorted(rows, key=lambda row: row.pk)


def _apply(row: Account, report: AccountReport, now: datetime) -> bool:
    """Change the row in memory; tells whether the hot path must see it."""
    row.request_count += report.requests
    if report.used_at is not None:
        used_at = _moment(report.used_at)
        row.last_used_at = max(row.last_used_at, used_at) if row.last_used_at else used_at
    must_reload = _apply_limits(row, report, now)
    if report.forgets_cookies:
        cookie_rows.forget_kept(row.pk)
    if report.cookies:
        cookie_rows.keep(row.pk, report.cookies)
    must_reload |= _apply_cooling(row, report, now)
    return _apply_rejection(row, report, now) or must_reload


def _apply_limits(row: Account, report: AccountReport, now: datetime) -> bool:
    """Merge: a report says something about the buckets it names and nothing about the others (§15.21)."""
    if report.limits is None:
        return False
    return quota_rows.learn(row, report.limits, report.limits_at if report.limits_at is not None else now.timestamp())


def _apply_cooling(row: Account, report: AccountReport, now: datetime) -> bool:
    """Never shorten a cooldown: a later, shorter refusal does not lift a weekly limit (§15.16). Zero lifts it."""
    if report.cooling_until is None:
        return False
    if report.bucket:
        return quota_rows.lock(row, report.bucket, report.cooling_until, now.timestamp(), is_guess=report.is_guess)
    if report.cooling_until <= 0:
        was_cooling = row.cooling_until is not None
        row.cooling_until, row.cooling_reason = None, ""
        return was_cooling
    until = _moment(report.cooling_until)
    if row.cooling_until is not None and row.cooling_until >= until:
        return False
    row.cooling_until, row.cooling_reason = until, audit.redact(report.cooling_reason)[:300]
    return True


def _apply_rejection(row: Account, report: AccountReport, now: datetime) -> bool:
    if not report.rejection:
        return False
    event, words = _VERDICTS.get(report.rejection, ("login_lost", "The upstream ended this login."))
    if event == "login_lost" and row.refresh_token and row.status in (AccountStatus.ACTIVE, AccountStatus.NEEDS_LOGIN):
        row.token_expires_at = min(row.token_expires_at or now, now)  # due for a refresh, and known to be stale
        row.refresh_retry_at = None if row.refresh_failures == 0 else row.refresh_retry_at
        return True
    status = AccountStatus(next_status(row.status, event))
    if status == row.status:  # what stopped it first stays the reason
        return False
    said = audit.redact(report.message)[:200]
    row.status, row.status_changed_at = status, now
    row.status_reason = f"{words} It said: {said}"[:300] if said else words
    audit.record(
        actor="gateway", action=f"account.{status}", target=row.pk, reason=row.status_reason, cause=report.rejection
    )
    return True


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
