"""Asks the log-in server, and nobody else, which logins are alive: by renewing their tokens (spec/operations.md §1.8).

It is the same refresh as everywhere, under the same lease, so a check never spends a token twice; a refusal counts at
once, because a person asked. Starts are spread: many refreshes at the same moment look like an attack.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from django.db import connection
from msgspec import Struct

from accounts import refresh
from accounts.models import Account, AccountStatus
from providers.oauth.client import OAuthClient

STAGGER_S = 3.0
CONCURRENCY = 2
MAX_CHECKED = 500
STAGGER_JITTER = 0.3


class CheckResult(Struct, frozen=True, kw_only=True):
    """How one login is. `skipped` says nothing about it; `message` says why."""

    account_id: str
    email: str
    previous_status: str
    result: Literal["alive", "dead", "skipped"]
    message: str = ""
    duration_ms: int = 0


def account_check(row: Account) -> CheckResult:
    """Renew one account's tokens, and say what that means."""
    previous = str(row.status)
    started = time.monotonic()
    with OAuthClient() as send:
        found = refresh.refresh_account(row.pk, http_send=send, owner=refresh.lease_owner(), reason="manual")
    verdicts: dict[str, Literal["alive", "dead"]] = {"refreshed": "alive", "adopted": "alive", "refused": "dead"}
    return CheckResult(
        account_id=row.pk,
        email=row.email,
        previous_status=previous,
        result=verdicts.get(found.outcome, "skipped"),
        message=found.message,
        duration_ms=round((time.monotonic() - started) * 1000),
    )


def accounts_check(
    *,
    ids: Sequence[str] = (),
    stagger_s: float = STAGGER_S,
    concurrency: int = CONCURRENCY,
    sleep: Callable[[float], None] = time.sleep,
) -> list[CheckResult]:
    """Check these accounts, or all; at most `MAX_CHECKED`. Takes seconds per account: never call it in a hurry."""
    rows = Account.objects.order_by("created_at", "id")
    chosen = list(rows.filter(pk__in=list(ids)) if ids else rows)[:MAX_CHECKED]
    skipped = {row.pk: why for row in chosen if (why := _why_not(row))}
    eligible = [row for row in chosen if row.pk not in skipped]

    def check(number: int, row: Account) -> CheckResult:
        try:
            if number:
                wait_s = stagger_s * min(number, concurrency)
                sleep(wait_s * random.uniform(1 - STAGGER_JITTER, 1 + STAGGER_JITTER))
            return account_check(row)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="check") as threads:
        found = dict(zip((row.pk for row in eligible), threads.map(check, range(len(eligible)), eligible), strict=True))
    return [found.get(row.pk) or _skipped(row, skipped[row.pk]) for row in chosen]


def _why_not(row: Account) -> str:
    if not row.refresh_token:
        return "no refresh token"
    return "manually disabled" if row.status in (AccountStatus.PAUSED, AccountStatus.DISABLED) else ""


def _skipped(row: Account, why: str) -> CheckResult:
    return CheckResult(
        account_id=row.pk, email=row.email, previous_status=str(row.status), result="skipped", message=why
    )
