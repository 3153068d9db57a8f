"""Tells the hot path that rows changed: a version that grows inside the change's own transaction, and a bus in process.

Every service that changes what a snapshot holds calls `bump_snapshot()`; other processes see the version by polling or
through the shared state. Never call a subscriber before the commit: it would load the old rows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import transaction
from django.db.models import F

from accounts.models import SnapshotVersion

logger = logging.getLogger(__name__)

Subscriber = Callable[[int], None]
_ROW = 1
_subscribers: list[Subscriber] = []


def subscribe(callback: Subscriber) -> Callable[[], None]:
    """Call `callback(version)` after every committed change of this process; returns how to stop it."""
    _subscribers.append(callback)
    return lambda: _subscribers.remove(callback) if callback in _subscribers else None


def current_version() -> int:
    """Return the snapshot version; one indexed read."""
    return SnapshotVersion.objects.filter(pk=_ROW).values_list("version", flat=True).first() or 0


def bump_snapshot() -> None:
    """Make every process reload its snapshot once the surrounding transaction commits."""
    with transaction.atomic():
        if not SnapshotVersion.objects.filter(pk=_ROW).update(version=F("version") + 1):
            SnapshotVersion.objects.get_or_create(pk=_ROW)
            SnapshotVersion.objects.filter(pk=_ROW).update(version=F("version") + 1)
        transaction.on_commit(_publish)


def _publish() -> None:
    if not _subscribers:
        return
    version = current_version()
    for callback in tuple(_subscribers):
        try:
            callback(version)
        except Exception:
            logger.exception("A subscriber to changes failed; the polling of versions still works.")
