"""What the hot path knows of accounts and api keys: frozen views, loaded from rows by `loader.py`.

Never imports Django. Times are unix seconds.
"""

from __future__ import annotations

from msgspec import Struct

from accounts.cookies import Cookie
from accounts.quota import Quota
from providers.contract import Credential, RateLimits


class AccountView(Struct, frozen=True, kw_only=True):
    """One upstream login, as the pool sees it. `token_expires_at` None means unknown.

    `cooling_until`/`cooling_reason` are the persisted part of a cooldown; the shared state knows the live part. `pools`
    are the labels that api keys may be restricted to.
    """

    id: str
    provider: str
    credential: Credential
    label: str = ""
    email: str = ""
    plan: str | None = None
    is_usable: bool = True
    unusable_reason: str = ""
    unusable_kind: str = ""
    max_concurrency: int = 3
    token_expires_at: float | None = None
    has_refresh_token: bool = False
    cooling_until: float = 0.0
    cooling_reason: str = ""
    request_count: int = 0
    last_used_at: float = 0.0
    window_reset_at: float | None = None
    quota: Quota = Quota()
    cookies: tuple[Cookie, ...] = ()
    pools: tuple[str, ...] = ()
    egress: str | None = None


class ApiKeyView(Struct, frozen=True, kw_only=True):
    """One credential of a client. Empty `allowed_models` means every model, an empty `pool` every account."""

    id: int
    user_id: int
    name: str
    prefix: str
    is_active: bool = True
    inactive_reason: str = ""
    is_admin: bool = False
    expires_at: float | None = None
    allowed_models: tuple[str, ...] = ()
    max_concurrency: int | None = None
    pool: str = ""


class PoolRules(Struct, frozen=True, kw_only=True):
    """How accounts are chosen, and how long a request may wait for one. Part of the live settings.

    `pace_s`: a request that finds another one on its account is held back until about this long after that one's
    start, never longer; 0 is off. `tiers`: plans, the preferred first; those not named come last. `wait_s` and
    `max_waiting` bound the line for a free slot.
    """

    strategy: str = "least_used"
    tiers: tuple[str, ...] = ()
    pace_s: float = 0.05
    wait_s: float = 30.0
    max_waiting: int = 512


class AccountReport(Struct, frozen=True, kw_only=True):
    """What the hot path learned about one account; flows up in batches to `services.accounts_report`.

    `rejection` is `AccountRejected.reason` (expired, invalidated, banned, forbidden, payment) or empty; `message` is
    the upstream's own words. `bucket`: the rest is of this bucket of the quota, not of the whole account;
    `is_guess`: its end is not the upstream's word. `cookies` were set (empty value: unset) after
    `forgets_cookies` dropped those that were kept by themselves. Times are unix seconds.
    """

    account_id: str
    requests: int = 0
    used_at: float | None = None
    cooling_until: float | None = None
    cooling_reason: str = ""
    bucket: str = ""
    is_guess: bool = False
    limits: RateLimits | None = None
    limits_at: float | None = None
    cookies: tuple[Cookie, ...] = ()
    forgets_cookies: bool = False
    rejection: str = ""
    message: str = ""
