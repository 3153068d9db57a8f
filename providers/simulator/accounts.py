"""The accounts the simulated backend knows: identity, tokens, quota, credits, state (wire.md §7, §13.1.2).

Tokens live here because the auth server and the backend must agree on them. Refresh tokens are single-use. In an
open registry a well-formed token minted elsewhere registers its account on first sight. Next: `oauth.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from providers.simulator import tokens
from providers.simulator.quota import Bucket, Credits, Window

State = Literal["ok", "expired", "invalidated", "deactivated", "forbidden", "challenged"]
SPARK_BUCKET = "codex_bengalfox"


def iso(moment: float) -> str:
    """Return a time as the backend writes it in JSON."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class ResetCredit:
    """One banked quota reset."""

    id: str
    granted_at: float
    status: str = "available"
    redeemed_at: float | None = None


@dataclass
class SimAccount:
    """One login and workspace. Invariant: at most one refresh token is good at any time."""

    id: str
    chatgpt_account_id: str
    user_id: str
    email: str
    clock: Callable[[], float]
    plan: str = "plus"
    state: State = "ok"
    bucket: Bucket = field(default_factory=Bucket)
    spark: Bucket = field(default_factory=lambda: Bucket(SPARK_BUCKET, "GPT-5.3-Codex-Spark", secondary=None))
    credits: Credits = field(default_factory=Credits)
    reset_credits: list[ResetCredit] = field(default_factory=list)
    models: frozenset[str] | None = None
    """Entitled model slugs; None means what the plan gives."""
    percent_per_request: float = 0.0
    lifetime_s: float = tokens.ACCESS_LIFETIME_S
    access_token: str = ""
    id_token: str = ""
    refresh_token: str | None = None
    spent_refresh_tokens: dict[str, float] = field(default_factory=dict)
    dead_access_tokens: set[str] = field(default_factory=set)
    client_version: str | None = None
    refreshes: int = 0
    serial: int = 0

    def __post_init__(self) -> None:
        if not self.access_token:
            self.mint()

    @property
    def primary(self) -> Window:
        """Return the short window of the plan."""
        assert self.bucket.primary is not None
        return self.bucket.primary

    @property
    def secondary(self) -> Window:
        """Return the long window of the plan."""
        assert self.bucket.secondary is not None
        return self.bucket.secondary

    def mint(self, lifetime_s: float | None = None) -> None:
        """Give the account a new access token and id token."""
        self.serial += 1
        who: dict[str, Any] = {"user_id": self.user_id, "plan": self.plan, "email": self.email, "now": self.clock()}
        life = self.lifetime_s if lifetime_s is None else lifetime_s
        self.access_token = tokens.mint_access_token(
            self.chatgpt_account_id, lifetime_s=life, serial=self.serial, **who
        )
        self.id_token = tokens.mint_id_token(self.chatgpt_account_id, **who)

    def rotate_refresh_token(self) -> str:
        """Spend the refresh token and return its successor."""
        if self.refresh_token:
            self.spent_refresh_tokens[self.refresh_token] = self.clock()
        self.serial += 1
        digest = hashlib.sha256(f"{self.chatgpt_account_id}/{self.user_id}/{self.serial}".encode()).hexdigest()
        self.refresh_token = f"rt_{digest[:56]}"
        return self.refresh_token

    def expire_access_token(self) -> None:
        """Make the backend answer `token_expired` to the access token in use now."""
        self.dead_access_tokens.add(self.access_token)

    def auth_json(self) -> dict[str, Any]:
        """Return what the Codex CLI would have in its `auth.json`."""
        stamp = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "auth_mode": "chatgpt",
            "OPENAI_API_KEY": None,
            "tokens": {
                "id_token": self.id_token,
                "access_token": self.access_token,
                "refresh_token": self.refresh_token,
                "account_id": self.chatgpt_account_id,
            },
            "last_refresh": stamp,
        }

    def summary(self) -> dict[str, Any]:
        """Return the account as the control interface shows it, tokens included."""
        return {
            "id": self.id,
            "chatgpt_account_id": self.chatgpt_account_id,
            "user_id": self.user_id,
            "email": self.email,
            "plan": self.plan,
            "state": self.state,
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "primary_used_percent": self.primary.used_percent if self.bucket.primary else None,
            "secondary_used_percent": self.secondary.used_percent if self.bucket.secondary else None,
            "auth_json": self.auth_json(),
        }


