"""Reads the quota header families of an answer (spec/wire.md §5.1). Malformed values count as absent."""

from __future__ import annotations

import math
from collections.abc import Mapping

from providers.contract import QuotaWindow, RateLimits

SUFFIX = "-primary-used-percent"
SECONDARY_SUFFIX = "-secondary-used-percent"
WINDOWS = ("primary", "secondary")
MAX_FAMILIES = 16
TRUE_WORDS = ("true", "1")


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
    for family in sorted(families)[:MAX_FAMILIES]:
        read = {
            which: window for which in WINDOWS if (window := _window(headers, f"{family}-{which}", now_s)) is not None
        }
        if read:
            windows[family.removeprefix("x-").replace("-", "_")] = read
    return RateLimits(
        plan=plan,
        active_limit=headers.get("x-codex-active-limit"),
        windows=windows,
        credits=_credits(headers),
    )


def _window(headers: Mapping[str, str], prefix: str, now_s: float) -> QuotaWindow | None:
    used = number(headers.get(f"{prefix}-used-percent"))
    if used is None:
        return None
    minutes = number(headers.get(f"{prefix}-window-minutes"))
    reset_at = number(headers.get(f"{prefix}-reset-at"))
    if reset_at is None:
        after = number(headers.get(f"{prefix}-reset-after-seconds"))
        reset_at = now_s + after if after is not None else None
    if used == 0 and not minutes and reset_at is None:
        return None  # an empty window: the official rule does not count it
    return QuotaWindow(used_percent=used, window_minutes=int(minutes) if minutes else None, reset_at=reset_at)


def _credits(headers: Mapping[str, str]) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for name in ("has-credits", "unlimited"):
        value = headers.get(f"x-codex-credits-{name}")
        if value is not None:
            found[name.replace("-", "_")] = value.strip().lower() in TRUE_WORDS
    balance = headers.get("x-codex-credits-balance")
    if balance is not None:
        found["balance"] = balance
    return found


def number(value: object) -> float | None:
    """Return a finite number, or None for anything else (absent, empty, NaN, words)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None
