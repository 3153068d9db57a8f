"""What the account routes take and give: names and shapes of spec/operations.md §1 and §13.5. Never a token.

Statuses of the wire are the field's common ones; our own, finer state goes beside them (`state`, `stateReason`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Field, Schema

from accounts.importing import MAX_LABEL_CHARS
from accounts.models import Account, AccountStatus, PendingLogin
from accounts.selectors import iso
from accounts.status import describe
from codexproxy.api.management.quota import account_quota

MAX_IDS = 1000
_WIRE_STATUS: dict[str, str] = {
    AccountStatus.NEEDS_LOGIN: "expired",
    AccountStatus.UNPAID: "quota_exhausted",
    AccountStatus.BANNED: "banned",
    AccountStatus.DISABLED: "disabled",
    AccountStatus.PAUSED: "disabled",
}


class Success(Schema):
    """It is done."""

    success: bool = True


class ErrorOut(Schema):
    """It is not, and why."""

    error: str
    details: list[str] | None = None


class UsageOut(Schema):
    """What an account did, as far as usage records go back; `request_count` since it was added."""

    request_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    last_used: str | None = None


class AccountOut(Schema):
    """One account, as anyone who manages the gateway may see it."""

    id: str
    email: str | None
    accountId: str | None  # noqa: N815 -- names of the wire, here and below
    userId: str | None  # noqa: N815
    label: str | None
    planType: str | None  # noqa: N815
    status: Literal["active", "expired", "quota_exhausted", "refreshing", "disabled", "banned"]
    state: str
    stateReason: str  # noqa: N815
    stateUntil: str | None  # noqa: N815
    usage: UsageOut
    addedAt: str | None  # noqa: N815
    expiresAt: str | None  # noqa: N815
    hasRefreshToken: bool  # noqa: N815
    quota: dict[str, Any] | None
    quotaFetchedAt: str | None  # noqa: N815
    quotaVerifyRequired: bool  # noqa: N815
    quotaError: str | None = None  # noqa: N815


class AccountsOut(Schema):
    """The pool. `persistence_health` is for clients that expect it: here the database's checks say more."""

    accounts: list[AccountOut]
    persistence_health: dict[str, bool] = {"ok": True}


class AddIn(Schema):
    """One login; one of the tokens is enough."""

    token: str | None = Field(None, max_length=20_000)
    refreshToken: str | None = Field(None, max_length=4_000)  # noqa: N815
    label: str | None = Field(None, max_length=MAX_LABEL_CHARS)


class AddOut(Success):
    """The account it became."""

    account: AccountOut


class ImportedEntry(Schema):
    """What became of one entry."""

    place: str
    result: Literal["added", "updated", "refused"]
    id: str | None
    error: str | None


class ImportOut(Success):
    """What became of each entry; `errors` are those of `results` as sentences."""

    added: int
    updated: int
    failed: int
    errors: list[str]
    results: list[ImportedEntry]


class IdsIn(Schema):
    """Some accounts."""

    ids: list[str] = Field(min_length=1, max_length=MAX_IDS)


class BatchStatusIn(IdsIn):
    """What they shall be."""

    status: Literal["active", "disabled"]


class BatchStatusOut(Success):
    """How many are, and which are not there."""

    updated: int
    notFound: list[str]  # noqa: N815


class BatchDeleteOut(Success):
    """How many are gone, and which were not there."""

    deleted: int
    notFound: list[str]  # noqa: N815


class LabelIn(Schema):
    """A name; null takes it away."""

    label: str | None = Field(max_length=MAX_LABEL_CHARS)


class HealthIn(Schema):
    """Whom to ask about and how fast; without ids, all."""

    ids: list[str] | None = Field(None, max_length=MAX_IDS)
    stagger_ms: int = Field(3000, ge=500, le=30_000)
    concurrency: int = Field(2, ge=1, le=10)


class CheckOut(Schema):
    """How one login is; `skipped` says nothing about it, `error` says why."""

    id: str
    email: str | None
    previousStatus: str  # noqa: N815
    result: Literal["alive", "dead", "skipped"]
    error: str | None = None
    durationMs: int | None = None  # noqa: N815


class HealthSummary(Schema):
    """Counts."""

    total: int
    alive: int
    dead: int
    skipped: int


class HealthOut(Schema):
    """Counts, and each."""

    summary: HealthSummary
    results: list[CheckOut]


class LoginOut(Schema):
    """A browser log-in that has begun."""

    authUrl: str  # noqa: N815
    state: str
    listening: bool
    """Whether the browser's way back is caught here; if not, paste the address to `/auth/code-relay`."""


class RelayIn(Schema):
    """Where the browser was sent back to."""

    callbackUrl: str = Field(max_length=10_000)  # noqa: N815


class DeviceOut(Schema):
    """What to type where. `deviceCode` is the handle to poll with; the server's own never leaves this process."""

    userCode: str  # noqa: N815
    verificationUri: str  # noqa: N815
    verificationUriComplete: str  # noqa: N815
    deviceCode: str  # noqa: N815
    expiresIn: int  # noqa: N815
    interval: int


class DevicePoll(Schema):
    """`pending` with the reason, or `success`."""

    pending: bool | None = None
    code: Literal["authorization_pending", "slow_down"] | None = None
    success: bool | None = None


class TokenIn(Schema):
    """An access token."""

    token: str = Field(max_length=20_000)


class PasswordIn(Schema):
    """A person of the dashboard."""

    username: str = Field(max_length=150)
    password: str = Field(max_length=1_000)


class ConfirmIn(Schema):
    """The password again."""

    password: str = Field(max_length=1_000)


class LogoutIn(Schema):
    """The confirmation that the first call handed out."""

    confirm: str = Field("", max_length=300)


def wire_status(row: Account, now: datetime) -> str:
    """Return the status under its common name."""
    known = _WIRE_STATUS.get(row.status)
    if known is not None:
        return known
    if describe(row, now).kind == "needs_login":
        return "expired"
    return "refreshing" if row.lease_until is not None and row.lease_until > now else "active"


def account_out(row: Account, now: datetime, usage: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the public view of a row."""
    state = describe(row, now)
    return {
        "id": row.id,
        "email": row.email or None,
        "accountId": row.chatgpt_account_id or None,
        "userId": row.chatgpt_user_id or None,
        "label": row.label or None,
        "planType": row.plan or None,
        "status": wire_status(row, now),
        "state": state.kind,
        "stateReason": state.reason,
        "stateUntil": iso(row.cooling_until) if state.kind == "cooling" else None,
        "usage": {"request_count": row.request_count, "last_used": iso(row.last_used_at), **(usage or {})},
        "addedAt": iso(row.created_at),
        "expiresAt": iso(row.token_expires_at),
        "hasRefreshToken": bool(row.refresh_token),
        **account_quota(row, now),
    }


def device_out(row: PendingLogin, now: datetime) -> dict[str, Any]:
    """Return what a person needs to know of a device log-in."""
    return {
        "userCode": row.user_code,
        "verificationUri": row.verification_url,
        "verificationUriComplete": row.verification_url,
        "deviceCode": row.pk,
        "expiresIn": max(0, round((row.expires_at - now).total_seconds())),
        "interval": max(1, round(row.interval_s)),
    }
