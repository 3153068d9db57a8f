"""Celery tasks that need live settings, which belong to the project. Thin and idempotent, like those of the apps."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from accounts import selectors
from accounts.services.quota import quota_refresh, quota_roll
from codexproxy.live_settings import setting_values

logger = logging.getLogger(__name__)


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
