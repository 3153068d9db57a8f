"""Celery tasks that need live settings, which belong to the project. Thin and idempotent, like those of the apps."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from accounts import refresh, selectors
from accounts.services.quota import quota_refresh, quota_roll
from codexproxy.live_settings import setting_values
from providers.oauth.client import OAuthClient

logger = logging.getLogger(__name__)

MAX_REFRESHES = 30
"""One run: with half a minute for a server that does not answer, it ends within its time limit."""


@shared_task(  # type: ignore[untyped-decorator]  # celery ships no types
    name="codexproxy.refresh_due_tokens", ignore_result=True, time_limit=1000
)
def refresh_due_tokens() -> None:
    """Renew tokens that are about to expire, a few at a time; requests renew for themselves what this one misses."""
    refresh.report_interrupted_refreshes(timezone.now())
    is_enabled, margin_s, concurrency = setting_values(
        "auth.refresh_enabled", "auth.refresh_margin_seconds", "auth.refresh_concurrency"
    )
    due = selectors.list_accounts_due(timezone.now(), limit=MAX_REFRESHES, margin_s=margin_s) if is_enabled else []
    with OAuthClient() as send:
        found = refresh.refresh_accounts(due, http_send=send, concurrency=concurrency)
    if found:
        logger.info("Refreshed %d of %d due accounts.", sum(r.outcome == "refreshed" for r in found), len(found))


@shared_task(  # type: ignore[untyped-decorator]  # celery ships no types
    name="codexproxy.check_quota", ignore_result=True, time_limit=600
)
def check_quota() -> None:
    """Move limits on that are over, and ask the upstream about those that are unsure or whose turn it is."""
    now = timezone.now()
    quota_roll(now=now.timestamp())
    interval_minutes, concurrency = setting_values("quota.refresh_interval_minutes", "quota.concurrency")
    due = selectors.accounts_due_for_quota(now, interval_minutes)
    if due:
        checks = quota_refresh(rows=due, concurrency=concurrency)
        logger.info("Asked for the limits of %d accounts; %d answered.", len(due), sum(not c.problem for c in checks))
