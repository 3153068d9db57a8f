"""Reads what the backend says about quota, in its three shapes: headers, the `codex.rate_limits` frame, `/wham/usage`.

All three become `RateLimits`; limit ids become one spelling (`bucket_id`). Malformed values count as absent: an answer
is never refused because of its limits. Facts: spec/wire.md §1.6, §4.10, §5.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from providers.contract import QuotaWindow, RateLimits
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

LIMITS_EVENT = "codex.rate_limits"
PLAN_BUCKET = "codex"
REVIEW_BUCKET = "code_review"
SPARK_BUCKET = "codex_bengalfox"
SPARK_WORDS = ("spark", "bengalfox")
REVIEW_NAMES = frozenset({"review", "code_review", "codex_review", "codex_code_review"})

SUFFIX = "-primary-used-percent"
SECONDARY_SUFFIX = "-secondary-used-percent"
WINDOWS = ("primary", "secondary")
MAX_FAMILIES = 16
MAX_NAME_CHARS = 64
MAX_RESET_S = 366 * 86_400.0
"""A reset further away than a year is a broken clock, not a limit."""
TRUE_WORDS = ("true", "1")


@lru_cache(maxsize=1024)
def bucket_id(name: str) -> str:
    """Return the one spelling of a limit's id or name; what has none is the plan's own bucket."""
    spelled = name.strip().lower().replace("-", "_").replace(" ", "_")[:MAX_NAME_CHARS]
    if any(word in spelled for word in SPARK_WORDS):
        return SPARK_BUCKET
    return REVIEW_BUCKET if spelled in REVIEW_NAMES else spelled or PLAN_BUCKET


# ---- headers --------------------------------------------------------------------------------------------------------


def read_limits(headers: Mapping[str, str], now_s: float) -> RateLimits | None:
    """Return the windows of every header family, or None when the answer says nothing about quota."""
    families = {
        name.removesuffix(SUFFIX).removesuffix(SECONDARY_SUFFIX)
        for name in headers
        if name.endswith((SUFFIX, SECONDARY_SUFFIX)) and name.startswith("x-")
    }
    plan = headers.get("x-codex-plan-type")
    if not families and plan is None:
        return None
    windows: dict[str, dict[str, QuotaWindow]] = {}
    names: dict[str, str] = {}
    for family in sorted(families)[:MAX_FAMILIES]:
        read = {
            which: window
            for which in WINDOWS
            if (window := _header_window(headers, f"{family}-{which}", now_s)) is not None
        }
        if read:
            bucket = bucket_id(family.removeprefix("x-"))
            windows[bucket] = read
            if label := headers.get(f"{family}-limit-name"):
                names[bucket] = label[:MAX_NAME_CHARS]
    return RateLimits(
        plan=plan,
        active_limit=headers.get("x-codex-active-limit"),
        windows=windows,
        names=names,
        credits=_header_credits(headers),
    )


def _header_window(headers: Mapping[str, str], prefix: str, now_s: float) -> QuotaWindow | None:
    minutes = number(headers.get(f"{prefix}-window-minutes"))
    return _window(
        used=headers.get(f"{prefix}-used-percent"),
        minutes=minutes,
        at=headers.get(f"{prefix}-reset-at"),
        after=headers.get(f"{prefix}-reset-after-seconds"),
        now_s=now_s,
    )


def _header_credits(headers: Mapping[str, str]) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for name in ("has-credits", "unlimited"):
        value = headers.get(f"x-codex-credits-{name}")
        if value is not None:
            found[name.replace("-", "_")] = value.strip().lower() in TRUE_WORDS
    balance = headers.get("x-codex-credits-balance")
    if balance is not None:
        found["balance"] = balance
    return found


# ---- the frame of a stream ------------------------------------------------------------------------------------------


def frame_limits(data: bytes, now_s: float) -> RateLimits | None:
    """Return what the data of such an event says; None when it cannot be read."""
    try:
        parsed = jsonio.loads(data)
    except ValueError:
        return None
    return read_frame(parsed, now_s) if is_object(parsed) else None


def read_frame(data: Mapping[str, Any], now_s: float) -> RateLimits | None:
    """Return what a `codex.rate_limits` event says; None when it says nothing.

    A frame about another limit names it and uses the same fields for it (spec/wire.md §4.10).
    """
    named = next((data[key] for key in ("metered_limit_name", "limit_name", "limit_id") if data.get(key)), "")
    found = _Found(now_s)
    found.add(bucket_id(named if isinstance(named, str) else ""), data.get("rate_limits"))
    found.add(REVIEW_BUCKET, data.get("code_review_rate_limits"))
    more = data.get("additional_rate_limits")
    for name, limits in list(more.items())[:MAX_FAMILIES] if is_object(more) else ():
        found.add(bucket_id(name), limits, name=name)
    plan, allowance = data.get("plan_type"), data.get("credits")
    return found.limits(
        plan=plan if isinstance(plan, str) and plan else None, credits=allowance if is_object(allowance) else {}
    )


# ---- the usage endpoint ---------------------------------------------------------------------------------------------


def read_usage(data: Mapping[str, Any], now_s: float) -> RateLimits | None:
    """Return what `/wham/usage` says, which is everything; None when it has no `rate_limit` (spec/wire.md §1.6)."""
    if not is_object(data.get("rate_limit")):
        return None
    found = _Found(now_s)
    found.add(PLAN_BUCKET, data["rate_limit"])
    found.add(REVIEW_BUCKET, data.get("code_review_rate_limit"))
    more = data.get("additional_rate_limits")
    for entry in more[:MAX_FAMILIES] if is_array(more) else ():
        if is_object(entry):
            label = entry.get("limit_name")
            name = next((n for n in (entry.get("metered_feature"), label) if isinstance(n, str) and n), "")
            if name:
                found.add(bucket_id(name), entry.get("rate_limit"), name=label if isinstance(label, str) else name)
    plan, allowance, resets = data.get("plan_type"), data.get("credits"), data.get("rate_limit_reset_credits")
    left = number(resets.get("available_count")) if is_object(resets) else None
    return found.limits(
        plan=plan if isinstance(plan, str) and plan else None,
        credits=allowance if is_object(allowance) else {},
        reset_credits=int(left) if left is not None else None,
        is_whole=True,
    )


class _Found:
    """Collects buckets from JSON. A window's length is in minutes or in seconds; the field's name says which."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s
        self._windows: dict[str, dict[str, QuotaWindow]] = {}
        self._names: dict[str, str] = {}
        self._blocked: list[str] = []
        self._allowed: list[str] = []

    def add(self, bucket: str, limits: Any, *, name: str = "") -> None:
        """Note one bucket; anything but an object says nothing."""
        if not is_object(limits):
            return
        if read := dict(self._read_windows(limits)):
            self._windows[bucket] = read
        if limits.get("limit_reached") is True or limits.get("allowed") is False:
            self._blocked.append(bucket)
        elif limits.get("allowed") is True:
            self._allowed.append(bucket)
        if name:
            self._names[bucket] = name[:MAX_NAME_CHARS]

    def limits(self, **more: Any) -> RateLimits | None:
        """Return everything; None when nothing was found."""
        if not (self._windows or self._blocked or self._allowed or more.get("plan") or more.get("credits")):
            return None
        return RateLimits(
            windows=self._windows,
            names=self._names,
            blocked=tuple(self._blocked),
            allowed=tuple(self._allowed),
            **more,
        )

    def _read_windows(self, limits: Mapping[str, Any]) -> Iterator[tuple[str, QuotaWindow]]:
        for which in WINDOWS:
            raw = limits.get(which) or limits.get(f"{which}_window")
            if not is_object(raw):
                continue
            length = number(raw.get("window_minutes"))
            if length is None:
                seconds = number(raw.get("limit_window_seconds"))
                length = seconds / 60 if seconds is not None else None
            window = _window(
                used=raw.get("used_percent"),
                minutes=length,
                at=raw.get("reset_at") or raw.get("resets_at"),
                after=raw.get("reset_after_seconds"),
                now_s=self._now_s,
            )
            if window is not None:
                yield which, window


# ---- shared ---------------------------------------------------------------------------------------------------------


def _window(*, used: object, minutes: float | None, at: object, after: object, now_s: float) -> QuotaWindow | None:
    used_percent = number(used)
    if used_percent is None:
        return None
    reset_at = number(at)
    if reset_at is None:
        wait_s = number(after)
        reset_at = now_s + wait_s if wait_s is not None else None
    if used_percent == 0 and not minutes and reset_at is None:
        return None  # an empty window: the official rule does not count it
    if reset_at is not None and not 0 < reset_at <= now_s + MAX_RESET_S:
        reset_at = None
    return QuotaWindow(
        used_percent=min(max(used_percent, 0.0), 1000.0),
        window_minutes=int(minutes) if minutes and minutes >= 1 else None,
        reset_at=reset_at,
    )


def number(value: object) -> float | None:
    """Return a finite number, or None for anything else (absent, empty, NaN, words)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None
