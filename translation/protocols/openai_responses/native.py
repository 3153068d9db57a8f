"""What a Codex client asks the Codex backend for besides models and answers: workspace, usage, credits, settings.

The gateway is no workspace: these answers are the least that lets the official client start a turn. Its quota is the
operator's business and not shown. Facts: spec/clients.md §1.5, spec/wire.md §1.6-1.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from translation.codec import WireAnswer, WireContext
from translation.errors import RouteNotFound
from translation.wire.jsonio import dumps

_WHAM = "/backend-api/wham"


def answer(context: WireContext) -> WireAnswer:
    """Answer the call at `context.path`. Raises: RouteNotFound."""
    build = _ANSWERS.get(context.path)
    if build is None:
        raise RouteNotFound(f"There is nothing at {context.path[:200]}.")
    return WireAnswer(200, {"content-type": "application/json"}, dumps(build(context)))


def _workspace(context: WireContext) -> dict[str, Any]:
    """Codex starts no turn without this; the origin has to be a bare https address, so it is where we were found."""
    return {
        "accounts": [
            {
                "id": context.headers.get("chatgpt-account-id") or "gateway",
                "workspace_backend_origin": f"https://{context.headers.get('host') or 'localhost'}",
                "account_routing_override": "NO_CONSTRAINT",
            }
        ]
    }


def _usage(context: WireContext) -> dict[str, Any]:
    return {
        "plan_type": "team",
        "rate_limit": {"allowed": True, "limit_reached": False, "primary_window": None, "secondary_window": None},
        "code_review_rate_limit": None,
        "additional_rate_limits": [],
        "credits": {"has_credits": False, "unlimited": False, "overage_limit_reached": False, "balance": "0"},
        "rate_limit_reached_type": None,
        "rate_limit_reset_credits": {"available_count": 0},
        "promo": None,
    }


def _credits(context: WireContext) -> dict[str, Any]:
    return {"available_count": 0, "credits": []}


def _settings(context: WireContext) -> dict[str, Any]:
    return {}


_ANSWERS: dict[str, Callable[[WireContext], dict[str, Any]]] = {
    f"{_WHAM}/accounts/check": _workspace,
    f"{_WHAM}/usage": _usage,
    "/backend-api/codex/usage": _usage,
    f"{_WHAM}/rate-limit-reset-credits": _credits,
    f"{_WHAM}/settings/user": _settings,
}

PATHS = tuple(_ANSWERS)
"""What `answer` knows."""
