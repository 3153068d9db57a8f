"""Which path is answered by whom (wire.md §1.1). Pure data and one lookup.

The same routes are found under `/backend-api`, under `/api/codex` (what clients use when their base URL has no
`/backend-api`) and without any prefix.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from providers.simulator import account_routes, connect, control, extras, oauth, responses, websocket
from providers.simulator.http import Exchange
from providers.simulator.recorder import ReceivedRequest

Handler = Callable[[Any, Exchange, ReceivedRequest], Awaitable[None]]

_ROUTES: dict[tuple[str, str], tuple[str, Handler]] = {
    ("POST", "/codex/responses"): ("responses", responses.respond),
    ("GET", "/codex/responses"): ("websocket", websocket.open_socket),
    ("POST", "/codex/responses/compact"): ("compact", responses.compact),
    ("GET", "/codex/models"): ("models", account_routes.list_models),
    ("GET", "/codex/usage"): ("usage", account_routes.usage),
    ("GET", "/wham/usage"): ("usage", account_routes.usage),
    ("GET", "/wham/rate-limit-reset-credits"): ("credits", account_routes.list_credits),
    ("POST", "/wham/rate-limit-reset-credits/consume"): ("consume", account_routes.consume),
    ("GET", "/wham/accounts/check"): ("accounts_check", account_routes.accounts_check),
    ("POST", "/codex/images/generations"): ("images", extras.make_image),
    ("POST", "/codex/images/edits"): ("images", extras.make_image),
    ("POST", "/files"): ("files", extras.create_file),
    ("GET", "/oauth/authorize"): ("authorize", oauth.authorize),
    ("POST", "/oauth/token"): ("token", oauth.token),
    ("POST", "/oauth/revoke"): ("revoke", oauth.revoke),
    ("POST", "/api/accounts/deviceauth/usercode"): ("device", oauth.device_start),
    ("POST", "/api/accounts/deviceauth/token"): ("device", oauth.device_poll),
    ("GET", "/codex/device"): ("device", oauth.device_page),
    ("GET", "/appcast.xml"): ("appcast", extras.appcast),
    ("GET", "/codex-app-prod/appcast.xml"): ("appcast", extras.appcast),
    ("GET", "/repos/openai/codex/releases/latest"): ("release", extras.latest_release),
    ("GET", "/@openai/codex"): ("release", extras.latest_release),
    ("GET", "/@openai/codex/latest"): ("release", extras.latest_release),
    ("GET", "/"): ("ip", extras.ip_echo),
}
_WHAM = ("usage", "rate-limit-reset-credits", "accounts", "tasks", "settings")


def canonical(path: str) -> str:
    """Return the path below the backend's base."""
    if path.startswith("/backend-api/"):
        path = path.removeprefix("/backend-api")
    elif path.startswith("/api/codex/"):
        rest = path.removeprefix("/api/codex/")
        path = f"/wham/{rest}" if rest.startswith(_WHAM) else f"/codex/{rest}"
    return path.rstrip("/") or "/"


def find(method: str, path: str) -> tuple[str, Handler] | None:
    """Return the route's name and its handler, or None."""
    if path.startswith("/__sim/"):
        return "control", control.control
    if method == "CONNECT":
        return "connect", connect.connect
    plain = canonical(path)
    if method == "POST" and plain.startswith("/files/") and plain.endswith("/uploaded"):
        return "files", extras.file_uploaded
    if method == "PUT" and plain.startswith("/blob/"):
        return "blob", extras.put_blob
    return _ROUTES.get((method, plain))
