"""`/auth/…`: logging accounts in, and people in and out of the dashboard (spec/operations.md §13.4)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.contrib import auth
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from ninja import Router, Status

from accounts import audit, reauth, services
from accounts.callback_listener import is_on_this_machine, listener
from accounts.importing import ImportEntry, parse_import
from accounts.models import Account, PendingLogin
from accounts.services import AccountsError, LoginServerFailed
from codexproxy.api.management import schemas
from codexproxy.api.management.auth import Anyone, operator_of, operators
from codexproxy.api.management.errors import Refusal
from providers.contract import Secret
from providers.oauth.client import OAuthClient

router = Router(tags=["login"])
VIEW = operators("accounts.view_account")
ADD = operators("accounts.add_account")
DELETE = operators("accounts.delete_account")
Errors = {400: schemas.ErrorOut, 500: schemas.ErrorOut}
_LOGOUT = "management.logout"
_CONFIRM_WITHIN_S = 120


@router.get("/status", auth=VIEW, response=Any)
def status(request: HttpRequest) -> dict[str, Any]:
    """Say whether there is an account that works, and how many are in which status. Keys are stored as digests only."""
    now = timezone.now()
    rows = list(Account.objects.order_by("created_at", "id"))
    names = [schemas.wire_status(row, now) for row in rows]
    pool = {name: names.count(name) for name in ("active", "expired", "quota_exhausted", "refreshing", "disabled")}
    limited = sum(row.cooling_until is not None and row.cooling_until > now for row in rows)
    first = next((row for row, name in zip(rows, names, strict=True) if name == "active"), None)
    user = None
    if first is not None:
        user = {"email": first.email or None, "accountId": first.chatgpt_account_id, "planType": first.plan or None}
    return {
        "authenticated": first is not None,
        "user": user,
        "proxy_api_key": None,
        "pool": {"total": len(rows), **pool, "rate_limited": limited, "banned": names.count("banned")},
    }


# ---- in a browser --------------------------------------------------------------------------------------------------


def start_login(request: HttpRequest) -> dict[str, Any]:
    """Begin a browser log-in; listen for its way back when the browser runs on this machine."""
    started = services.browser_login_start(actor=operator_of(request).name)
    listening = is_on_this_machine(request.get_host()) and listener.open()
    return {"authUrl": started.auth_url, "state": started.row.state, "listening": listening}


@router.get("/login", auth=ADD)
def log_in(request: HttpRequest) -> HttpResponse:
    """Go to the log-in page of the upstream."""
    return HttpResponseRedirect(start_login(request)["authUrl"])


@router.post("/login-start", auth=ADD, response=schemas.LoginOut)
def login_start(request: HttpRequest) -> dict[str, Any]:
    """Begin a browser log-in."""
    return start_login(request)


@router.post("/code-relay", auth=ADD, response={200: schemas.Success, **Errors})
def code_relay(request: HttpRequest, body: schemas.RelayIn) -> dict[str, Any]:
    """Finish a browser log-in with the address that the browser was sent back to."""
    try:
        with OAuthClient() as send:
            row = services.browser_login_finish(callback_url=body.callbackUrl, send=send)
    except LoginServerFailed as error:
        raise Refusal(500, str(error)) from error
    if row.outcome == PendingLogin.Outcome.FAILED:
        raise Refusal(400, row.message)
    return {}


@router.get("/callback", auth=ADD)
def callback(request: HttpRequest) -> HttpResponse:
    """Finish a browser log-in whose way back was led here, for example by a forwarded port."""
    try:
        with OAuthClient() as send:
            row = services.browser_login_finish(callback_url=request.get_full_path(), send=send)
    except AccountsError as error:
        return _page(500 if isinstance(error, LoginServerFailed) else 400, str(error))
    if row.account_id is None:
        failed = row.outcome == PendingLogin.Outcome.FAILED
        return _page(400 if failed else 200, row.message if failed else "The log-in is being completed.")
    return HttpResponseRedirect(reverse("admin:accounts_account_change", args=[row.account_id]))


def _page(status: int, words: str) -> HttpResponse:
    text = format_html("<!doctype html><meta charset=utf-8><title>Codex Proxy</title><p>{}</p>", words)
    return HttpResponse(text, status=status, headers={"Cache-Control": "no-store"})


# ---- with a code on another device ---------------------------------------------------------------------------------


@router.post("/device-login", auth=ADD, response={200: schemas.DeviceOut, **Errors})
def device_login(request: HttpRequest) -> dict[str, Any]:
    """Ask for a code that a person types on another device."""
    try:
        with OAuthClient() as send:
            row = services.device_login_start(actor=operator_of(request).name, send=send)
    except LoginServerFailed as error:
        raise Refusal(500, str(error)) from error
    return schemas.device_out(row, timezone.now())


@router.get("/device-poll/{device_code}", auth=ADD, response={200: schemas.DevicePoll, **Errors}, exclude_none=True)
def device_poll(request: HttpRequest, device_code: str) -> dict[str, Any]:
    """Ask whether the person agreed; more often than the interval changes nothing, and says `slow_down`."""
    asked_at = timezone.now()
    with OAuthClient() as send:
        row = services.device_login_poll(login_id=device_code, send=send)
    if row.outcome == PendingLogin.Outcome.FAILED:
        raise Refusal(400, row.message)
    if row.outcome == PendingLogin.Outcome.DONE:
        return {"success": True}
    was_asked = row.next_poll_at is not None and row.next_poll_at.timestamp() - row.interval_s >= asked_at.timestamp()
    return {"pending": True, "code": "authorization_pending" if was_asked else "slow_down"}


# ---- with tokens ---------------------------------------------------------------------------------------------------


@router.post("/token", auth=ADD, response={200: schemas.Success, **Errors})
def add_token(request: HttpRequest, body: schemas.TokenIn) -> dict[str, Any]:
    """Add an account by its access token alone."""
    token = body.token.strip().removeprefix("Bearer ").strip()
    services.account_add(entry=ImportEntry(access_token=Secret(token)), actor=operator_of(request).name)
    return {}


@router.post("/import-cli", auth=ADD, response={200: schemas.Success, **Errors})
def import_cli(request: HttpRequest) -> dict[str, Any]:
    """Take the login of the Codex CLI on the gateway's own machine."""
    path = Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex") / "auth.json"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(500, "There is no readable auth.json of the Codex CLI on the gateway's machine.") from error
    document = parse_import(text)
    with OAuthClient() as send:
        report = services.account_import(document=document, actor=operator_of(request).name, send=send)
    if report.errors:
        raise Refusal(500, report.errors[0])
    return {}


