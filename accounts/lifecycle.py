"""What becomes of an account: one table of (status × event → status), and what a status means at a moment. Pure.

Stored is only what a person or the upstream decided. Whether an account can work *now* is derived from that and from
times (cooldown, token expiry), never stored. Facts: spec/operations.md §1.2. Next: `status.py` puts it into words.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Status = Literal["active", "needs_login", "unpaid", "banned", "disabled", "paused"]
"""`disabled` is the gateway's own decision, `paused` the operator's."""

Event = Literal[
    "logged_in",  # a person added the same login again: the one thing that revives everything
    "token_renewed",  # a refresh worked, or newer tokens were found
    "login_lost",  # refused for good: the refresh token, or an access token that nothing renews
    "banned",  # deactivated, suspended, or a 403 that is no challenge
    "payment_required",  # 402
    "path_blocked",  # three empty 404 within an hour
    "paused",  # by the operator
    "resumed",  # by the operator, whatever stopped it
]

TABLE: dict[str, dict[Event, Status]] = {
    "active": {
        "logged_in": "active",
        "token_renewed": "active",
        "login_lost": "needs_login",
        "banned": "banned",
        "payment_required": "unpaid",
        "path_blocked": "disabled",
        "paused": "paused",
        "resumed": "active",
    },
    "needs_login": {
        "logged_in": "active",
        "token_renewed": "active",
        "login_lost": "needs_login",
        "banned": "banned",
        "payment_required": "unpaid",
        "path_blocked": "disabled",
        "paused": "paused",
        "resumed": "active",
    },
    "unpaid": {
        "logged_in": "active",
        "token_renewed": "active",
        "login_lost": "needs_login",
        "banned": "banned",
        "payment_required": "unpaid",
        "path_blocked": "unpaid",
        "paused": "paused",
        "resumed": "active",
    },
    "banned": {
        "logged_in": "active",
        "token_renewed": "banned",  # never back by itself: a banned account that is used again stays banned for longer
        "login_lost": "banned",
        "banned": "banned",
        "payment_required": "banned",
        "path_blocked": "banned",
        "paused": "paused",
        "resumed": "active",
    },
    "disabled": {
        "logged_in": "active",
        "token_renewed": "disabled",
        "login_lost": "disabled",
        "banned": "banned",
        "payment_required": "disabled",
        "path_blocked": "disabled",
        "paused": "paused",
        "resumed": "active",
    },
    "paused": {
        "logged_in": "active",
        "token_renewed": "paused",  # what a person decided, only a person takes back
        "login_lost": "paused",
        "banned": "banned",
        "payment_required": "paused",
        "path_blocked": "paused",
        "paused": "paused",
        "resumed": "active",
    },
}


def next_status(status: str, event: Event) -> Status:
    """Return what `event` makes of an account in `status`; a status nobody knows counts as disabled."""
    return TABLE.get(status, TABLE["disabled"])[event]


# ---- what it means now ---------------------------------------------------------------------------------------------

Kind = Literal["ready", "cooling", "needs_login", "unpaid", "banned", "disabled", "paused"]

_STOPPED: dict[str, Kind] = {
    "needs_login": "needs_login",
    "unpaid": "unpaid",
    "banned": "banned",
    "disabled": "disabled",
    "paused": "paused",
}


class Facts(Struct, frozen=True, kw_only=True):
    """What availability depends on. Times are unix seconds, None means unknown or not at all."""

    status: str
    token_expires_at: float | None = None
    has_access_token: bool = True
    has_refresh_token: bool = False
    cooling_until: float | None = None


class Availability(Struct, frozen=True, kw_only=True):
    """Whether an account can take a request. `until` (unix seconds) is when that ends by itself, None when it does not.

    `needs_refresh`: it is ready, and its first request fetches a new access token.
    """

    kind: Kind
    until: float | None = None
    needs_refresh: bool = False

    @property
    def is_ready(self) -> bool:
        """Tell whether it can take a request now."""
        return self.kind == "ready"


def availability(facts: Facts, now: float) -> Availability:
    """Derive it; the order is the order of what a person must know first."""
    if facts.status != "active":
        return Availability(kind=_STOPPED.get(facts.status, "disabled"))
    is_expired = not facts.has_access_token or (facts.token_expires_at is not None and facts.token_expires_at <= now)
    if is_expired and not facts.has_refresh_token:
        return Availability(kind="needs_login")
    if facts.cooling_until is not None and facts.cooling_until > now:
        return Availability(kind="cooling", until=facts.cooling_until)
    return Availability(kind="ready", needs_refresh=is_expired)
