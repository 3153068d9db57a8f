"""The second listener of a gateway process, started and stopped while the process runs. Off unless switched on.

What comes in goes to `api/ollama_door.py`. A port that cannot be had is told in `status` and tried again at every
look at the settings; it never fails the gateway. Of the processes of one `serve`, number 0 has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Iterator

from msgspec import Struct
from uvicorn.config import Config
from uvicorn.server import Server

from codexproxy.api.lean import ASGIApp
from codexproxy.api.ollama_door import is_loopback
from codexproxy.gateway.snapshot import OllamaBridgeSettings
from codexproxy.gateway.tasks import spawn

logger = logging.getLogger(__name__)

GRACE_S = 5
"""Answers that run when the listener stops may take this long."""
START_PATIENCE_S = 5.0
BACKLOG = 128


class ListenerStatus(Struct, frozen=True, kw_only=True):
    """What operators see. `error` says why an enabled listener does not run."""

    running: bool = False
    host: str = ""
    port: int = 0
    started_at: float | None = None
    error: str = ""

    @property
    def endpoint(self) -> str:
        """The address to point an app at."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}" if self.running else ""


class _SecondServer(Server):
    """uvicorn beside another one: signals are the first one's business. `settled` once it listens, or has ended."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.settled = asyncio.Event()

    async def run_on(self, listener: socket.socket) -> None:
        """Serve until `should_exit`."""
        try:
            await self.serve(sockets=[listener])
        finally:
            self.settled.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.settled.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class OllamaListener:
    """Invariant: at most one server runs, and `status` tells about it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._server: _SecondServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._is_closed = False
        self.status = ListenerStatus()

    def agrees_with(self, settings: OllamaBridgeSettings) -> bool:
        """Say whether nothing has to be done for `settings`."""
        is_running = self._task is not None and not self._task.done()
        is_there = (self.status.host, self.status.port) == (settings.host, settings.port)
        return is_running and is_there if settings.enabled else self._server is None

    async def apply(self, settings: OllamaBridgeSettings) -> None:
        """Make what listens agree with `settings`; never raises for a port in use."""
        async with self._lock:
            if self._is_closed or self.agrees_with(settings):
                return
            if self._server is not None:
                await self._stop()
            if settings.enabled:
                await self._start(settings)
            else:
                self.status = ListenerStatus(host=settings.host, port=settings.port)

    async def stop(self) -> None:
        """Stop listening for good; answers that run get a moment."""
        self._is_closed = True
        async with self._lock:
            await self._stop()
            self.status = ListenerStatus(host=self.status.host, port=self.status.port)

    async def _start(self, settings: OllamaBridgeSettings) -> None:
        try:
            listener = await _bind(settings.host, settings.port)
        except OSError as error:
            self._fail(settings, f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}")
            return
        config = Config(
            self._app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        server = self._server = _SecondServer(config)
        self._task = spawn(server.run_on(listener), "ollama listener")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.settled.wait(), START_PATIENCE_S)
        if not server.started:
            await self._stop()
            self._fail(settings, "the listener did not start")
            return
        port = listener.getsockname()[1]
        self.status = ListenerStatus(running=True, host=settings.host, port=port, started_at=time.time())
        logger.info("Ollama apps are served at %s", self.status.endpoint)
        if not settings.key:
            logger.warning("No key is set for Ollama apps, so all their calls are refused; set ollama.key")
        if not is_loopback(settings.host):
            logger.warning("Everybody who reaches %s uses the models without a key", self.status.endpoint)

    async def _stop(self) -> None:
        server, task = self._server, self._task
        self._server = self._task = None
        if server is None or task is None:
            return
        server.should_exit = True
        await asyncio.wait({task}, timeout=GRACE_S + 3)
        if not task.done():
            server.force_exit = True
            task.cancel()
            await asyncio.wait({task}, timeout=1)
        logger.info("The listener for Ollama apps is closed")

    def _fail(self, settings: OllamaBridgeSettings, error: str) -> None:
        if error != self.status.error:  # told once, tried again silently
            logger.warning("Ollama apps are not served: %s", error)
        self.status = ListenerStatus(host=settings.host, port=settings.port, error=error)


async def _bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises: OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 -- the socket's own way
    except OSError:
        listener.close()
        raise
    return listener
