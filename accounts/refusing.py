"""What a client is told when no account can take its request: why, counted in words, and when to try again. Pure.

429 with the time as long as waiting helps, 503 when a person must act; never 401, which SDKs take for a wrong key.
Facts: spec/operations.md §2.8, §16 R42.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from accounts.roster import Wish, model_rest, rests_of
from accounts.values import AccountView
from accounts.why import Passed, note
from translation.errors import NoCapacity

BUSY_RETRY_S = 2.0
CROWD_RETRY_S = 10.0
DAY_S = 86_400.0
LONG_REST_S = 60.0
"""A longer rest is told as a spent limit, which clients show instead of sleeping through it."""
RESTS = frozenset({"resting", "exhausted"})
RESTING = "resting"
_WORDS = {
    "pool": "not in this key's pool", "plan": "on a plan without the model", "lacks_model": "without the model",
    "full": "busy", "tried": "tried and failed",
}  # fmt: skip
_KINDS = {
    "paused": "paused", "needs_login": "waiting for a log-in", "banned": "banned by the upstream",
    "disabled": "disabled",
}  # fmt: skip


def passed_over(
    account: AccountView, model: str, rests: Mapping[str, Any], exclude: Collection[str], now: float
) -> Passed:
    """Return why an account that could be ready was not leased; `rests` are the shared state's, by what rests."""
    keys = (account.id, *rests_of(account, model))
    own = max((rests[key] for key in keys if key in rests), key=lambda rest: rest.until, default=None)
    if model_rest(account.id, model) in rests:
        return note(account.id, "lacks_model")
    if own is not None and own.until > account.cooling_until:
        return note(account.id, "resting", own.reason, own.until)
    if account.cooling_until > now:
        return note(account.id, "resting", account.cooling_reason, account.cooling_until)
    return note(account.id, "tried" if account.id in exclude else "full")


def refusal(passed: Sequence[Passed], wish: Wish, now: float) -> NoCapacity:
    """Return the error for a request that everyone of `passed` could not take."""
    found = _refusal(passed, wish, now)
    found.tally = words(passed, now)
    return found


def _refusal(passed: Sequence[Passed], wish: Wish, now: float) -> NoCapacity:
    reasons = {each.reason for each in passed}
    if not passed:
        return NoCapacity("No available accounts: none has been added yet. Add one in the dashboard.")
    tally = words(passed, now)
    if "full" in reasons:
        return _later(
            f"All accounts are busy with as many requests as they may run at once ({tally}). Try again in a moment.",
            BUSY_RETRY_S,
        )
    ends = [each.until for each in passed if each.reason in RESTS]
    if ends:
        wait_s = max(1.0, min(ends) - now)
        found = _later(
            f"All accounts are resting because of their limits; the first is back in {_span(wait_s)} ({tally}).", wait_s
        )
        found.extra = {"resets_at": int(now + wait_s), "resets_in_seconds": math.ceil(wait_s)}
        if wait_s > LONG_REST_S:
            found.error_type = "usage_limit_reached"
        return found
    if "tried" in reasons:
        return NoCapacity(f"No available accounts: those that were tried failed, and there is no other ({tally}).")
    if reasons <= {"plan", "lacks_model", "pool"} and reasons != {"pool"}:
        return NoCapacity(f"No available accounts: no account has a plan with the model '{wish.model}' ({tally}).")
    if reasons == {"pool"}:
        return NoCapacity(f"No available accounts: this API key is restricted to the label '{wish.pool}'; none has it.")
    return NoCapacity(f"No available accounts: an operator must see to them in the dashboard ({tally}).")


def line_is_full(waiting: int) -> NoCapacity:
    """Return the error for a request that finds too many before it."""
    return _later(f"All accounts are busy and {waiting} requests wait already. Try again later.", CROWD_RETRY_S)


def words(passed: Sequence[Passed], now: float) -> str:
    """Count the reasons: "3 resting until 14:05 UTC, 1 paused"."""
    counts = Counter(_reason(each) for each in passed)
    soonest = min((each.until for each in passed if each.until > now), default=0)
    until = f" until {_moment(soonest, now)}" if soonest else ""
    return ", ".join(f"{count} {reason}{until if reason == RESTING else ''}" for reason, count in counts.items())


def _reason(passed: Passed) -> str:
    if passed.reason == "unusable":
        return _KINDS.get(passed.words, "not usable")
    return RESTING if passed.reason in RESTS else _WORDS[passed.reason]


def _later(message: str, wait_s: float) -> NoCapacity:
    return NoCapacity(message, status=429, code="rate_limit_exceeded", retry_after_s=wait_s)


def _moment(at: float, now: float) -> str:
    shape = "%H:%M UTC" if at - now < DAY_S else "%d %b %H:%M UTC"
    return time.strftime(shape, time.gmtime(at))


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
