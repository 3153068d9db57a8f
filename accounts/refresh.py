"""Renews an account's tokens: one at a time across all processes, never spending a single-use token twice knowingly.

1. take the lease (compare-and-swap on the row)   2. re-read: someone may have renewed meanwhile
3. mark the refresh token as spent                4. ask   5. commit the new pair before anyone uses it, or note why not
A mark without a commit is a crash, or an answer that never came: it is reported, and the token is not sent again while
the access token still works. Facts: spec/operations.md §3, spec/wire.md §7.4.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from msgspec import Struct

from accounts import audit, selectors
from accounts.changes import bump_snapshot
from accounts.lifecycle import Event, next_status
from accounts.models import Account, AccountStatus
from accounts.services.logins import apply_facts
from accounts.tokens import read_tokens
from providers.contract import Secret
from providers.oauth.codex import refresh_flow
from providers.oauth.contract import MaybeSent, NotSent, Refused, Send, TokenSet, Unavailable, drive

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)
"""Longer than any answer can take (`providers/oauth/client.py`), so that a lease only lapses with its process."""
CONFIRMATIONS = 2
"""Refusals in a row before the status changes: healthy accounts have seen one stray `invalid_grant` (§15.4)."""
REFRESHES_AT_ONCE = 2
"""Many accounts that expire together must not look like an attack (§15.5)."""

Reason = Literal["due", "rejected", "manual"]
"""Why: the schedule; the upstream no longer takes the access token; a person asked (one refusal is enough then)."""
Outcome = Literal["refreshed", "adopted", "busy", "refused", "failed", "uncertain", "skipped"]


class RefreshResult(Struct, frozen=True, kw_only=True):
    """What came of it. `adopted` means that someone else had renewed already; `busy` that someone is at it now."""

    account_id: str
    outcome: Outcome
    message: str


def lease_owner() -> str:
    """Return a name for one refresh: host, process and a nonce."""
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"


def refresh_account(
    account_id: str,
    *,
    http_send: Send,
    owner: str,
    now: Callable[[], datetime] = timezone.now,
    reason: Reason = "due",
    seen: Secret | None = None,
) -> RefreshResult:
    """Renew one account's tokens.

    `seen` is the access token that the caller found wanting; if the row holds another one by the time the lease is
    ours, that one is adopted and nothing is sent. Never raises for what the auth server says.
    """
    row = Account.objects.filter(pk=account_id).first()
    why_not = _why_not(row, reason)
    is_resting = row is not None and row.refresh_retry_at is not None and row.refresh_retry_at > now()
    if is_resting and not why_not and reason != "manual":
        return RefreshResult(account_id=account_id, outcome="failed", message="The last try failed a moment ago.")
    if row is None or why_not:
        return RefreshResult(account_id=account_id, outcome="skipped", message=why_not)
    seen = seen or row.access_token
    was_left_leased = row.lease_until is not None
    if not _take_lease(account_id, owner, now()):
        return RefreshResult(account_id=account_id, outcome="busy", message="Another process is refreshing it now.")
    try:
        row = Account.objects.get(pk=account_id)  # 2. what counts is the row under our lease
        if row.access_token and row.access_token != seen:
            return RefreshResult(account_id=account_id, outcome="adopted", message="It was refreshed meanwhile.")
        if row.refresh_spent_at is not None:
            if was_left_leased:
                _report_interruption(row)
            if reason == "due" and row.token_expires_at is not None and row.token_expires_at > now():
                return RefreshResult(account_id=account_id, outcome="uncertain", message=INTERRUPTED)
        return _spend(row, http_send=http_send, owner=owner, now=now, reason=reason)
    finally:
        Account.objects.filter(pk=account_id, lease_owner=owner).update(lease_owner="", lease_until=None)


def refresh_accounts(
    ids: Sequence[str], *, http_send: Send, concurrency: int = REFRESHES_AT_ONCE
) -> list[RefreshResult]:
    """Renew what is due, a few at a time and in order; one that fails does not stop the rest."""

    def work(account_id: str) -> RefreshResult:
        try:
            return refresh_account(account_id, http_send=http_send, owner=lease_owner())
        finally:
            connection.close()  # this thread's own

    with ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="refresh") as threads:
        return list(threads.map(work, ids))


INTERRUPTED = (
    "The last refresh ended without an answer, so its refresh token may be used up; "
    "it is tried again when the access token expires. Log in again to be safe."
)


def wait_for_refresh(account_id: str, seen: Secret | None, patience_s: float) -> bool:
    """After `busy`: wait until the other refresh has ended; tells whether the row holds another access token now."""
    ends_at = time.monotonic() + patience_s
    while True:
        row = Account.objects.only("access_token", "lease_until").filter(pk=account_id).first()
        if row is None:
            return False
        if row.access_token != seen:
            return bool(row.access_token)
        if row.lease_until is None or row.lease_until <= timezone.now() or time.monotonic() >= ends_at:
            return False
        time.sleep(0.1)


def _why_not(row: Account | None, reason: Reason) -> str:
    if row is None:
        return "There is no such account."
    if not row.refresh_token:
        return "It has no refresh token that can be read; log in again when its access token expires."
    if reason != "manual" and row.status != AccountStatus.ACTIVE:
        return "It is not active."
    return ""


def _take_lease(account_id: str, owner: str, now: datetime) -> bool:
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    return Account.objects.filter(free, pk=account_id).update(lease_owner=owner, lease_until=now + LEASE) == 1


def _spend(row: Account, *, http_send: Send, owner: str, now: Callable[[], datetime], reason: Reason) -> RefreshResult:
    spent = row.refresh_token or Secret("")
    # 3. committed before the first byte leaves; the owner clause notices a lease that was lost while we slept
    marked = Account.objects.filter(pk=row.pk, lease_owner=owner).update(refresh_spent_at=now())
    if not marked:
        return RefreshResult(account_id=row.pk, outcome="busy", message="Another process took over.")
    try:
        tokens = drive(refresh_flow(spent, settings.OPENAI_AUTH_URL), http_send)
    except Refused as error:
        return _note_refusal(row, error, now(), spent, needed=1 if reason == "manual" else CONFIRMATIONS)
    except (NotSent, Unavailable) as error:
        return _note_failure(row, str(error), now(), getattr(error, "retry_after_s", None))
    except MaybeSent as error:
        return _note_uncertain(row, str(error), now())
    _commit(row.pk, spent, tokens, now())
    return RefreshResult(account_id=row.pk, outcome="refreshed", message="The tokens were refreshed.")


@transaction.atomic
def _commit(account_id: str, spent: Secret, tokens: TokenSet, now: datetime) -> None:
    row = Account.objects.select_for_update().get(pk=account_id)
    if row.refresh_token is not None and row.refresh_token != spent:
        return  # a person logged in again while we asked; theirs is the newer login
    row.access_token = tokens.access_token or row.access_token
    row.refresh_token = tokens.refresh_token or row.refresh_token
    row.id_token = tokens.id_token or row.id_token
    access = row.access_token.reveal() if row.access_token else ""
    apply_facts(row, read_tokens(access, row.id_token.reveal() if row.id_token else ""))
    row.last_refreshed_at = now
    row.refresh_failures = row.refresh_refusals = 0
    row.refresh_retry_at = row.refresh_spent_at = None
    status = AccountStatus(next_status(row.status, "token_renewed"))
    if status != row.status:
        row.status, row.status_changed_at = status, now
    if row.status == AccountStatus.ACTIVE:
        row.status_reason = ""
    row.save(update_fields=_REFRESHED_FIELDS)
    bump_snapshot()


_REFRESHED_FIELDS = [
    "access_token",
    "refresh_token",
    "id_token",
    "token_expires_at",
    "email",
    "plan",
    "is_fedramp",
    "last_refreshed_at",
    "refresh_failures",
    "refresh_refusals",
    "refresh_retry_at",
    "refresh_spent_at",
    "status",
    "status_changed_at",
    "status_reason",
    "updated_at",
]


# ---- when it did not work ------------------------------------------------------------------------------------------


def backoff_s(failures: int, spread: float) -> float:
    """Return the wait after the n-th failure in a row: 5·3^(n-1) up to 300 s (± 30 %), then 600 s (± 20 %).

    `spread` is a random number in [0, 1).
    """
    base, jitter = (min(5.0 * 3 ** (failures - 1), 300.0), 0.3) if failures <= 5 else (600.0, 0.2)
    return base * (1 - jitter + 2 * jitter * spread)


def _retry_at(failures: int, now: datetime, at_least_s: float | None = None) -> datetime:
    wait_s = backoff_s(failures, random.random())
    return now + timedelta(seconds=max(wait_s, min(at_least_s or 0.0, 3600.0)))


def _note_failure(row: Account, words: str, now: datetime, retry_after_s: float | None) -> RefreshResult:
    """The account stays as it is: its access token is usually good for some time."""
    failures = row.refresh_failures + 1
    Account.objects.filter(pk=row.pk).update(
        refresh_failures=failures, refresh_retry_at=_retry_at(failures, now, retry_after_s), refresh_spent_at=None
    )
    logger.warning("Refreshing account %s failed (attempt %d): %s", row.pk, failures, words)
    return RefreshResult(account_id=row.pk, outcome="failed", message=words)


@transaction.atomic
def _note_uncertain(row: Account, words: str, now: datetime) -> RefreshResult:
    """Keep the mark: nobody knows whether the token is used up."""
    failures = row.refresh_failures + 1
    Account.objects.filter(pk=row.pk).update(
        refresh_failures=failures, refresh_retry_at=_retry_at(failures, now), status_reason=INTERRUPTED
    )
    audit.record(actor="refresh", action="account.refresh_uncertain", target=row.pk, reason=words)
    logger.warning("Refreshing account %s ended without an answer: %s", row.pk, words)
    return RefreshResult(account_id=row.pk, outcome="uncertain", message=f"{words} {INTERRUPTED}")


@transaction.atomic
def _note_refusal(row: Account, error: Refused, now: datetime, spent: Secret, *, needed: int) -> RefreshResult:
    """Change the status once the server has said no often enough; until then ask again soon."""
    current = Account.objects.select_for_update().get(pk=row.pk)
    if current.refresh_token is not None and current.refresh_token != spent:
        return RefreshResult(account_id=row.pk, outcome="adopted", message="It was logged in again meanwhile.")
    words = audit.redact(str(error))[:300]
    refusals = current.refresh_refusals + 1
    # A token that may have been used up by a call without an answer, and now counts as used, is what it seems to be.
    is_certain = refusals >= needed or (row.refresh_spent_at is not None and error.code == "refresh_token_reused")
    Account.objects.filter(pk=row.pk).update(
        refresh_refusals=F("refresh_refusals") + 1, refresh_retry_at=_retry_at(refusals, now), refresh_spent_at=None
    )
    if is_certain:
        _change_status(current, "banned" if error.verdict == "banned" else "login_lost", words, now)
        audit.record(actor="refresh", action=f"account.{error.verdict}", target=row.pk, code=error.code, reason=words)
        bump_snapshot()
    logger.warning("Refreshing account %s was refused (%s, %d in a row).", row.pk, error.code, refusals)
    return RefreshResult(account_id=row.pk, outcome="refused", message=words)


def _change_status(row: Account, event: Event, reason: str, now: datetime) -> None:
    status = next_status(row.status, event)
    if status != row.status:  # what stopped it first stays the reason
        Account.objects.filter(pk=row.pk).update(status=status, status_reason=reason, status_changed_at=now)


def _report_interruption(row: Account) -> None:
    """A mark under a lapsed lease is a process that died between spending and committing; say so once."""
    if row.status_reason == INTERRUPTED:
        return
    with transaction.atomic():
        Account.objects.filter(pk=row.pk).update(status_reason=INTERRUPTED)
        audit.record(
            actor="refresh", action="account.refresh_interrupted", target=row.pk, spent_at=row.refresh_spent_at
        )
    logger.error("A refresh of account %s was interrupted between spending and committing.", row.pk)


def report_interrupted_refreshes(now: datetime) -> int:
    """Tell about refreshes that died with their process and free their leases; returns how many were new."""
    rows = [row for row in selectors.accounts_with_interrupted_refresh(now) if row.lease_until is not None]
    for row in rows:
        _report_interruption(row)
        Account.objects.filter(pk=row.pk, lease_until=row.lease_until).update(lease_owner="", lease_until=None)
    return len(rows)
