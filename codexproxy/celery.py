"""The Celery app. Celery never serves a request; it refreshes, probes and prunes."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codexproxy.settings")

app = Celery("codexproxy")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def make_queue_folders() -> None:
    """Create the folders of the file-system broker; it does not do so itself. Nothing to do with Redis."""
    for name, folder in settings.CELERY_BROKER_TRANSPORT_OPTIONS.items():
        if name.endswith(("_folder", "_folder_in", "_folder_out")):
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
