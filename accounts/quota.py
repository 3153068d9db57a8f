"""What is known of an account's limits: merging reports, who is exhausted until when, how much is left. Pure.

A bucket is one metered limit: the plan's own (`codex`), code review, or a model's. Each has up to two windows. A lock
is what a refusal (429) said; only the whole truth of the usage endpoint lifts one early. Facts: spec/operations.md §4.
Read next: `accounts/pool.py`, which leases by it, and `accounts/reporting.py`, which stores it. Never imports Django.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from providers.adapters.codex.limits import PLAN_BUCKET, REVIEW_BUCKET, SPARK_BUCKET, bucket_id
from providers.contract import QuotaWindow, RateLimits

UNKNOWN_RESET_S = 60.0
"""A full window that does not say when it resets counts for so long; then the upstream is asked again."""
MAX_BUCKETS = 32
WARNING_STEPS = (80, 90)


class Quota(Struct, frozen=True, kw_only=True):
    """All that was reported, with the time of each bucket's latest report. Times are unix seconds.

    `locks`: bucket → until when a refusal closed it. `needs_check`: a window rolled over by our clock alone, or the
    end of a lock is a guess: the upstream has not confirmed it. `changed_at` orders two versions of one quota.
    """

    windows: Mapping[str, Mapping[str, QuotaWindow]] = {}
    names: Mapping[str, str] = {}
    locks: Mapping[str, float] = {}
    reported_at: Mapping[str, float] = {}
    credits: Mapping[str, Any] = {}
    reset_credits: int | None = None
    active_limit: str | None = None
    needs_check: bool = False
    changed_at: float = 0.0


class Headroom(Struct, frozen=True, kw_only=True):
    """How much of a bucket is left, in percent, and when its tightest window resets; unknown counts as all."""

    left_percent: float
    resets_at: float | None
    is_known: bool


class QuotaWarning(Struct, frozen=True, kw_only=True):
    """A window that is nearly used up. `level` is `warning`, or `critical` from the highest step on."""

    bucket: str
    window: str
    level: str
    used_percent: float
    reset_at: float | None


# ---- which bucket ---------------------------------------------------------------------------------------------------


def bucket_of(model: str, names: Mapping[str, str] = {}) -> str:
    """Return the bucket that a request for `model` draws from; `names` are those the upstream gave its buckets."""
    spelled = bucket_id(model)
    if spelled == SPARK_BUCKET:
        return SPARK_BUCKET
    return next((bucket for bucket, name in names.items() if bucket_id(name) == spelled), PLAN_BUCKET)


def relevant_buckets(quota: Quota, model: str) -> tuple[str, ...]:
    """Return the buckets any of which, when exhausted, keeps a request for `model` away from the account.

    A model with a bucket of its own needs only that one; every other needs the plan's and code review's
    (spec/operations.md §4.8).
    """
    bucket = bucket_of(model, quota.names)
    return (PLAN_BUCKET, REVIEW_BUCKET) if bucket == PLAN_BUCKET else (bucket,)


def rest_key(account_id: str, bucket: str) -> str:
    """Return the key under which the shared state lets one bucket of an account rest."""
    return f"{account_id}:{bucket}"


# ---- reading --------------------------------------------------------------------------------------------------------


def exhausted_until(quota: Quota, model: str, now: float) -> float | None:
    """Return when the last of the exhausted buckets `model` needs opens again; None while none is exhausted."""
    ends = [end for bucket in relevant_buckets(quota, model) if (end := bucket_until(quota, bucket, now)) is not None]
    return max(ends, default=None)


def bucket_until(quota: Quota, bucket: str, now: float) -> float | None:
    """Return when an exhausted bucket opens again; None while it is open. 99 % used is open."""
    end = quota.locks.get(bucket, 0.0)
    for window in quota.windows.get(bucket, {}).values():
        if window.used_percent >= 100:
            end = max(end, window.reset_at or quota.reported_at.get(bucket, 0.0) + UNKNOWN_RESET_S)
    return end if end > now else None


def headroom(quota: Quota, model: str, now: float) -> Headroom:
    """Return what is left of the tightest window of the bucket `model` draws from."""
    bucket = bucket_of(model, quota.names)
    windows = [_rolled_window(window, now) for window in quota.windows.get(bucket, {}).values()]
    if not windows:
        return Headroom(left_percent=100.0, resets_at=None, is_known=False)
    tightest = max(windows, key=lambda window: (window.used_percent, window.reset_at or 0.0))
    closed = bucket_until(quota, bucket, now)
    left = 0.0 if closed is not None else max(0.0, 100.0 - tightest.used_percent)
    return Headroom(left_percent=left, resets_at=closed or tightest.reset_at, is_known=True)


def was_exhausted(quota: Quota, model: str, now: float) -> bool:
    """Tell whether the bucket `model` draws from is open only by our own clock: it was shut, and its time is over."""
    bucket = bucket_of(model, quota.names)
    if bucket_until(quota, bucket, now) is not None:
        return False
    return bucket in quota.locks or any(w.used_percent >= 100 for w in quota.windows.get(bucket, {}).values())


def is_check_due(quota: Quota, now: float) -> bool:
    """Tell whether the upstream should be asked: something is locked, full, or known only by our own clock."""
    current = rolled(quota, now)
    return current.needs_check or any(bucket_until(current, bucket, now) is not None for bucket in _buckets(current))


def warnings(quota: Quota, steps: Mapping[str, Sequence[int]], now: float) -> Iterator[QuotaWarning]:
    """Yield each window of the plan that reached a step; `steps` are percentages by window.

    The highest step is critical, the others warn (spec/operations.md §4.7).
    """
    for which, window in sorted(quota.windows.get(PLAN_BUCKET, {}).items()):
        current = _rolled_window(window, now)
        known = sorted(steps.get(which, WARNING_STEPS))
        reached = [step for step in known if current.used_percent >= step]
        if reached:
            level = "critical" if reached[-1] == known[-1] else "warning"
            yield QuotaWarning(
                bucket=PLAN_BUCKET,
                window=which,
                level=level,
                used_percent=current.used_percent,
                reset_at=current.reset_at,
            )


# ---- changing -------------------------------------------------------------------------------------------------------


def merge(known: Quota, report: RateLimits, at: float) -> Quota:
    """Return what is known after `report`, made at `at`: field by field; of a bucket, the newer report wins.

    What a report does not mention stays as it was: absent is not zero (spec/operations.md §15.21).
    """
    windows, reported_at = dict(known.windows), dict(known.reported_at)
    told = [*report.windows, *report.blocked, *report.allowed]
    fresh = {bucket for bucket in told if at >= reported_at.get(bucket, 0.0)}
    for bucket in fresh:
        reported_at[bucket] = at
        old = windows.get(bucket, {})
        named = report.windows.get(bucket, {})
        windows[bucket] = {**old, **{which: _filled(old.get(which), new, at) for which, new in named.items()}}
    locks = dict(known.locks)
    for bucket in report.blocked:
        if bucket in fresh:
            locks[bucket] = max(locks.get(bucket, 0.0), _blocked_until(report.windows.get(bucket, {}), at))
    if report.is_whole:
        locks = {b: end for b, end in locks.items() if b not in fresh or b not in report.allowed}
        kept = {PLAN_BUCKET, REVIEW_BUCKET, *told}
        windows = {bucket: value for bucket, value in windows.items() if bucket in kept}
        locks = {bucket: end for bucket, end in locks.items() if bucket in kept}
    return Quota(
        windows=dict(list(windows.items())[:MAX_BUCKETS]),
        names={b: name for b, name in {**known.names, **report.names}.items() if b in windows},
        locks=locks,
        reported_at={bucket: when for bucket, when in reported_at.items() if bucket in windows},
        credits={**known.credits, **report.credits},
        reset_credits=known.reset_credits if report.reset_credits is None else report.reset_credits,
        active_limit=report.active_limit or known.active_limit,
        needs_check=known.needs_check and not fresh,
        changed_at=max(known.changed_at, at),
    )


def lock(known: Quota, bucket: str, until: float, at: float, *, is_guess: bool = False) -> Quota:
    """Close a bucket until `until` because the upstream refused; an earlier end never shortens a later one."""
    end = max(until, known.locks.get(bucket, 0.0), bucket_until(known, bucket, at) or 0.0)
    return replace(
        known,
        locks={**known.locks, bucket: end},
        needs_check=known.needs_check or is_guess,
        changed_at=max(known.changed_at, at),
    )


def emptied(known: Quota, at: float) -> Quota:
    """Return it with the plan's windows empty and open: the upstream reset them. Not yet confirmed by a report."""
    windows = {
        which: QuotaWindow(used_percent=0.0, window_minutes=window.window_minutes)
        for which, window in known.windows.get(PLAN_BUCKET, {}).items()
    }
    return replace(
        known,
        windows={**known.windows, PLAN_BUCKET: windows},
        locks={bucket: end for bucket, end in known.locks.items() if bucket != PLAN_BUCKET},
        needs_check=True,
        changed_at=max(known.changed_at, at),
    )


