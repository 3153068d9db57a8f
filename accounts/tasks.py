"""Celery tasks of this app: thin, idempotent, never needed to serve a request. Each makes one domain call."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from accounts import refresh, selectors
from providers.oauth.client import OAuthClient

logger = logging.getLogger(__name__)


@shared_task(  # type: ignore[untyped-decorator]  # celery ships no types
    name="accounts.refresh_due_tokens", ignore_result=True, time_limit=600
)
def refresh_due_tokens() -> None:
    """Renew tokens that are about to expire, one after the other, so that the auth server is never hammered."""
    refresh.report_interrupted_refreshes(timezone.now())
    due = selectors.list_accounts_due(timezone.now())
    with OAuthClient() as send:
        results = [
            refresh.refresh_account(account_id, http_send=send, owner=refresh.lease_owner()) for account_id in due
        ]
    if results:
        logger.info("Refreshed %d of %d due accounts.", sum(r.outcome == "refreshed" for r in results), len(results))
