"""What an account's state is, in words: what, why, until when. Shared by the dashboard and the JSON API.

Never asks the database; give it a row and the time. What a state is, is decided in `lifecycle.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import Struct

from accounts.fields import UnreadableSecret
from accounts.lifecycle import Facts, Kind, availability
from accounts.models import Account, AccountStatus
from accounts.reasons import reason_words

_TITLES: dict[Kind, Promise] = {
    "ready": gettext_lazy("Ready"),
    "cooling": gettext_lazy("Cooling down"),
    "needs_login": gettext_lazy("Needs log-in"),
    "unpaid": gettext_lazy("Payment needed"),
    "banned": gettext_lazy("Banned"),
    "paused": gettext_lazy("Paused"),
    "disabled": gettext_lazy("Disabled"),
}


class AccountState(Struct, frozen=True, kw_only=True):
    """One account's state. `reason` and `until` may be empty."""

    kind: Kind
    title: str
    reason: str = ""
    until: str = ""

    @property
    def words(self) -> str:
        """Return it in one line: "Cooling down · 5-hour limit reached · 42 min"."""
        return " · ".join(part for part in (self.title, self.reason, self.until) if part)


def facts_of(row: Account) -> Facts:
    """Return what availability depends on."""
    return Facts(
        status=str(row.status),
        token_expires_at=row.token_expires_at.timestamp() if row.token_expires_at else None,
        has_access_token=bool(row.access_token),
        has_refresh_token=bool(row.refresh_token),
        cooling_until=row.cooling_until.timestamp() if row.cooling_until else None,
    )


def describe(row: Account, now: datetime) -> AccountState:
    """Return the state of an account at `now`."""
    found = availability(facts_of(row), now.timestamp())
    if row.status != AccountStatus.ACTIVE:
        return _state(found.kind, row.status_reason)
    if isinstance(row.access_token, UnreadableSecret) or isinstance(row.refresh_token, UnreadableSecret):
        return _state("needs_login", _("its tokens cannot be decrypted with the present keys"))
    if found.kind == "needs_login":
        return _state(found.kind, _("the access token has expired and there is no refresh token"))
    if found.until is not None:
        return _state(found.kind, row.cooling_reason, duration_words(timedelta(seconds=found.until - now.timestamp())))
    if row.status_reason:
        return _state("ready", row.status_reason)
    if row.lease_until is not None and row.lease_until > now:
        return _state("ready", _("its token is being renewed"))
    return _state("ready", _("a new token is fetched with the next request") if found.needs_refresh else "")


def _state(kind: Kind, reason: str = "", until: str = "") -> AccountState:
    return AccountState(kind=kind, title=str(_TITLES[kind]), reason=reason_words(reason), until=until)


def duration_words(span: timedelta) -> str:
    """Return a duration as people say it, in its two largest units, without zeros: "42 min", "3 h 10 min", "2 d"."""
    minutes = max(1, round(span.total_seconds() / 60))
    days, minutes = divmod(minutes, 1440)
    hours, minutes = divmod(minutes, 60)
    units = ((days, _("%(n)d d")), (hours, _("%(n)d h")), (minutes, _("%(n)d min")))
    first = next(position for position, (count, _words) in enumerate(units) if count)
    return " ".join(words % {"n": count} for count, words in units[first : first + 2] if count)
