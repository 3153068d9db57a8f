"""One gateway process: prepares the first run, then serves `codexproxy.asgi:application` on a socket it was given.

On SIGTERM it drains: the application answers new requests with 503 while running ones finish, then connections are
closed and the application's lifespan flushes its queues. A second signal ends at once.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

DRAIN_S = 30.0
FLUSH_S = 5
MAX_WEBSOCKET_MESSAGE = 64 * 1024 * 1024
"""The largest request body, over WebSocket as over HTTP."""

GC_YOUNG_OBJECTS = 20_000
"""Requests leave few cycles; looking for them every 700 objects, Python's default, costs more than it frees."""

logger = logging.getLogger(__name__)


def main() -> None:
    """Run the process until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--ready", type=int, required=True)
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codexproxy.settings")

    import django

    django.setup()
    from codexproxy.serving.first_run import announcement, prepare

    refuse_broken_setup()
    prepared = prepare(is_announcing=given.number == 0)

    def ready() -> None:
        os.write(given.ready, b".")
        if given.number == 0:
            print(announcement(prepared, os.environ.get("CODEXPROXY_URL", "")), flush=True)

    listener = socket.socket(fileno=given.listener)
    run(listener, ready)


def refuse_broken_setup() -> None:
    """End the process with the findings, one a line, when the set-up cannot work. Warnings are printed only."""
    from django.core.checks import ERROR

    from codexproxy.checks import check_setup

    findings = check_setup()
    for finding in findings:
        print(f"codexproxy: {finding.msg} {finding.hint or ''} ({finding.id})", file=sys.stderr, flush=True)
    if any(finding.level >= ERROR for finding in findings):
        raise SystemExit(1)


def run(listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve on `listener`; call `ready` once requests are answered."""
    from uvicorn.config import Config
    from uvicorn.server import Server

    from codexproxy.asgi import application

    class GatewayServer(Server):
        """uvicorn, which would close the door at the first signal; this one first lets answers finish."""

        drain_ends_at: float | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                settle_memory()
                ready()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self.drain_ends_at is None:
                self.drain_ends_at = time.monotonic() + DRAIN_S
                start_drain(application)
            else:
                self.should_exit = self.force_exit = True

        async def on_tick(self, counter: int) -> bool:
            if self.drain_ends_at is not None and not self.should_exit:
                is_late = time.monotonic() > self.drain_ends_at
                if is_late:
                    logger.warning("drain period over, cutting requests", extra={"cut": len(self.server_state.tasks)})
                self.should_exit = is_late or not self.server_state.tasks
            return await super().on_tick(counter)

    config = Config(
        application,
        loop="uvloop",
        http="httptools",
        ws="wsproto",
        ws_max_size=MAX_WEBSOCKET_MESSAGE,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2048,
        forwarded_allow_ips=os.environ.get("TRUSTED_PROXIES", "127.0.0.1,::1"),
        timeout_graceful_shutdown=FLUSH_S,
    )
    GatewayServer(config).run(sockets=[listener])


def settle_memory() -> None:
    """Take what was loaded at start out of the garbage collector's sight.

    A full collection over the loaded modules would stop every stream of the process for some 100 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, 20, 20)


def start_drain(application: Any) -> None:
    """Tell the application that its process is about to end."""
    drain = getattr(application, "start_drain", None)
    if drain is not None:
        drain()


if __name__ == "__main__":
    sys.exit(main())
