"""Asking for the password again before something is handed out that a stolen session must not get.

Refused passwords are counted in the audit log, so the limit holds across processes. Never logs a password.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import authenticate
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import AuditEntry, User
from accounts.services.errors import AccountsError

MAX_REFUSALS = 5
MAX_REFUSALS_OF_PEER = 20
"""Several people may share an address."""
WINDOW = timedelta(seconds=60)
CONFIRMED_FOR = timedelta(minutes=5)
_SESSION_KEY = "password_confirmed_at"


class TooManyTries(AccountsError):
    """Wait a minute."""


def log_in_allowed(request: HttpRequest, username: str, password: str) -> User:
    """Return the person whose name and password a stranger sent. Raises: TooManyTries, AccountsError."""
    return _check(request, username, password, "login.refused")


def _check(request: HttpRequest, username: str, password: str, refusal: str) -> User:
    """Refusals are counted by kind: strangers at the door cannot lock out somebody who is inside."""
    peer = str(request.META.get("REMOTE_ADDR") or "")
    recent = AuditEntry.objects.filter(action=refusal, at__gt=timezone.now() - WINDOW)
    is_tried_much = recent.filter(actor=username[:150]).count() >= MAX_REFUSALS
    if is_tried_much or recent.filter(target=peer).count() >= MAX_REFUSALS_OF_PEER:
        raise TooManyTries(_("Too many wrong passwords; wait a minute and try again."))
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        audit.record(actor=username, action=refusal, target=peer)
        raise AccountsError(_("This is not the right password."))
    return user


def confirm(request: HttpRequest, password: str) -> None:
    """Note in the session that its owner is really there. Raises: TooManyTries, AccountsError."""
    _check(request, request.user.get_username(), password, "password.refused")
    request.session[_SESSION_KEY] = timezone.now().timestamp()


def is_confirmed(request: HttpRequest) -> bool:
    """Tell whether the session's owner gave the password a short time ago."""
    confirmed_at = request.session.get(_SESSION_KEY)
    age_s = timezone.now().timestamp() - confirmed_at if isinstance(confirmed_at, float) else None
    return age_s is not None and 0 <= age_s < CONFIRMED_FOR.total_seconds()
