"""The page on localhost:1455 where a browser log-in ends when the browser runs on this machine.

The only redirect address the log-in server accepts for this client (spec/wire.md §7.1). One small server per process,
in a thread of its own, alive only while a log-in is under way; it finishes any log-in, whichever process began it.
A busy port is no error: pasting the address works always. What it trusts is the state, never the caller.
"""

from __future__ import annotations

import html
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.db import close_old_connections, connection
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import PendingLogin
from accounts.services import AccountsError, browser_login_finish
from providers.oauth.client import OAuthClient

logger = logging.getLogger(__name__)

HOST, PORT, PATH = "127.0.0.1", 1455, "/auth/callback"
LIFETIME_S = 300.0
LINGER_S = 2.0
"""After the last log-in ended: time for the answer to leave."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class CallbackListener:
    """Listens while there is something to wait for. Invariant: at most one socket, closed by its own thread."""

    def __init__(self, port: int = PORT) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._closes_at = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether a callback would arrive here."""
        return self._server is not None

    def open(self) -> bool:
        """Listen for the time of one log-in from now on; False when the port is taken."""
        with self._lock:
            self._closes_at = time.monotonic() + LIFETIME_S
            if self._server is not None:
                return True
            try:
                server = _Server((HOST, self._port), _Handler)
            except OSError as error:
                logger.info("No callback listener on port %d (%s); the address can be pasted.", self._port, error)
                return False
            server.timeout = 0.5
            server.listener = self
            self._server = server
        threading.Thread(target=self._serve, args=(server,), name="login callback", daemon=True).start()
        return True

    def close_soon(self) -> None:
        """A log-in has ended: close, unless another one is under way."""
        waiting = PendingLogin.objects.filter(
            kind=PendingLogin.Kind.BROWSER, outcome=PendingLogin.Outcome.PENDING, expires_at__gt=timezone.now()
        )
        if not waiting.exists():
            self._closes_at = min(self._closes_at, time.monotonic() + LINGER_S)

    @property
    def address(self) -> tuple[str, int]:
        """Return where it listens; tests let the system choose the port."""
        assert self._server is not None
        return self._server.server_address[0], self._server.server_address[1]  # type: ignore[return-value]

    def _serve(self, server: ThreadingHTTPServer) -> None:
        while True:
            server.handle_request()
            with self._lock:
                if time.monotonic() >= self._closes_at:
                    self._server = None
                    server.server_close()
                    return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    listener: CallbackListener


class _Handler(BaseHTTPRequestHandler):
    """One callback."""

    server: _Server
    timeout = 10.0

    def do_GET(self) -> None:
        """Finish the log-in that the state names."""
        if self.path.partition("?")[0] != PATH:
            self._answer(404, _("There is nothing here."))
            return
        close_old_connections()
        try:
            with OAuthClient() as send:
                row = browser_login_finish(callback_url=f"http://localhost{self.path}", send=send)
            done = row.outcome != PendingLogin.Outcome.FAILED
            words = _("You are logged in. This window can be closed.") if done else row.message
            self._answer(200 if done else 400, words)
        except AccountsError as error:
            self._answer(400, str(error))
        except Exception:
            logger.exception("A log-in callback could not be handled.")
            self._answer(500, _("Something went wrong; the log says what. Start the log-in again."))
        finally:
            self.server.listener.close_soon()
            connection.close()

    def _answer(self, status: int, words: str) -> None:
        body = f"<!doctype html><meta charset=utf-8><title>Codex Proxy</title><p>{html.escape(words)}</p>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """Say nothing: the request line holds the code."""


listener = CallbackListener()
"""This process's own."""


def is_on_this_machine(host: str) -> bool:
    """Tell whether a browser that calls us `host` (a Host header) runs on this machine, so that 1455 reaches us."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name.lower() in LOOPBACK_HOSTS
