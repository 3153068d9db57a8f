"""Asking the upstream about an account: its limits now, its banked resets, and spending one. Off the hot path.

The network comes first and the row after it, never inside one transaction. An answer that refuses the login counts
against the account as it would on the hot path (spec/operations.md §16, R43 and R45). Rules: §4.6, §4.7.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from msgspec import Struct

from accounts import audit, quota_rows
from accounts.changes import bump_snapshot
from accounts.loader import account_view
from accounts.models import Account, AccountStatus, AuditEntry, QuotaSample
from accounts.quota import PLAN_BUCKET, load, rolled
from accounts.reporting import account_report
from accounts.services.errors import AccountsError
from accounts.values import AccountReport, AccountView
from providers.adapters.codex import IDENTITY, account_calls
from providers.adapters.codex.errors import classify
from providers.contract import RateLimits, UpstreamRequest
from providers.transport.control import ControlAnswer, SendControl, send_control
from translation.errors import AccountRejected, UpstreamError

RESET_COOLDOWN_S = 30
"""After one banked reset was spent, the next one has to wait so long: it cannot be taken back."""
SPACING_S = 0.25
"""Calls begin so far apart, give or take, so that accounts do not ask in one beat."""
SAMPLES_KEPT = timedelta(days=14)


class QuotaCheck(Struct, frozen=True, kw_only=True):
    """What one question came to. `problem` is a sentence when it was not answered; `limits` is None then.

    `rejection` says that the login itself was refused, and how (`AccountRejected.reason`); `raw` is the upstream's own.
    """

    account_id: str
    limits: RateLimits | None = None
    problem: str = ""
    rejection: str = ""
    raw: Any = None


class ResetCooling(AccountsError):
    """A banked reset was spent a moment ago; `wait_s` more seconds."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"A reset of this account was spent a moment ago; the next one can be in {wait_s} s.")
        self.wait_s = wait_s


class UpstreamSilent(AccountsError):
    """The upstream did not answer the question, or refused it."""


# ---- limits ---------------------------------------------------------------------------------------------------------


def quota_refresh(
    *, rows: Sequence[Account], concurrency: int = 4, send: SendControl = send_control, spacing_s: float = SPACING_S
) -> list[QuotaCheck]:
    """Ask for the limits of active accounts, at most `concurrency` at once, and store what was said."""
    views = [account_view(row) for row in rows]
    asked_at = time.time()

    def ask(place: int) -> QuotaCheck:
        if place and spacing_s:
            time.sleep(spacing_s * (place % concurrency) * random.uniform(0.7, 1.3))
        return _ask_limits(views[place], send)

    with ThreadPoolExecutor(max_workers=max(1, concurrency), thread_name_prefix="quota") as threads:
        checks = list(threads.map(ask, range(len(views))))
    for check in checks:
        if check.limits is not None:
            _store(check.account_id, check.limits, asked_at)
            continue
        Account.objects.filter(pk=check.account_id).update(quota_checked_at=datetime.fromtimestamp(asked_at, UTC))
        if check.rejection:
            _report(check.account_id, check.rejection, check.problem)
    return checks


def _ask_limits(view: AccountView, send: SendControl) -> QuotaCheck:
    """Ask once. Runs in a thread of its own, so it touches no row."""
    if not view.is_usable:
        return QuotaCheck(account_id=view.id, problem=f"It is not active: {view.unusable_reason}.")
    if view.token_expires_at is not None and view.token_expires_at <= time.time():
        return QuotaCheck(account_id=view.id, problem="Its access token has expired; refresh it first.")
    request = account_calls.usage_request(settings.CODEX_BASE_URL, view.credential, IDENTITY)
    try:
        answer = _answered(view, request, send)
    except AccountRejected as error:
        return QuotaCheck(account_id=view.id, problem=_said(error), rejection=error.reason)
    except UpstreamError as error:
        return QuotaCheck(account_id=view.id, problem=_said(error))
    limits = account_calls.usage_from(answer.body, time.time())
    problem = "" if limits is not None else "The upstream answered with something that is no usage."
    return QuotaCheck(
        account_id=view.id, limits=limits, problem=problem, raw=account_calls.parsed(answer.body) if limits else None
    )


@transaction.atomic
def _store(account_id: str, limits: RateLimits, at: float) -> Account | None:
    row = Account.objects.select_for_update().filter(pk=account_id).first()
    if row is None:
        return None
    must_reload = quota_rows.learn(row, limits, at)
    row.quota_checked_at = datetime.fromtimestamp(at, UTC)
    row.save(update_fields=["quota", "quota_at", "quota_checked_at", "plan", "cooling_until", "cooling_reason"])
    if must_reload:
        bump_snapshot()
    return row


# ---- banked resets --------------------------------------------------------------------------------------------------


def reset_credits(*, row: Account, send: SendControl = send_control) -> tuple[account_calls.ResetCredit, ...]:
    """Return the account's banked resets. Raises: UpstreamSilent, AccountsError when the account is not active."""
    view = _active_view(row)
    request = account_calls.reset_credits_request(settings.CODEX_BASE_URL, view.credential, IDENTITY)
    answer = _told(view, request, send)
    found = account_calls.reset_credits_from(answer.body, time.time())
    if found is None:
        raise UpstreamSilent("The upstream answered with something that is no list of resets.")
    return found