def rolled(known: Quota, now: float) -> Quota:
    """Return it with windows that are over emptied and moved on by whole windows; the same object when none is.

    That is a guess of our clock, and marked as one (spec/operations.md §4.5).
    """
    windows = {
        bucket: {which: _rolled_window(window, now) for which, window in named.items()}
        for bucket, named in known.windows.items()
    }
    locks = {bucket: end for bucket, end in known.locks.items() if end > now}
    is_stuck = any(
        window.used_percent >= 100 and window.reset_at is None and bucket_until(known, bucket, now) is None
        for bucket, named in known.windows.items()
        for window in named.values()
    )
    has_rolled = windows != known.windows or len(locks) < len(known.locks)
    if not has_rolled and (known.needs_check or not is_stuck):
        return known
    return replace(known, windows=windows, locks=locks, needs_check=True)


# ---- stored and shown -----------------------------------------------------------------------------------------------


def load(stored: Any) -> Quota:
    """Return what `dump` stored; what cannot be read is nothing known."""
    try:
        return msgspec.convert(stored or {}, Quota)
    except msgspec.ValidationError:
        return Quota()


def dump(quota: Quota) -> dict[str, Any]:
    """Return it as JSON-ready values."""
    return dict(msgspec.to_builtins(quota))


def _buckets(quota: Quota) -> set[str]:
    return {*quota.windows, *quota.locks}


