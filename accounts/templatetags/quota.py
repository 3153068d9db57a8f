"""Template tags that draw quota: bars for anywhere, and the panel of an account's page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import template
from django.utils import timezone

from accounts import quota, selectors
from accounts.models import Account
from accounts.quota_words import bars, hourly_used

register = template.Library()

CHART_HOURS = 48


@register.inclusion_tag("admin/accounts/account/quota_bars.html")
def quota_bars_of(row: Account) -> dict[str, Any]:
    """Draw the bars of one account."""
    now = timezone.now()
    return {"bars": bars(quota.load(row.quota), now.timestamp())}


@register.inclusion_tag("admin/accounts/account/quota_panel.html")
def quota_panel(row: Account) -> dict[str, Any]:
    """Draw all that is known of an account's limits, with their last two days."""
    now = timezone.now()
    known = quota.load(row.quota)
    samples = selectors.quota_history(row.pk, now - timedelta(hours=CHART_HOURS))
    return {
        "row": row,
        "now": now,
        "bars": bars(known, now.timestamp()),
        "known": known,
        "needs_check": quota.rolled(known, now.timestamp()).needs_check,
        "history": hourly_used(samples, now.timestamp(), CHART_HOURS) if samples else [],
        "balance": known.credits.get("balance") if known.credits.get("has_credits") else None,
    }
