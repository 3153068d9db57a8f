"""What a failure does to an account: a table, pure. `pool.py` applies it, services persist it.

Failures of the network, the edge or the model never touch the account's status (spec/operations.md §2.7, §2.9).
"""

from __future__ import annotations

from msgspec import Struct

from translation.errors import (
    AccountRejected,
    GatewayError,
    RateLimited,
    UpstreamBlocked,
)

UNKNOWN_LIMIT_COOL_S = 60.0
TRANSIENT_COOL_S = 2.0
MAX_COOL_S = 366 * 86_400.0
"""A reset further away than a year is a broken clock, not a limit (fault F23)."""
BLOCK_COOL_S = (10.0, 30.0, 90.0, 120.0)
"""By consecutive blocks within an hour (spec/operations.md §22)."""
BLOCK_MEMORY_S = 3600.0
PAYMENT_COOL_S = 3600.0

LOGIN_REASONS = ("expired", "invalidated", "banned")
"""Rejections that end with the login; the rest may end by themselves."""
REJECTED_COOL_S = 60.0
"""Until the snapshot shows the new status, the rest keeps everyone away."""


class Penalty(Struct, frozen=True, kw_only=True):
    """Rest until `cool_until` (unix seconds); `rejection` is the verdict that services turn into a status."""

    cool_until: float
    reason: str
    rejection: str = ""


def penalty(error: GatewayError, *, now: float, blocks_in_a_row: int = 0) -> Penalty | None:
    """Return what `error` means for the account it happened on; None when it is not the account's fault."""
    if isinstance(error, RateLimited):
        fallback = error.retry_after_s  # in-stream failures know how long, but their codec knows no clock
        if not fallback or fallback < 0:
            fallback = TRANSIENT_COOL_S if error.scope == "transient" else UNKNOWN_LIMIT_COOL_S
        until = error.until if error.until is not None and error.until > now else now + fallback
        reason = "short rate limit" if error.scope == "transient" else "usage limit reached"
        return Penalty(cool_until=min(until, now + MAX_COOL_S), reason=reason)
    if isinstance(error, UpstreamBlocked):
        rest = BLOCK_COOL_S[min(max(blocks_in_a_row, 1), len(BLOCK_COOL_S)) - 1]
        return Penalty(cool_until=now + rest, reason=f"blocked at the edge ({error.reason})")
    if isinstance(error, AccountRejected):
        rest = REJECTED_COOL_S if error.reason in LOGIN_REASONS else PAYMENT_COOL_S
        return Penalty(cool_until=now + rest, reason=error.detail or "no access", rejection=error.reason)
    return None
