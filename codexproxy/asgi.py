"""The ASGI application: lifespan, the lean door for protocol routes, Django for everything else. Server-neutral.

Read next: `api/lean.py` for the door, `wiring.py` for what runs beside requests.
"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "codexproxy.settings")
django_application = get_asgi_application()

from codexproxy.api.health import HealthDoor  # noqa: E402  (Django must be set up first)
from codexproxy.api.lean import LeanDoor, Receive, Scope, Send  # noqa: E402
from codexproxy.api.probes import answer_probe  # noqa: E402
from codexproxy.api.websocket import SocketDoor  # noqa: E402
from codexproxy.wiring import Runtime  # noqa: E402


class Application:
    """Holds the runtime of this process between lifespan start and stop."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self._door: LeanDoor | None = None
        self._sockets: SocketDoor | None = None
        self._health = HealthDoor(lambda: self.runtime)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "http":
            if scope["path"].startswith("/health"):
                await self._health(scope, receive, send)
                return
            if await answer_probe(scope, send):
                return
            door = self._door or await self._start()
            await door(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            if self._sockets is None:
                await self._start()
            assert self._sockets is not None  # _start made it
            await self._sockets(scope, receive, send)

    def start_drain(self) -> None:
        """The process is about to end: no new requests."""
        if self.runtime is not None:
            self.runtime.start_drain()
        if self._sockets is not None:
            self._sockets.start_drain()

    async def _start(self) -> LeanDoor:
        """Start the runtime; servers without lifespan (Daphne) get here with the first request."""
        runtime = Runtime()
        await runtime.start()
        self.runtime = runtime
        self._sockets = SocketDoor(runtime.gateway)
        self._door = LeanDoor(
            runtime.wire, django_application, lambda: runtime.snapshots.current.settings.max_body_bytes
        )
        return self._door

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._start()
                except Exception as error:
                    await send({"type": "lifespan.startup.failed", "message": repr(error)})
                    raise
                await send({"type": "lifespan.startup.complete"})
            else:
                if self.runtime is not None:
                    await self.runtime.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


application = Application()