@router.post("/logout", auth=DELETE, response={200: schemas.Success, 409: Any})
def log_out_all(request: HttpRequest, body: schemas.LogoutIn | None = None) -> Any:
    """Forget ALL accounts. The first call only says how many and hands out a confirmation for the second."""
    ids = list(Account.objects.order_by("id").values_list("pk", flat=True))
    signer = signing.TimestampSigner(salt=_LOGOUT)
    asked = f"{operator_of(request).name}:{len(ids)}"
    try:
        is_confirmed = signer.unsign((body.confirm if body else ""), max_age=_CONFIRM_WITHIN_S) == asked
    except signing.BadSignature:
        is_confirmed = False
    if not is_confirmed:
        words = f"This forgets all {len(ids)} accounts and their tokens. Repeat with 'confirm' if that is wanted."
        return Status(409, {"error": words, "confirm": signer.sign(asked), "accounts": len(ids)})
    services.accounts_remove(ids=ids, actor=operator_of(request).name)
    return Status(200, {})


# ---- people --------------------------------------------------------------------------------------------------------


@router.post("/dashboard-login", auth=Anyone(), response={200: schemas.Success, 400: schemas.ErrorOut})
def dashboard_login(request: HttpRequest, body: schemas.PasswordIn) -> dict[str, Any]:
    """Log a person in to the dashboard; the answer sets the session cookie."""
    if request.content_type != "application/json":  # a form of another site could send anything else
        raise Refusal(400, "Send JSON, with content-type application/json.")
    try:
        user = reauth.log_in_allowed(request, body.username, body.password)
    except reauth.TooManyTries:
        raise
    except AccountsError as error:
        raise Refusal(401, "Name or password are wrong.") from error
    auth.login(request, user)
    audit.record(actor=user.username, action="login", target="dashboard")
    return {}


@router.post("/dashboard-logout", auth=Anyone(), response=schemas.Success)
def dashboard_logout(request: HttpRequest) -> dict[str, Any]:
    """End the session of whoever calls."""
    auth.logout(request)
    return {}


@router.get("/dashboard-status", auth=Anyone(), response=Any)
def dashboard_status(request: HttpRequest) -> dict[str, Any]:
    """Say whether the caller is logged in; a log-in is always required."""
    return {"required": True, "authenticated": bool(request.user.is_authenticated and request.user.is_staff)}


@router.post("/confirm-password", auth=VIEW, response={200: schemas.Success, **Errors})
def confirm_password(request: HttpRequest, body: schemas.ConfirmIn) -> dict[str, Any]:
    """Say the password again, so that this session may export for five minutes."""
    if operator_of(request).is_key:
        raise Refusal(400, "A key needs no confirmation; it is sent with every request.")
    reauth.confirm(request, body.password)
    return {}