def reset_credit_consume(
    *, row: Account, actor: str, redeem_request_id: str = "", credit_id: str = "", send: SendControl = send_control
) -> str:
    """Spend one banked reset; returns the upstream's code (`reset`, `nothing_to_reset`, `no_credit` …).

    It cannot be taken back: one in 30 s, an idempotency id, an audit entry before it leaves and one with the outcome.
    What fails after it was spent (asking for the new limits) does not make it a failure. Raises: ResetCooling,
    UpstreamSilent, AccountsError for an id that is no UUID or an account that is not active.
    """
    redeem_id = _uuid(redeem_request_id)
    view = _active_view(row)
    _claim_reset(row, actor, redeem_id)
    request = account_calls.consume_request(settings.CODEX_BASE_URL, view.credential, IDENTITY, redeem_id, credit_id)
    answer = _told(view, request, send)
    code = account_calls.consume_code_from(answer.body)
    audit.record(
        actor=actor, action="account.reset_credit", target=row.pk, outcome=code or "unknown", request=redeem_id
    )
    if code == "reset":
        _open_after_reset(row.pk)
        fresh = _ask_limits(view, send)
        if fresh.limits is not None and PLAN_BUCKET not in fresh.limits.blocked:  # else it lags behind
            _store(row.pk, fresh.limits, time.time())
    return code or "unknown"


@transaction.atomic
def _claim_reset(row: Account, actor: str, redeem_id: str) -> None:
    """Let one through: the row's lock makes two at once one after the other, the audit log remembers the first."""
    Account.objects.select_for_update().get(pk=row.pk)
    now = timezone.now()
    last = (
        AuditEntry.objects.filter(
            action="account.reset_credit_asked", target=row.pk, at__gt=now - timedelta(seconds=RESET_COOLDOWN_S)
        )
        .order_by("-at")
        .first()
    )
    if last is not None:
        raise ResetCooling(max(1, RESET_COOLDOWN_S - int((now - last.at).total_seconds())))
    audit.record(actor=actor, action="account.reset_credit_asked", target=row.pk, request=redeem_id)


@transaction.atomic
def _open_after_reset(account_id: str) -> None:
    """The upstream said that it reset the windows; its usage answers may lag behind."""
    row = Account.objects.select_for_update().get(pk=account_id)
    quota_rows.empty(row, time.time())
    row.save(update_fields=["quota", "cooling_until", "cooling_reason"])
    bump_snapshot()


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text)) if text else str(uuid.uuid4())
    except ValueError:
        raise AccountsError("redeem_request_id must be a UUID.") from None


# ---- what beat does -------------------------------------------------------------------------------------------------


def quota_roll(*, now: float) -> int:
    """Move on the windows of all accounts that are over by our clock; returns how many accounts had one."""
    rows = Account.objects.only("id", "quota").iterator(chunk_size=500)
    over = [row.pk for row in rows if (known := load(row.quota)) is not rolled(known, now)]
    for account_id in over:
        with transaction.atomic():
            row = Account.objects.select_for_update().get(pk=account_id)
            if quota_rows.roll(row, now):
                row.save(update_fields=["quota", "cooling_until", "cooling_reason"])
    if over:
        bump_snapshot()
    return len(over)


def quota_sample(*, now: datetime, since: datetime) -> int:
    """Keep one point of history for each account that reported since `since`, and forget the oldest points."""
    rows: Iterable[Account] = Account.objects.filter(quota_at__gt=since).only("id", "quota")
    samples = [_sample(row, now) for row in rows.iterator(chunk_size=500)]
    QuotaSample.objects.bulk_create(samples, batch_size=500)
    QuotaSample.objects.filter(at__lt=now - SAMPLES_KEPT).delete()
    return len(samples)


def _sample(row: Account, now: datetime) -> QuotaSample:
    windows = load(row.quota).windows.get(PLAN_BUCKET, {})
    used = {which: window.used_percent for which, window in windows.items()}
    return QuotaSample(account=row, at=now, primary_used=used.get("primary"), secondary_used=used.get("secondary"))


# ---- asking ---------------------------------------------------------------------------------------------------------


def _active_view(row: Account) -> AccountView:
    if row.status != AccountStatus.ACTIVE:
        raise AccountsError("This account is not active; the upstream is only asked about active ones.")
    return account_view(row)


def _told(view: AccountView, request: UpstreamRequest, send: SendControl) -> ControlAnswer:
    """Return a 200; a refused login is reported like on the hot path. Raises: UpstreamSilent."""
    try:
        return _answered(view, request, send)
    except AccountRejected as error:
        _report(view.id, error.reason, _said(error))
        raise UpstreamSilent(_said(error)) from error
    except UpstreamError as error:
        raise UpstreamSilent(_said(error)) from error


def _answered(view: AccountView, request: UpstreamRequest, send: SendControl) -> ControlAnswer:
    """Return a 200. Raises: UpstreamError, by the status first, whatever the body holds."""
    answer = send(request, view.egress)
    if answer.status == 200:
        return answer
    raise classify(answer.status, answer.headers, answer.body, time.time())


def _report(account_id: str, rejection: str, message: str) -> None:
    account_report(AccountReport(account_id=account_id, rejection=rejection, message=message))


def _said(error: UpstreamError) -> str:
    return audit.redact(error.detail or error.message)[:300]
