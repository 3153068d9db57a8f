"""What this process has learned of quota since the snapshot was loaded, so that a limit holds from the next request on.

The row is the truth and reaches every process with the next snapshot; the newer of the two counts. Never imports
Django. Read `accounts/quota.py` first.
"""

from __future__ import annotations

from accounts import quota
from accounts.quota import Quota
from accounts.values import AccountView
from providers.contract import RateLimits

MAX_ACCOUNTS = 20_000


class QuotaBoard:
    """The latest quota of each account, for one process."""

    def __init__(self) -> None:
        self._live: dict[str, Quota] = {}
        self.changes = 0
        """Grows whenever an account may have become used up, or open again."""

    def of(self, account: AccountView) -> Quota:
        """Return the newer of what the snapshot says and what this process heard."""
        live = self._live.get(account.id)
        return live if live is not None and live.changed_at > account.quota.changed_at else account.quota

    def exhausted_until(self, account: AccountView, model: str, now: float) -> float | None:
        """See `quota.exhausted_until`."""
        return quota.exhausted_until(self.of(account), model, now)

    def learn(self, account: AccountView, limits: RateLimits, now: float) -> Quota:
        """Merge what an answer said; returns the result."""
        return self._keep(account, quota.merge(self.of(account), limits, now))

    def lock(self, account: AccountView, bucket: str, until: float, now: float, *, is_guess: bool) -> None:
        """Close a bucket because of a refusal."""
        self._keep(account, quota.lock(self.of(account), bucket, until, now, is_guess=is_guess))

    def _keep(self, account: AccountView, found: Quota) -> Quota:
        if len(self._live) >= MAX_ACCOUNTS and account.id not in self._live:
            self._live.clear()  # accounts come and go; the snapshot still knows all that lasts
        if _is_full(found) or _is_full(self.of(account)):
            self.changes += 1
        self._live[account.id] = found
        return found


def _is_full(known: Quota) -> bool:
    """Tell whether anything is locked or used up, be it for a moment only."""
    return bool(known.locks) or any(
        window.used_percent >= 100 for named in known.windows.values() for window in named.values()
    )
