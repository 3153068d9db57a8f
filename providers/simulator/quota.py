"""Quota windows and the three shapes in which the backend reports them (wire.md §1.6, §4.10, §5.1).

Headers count minutes, the usage endpoint counts seconds, booleans in headers are spelt as Python spells them.
Pure: time is an argument. Next: `accounts.py` owns the windows, `headers.py` puts them on replies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PRIMARY_MINUTES = 300
SECONDARY_MINUTES = 10_080


@dataclass
class Window:
    """One quota window. Invariant: `reset_at` is None until the first use starts the window."""

    minutes: int
    used_percent: float = 0.0
    reset_at: float | None = None

    def roll(self, now: float) -> None:
        """Start a fresh window when the old one is over."""
        if self.reset_at is None:
            self.reset_at = now + self.minutes * 60
        elif now >= self.reset_at:
            self.used_percent = 0.0
            self.reset_at = now + self.minutes * 60

    def seconds_left(self, now: float) -> int:
        """Return the whole seconds until the reset."""
        return max(0, int((self.reset_at or now) - now))

    @property
    def is_exhausted(self) -> bool:
        """Whether nothing is left."""
        return self.used_percent >= 100

    def usage_json(self, now: float) -> dict[str, Any]:
        """Return the window as the usage endpoint shows it (seconds)."""
        self.roll(now)
        return {
            "used_percent": int(self.used_percent),
            "limit_window_seconds": self.minutes * 60,
            "reset_after_seconds": self.seconds_left(now),
            "reset_at": int(self.reset_at or 0),
        }

    def event_json(self, now: float) -> dict[str, Any]:
        """Return the window as the `codex.rate_limits` event shows it (minutes)."""
        self.roll(now)
        return {
            "used_percent": float(self.used_percent),
            "window_minutes": self.minutes,
            "reset_after_seconds": self.seconds_left(now),
            "reset_at": int(self.reset_at or 0),
        }


@dataclass
class Bucket:
    """One metered limit: the plan's own (`codex`) or a model's (`codex_bengalfox`)."""

    limit_id: str = "codex"
    name: str | None = None
    primary: Window | None = field(default_factory=lambda: Window(PRIMARY_MINUTES))
    secondary: Window | None = field(default_factory=lambda: Window(SECONDARY_MINUTES))

    @property
    def windows(self) -> list[Window]:
        """Return the windows this bucket has."""
        return [window for window in (self.primary, self.secondary) if window is not None]

    def blocking(self, now: float) -> Window | None:
        """Return the exhausted window that opens last, or None when calls are allowed."""
        for window in self.windows:
            window.roll(now)
        spent = [window for window in self.windows if window.is_exhausted]
        return max(spent, key=lambda window: window.reset_at or 0) if spent else None

    def spend(self, percent: float, now: float) -> None:
        """Count one call; the long window fills a sixth as fast as the short one."""
        for window, share in zip(self.windows, (1.0, 1 / 6), strict=False):
            window.roll(now)
            window.used_percent = min(100.0, window.used_percent + percent * share)

    def reset(self) -> int:
        """Empty all windows; return how many had been used."""
        used = [window for window in self.windows if window.used_percent > 0]
        for window in used:
            window.used_percent = 0.0
            window.reset_at = None
        return len(used)

    def rate_limit_json(self, now: float) -> dict[str, Any]:
        """Return the `rate_limit` object of the usage endpoint."""
        blocked = self.blocking(now) is not None
        return {
            "allowed": not blocked,
            "limit_reached": blocked,
            "primary_window": self.primary.usage_json(now) if self.primary else None,
            "secondary_window": self.secondary.usage_json(now) if self.secondary else None,
        }

    def headers(self, now: float) -> list[tuple[str, str]]:
        """Return the header family of this bucket."""
        prefix = "x-" + self.limit_id.replace("_", "-")
        lines: list[tuple[str, str]] = []
        for label, window in (("primary", self.primary), ("secondary", self.secondary)):
            if window is None:
                continue
            window.roll(now)
            lines += [
                (f"{prefix}-{label}-used-percent", f"{window.used_percent:g}"),
                (f"{prefix}-{label}-window-minutes", str(window.minutes)),
                (f"{prefix}-{label}-reset-at", str(int(window.reset_at or 0))),
                (f"{prefix}-{label}-reset-after-seconds", str(window.seconds_left(now))),
            ]
        lines.append((f"{prefix}-primary-over-secondary-limit-percent", "0"))
        if self.name:
            lines.append((f"{prefix}-limit-name", self.name))
        return lines


@dataclass
class Credits:
    """Paid credits of an account."""

    has_credits: bool = False
    is_unlimited: bool = False
    balance: str = "0"

    def headers(self) -> list[tuple[str, str]]:
        """Return the credit headers; booleans read `True` and `False`, as measured."""
        return [
            ("x-codex-credits-has-credits", str(self.has_credits)),
            ("x-codex-credits-unlimited", str(self.is_unlimited)),
            ("x-codex-credits-balance", self.balance),
        ]

    def usage_json(self) -> dict[str, Any]:
        """Return the `credits` object of the usage endpoint."""
        return {
            "has_credits": self.has_credits,
            "unlimited": self.is_unlimited,
            "overage_limit_reached": False,
            "balance": self.balance,
            "approx_local_messages": [0, 0],
            "approx_cloud_messages": [0, 0],
        }
