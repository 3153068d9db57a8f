"""Log-ins that a person finishes elsewhere: in a browser (PKCE) or with a code on another device.

A log-in under way is a row (`PendingLogin`), so any process can finish it; its one exchange is claimed by
compare-and-swap, and asking again after the end gets the same answer. Rules: spec/operations.md §1.3, §15.8.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from msgspec import Struct

from accounts import audit
from accounts.importing import MAX_LABEL_CHARS, ImportEntry
from accounts.models import PendingLogin
from accounts.services.errors import AccountsError, LoginServerFailed, NotFound
from accounts.services.logins import AddedAccount, account_add
from providers.contract import Secret
from providers.oauth import codex
from providers.oauth.contract import OAuthError, Send, TokenSet, Unavailable, drive
from providers.oauth.pkce import VERIFIER_BYTES, make_pkce

BROWSER_LIFETIME = timedelta(minutes=5)
REMEMBERED = timedelta(minutes=5)
"""How long a log-in is known after its time: a late second callback is told how the first one ended."""
CLAIM = timedelta(seconds=60)
MAX_PENDING = 50
"""Log-ins under way at once; the oldest gives way."""
SLOW_DOWN_S = 5.0

Pending, Done, Failed = PendingLogin.Outcome.PENDING, PendingLogin.Outcome.DONE, PendingLogin.Outcome.FAILED


class StartedLogin(Struct, frozen=True, kw_only=True):
    """A browser log-in that has begun: open `auth_url`."""

    row: PendingLogin
    auth_url: str


def _make_room(now: datetime) -> None:
    PendingLogin.objects.filter(expires_at__lte=now - REMEMBERED).delete()
    rows = PendingLogin.objects.exclude(kind=PendingLogin.Kind.EXCHANGE).order_by("-created_at", "id")
    PendingLogin.objects.filter(pk__in=list(rows.values_list("pk", flat=True)[MAX_PENDING - 1 :])).delete()


# ---- in a browser --------------------------------------------------------------------------------------------------


def browser_login_start(*, actor: str, label: str = "") -> StartedLogin:
    """Begin a log-in; nothing is sent yet."""
    now = timezone.now()
    _make_room(now)
    pkce = make_pkce(os.urandom(VERIFIER_BYTES))
    row = PendingLogin.objects.create(
        kind=PendingLogin.Kind.BROWSER,
        state=secrets.token_hex(16),
        secret=pkce.verifier,
        label=label.strip()[:MAX_LABEL_CHARS],
        actor=actor,
        expires_at=now + BROWSER_LIFETIME,
    )
    return StartedLogin(row=row, auth_url=auth_url_of(row))


def auth_url_of(row: PendingLogin) -> str:
    """Return the address to open, empty once the log-in has ended."""
    if not row.secret:
        return ""
    challenge = codex.challenge_of(row.secret)
    return codex.authorize_url(settings.OPENAI_AUTH_URL, challenge=challenge, state=row.state or "")


def browser_login_finish(*, callback_url: str, send: Send) -> PendingLogin:
    """Take the address the browser was sent back to, and store the login.

    A second call for the same log-in, during or after the first, changes nothing and is no error.
    Raises: AccountsError (the address), LoginServerFailed (the exchange; the log-in may be tried again).
    """
    try:
        callback = codex.parse_callback(callback_url)
    except codex.LoginDenied as denied:
        row = PendingLogin.objects.filter(state=denied.state, kind=PendingLogin.Kind.BROWSER).first()
        if row is not None and row.outcome == Pending:
            _end(row, Failed, message=str(denied))
        raise AccountsError(str(denied)) from denied
    except OAuthError as error:
        raise AccountsError(str(error)) from error
    row = PendingLogin.objects.filter(state=callback.state, kind=PendingLogin.Kind.BROWSER).first()
    if row is None or (row.outcome == Pending and row.expires_at <= timezone.now()):
        raise AccountsError("This log-in is not known here, or it has expired; start it again.")
    if row.outcome != Pending or not _claim(row):
        row.refresh_from_db()
        return row
    verifier = row.secret or Secret("")
    flow = codex.exchange_flow(callback.code, verifier, settings.OPENAI_AUTH_URL)
    return _finish(row, lambda: drive(flow, send))


# ---- with a code on another device ---------------------------------------------------------------------------------


def device_login_start(*, actor: str, send: Send, label: str = "") -> PendingLogin:
    """Ask for a code that a person types elsewhere. Raises: LoginServerFailed."""
    now = timezone.now()
    _make_room(now)
    try:
        device = drive(codex.device_start_flow(settings.OPENAI_AUTH_URL), send)
    except OAuthError as error:
        raise LoginServerFailed(str(error)) from error
    interval_s = min(max(device.interval_s, 1.0), 60.0)
    return PendingLogin.objects.create(
        kind=PendingLogin.Kind.DEVICE,
        secret=device.device_auth_id,
        user_code=device.user_code[:32],
        verification_url=device.verification_url[:300],
        interval_s=interval_s,
        next_poll_at=now + timedelta(seconds=interval_s),
        label=label.strip()[:MAX_LABEL_CHARS],
        actor=actor,
        expires_at=now + timedelta(seconds=min(device.lifetime_s, 3600.0)),
    )


def device_login_poll(*, login_id: str, send: Send) -> PendingLogin:
    """Ask whether the person agreed, at most once per interval however often it is called, and store the login.

    Raises: NotFound. How the log-in stands is in the row, also when it failed.
    """
    row = get_login(login_id, PendingLogin.Kind.DEVICE)
    now = timezone.now()
    if row.outcome != Pending:
        return row
    if row.expires_at <= now:
        return _end(row, Failed, message="The code has expired; start again.")
    if (row.next_poll_at is not None and row.next_poll_at > now) or not _claim(row):
        return row
    device = codex.DeviceCode(
        device_auth_id=row.secret or Secret(""), user_code=row.user_code, verification_url=row.verification_url
    )
    try:
        approval = drive(codex.device_poll_flow(device, settings.OPENAI_AUTH_URL), send)
    except Unavailable as error:
        return _ask_later(row, timedelta(seconds=max(row.interval_s + SLOW_DOWN_S, error.retry_after_s or 0.0)))
    except OAuthError as error:
        return _end(row, Failed, message=str(error))
    if approval is None:
        return _ask_later(row, timedelta(seconds=row.interval_s))
    flow = codex.device_exchange_flow(approval, settings.OPENAI_AUTH_URL)
    try:
        return _finish(row, lambda: drive(flow, send))
    except AccountsError as error:  # an approval is good for one exchange
        return _end(row, Failed, message=str(error))


def _ask_later(row: PendingLogin, wait: timedelta) -> PendingLogin:
    row.claimed_until, row.next_poll_at = None, timezone.now() + wait
    row.save(update_fields=["claimed_until", "next_poll_at"])
    return row


# ---- both ----------------------------------------------------------------------------------------------------------


def get_login(login_id: str, kind: str) -> PendingLogin:
    """Return a log-in that has begun. Raises: NotFound."""
    row = PendingLogin.objects.select_related("account").filter(pk=login_id, kind=kind).first()
    if row is None:
        raise NotFound("This log-in is not known here, or it has expired; start it again.")
    return row


def login_cancel(*, login_id: str) -> None:
    """Forget a log-in; a callback that comes later is refused."""
    PendingLogin.objects.filter(pk=login_id).exclude(kind=PendingLogin.Kind.EXCHANGE).delete()


def _claim(row: PendingLogin) -> bool:
    now = timezone.now()
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lte=now)
    taken = PendingLogin.objects.filter(free, pk=row.pk, outcome=Pending).update(claimed_until=now + CLAIM)
    return taken == 1


def _finish(row: PendingLogin, exchange: Callable[[], TokenSet]) -> PendingLogin:
    """Exchange under the claim and store. Raises: AccountsError, after giving the claim back."""
    try:
        added = _store(row, exchange)
    except AccountsError:
        PendingLogin.objects.filter(pk=row.pk, outcome=Pending).update(claimed_until=None)
        raise
    row.account, row.is_new = added.account, added.is_new
    return _end(row, Done)


def _store(row: PendingLogin, exchange: Callable[[], TokenSet]) -> AddedAccount:
    try:
        tokens = exchange()
    except OAuthError as error:
        raise LoginServerFailed(str(error)) from error
    entry = ImportEntry(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        id_token=tokens.id_token,
        label=row.label,
    )
    return account_add(entry=entry, actor=row.actor)


def _end(row: PendingLogin, outcome: PendingLogin.Outcome, message: str = "") -> PendingLogin:
    row.outcome, row.message = outcome, audit.redact(message)[:300]
    row.secret, row.claimed_until = None, None
    row.save(update_fields=["outcome", "message", "secret", "claimed_until", "account", "is_new"])
    return row