def _filled(old: QuotaWindow | None, new: QuotaWindow, at: float) -> QuotaWindow:
    """Take what `new` leaves out from `old`; an end that has passed is not taken along."""
    if old is None or (new.window_minutes is not None and new.reset_at is not None):
        return new
    old_reset = old.reset_at if old.reset_at is not None and old.reset_at > at else None
    return QuotaWindow(
        used_percent=new.used_percent,
        window_minutes=new.window_minutes or old.window_minutes,
        reset_at=new.reset_at or old_reset,
    )


def _blocked_until(windows: Mapping[str, QuotaWindow], at: float) -> float:
    """A bucket that is said to be shut opens with its fullest window, when that is known."""
    fullest = max(windows.values(), key=lambda window: window.used_percent, default=None)
    return fullest.reset_at if fullest is not None and fullest.reset_at is not None else at + UNKNOWN_RESET_S


def _rolled_window(window: QuotaWindow, now: float) -> QuotaWindow:
    reset_at = window.reset_at
    if reset_at is None or reset_at > now:
        return window
    length_s = (window.window_minutes or 0) * 60
    next_at = reset_at + length_s * ((now - reset_at) // length_s + 1) if length_s else None
    return QuotaWindow(used_percent=0.0, window_minutes=window.window_minutes, reset_at=next_at)