class Registry:
    """All accounts of one simulator. Invariant: ids are unique and tokens find at most one account."""

    def __init__(self, clock: Callable[[], float], *, is_strict: bool = False) -> None:
        self.clock = clock
        self.is_strict = is_strict
        self.by_id: dict[str, SimAccount] = {}
        self._seen: dict[str, SimAccount] = {}

    def __iter__(self) -> Iterator[SimAccount]:
        return iter(list(self.by_id.values()))

    def __len__(self) -> int:
        return len(self.by_id)

    def add(self, account_id: str | None = None, **fields: Any) -> SimAccount:
        """Register an account; whatever is not given is made up from its number."""
        number = len(self.by_id) + 1
        key = account_id or f"sim-{number}"
        primary = fields.pop("primary_used_percent", 0.0)
        secondary = fields.pop("secondary_used_percent", 0.0)
        credits_left = fields.pop("reset_credits_available", 1)
        fields.setdefault("chatgpt_account_id", f"{number:08x}-0000-4000-8000-{number:012x}")
        fields.setdefault("user_id", f"user-sim{number:04d}")
        fields.setdefault("email", f"{key}@example.com")
        account = SimAccount(id=key, clock=self.clock, **fields)
        if account.refresh_token is None:
            account.rotate_refresh_token()
        account.primary.used_percent = primary
        account.secondary.used_percent = secondary
        for index in range(credits_left):
            account.reset_credits.append(ResetCredit(f"rc_{key}_{index + 1}", self.clock()))
        self.by_id[key] = account
        return account

    def find(self, key: str) -> SimAccount | None:
        """Return the account with this id, workspace id or e-mail."""
        for account in self.by_id.values():
            if key in (account.id, account.chatgpt_account_id, account.email):
                return account
        return None

    def by_access_token(self, token: str) -> SimAccount | None:
        """Return whom the token belongs to; register a stranger when the registry is open."""
        account = self._seen.get(token)
        if account is None and (account := self._by_claims(token)) is not None:
            self._seen[token] = account
        return account

    def _by_claims(self, token: str) -> SimAccount | None:
        claims = tokens.decode_claims(token)
        if claims is None:
            return None
        auth = claims.get(tokens.AUTH_CLAIM)
        if not isinstance(auth, dict):
            return None
        workspace = auth.get("chatgpt_account_id")
        if not isinstance(workspace, str) or not workspace:
            return None
        user = auth.get("chatgpt_user_id") or auth.get("user_id") or "user-unknown"
        for account in self.by_id.values():
            if account.chatgpt_account_id == workspace and account.user_id == user:
                return account
        if self.is_strict:
            return None
        profile = claims.get(tokens.PROFILE_CLAIM) or {}
        key = workspace if workspace not in self.by_id else f"{workspace}/{user}"
        account = SimAccount(
            id=key,
            chatgpt_account_id=workspace,
            user_id=user,
            email=profile.get("email") or f"{user}@example.com",
            plan=auth.get("chatgpt_plan_type") or "plus",
            clock=self.clock,
            access_token=token,
            reset_credits=[ResetCredit(f"rc_{len(self.by_id) + 1}_1", self.clock())],
        )
        self.by_id[key] = account
        return account

    def by_refresh_token(self, token: str) -> SimAccount | None:
        """Return the account this refresh token is or was for; adopt a stranger's when the registry is open."""
        for account in self.by_id.values():
            if token == account.refresh_token or token in account.spent_refresh_tokens:
                return account
        if self.is_strict or not token.startswith(("rt_", "oaistb_rt_")):
            return None
        # A login imported from elsewhere shows its access token first and its refresh token later.
        for account in reversed(list(self.by_id.values())):
            if account.refresh_token is None:
                account.refresh_token = token
                return account
        return self.add(f"refresh-{hashlib.sha256(token.encode()).hexdigest()[:8]}", refresh_token=token)
