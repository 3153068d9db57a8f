"""The `codex.rate_limits` frame, by which Codex shows its user the limits. Pure.

Over HTTP the same facts are headers of the answer. Units: percent, minutes, unix seconds. Facts: spec/wire.md §4.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.adapters.codex.limits import read_limits
from providers.contract import QuotaWindow
from translation.wire import jsonio

OWN = "codex"
"""The plan's own bucket; others are additional."""
FULL = 100.0


def rate_limits_frame(headers: Mapping[str, str], now_s: float) -> bytes | None:
    """Return the frame of what an answer's headers say about limits; None when they say nothing."""
    limits = read_limits(headers, now_s)
    if limits is None or not limits.windows:
        return None
    buckets = {name: _windows(windows, now_s) for name, windows in limits.windows.items()}
    own = buckets.pop(OWN, None)
    if own is not None:
        is_full = any(window.used_percent >= FULL for window in limits.windows[OWN].values())
        own = {"allowed": not is_full, "limit_reached": is_full, **own}
    return jsonio.dumps(
        {
            "type": "codex.rate_limits",
            "plan_type": limits.plan,
            "rate_limits": own,
            "code_review_rate_limits": None,
            "additional_rate_limits": buckets or None,
            "credits": dict(limits.credits) or None,
            "metered_limit_name": None,
            "limit_name": None,
            "promo": None,
        }
    )


def _windows(windows: Mapping[str, QuotaWindow], now_s: float) -> dict[str, Any]:
    return {which: _window(windows.get(which), now_s) for which in ("primary", "secondary")}


def _window(window: QuotaWindow | None, now_s: float) -> dict[str, Any] | None:
    if window is None:
        return None
    reset_at = window.reset_at
    return {
        "used_percent": window.used_percent,
        "window_minutes": window.window_minutes,
        "reset_after_seconds": None if reset_at is None else max(0, round(reset_at - now_s)),
        "reset_at": None if reset_at is None else round(reset_at),
    }
