"""Celery tasks of this app: thin, idempotent, never needed to serve a request. Each makes one domain call."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from accounts import refresh, selectors
from accounts.services.quota import quota_sample
from providers.oauth.client import OAuthClient

logger = logging.getLogger(__name__)

SAMPLE_EVERY_S = 600
MAX_PER_RUN = 30
"""At two a time and half a minute for a server that does not answer, a run ends within its time limit."""


@shared_task(  # type: ignore[untyped-decorator]  # celery ships no types
    name="accounts.refresh_due_tokens", ignore_result=True, time_limit=600
)
def refresh_due_tokens() -> None:
    """Renew tokens that are about to expire, two at a time, so that the auth server is never hammered."""
    refresh.report_interrupted_refreshes(timezone.now())
    due = selectors.list_accounts_due(timezone.now(), limit=MAX_PER_RUN)
    with OAuthClient() as send:
        results = refresh.refresh_accounts(due, http_send=send)
    if results:
        logger.info("Refreshed %d of %d due accounts.", sum(r.outcome == "refreshed" for r in results), len(results))


@shared_task(name="accounts.sample_quota", ignore_result=True)  # type: ignore[untyped-decorator]
def sample_quota() -> None:
    """Keep a point of history for every account that reported lately."""
    now = timezone.now()
    quota_sample(now=now, since=now - timedelta(seconds=SAMPLE_EVERY_S))
