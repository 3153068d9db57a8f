"""The door of the second listener: for apps that know Ollama's address and nothing of keys.

It presents the operator's key for them, so it guards what the key would: only pages of this machine may call (CORS,
and the `Host` of whoever was tricked into it), and only models' routes are behind it, never the dashboard.
Facts: spec/translation.md §9, spec/operations.md §10.1. Listening is `serving/ollama_listener.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from accounts.keys import KEY_PREFIX, presented_key
from codexproxy.api.lean import ASGIApp, AsgiClient, Receive, Scope, Send
from codexproxy.gateway.snapshot import OllamaBridgeSettings
from translation import registry
from translation.wire import jsonio

GREETING = b"Ollama is running"
"""Clients look for these very words."""
PREFIX = "/v1/"
_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key", b"cookie"})
_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"


class OllamaDoor:
    """ASGI app: the model routes of `door`, with a key for those who bring none of ours."""

    def __init__(self, door: ASGIApp, settings: Callable[[], OllamaBridgeSettings]) -> None:
        self._door = door
        self._settings = settings
        self._paths = frozenset(route.path for route in registry.get("ollama").routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; nothing else is spoken here."""
        if scope["type"] != "http":
            return
        settings = self._settings()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin")
        problem = _why_refused(headers, settings)
        if problem:
            await _reply(send, 403, jsonio.dumps({"error": problem}))
            return
        if origin is not None:
            send = _with_headers(send, _cors_headers(origin, headers))
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS":
            await _no_content(send)
        elif path == "/" and method in ("GET", "HEAD"):
            await _reply(send, 200, GREETING if method == "GET" else b"", "text/plain; charset=utf-8")
        elif path.startswith(PREFIX) or path in self._paths:
            await self._door(_with_key(scope, headers, settings), receive, send)
        else:
            await _reply(send, 404, jsonio.dumps({"error": f"There is nothing at {path[:200]}."}))


def is_loopback(host: str | None) -> bool:
    """Say whether a name or address can only mean this machine."""
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _why_refused(headers: Mapping[str, str], settings: OllamaBridgeSettings) -> str:
    """Return why a call is not served; "" when it is.

    A page anywhere in the world can make its visitor's browser call this machine: directly, which shows in `Origin`,
    or by a name of its own that points here, which shows in `Host`.
    """
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_hostname(origin)):
        return "Pages of other machines may not call this listener. Use the gateway's main address with an API key."
    if is_loopback(settings.host) and not is_loopback(_hostname(f"//{headers.get('host', '')}")):
        return "This listener answers to localhost and 127.0.0.1 only."
    return ""


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _cors_headers(origin: str, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    wanted = headers.get("access-control-request-headers", "content-type, authorization")
    found = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": wanted[:1000],
        "access-control-max-age": "600",
        "vary": "origin",
    }
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in found.items()]


def _with_headers(send: Send, extra: list[tuple[bytes, bytes]]) -> Send:
    async def send_more(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *extra]}
        await send(message)

    return send_more


def _with_key(scope: Scope, headers: Mapping[str, str], settings: OllamaBridgeSettings) -> Scope:
    """Return the scope with the operator's key in place of what such apps invent ("ollama", "none")."""
    own = presented_key(headers, {}) or ""
    if own.startswith(KEY_PREFIX) or not settings.key:
        return scope
    kept = [(name, value) for name, value in scope["headers"] if name not in _CREDENTIALS]
    return {**scope, "headers": [*kept, (b"authorization", b"Bearer " + settings.key.reveal().encode())]}


async def _reply(send: Send, status: int, body: bytes, kind: str = "application/json") -> None:
    await AsgiClient(send).reply(status, {"content-type": kind, "connection": "close"}, body)


async def _no_content(send: Send) -> None:
    client = AsgiClient(send)
    await client.start(204, {})
    await client.end(b"")
