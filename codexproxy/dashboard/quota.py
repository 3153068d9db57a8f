"""How much the whole pool has left, and which accounts are nearly used up: for the overview, in two queries or so.

Thresholds are live settings; the warnings are computed when they are read, so that they are never stale.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts import quota
from accounts.models import Account, AccountStatus
from accounts.quota import PLAN_BUCKET, Quota
from accounts.quota_words import QuotaBar, bars, warning_words, window_title
from codexproxy.live_settings import setting_values

WARNINGS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class AccountWarning:
    """An account whose limit is nearly used up. `level` is `warning` or `critical`."""

    account_id: str
    email: str
    name: str
    window: str
    level: str
    used_percent: float
    reset_at: float | None
    words: str


@dataclass(frozen=True, kw_only=True)
class PoolQuota:
    """What active accounts have left on average, by length of window, and their warnings, the worst first."""

    windows: tuple[QuotaBar, ...]
    warnings: tuple[AccountWarning, ...]

    @property
    def shown(self) -> tuple[AccountWarning, ...]:
        """Return those that fit on the overview."""
        return self.warnings[:WARNINGS_SHOWN]

    @property
    def hidden(self) -> int:
        """Return how many do not."""
        return max(0, len(self.warnings) - WARNINGS_SHOWN)


def pool_quota(now: datetime) -> PoolQuota:
    """Return the pool's limits at `now`."""
    rows = [
        (row, quota.load(row.quota))
        for row in Account.objects.filter(status=AccountStatus.ACTIVE).only("id", "label", "email", "quota")
    ]
    steps = warning_steps()
    warnings = [warning for row, known in rows for warning in _warnings(row, known, steps, now.timestamp())]
    return PoolQuota(
        windows=_averages([known for _, known in rows], now.timestamp()),
        warnings=tuple(sorted(warnings, key=lambda warning: (-warning.used_percent, warning.name))),
    )


def warning_steps() -> dict[str, tuple[int, ...]]:
    """Return from which percentages on a window warns, by window."""
    windows = ("primary", "secondary")
    return dict(zip(windows, setting_values(*(f"quota.warning_thresholds.{which}" for which in windows)), strict=True))


def _warnings(row: Account, known: Quota, steps: Mapping[str, Sequence[int]], now: float) -> list[AccountWarning]:
    return [
        AccountWarning(
            account_id=row.pk,
            email=row.email,
            name=str(row),
            window=found.window,
            level=found.level,
            used_percent=found.used_percent,
            reset_at=found.reset_at,
            words=warning_words(found, known, now),
        )
        for found in quota.warnings(known, steps, now)
    ]


def _averages(all_known: list[Quota], now: float) -> tuple[QuotaBar, ...]:
    """Group the plan's windows by length; the reset shown is the soonest."""
    found: dict[str, list[QuotaBar]] = defaultdict(list)
    lengths: dict[str, int] = {}
    for known in all_known:
        for window in known.windows.get(PLAN_BUCKET, {}).values():
            lengths[window_title(window.window_minutes)] = window.window_minutes or 0
        for bar in bars(known, now):
            if not bar.bucket:
                found[bar.window].append(bar)
    return tuple(_average(found[title]) for title in sorted(found, key=lambda title: lengths[title]))


def _average(same: list[QuotaBar]) -> QuotaBar:
    left = round(sum(bar.left_percent for bar in same) / len(same))
    level = "empty" if left == 0 else "low" if all(bar.level != "good" for bar in same) else "good"
    reset = same[0].reset if len(same) == 1 else ""
    return QuotaBar(bucket="", window=same[0].window, left_percent=left, reset=reset, level=level)
