"""One filter per question an operator asks of a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, AccountQuerySet, AccountStatus, ApiKey

EXPIRING_WITHIN = timedelta(days=7)

STATES: Mapping[str, tuple[Promise, Callable[[AccountQuerySet, datetime], QuerySet[Account]]]] = MappingProxyType(
    {
        "ready": (_("Ready"), AccountQuerySet.ready),
        "cooling": (_("Cooling down"), AccountQuerySet.cooling),
        "needs_login": (_("Needs log-in"), AccountQuerySet.needing_login),
        "unpaid": (_("Payment needed"), lambda rows, now: rows.filter(status=AccountStatus.UNPAID)),
        "banned": (_("Banned"), lambda rows, now: rows.filter(status=AccountStatus.BANNED)),
        "paused": (_("Paused"), lambda rows, now: rows.filter(status=AccountStatus.PAUSED)),
        "disabled": (_("Disabled"), lambda rows, now: rows.filter(status=AccountStatus.DISABLED)),
    }
)


class AccountStateFilter(admin.SimpleListFilter):
    """Which accounts can work, and which cannot, and why."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the states."""
        return [(name, words) for name, (words, _apply) in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Account]) -> QuerySet[Account]:
        """Keep the accounts of the chosen state."""
        chosen = STATES.get(self.value() or "")
        if chosen is None or not isinstance(queryset, AccountQuerySet):
            return queryset
        return chosen[1](queryset, timezone.now())


class KeyStateFilter(admin.SimpleListFilter):
    """Which keys work."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the states."""
        return [
            ("active", _("Active")),
            ("expiring", _("Expires within 7 days")),
            ("expired", _("Expired")),
            ("revoked", _("Revoked")),
            ("unused", _("Never used")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """Keep the keys of the chosen state."""
        now = timezone.now()
        alive = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
        questions = {
            "active": alive,
            "expiring": alive & Q(expires_at__lte=now + EXPIRING_WITHIN),
            "expired": Q(revoked_at__isnull=True, expires_at__lte=now),
            "revoked": Q(revoked_at__isnull=False),
            "unused": Q(last_used_at__isnull=True),
        }
        chosen = questions.get(self.value() or "")
        return queryset.filter(chosen) if chosen is not None else queryset
