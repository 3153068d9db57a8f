"""Periodic work of this app: forgetting usage that is older than the retention."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from stats.services import usage_prune

logger = logging.getLogger(__name__)


@shared_task(name="stats.prune", ignore_result=True, time_limit=1800)
def prune() -> None:
    """Delete usage records beyond `USAGE_RETENTION_DAYS`; idempotent, bounded, run hourly."""
    deleted = usage_prune(before=timezone.now() - timedelta(days=settings.USAGE_RETENTION_DAYS))
    if deleted:
        logger.info("usage records pruned", extra={"deleted": deleted})
