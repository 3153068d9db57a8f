"""What answers of the upstream teach about an account: its limits and its cookies.

Each lesson counts at once in this process, and is reported for the account's row; which answer teaches what is the
provider's to say. Never asks anything and never reaches the database. Read next: `accounts/quota_board.py`,
`accounts/cookie_board.py`, `accounts/reporting.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from accounts.cookie_board import CookieBoard
from accounts.pool import AccountPool
from accounts.values import AccountReport, AccountView
from providers.contract import RateLimits


class Lessons:
    """Takes note of what answers say. One per process; `on_report` takes what the rows should know."""

    def __init__(
        self, pool: AccountPool, on_report: Callable[[AccountReport], None], clock: Callable[[], float]
    ) -> None:
        self._pool = pool
        self._on_report = on_report
        self._clock = clock
        self._cookies = CookieBoard()

    def limits(self, account: AccountView, limits: RateLimits | None) -> None:
        """Take note of what an answer said about the account's limits, if anything."""
        if limits is not None:
            now = self._clock()
            self._pool.learn(account, limits, now=now)
            self._on_report(AccountReport(account_id=account.id, limits=limits, limits_at=now))

    def cookies(self, account: AccountView, url: str, headers: Mapping[str, str]) -> None:
        """Keep the cookies that an answer from `url` set."""
        set_cookie = headers.get("set-cookie")
        changed = self._cookies.learn(account, url, set_cookie, self._clock()) if set_cookie else ()
        if changed:
            self._on_report(AccountReport(account_id=account.id, cookies=changed))

    def cookie_header(self, account: AccountView, url: str) -> str:
        """Return the `Cookie` header of a call of `account` to `url`; empty when there is none."""
        return self._cookies.header(account, url, self._clock())

    def forget_cookies(self, account: AccountView) -> None:
        """Let go of all cookies of an account: they are why it is refused."""
        if self._cookies.forget(account):
            self._on_report(AccountReport(account_id=account.id, forgets_cookies=True))
