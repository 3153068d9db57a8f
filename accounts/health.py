"""What a failure does to an account: a table, pure. `pool.py` applies it, services persist it.

Failures of the network, the edge or the model never touch the account's status (spec/operations.md §2.7, §2.9).
"""

from __future__ import annotations

from msgspec import Struct

from providers.adapters.codex.limits import PLAN_BUCKET
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
PATH_BLOCKS_ALLOWED = 2
"""One more empty 404 within the memory of blocks and the account is switched off (spec/operations.md §2.9)."""
PAYMENT_COOL_S = 3600.0

LOGIN_REASONS = ("expired", "invalidated", "banned")
"""Rejections that end with the login; the rest may end by themselves."""
REJECTED_COOL_S = 60.0
"""Until the snapshot shows the new status, the rest keeps everyone away."""


class Penalty(Struct, frozen=True, kw_only=True):
    """Rest until `cool_until` (unix seconds); `rejection` is the verdict that services turn into a status.

    With `bucket`, only requests that draw from it are kept away; `is_guess` when the upstream did not say for how long.
    """

    cool_until: float
    reason: str
    rejection: str = ""
    bucket: str = ""
    is_guess: bool = False


def penalty(
    error: GatewayError, *, now: float, bucket: str = PLAN_BUCKET, blocks_in_a_row: int = 0, path_blocks: int = 0
) -> Penalty | None:
    """Return what `error` means for the account it happened on; None when it is not the account's fault.

    `bucket` is the one that the request drew from, `path_blocks` counts empty 404s within the last hour.
    """
    if isinstance(error, RateLimited) and error.scope == "transient":
        return Penalty(cool_until=_end(error, now, TRANSIENT_COOL_S), reason="short rate limit")
    if isinstance(error, RateLimited):
        is_guess = not (error.until is not None and error.until > now) and not error.retry_after_s
        until = _end(error, now, UNKNOWN_LIMIT_COOL_S)
        return Penalty(cool_until=until, reason="usage limit reached", bucket=bucket, is_guess=is_guess)
    if isinstance(error, UpstreamBlocked) and error.reason == "path block" and path_blocks > PATH_BLOCKS_ALLOWED:
        return Penalty(cool_until=now + REJECTED_COOL_S, reason="blocked on its path", rejection="path_blocked")
    if isinstance(error, UpstreamBlocked):
        rest = BLOCK_COOL_S[min(max(blocks_in_a_row, 1), len(BLOCK_COOL_S)) - 1]
        return Penalty(cool_until=now + rest, reason=f"blocked at the edge ({error.reason})")
    if isinstance(error, AccountRejected):
        rest = REJECTED_COOL_S if error.reason in LOGIN_REASONS else PAYMENT_COOL_S
        return Penalty(cool_until=now + rest, reason=error.detail or "no access", rejection=error.reason)
    return None


def _end(error: RateLimited, now: float, fallback_s: float) -> float:
    """Return the end that was said, else the wait that was said, else a guess; never more than `MAX_COOL_S` away."""
    wait_s = error.retry_after_s  # in-stream failures know how long, but their codec knows no clock
    if not wait_s or wait_s < 0:
        wait_s = fallback_s
    return min(error.until if error.until is not None and error.until > now else now + wait_s, now + MAX_COOL_S)
