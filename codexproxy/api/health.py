"""Probes: `/health/live` (the process answers), `/health/ready` (it should get requests), `/health` (a summary).

Open to everyone, so they tell nothing about accounts but how many there are and how many are ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import codexproxy
from codexproxy.api.lean import AsgiClient, Receive, Scope, Send
from codexproxy.wiring import Runtime
from translation.wire import jsonio

PATHS = ("/health", "/health/live", "/health/ready")


class HealthDoor:
    """ASGI app for the probes."""

    def __init__(self, runtime: Callable[[], Runtime | None]) -> None:
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one probe."""
        path = scope["path"].rstrip("/")
        client = AsgiClient(send)
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        if path not in PATHS:
            await client.reply(
                404, headers, b'{"error":"There is no such probe; use /health, /health/live or /health/ready."}'
            )
            return
        runtime = self._runtime()
        problem = "" if path == "/health/live" else _problem(runtime)
        body: dict[str, Any] = {"status": "unready" if problem else "ok"}
        if problem:
            body["reason"] = problem
        if path == "/health":
            body |= _summary(runtime)
        await client.reply(503 if problem else 200, headers, jsonio.dumps(body))


def _problem(runtime: Runtime | None) -> str:
    return "The process is starting." if runtime is None else runtime.why_not_ready


def _summary(runtime: Runtime | None) -> dict[str, Any]:
    if runtime is None:
        return {"version": codexproxy.__version__}
    snapshot = runtime.snapshots.current
    now = time.time()
    return {
        "version": codexproxy.__version__,
        "accounts": {
            "total": len(snapshot.accounts),
            "ready": sum(account.is_usable and account.cooling_until <= now for account in snapshot.accounts),
        },
        "snapshot_age_s": round(now - snapshot.loaded_at, 1),
        "usage_queue": len(runtime.usage),
    }
