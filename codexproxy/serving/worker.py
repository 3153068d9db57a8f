"""The one background worker of a machine: Celery with beat in a thread. Started by the supervisor after the gateway.

`celery worker --beat` would start a second process for beat: 85 MB to sleep in.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from typing import Any

BEAT_WAKES_S = 1
BEAT_PATIENCE_S = 5.0

logger = logging.getLogger(__name__)


class Beat:
    """Celery's scheduler in a thread. If it dies, so does the worker: the supervisor starts both again."""

    def __init__(self, app: Any) -> None:
        from celery.beat import Service

        self._service = Service(app, max_interval=BEAT_WAKES_S, scheduler_cls=app.conf.beat_scheduler)
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self, **_signal: Any) -> None:
        """Begin; a receiver of Celery's `worker_ready`."""
        self._thread.start()

    def stop(self, **_signal: Any) -> None:
        """End, and write what it knows of the schedules; a receiver of `worker_shutting_down`."""
        self._service.stop()
        if self._thread.is_alive():
            self._thread.join(BEAT_PATIENCE_S)

    def _run(self) -> None:
        try:
            self._service.start()
        except Exception:
            logger.exception("beat died; the worker ends, to be started again")
            os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run until told to stop."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codexproxy.settings")
    from celery.platforms import SecurityWarning
    from celery.signals import worker_ready, worker_shutting_down

    # Containers run as root; messages are JSON, never pickles, which is what this warning is about.
    warnings.simplefilter("ignore", SecurityWarning)
    from codexproxy.celery import app, make_queue_folders

    make_queue_folders()
    beat = Beat(app)
    worker_ready.connect(beat.start, weak=False)
    worker_shutting_down.connect(beat.stop, weak=False)
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--pool=solo",
            "--concurrency=1",
            "--loglevel=WARNING",
            # One worker on one machine has nobody to gossip with.
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


if __name__ == "__main__":
    main()
