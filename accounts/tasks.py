"""Celery tasks of this app: thin, idempotent, never needed to serve a request. Each makes one domain call."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from accounts.services.quota import quota_sample

SAMPLE_EVERY_S = 600


@shared_task(name="accounts.sample_quota", ignore_result=True)  # type: ignore[untyped-decorator]
def sample_quota() -> None:
    """Keep a point of history for every account that reported lately."""
    now = timezone.now()
    quota_sample(now=now, since=now - timedelta(seconds=SAMPLE_EVERY_S))
