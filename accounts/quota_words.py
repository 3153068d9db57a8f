"""Quota as people read it: bars with what is left and when it resets, warnings, and the shape of the JSON API.

Never asks the database; give it what was loaded of a row, and the time. What quota means: `accounts/quota.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _
from msgspec import Struct

from accounts import quota
from accounts.quota import PLAN_BUCKET, REVIEW_BUCKET, Quota, QuotaWarning
from accounts.status import duration_words
from providers.contract import QuotaWindow

HOUR_MINUTES = 60
DAY_MINUTES = 1440
LOW_PERCENT = 20
"""Less than this left is drawn as low."""


class QuotaBar(Struct, frozen=True, kw_only=True):
    """One window to draw. `left_percent` is 0 to 100; `reset` says when, in words, and may be empty."""

    bucket: str
    window: str
    left_percent: int
    reset: str
    level: str

    @property
    def left(self) -> str:
        """Say what is left."""
        return _("%(left)d %% left") % {"left": self.left_percent}

    @property
    def words(self) -> str:
        """Say all of it, for those who do not see the bar."""
        return " · ".join(part for part in (self.bucket, self.window, self.left, self.reset) if part)


def bars(known: Quota, now: float) -> list[QuotaBar]:
    """Return every window, the plan's own first."""
    current = quota.rolled(known, now)
    order = sorted(current.windows, key=lambda bucket: (bucket != PLAN_BUCKET, bucket != REVIEW_BUCKET, bucket))
    return [bar for bucket in order for bar in _bucket_bars(current, bucket, now)]


def _bucket_bars(known: Quota, bucket: str, now: float) -> Iterator[QuotaBar]:
    shut_until = quota.bucket_until(known, bucket, now)
    is_locked = known.locks.get(bucket, 0.0) > now
    for which, window in sorted(known.windows[bucket].items()):
        is_shut = window.used_percent >= 100 or (is_locked and which == "primary")
        left = 0 if is_shut else max(0, min(100, round(100 - window.used_percent)))
        reset_at = shut_until if is_shut and is_locked and shut_until is not None else window.reset_at
        yield QuotaBar(
            bucket=bucket_title(bucket, known.names),
            window=window_title(window.window_minutes),
            left_percent=left,
            reset=_reset_words(reset_at, now, is_shut=is_shut),
            level="empty" if left == 0 else "low" if left < LOW_PERCENT else "good",
        )


def bucket_title(bucket: str, names: Mapping[str, str]) -> str:
    """Name a bucket; the plan's own needs no name."""
    if bucket == PLAN_BUCKET:
        return ""
    return _("Code review") if bucket == REVIEW_BUCKET else names.get(bucket) or bucket


def window_title(minutes: int | None) -> str:
    """Name a window by its length: "5 h", "7 d"."""
    if not minutes:
        return _("window")
    if minutes >= DAY_MINUTES:
        return _("%(days)d d") % {"days": round(minutes / DAY_MINUTES)}
    return _("%(hours)d h") % {"hours": max(1, round(minutes / HOUR_MINUTES))}


def _reset_words(reset_at: float | None, now: float, *, is_shut: bool) -> str:
    if reset_at is None or reset_at <= now:
        return ""
    span = {"span": duration_words(timedelta(seconds=reset_at - now))}
    return _("opens again in %(span)s") % span if is_shut else _("resets in %(span)s") % span


def warning_words(warning: QuotaWarning, known: Quota, now: float) -> str:
    """Say what a warning is about: "5 h: 92 % used · resets in 42 min"."""
    window = known.windows[warning.bucket][warning.window]
    used = _("%(window)s: %(used)d %% used") % {
        "window": window_title(window.window_minutes),
        "used": min(100, int(warning.used_percent)),
    }
    reset = _reset_words(warning.reset_at, now, is_shut=warning.used_percent >= 100)
    return " · ".join(part for part in (used, reset) if part)


def hourly_used(samples: Sequence[Any], now: float, hours: int = 48) -> list[int | None]:
    """Return the highest use of the plan's short window in each of the last hours, oldest first; None: not known."""
    found: list[int | None] = [None] * hours
    for sample in samples:
        age = int((now - sample.at.timestamp()) // 3600)
        if 0 <= age < hours and sample.primary_used is not None:
            place = hours - 1 - age
            found[place] = max(found[place] or 0, round(sample.primary_used))
    return found


# ---- for the JSON API -----------------------------------------------------------------------------------------------


def quota_json(known: Quota, plan: str, now: float) -> dict[str, Any] | None:
    """Return the shape of spec/operations.md §4.1; None while nothing was ever reported."""
    if not (known.windows or known.locks or known.credits):
        return None
    current = quota.rolled(known, now)
    others = [bucket for bucket in current.windows if bucket not in (PLAN_BUCKET, REVIEW_BUCKET)]
    return {
        "plan_type": plan or None,
        "rate_limit": _window_json(current, PLAN_BUCKET, "primary", now),
        "secondary_rate_limit": _window_json(current, PLAN_BUCKET, "secondary", now),
        "code_review_rate_limit": _window_json(current, REVIEW_BUCKET, "primary", now),
        "reset_credits_available": current.reset_credits,
        "credits": _credits_json(current.credits),
        "rate_limits_by_limit_id": {
            bucket: {
                "limit_id": bucket,
                "limit_name": current.names.get(bucket),
                **(_window_json(current, bucket, "primary", now) or {}),
                "secondary_rate_limit": _window_json(current, bucket, "secondary", now),
            }
            for bucket in others
        },
    }


def _window_json(known: Quota, bucket: str, which: str, now: float) -> dict[str, Any] | None:
    window = known.windows.get(bucket, {}).get(which)
    locked_until = known.locks.get(bucket, 0.0) if which == "primary" else 0.0
    if window is None and locked_until <= now:
        return None
    window = window or QuotaWindow(used_percent=100.0)
    is_reached = window.used_percent >= 100 or locked_until > now
    used = max(window.used_percent, 100.0) if is_reached else window.used_percent
    reset_at = max(window.reset_at or 0.0, locked_until) or None
    return {
        "allowed": not is_reached,
        "limit_reached": is_reached,
        "used_percent": used,
        "remaining_percent": max(0, min(100, round(100 - used))),
        "reset_at": int(reset_at) if reset_at is not None else None,
        "limit_window_seconds": window.window_minutes * 60 if window.window_minutes else None,
    }


def _credits_json(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the credits with their balance as a number; one that is no number means that nothing is known."""
    if not found:
        return None
    try:
        balance = float(found.get("balance", 0))
    except (TypeError, ValueError):
        return None
    return {
        "has_credits": bool(found.get("has_credits", False)),
        "unlimited": bool(found.get("unlimited", False)),
        "overage_limit_reached": bool(found.get("overage_limit_reached", False)),
        "balance": balance,
    }
