"""Puts quota onto account rows: reports and refusals from the hot path, answers of the usage endpoint.

Changes rows in memory; whoever calls saves them. A row rests (`cooling_until`) while its plan's limits are used up, so
that lists, filters and words need to know of one rest only. What quota means is in `accounts/quota.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from accounts import quota
from accounts.models import Account
from accounts.quota import Quota
from providers.contract import QuotaWindow, RateLimits

ANY_MODEL = ""
"""A model without a bucket of its own: what it may use is what the account is worth."""
STEP_PERCENT = 10
"""The hot path ranks by what is left; it learns of changes in steps of so many percent."""
STEP_RESET_S = 600.0
"""A reset that moves by less says nothing new: the upstream counts some from the moment it is asked."""
SAME_MOMENT_S = 1.0
"""Rows keep microseconds, quota keeps floats; two ends this close are one."""
LIMIT_WORDS = {300: "5-hour limit reached", 1440: "daily limit reached", 10_080: "weekly limit reached"}
OTHER_LIMIT_WORDS = "usage limit reached"


def learn(row: Account, limits: RateLimits, at: float) -> bool:
    """Merge a report into the row; tells whether the hot path must see it."""
    before = quota.load(row.quota)
    after = quota.merge(before, limits, at)
    row.quota_at = datetime.fromtimestamp(after.changed_at, UTC)
    has_new_plan = bool(limits.plan) and limits.plan != row.plan
    if has_new_plan and limits.plan:
        row.plan = limits.plan[:32]
    return _store(row, before, after, at) or has_new_plan


def lock(row: Account, bucket: str, until: float, at: float, *, is_guess: bool) -> bool:
    """Close a bucket of the row; tells whether the hot path must see it."""
    before = quota.load(row.quota)
    return _store(row, before, quota.lock(before, bucket, until, at, is_guess=is_guess), at)


def empty(row: Account, at: float) -> None:
    """The upstream reset the plan's windows."""
    before = quota.load(row.quota)
    _store(row, before, quota.emptied(before, at), at)


def roll(row: Account, now: float) -> bool:
    """Move windows on that are over by our clock; tells whether any was."""
    before = quota.load(row.quota)
    after = quota.rolled(before, now)
    return after is not before and _store(row, before, after, now)


def _store(row: Account, before: Quota, after: Quota, now: float) -> bool:
    row.quota = quota.dump(after)
    was = quota.exhausted_until(before, ANY_MODEL, now)
    until = quota.exhausted_until(after, ANY_MODEL, now)
    rest = row.cooling_until.timestamp() if row.cooling_until is not None else 0.0
    is_of_quota = was is not None and rest <= was + SAME_MOMENT_S
    if until is not None and (rest < until or is_of_quota):
        row.cooling_until, row.cooling_reason = datetime.fromtimestamp(until, UTC), _words(after, now)
    elif until is None and is_of_quota:
        row.cooling_until, row.cooling_reason = None, ""
    return _sketch(before, now) != _sketch(after, now)


def _sketch(known: Quota, now: float) -> tuple[object, ...]:
    """Return what the hot path decides by, coarsely: two quotas with the same sketch are the same to it."""
    steps = {
        (bucket, which): (window.used_percent // STEP_PERCENT, (window.reset_at or 0.0) // STEP_RESET_S)
        for bucket, windows in known.windows.items()
        for which, window in windows.items()
    }
    ends = {bucket: quota.bucket_until(known, bucket, now) for bucket in (*known.windows, *known.locks)}
    return (steps, ends, known.needs_check, known.names)


def _words(known: Quota, now: float) -> str:
    """Say which limit it is: of the full windows the one that ends last."""
    windows = [*known.windows.get(quota.PLAN_BUCKET, {}).values(), *known.windows.get(quota.REVIEW_BUCKET, {}).values()]
    full = [window for window in windows if window.used_percent >= 100 and (window.reset_at or 0.0) > now]
    return _limit_words(max(full, key=lambda window: window.reset_at or 0.0)) if full else OTHER_LIMIT_WORDS


def _limit_words(window: QuotaWindow) -> str:
    return LIMIT_WORDS.get(window.window_minutes or 0, OTHER_LIMIT_WORDS)
