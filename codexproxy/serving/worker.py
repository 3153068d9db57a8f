"""The one background worker of a machine: Celery with beat in a thread. Started by the supervisor after the gateway.

`celery worker --beat` would start a second process for beat: 85 MB to sleep in.
"""

from __future__ import annotations

import os
import warnings


def main() -> None:
    """Run until told to stop."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codexproxy.settings")
    from celery.beat import EmbeddedService
    from celery.platforms import SecurityWarning
    from celery.signals import worker_ready, worker_shutting_down

    # Containers run as root; messages are JSON, never pickles, which is what this warning is about.
    warnings.simplefilter("ignore", SecurityWarning)
    from codexproxy.celery import app, make_queue_folders

    make_queue_folders()
    beat = EmbeddedService(app, thread=True, scheduler_cls=app.conf.beat_scheduler)
    worker_ready.connect(lambda **_: beat.start(), weak=False)
    worker_shutting_down.connect(lambda **_: beat.stop(), weak=False)
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
