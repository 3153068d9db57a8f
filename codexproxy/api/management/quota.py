"""The operators' JSON API of limits: live usage, warnings, banked resets, cookies (spec/operations.md §13.5, 48 to 55).

Mounted under `/auth` by whoever builds the API, which also decides who may call. The list of accounts adds
`account_quota` to each item, with live answers from `fresh_quota` for `?quota=fresh`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from ninja.errors import HttpError

from accounts import cookie_rows, cookies, quota
from accounts.models import Account, AccountStatus
from accounts.quota_words import quota_json
from accounts.selectors import iso
from accounts.services.errors import AccountsError
from accounts.services.quota import (
    ResetCooling,
    UpstreamSilent,
    quota_refresh,
    reset_credit_consume,
    reset_credits,
)
from codexproxy.dashboard.quota import pool_quota
from codexproxy.live_settings import setting_value
from providers.adapters.codex.account_calls import ResetCredit

router = Router(tags=["quota"])


class Redemption(Schema):
    """Which banked reset is meant to be spent; an id that is sent twice spends one."""

    redeem_request_id: str = ""


class TypedCookies(Schema):
    """Cookies as "a=1; b=2" or as an object."""

    cookies: str | dict[str, str]


def account_quota(row: Account, now: datetime) -> dict[str, Any]:
    """Return what a list item says of an account's limits, as last reported."""
    known = quota.load(row.quota)
    return {
        "quota": quota_json(known, row.plan, now.timestamp()),
        "quotaFetchedAt": iso(row.quota_at),
        "quotaVerifyRequired": quota.rolled(known, now.timestamp()).needs_check,
    }


def fresh_quota(rows: Sequence[Account]) -> dict[str, str]:
    """Ask for the limits of `rows`, `quota.concurrency` at once; returns why, for each account that did not answer."""
    checks = quota_refresh(rows=rows, concurrency=setting_value("quota.concurrency"))
    return {check.account_id: check.problem for check in checks if check.problem}


@router.get("/accounts/{account_id}/quota")
def live_quota(request: HttpRequest, account_id: str) -> dict[str, Any]:
    """Ask for one account's limits now."""
    row = _row(account_id)
    if row.status != AccountStatus.ACTIVE:
        raise HttpError(409, "This account is not active; the upstream is only asked about active ones.")
    [check] = quota_refresh(rows=[row], concurrency=1)
    if check.limits is None:
        raise HttpError(502, check.problem)
    row.refresh_from_db()
    return {"quota": account_quota(row, timezone.now())["quota"], "raw": check.raw}


@router.get("/quota/warnings")
def quota_warnings(request: HttpRequest) -> dict[str, Any]:
    """List the windows that reached a threshold, computed now."""
    now = timezone.now()
    found = pool_quota(now).warnings
    return {
        "warnings": [
            {
                "accountId": warning.account_id,
                "email": warning.email or None,
                "window": warning.window,
                "level": warning.level,
                "usedPercent": warning.used_percent,
                "resetAt": int(warning.reset_at) if warning.reset_at is not None else None,
            }
            for warning in found
        ],
        "updatedAt": iso(now),
    }


@router.get("/accounts/{account_id}/reset-credits")
def list_reset_credits(request: HttpRequest, account_id: str) -> dict[str, Any]:
    """List the banked resets of an account."""
    row = _row(account_id)
    try:
        found = reset_credits(row=row)
    except UpstreamSilent as problem:
        raise HttpError(502, str(problem)) from problem
    except AccountsError as problem:
        raise HttpError(409, str(problem)) from problem
    usable = [credit for credit in found if credit.is_usable]
    return {
        "credits": [_credit_json(credit) for credit in found],
        "available_count": len(usable),
        "next_expires_at": _moment(min((c.expires_at for c in usable if c.expires_at is not None), default=None)),
    }


@router.post("/accounts/{account_id}/reset-credits/consume")
def consume_reset_credit(request: HttpRequest, account_id: str, redemption: Redemption | None = None) -> dict[str, Any]:
    """Spend one banked reset; it cannot be taken back."""
    row = _row(account_id)
    if row.status != AccountStatus.ACTIVE:
        raise HttpError(409, "This account is not active.")
    wanted = redemption.redeem_request_id if redemption is not None else ""
    try:
        code = reset_credit_consume(row=row, actor=_actor(request), redeem_request_id=wanted)
    except ResetCooling as problem:
        raise HttpError(429, str(problem)) from problem
    except UpstreamSilent as problem:
        raise HttpError(502, str(problem)) from problem
    except AccountsError as problem:
        raise HttpError(400, str(problem)) from problem
    row.refresh_from_db()
    return {"success": code == "reset", "code": code, "quota": account_quota(row, timezone.now())["quota"]}


@router.get("/accounts/{account_id}/cookies")
def list_cookies(request: HttpRequest, account_id: str) -> dict[str, Any]:
    """Name an account's cookies; their values stay here."""
    names = _row(account_id).cookies.order_by("name").values_list("name", flat=True)
    return {"cookies": dict.fromkeys(names, "***") or None}


@router.post("/accounts/{account_id}/cookies")
def set_cookies(request: HttpRequest, account_id: str, payload: TypedCookies) -> dict[str, Any]:
    """Add cookies to those that are there."""
    row, typed = _row(account_id), payload.cookies
    text = typed if isinstance(typed, str) else "; ".join(f"{name}={value}" for name, value in typed.items())
    try:
        found = cookies.typed(text, host=(urlsplit(settings.CODEX_BASE_URL).hostname or "").lower())
    except ValueError as problem:
        raise HttpError(400, str(problem)) from problem
    if not found:
        raise HttpError(400, "There are no cookies in this request.")
    cookie_rows.set_by_hand(row=row, cookies=found, actor=_actor(request))
    return {"success": True, **list_cookies(request, account_id)}


@router.delete("/accounts/{account_id}/cookies")
def clear_cookies(request: HttpRequest, account_id: str) -> dict[str, Any]:
    """Drop all cookies of an account."""
    cookie_rows.clear(row=_row(account_id), actor=_actor(request))
    return {"success": True}


def _row(account_id: str) -> Account:
    row = Account.objects.filter(pk=account_id).first()
    if row is None:
        raise HttpError(404, "There is no such account.")
    return row


def _actor(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return (user.get_username() if user is not None else "") or "api"


def _credit_json(credit: ResetCredit) -> dict[str, Any]:
    return {
        "id": credit.id,
        "status": credit.status,
        "reset_type": credit.reset_type or None,
        "granted_at": _moment(credit.granted_at),
        "expires_at": _moment(credit.expires_at),
        "redeemed_at": _moment(credit.redeemed_at),
        "raw_status": credit.raw_status,
    }


def _moment(unix_s: float | None) -> str | None:
    return iso(datetime.fromtimestamp(unix_s, UTC)) if unix_s is not None else None
