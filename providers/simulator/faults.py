"""The fault classes F1-F24 and the board on which tests switch them on (wire.md §13.3).

A fault is data: which class and variant, how often, for whom, on which route, at which point of the stream. Where it
bites is up to the module that owns that moment: `failures.py` (statuses), `mischief.py` (streams), `websocket.py`,
`oauth.py`, `account_routes.py`. Must stay free of I/O.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

from providers.simulator.failures import FAILURES

Point = Literal["start", "created", "reasoning", "text", "item"]
POINTS: tuple[Point, ...] = ("start", "created", "reasoning", "text", "item")

STREAM_CODES = (
    "server_is_overloaded",
    "slow_down",
    "server_error",
    "rate_limit_exceeded",
    "usage_limit_reached",
    "insufficient_quota",
    "usage_not_included",
    "context_length_exceeded",
    "invalid_prompt",
    "cyber_policy",
    "bio_policy",
    "misalignment_policy_violation",
    "token_expired",
    "token_invalidated",
    "unauthorized",
    "account_deactivated",
    "forbidden",
    "previous_response_not_found",
    "websocket_connection_limit_reached",
    "invalid_encrypted_content",
    "model_not_found",
    "subscription_sharing_usage_limit_exceeded",
    "something_new",
)

VARIANTS: dict[str, tuple[str, ...]] = {
    **{code: tuple(variants) for code, variants in FAILURES.items()},
    "F10": STREAM_CODES,
    "F11": ("json_body", "empty_body", "error_json"),
    "F12": ("fin", "rst", "clean_end", "mid_utf8", "mid_event"),
    "F13": ("silence", "no_headers", "drip"),
    "F14": (
        "crlf",
        "comments",
        "keepalive",
        "multiline",
        "no_event_name",
        "unknown_event",
        "huge",
        "bytewise",
        "no_final_blank",
        "done_marker",
    ),
    "F15": (
        "refuse_401",
        "refuse_403",
        "refuse_426",
        "refuse_429",
        "refuse_503",
        "close_1000",
        "close_1006",
        "close_1011",
        "close_1009",
        "status_code",
        "body_error",
        "top_level",
        "limit",
        "binary",
        "no_pong",
        "metadata_silence",
    ),
    "F16": ("no_usage", "null_details", "non_empty_output", "incomplete"),
    "F17": ("args_only_done", "interleaved", "empty_args", "duplicate_done"),
    "F18": ("missing", "malformed", "nan", "only_secondary", "extra_family", "weekly_primary"),
    "F19": (
        "500",
        "503",
        "lost_reply",
        "cloudflare",
        "invalid_grant",
        "app_session_terminated",
        "slow",
        "refresh_token_reused",
        "refresh_token_expired",
        "refresh_token_invalidated",
        "account_deactivated",
        "429",
        "rst",
    ),
    "F20": (
        "401",
        "html",
        "null_windows",
        "stale",
        "nothing_to_reset",
        "no_credit",
        "already_redeemed",
        "numeric_times",
        "500",
    ),
    "F21": ("empty", "changed_etag", "unknown_fields", "model_removed", "500"),
    "F22": ("407", "refuse", "tls_failure", "slow", "ip_not_json", "ip_500"),
    "F23": ("exp_past", "reset_far"),
    "F24": ("max_age_zero", "cf_bm_replay"),
}

_MODEL_ROUTES = ("responses", "websocket")
ROUTES: dict[str, tuple[str, ...]] = {
    **{f"F{number}": _MODEL_ROUTES for number in (*range(1, 15), 16, 17)},
    "F15": ("websocket",),
    "F18": ("responses", "websocket", "compact"),
    "F19": ("token",),
    "F20": ("usage", "credits", "consume"),
    "F21": ("models",),
    "F22": ("connect", "ip"),
    "F23": ("token", "responses", "websocket", "usage"),
    "F24": ("models", "usage", "responses"),
}
# Faults that end or replace the reply. Of these only the first on the board bites, the others wait for the next call.
FATAL = frozenset({*(f"F{number}" for number in range(1, 14)), "F15", "F19", "F20", "F21", "F22"})


@dataclass(init=False)
class Fault:
    """One fault. `variant` defaults to the first of its class, `route` to the routes where the class makes sense.

    `route="responses"` means a model call over either transport unless `transport` narrows it; any other route name
    moves the fault there (for example F4 on `usage`). `times=None` means until cleared.
    """

    code: str
    variant: str | None = None
    times: int | None = 1
    account: str | None = None
    route: str | None = None
    after: Point = "start"
    probability: float = 1.0
    transport: Literal["http", "websocket"] | None = None
    params: dict[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        code: str,
        variant: str | None = None,
        *,
        times: int | None = 1,
        account: str | None = None,
        route: str | None = None,
        after: Point = "start",
        probability: float = 1.0,
        transport: Literal["http", "websocket"] | None = None,
        **params: Any,
    ) -> None:
        if code not in VARIANTS:
            raise ValueError(f"unknown fault {code!r}")
        self.code = code
        self.variant = variant or VARIANTS[code][0]
        unknown = set(self.variant.split("+")) - set(VARIANTS[code])
        if unknown and code != "F10":
            raise ValueError(f"{code} has no variant {sorted(unknown)}; it has {', '.join(VARIANTS[code])}")
        if after not in POINTS:
            raise ValueError(f"after={after!r} is none of {', '.join(POINTS)}")
        if code in FAILURES and after != "start":
            raise ValueError(f"{code} is a status, so it comes before the stream; F10 fails inside one")
        self.times, self.account, self.route, self.after = times, account, route, after
        self.probability, self.transport = probability, transport
        self.params = params

    def has(self, variant: str) -> bool:
        """Whether the fault asks for this variant; several may be joined by `+`."""
        return variant in (self.variant or "").split("+")

    @property
    def is_refusal(self) -> bool:
        """Whether the fault keeps a WebSocket from being opened."""
        return (self.variant or "").startswith("refuse_")

    def matches(self, route: str, accounts: tuple[str, ...]) -> bool:
        """Whether the fault is meant for a call on this route by this account."""
        if self.account is not None and self.account not in accounts:
            return False
        if self.transport == "http" and route == "websocket":
            return False
        if self.transport == "websocket" and route != "websocket":
            return False
        if self.route is None or (self.route == "responses" and self.code in ROUTES and route in _MODEL_ROUTES):
            return route in ROUTES[self.code]
        return route == self.route


class Drawn(dict[str, Fault]):
    """The faults of one call, by class."""

    @property
    def names(self) -> list[str]:
        """Return what bites, for the record."""
        return [f"{fault.code}:{fault.variant}" for fault in self.values()]


class FaultBoard:
    """The faults that are switched on. Invariant: a fault with `times=0` is not on the board."""

    def __init__(self, seed: int = 0) -> None:
        self.faults: list[Fault] = []
        self.fired: list[str] = []
        self._random = random.Random(seed)

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on."""
        self.faults.append(fault)
        return fault

    def clear(self) -> None:
        """Switch all faults off."""
        self.faults.clear()

    def draw(self, route: str, *accounts: str, only: frozenset[str] | None = None, is_handshake: bool = False) -> Drawn:
        """Take the faults due for one call, at most one of each class and one fatal one."""
        drawn = Drawn()
        for fault in list(self.faults):
            if fault.code in drawn or not fault.matches(route, accounts):
                continue
            if only is not None and fault.code not in only:
                continue
            # A WebSocket asks twice: when it is opened, and for every call on it.
            if fault.code == "F15" and fault.is_refusal != is_handshake:
                continue
            if fault.code in FATAL and FATAL & drawn.keys():
                continue
            if fault.probability < 1.0 and self._random.random() >= fault.probability:
                continue
            drawn[fault.code] = fault
            self.fired.append(f"{fault.code}:{fault.variant}")
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
        return drawn
