"""The cookies of accounts as this process knows them: those of the snapshot, and what it heard since.

What one process got reaches the others with the next snapshot. Bounded; never imports Django, never logs a value.
Rules of what is kept and where it goes: `accounts/cookies.py`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from urllib.parse import urlsplit

from accounts.cookies import Cookie, captured, header_for
from accounts.values import AccountView

MAX_ACCOUNTS = 20_000


class CookieBoard:
    """Latest cookies of each account that got or lost one in this process."""

    def __init__(self) -> None:
        self._live: dict[str, tuple[tuple[Cookie, ...], tuple[Cookie, ...]]] = {}
        """Account → the snapshot's cookies that were known then, and what they became."""

    def header(self, account: AccountView, url: str, now: float) -> str:
        """Return the `Cookie` header of a call of `account` to `url`; empty when there is none."""
        known = self._known(account)
        return header_for(known, host=host_of(url), egress=exit_of(account.egress), now=now) if known else ""

    def learn(self, account: AccountView, url: str, set_cookie: str, now: float) -> tuple[Cookie, ...]:
        """Keep what an answer set (`Set-Cookie`, one a line); returns what changed, for the row."""
        known = {_place(cookie): cookie for cookie in self._known(account)}
        found = captured(set_cookie.split("\n"), host=host_of(url), egress=exit_of(account.egress), now=now)
        changed = tuple(cookie for cookie in found if known.get(_place(cookie)) != cookie)
        if changed:
            self._keep(account, tuple({**known, **{_place(cookie): cookie for cookie in changed}}.values()))
        return changed

    def forget(self, account: AccountView) -> bool:
        """Drop what was kept by itself; tells whether there was any. What an operator set stays."""
        known = self._known(account)
        kept = tuple(cookie for cookie in known if cookie.is_manual)
        if len(kept) < len(known):
            self._keep(account, kept)
        return len(kept) < len(known)

    def _known(self, account: AccountView) -> tuple[Cookie, ...]:
        live = self._live.get(account.id)
        # once the snapshot has others than those that were changed here, it is the newer one
        return live[1] if live is not None and live[0] == account.cookies else account.cookies

    def _keep(self, account: AccountView, cookies: tuple[Cookie, ...]) -> None:
        if len(self._live) >= MAX_ACCOUNTS and account.id not in self._live:
            self._live.clear()
        self._live[account.id] = (account.cookies, cookies)


def exit_of(egress: str | None) -> str:
    """Name an exit without its address, which may hold a password."""
    return hashlib.sha256(egress.encode()).hexdigest()[:16] if egress else ""


@lru_cache(maxsize=256)
def host_of(url: str) -> str:
    """Return the host of an address, lower case."""
    return (urlsplit(url).hostname or "").lower()


def _place(cookie: Cookie) -> tuple[str, str, str]:
    return (cookie.name, cookie.host, cookie.egress)
