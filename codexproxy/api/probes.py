"""Open answers to what clients send before or beside their requests: a look at `/`, and their makers' telemetry.

Open on purpose, and telling nothing: Claude Code and Ollama look at `/` without a key, and telemetry that reaches us,
because `ANTHROPIC_BASE_URL` points here, is thrown away at once so that it neither fails slowly nor is kept.
Facts: spec/translation.md §6.7, spec/clients.md §2, §10.2. Everything else stays behind a key (`wire.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from codexproxy.api.lean import AsgiClient, Scope, Send

TELEMETRY_PREFIXES = ("/api/event_logging/", "/api/claude_code/")
_GREETING = b'{"name":"codexproxy","status":"ok"}'


async def answer_probe(scope: Scope, send: Send) -> bool:
    """Answer a probe; return False, with nothing sent, when the request is something else. Bodies are not read."""
    path, method = scope["path"], scope["method"]
    if path == "/" and (method == "HEAD" or (method == "GET" and not _is_browser(scope))):
        await _reply(send, 200, {"content-type": "application/json"}, b"" if method == "HEAD" else _GREETING)
        return True
    if method == "POST" and path.startswith(TELEMETRY_PREFIXES):
        await _reply(send, 204, {}, b"")
        return True
    return False


def _is_browser(scope: Scope) -> bool:
    """People get the dashboard; they are who asks for HTML."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


async def _reply(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Answer without reading; a 204 has no length."""
    client = AsgiClient(send)
    await client.start(status, {"cache-control": "no-store", **headers})
    await client.end(body)
