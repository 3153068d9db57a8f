"""`/auth/accounts…`: the pool as JSON (spec/operations.md §13.5). Thin: check the shape, call a service, show the row.

Literal routes stand before those with an id. Only the export holds tokens; it asks a session for its password first.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from ninja import Router

from accounts import checking, exporting, reauth, services
from accounts.importing import ImportEntry, parse_import
from accounts.models import Account, AccountStatus
from accounts.services import NotFound
from accounts.verifying import verify_login
from codexproxy.api.management import schemas
from codexproxy.api.management.auth import operator_of, operators
from codexproxy.api.management.errors import Refusal
from codexproxy.api.management.login import start_login
from codexproxy.api.management.quota import fresh_quota
from providers.contract import Secret
from providers.oauth.client import OAuthClient
from stats.selectors import usage_by_account

router = Router(tags=["accounts"])
VIEW = operators("accounts.view_account")
ADD = operators("accounts.add_account")
CHANGE = operators("accounts.change_account")
DELETE = operators("accounts.delete_account")
EXPORT = operators("accounts.export_account")
Errors = {400: schemas.ErrorOut, 404: schemas.ErrorOut, 502: schemas.ErrorOut}


@router.get("", auth=VIEW, response=schemas.AccountsOut)
def list_accounts(request: HttpRequest, quota: str = "") -> dict[str, Any]:
    """List every account, oldest first, with its limits as last reported; `quota=fresh` asks the upstream for them."""
    rows = list(Account.objects.order_by("created_at", "id"))
    problems: dict[str, str] = {}
    if quota == "fresh":
        problems = fresh_quota([row for row in rows if row.status == AccountStatus.ACTIVE])
        rows = list(Account.objects.order_by("created_at", "id"))
    now, usage = timezone.now(), usage_by_account()
    return {
        "accounts": [
            schemas.account_out(row, now, usage.get(row.pk)) | {"quotaError": problems.get(row.pk)} for row in rows
        ]
    }


@router.post("", auth=ADD, response={200: schemas.AddOut, **Errors})
def add_account(request: HttpRequest, body: schemas.AddIn) -> dict[str, Any]:
    """Add one login. An access token is checked against the upstream once; a refresh token is exchanged instead."""
    entry = ImportEntry(
        access_token=Secret(body.token.strip().removeprefix("Bearer ").strip()) if body.token else None,
        refresh_token=Secret(body.refreshToken.strip()) if body.refreshToken else None,
        label=body.label or "",
    )
    if entry.access_token is None and entry.refresh_token is None:
        raise Refusal(400, "Send a token, a refreshToken, or both.")
    return {"account": schemas.account_out(_add(request, entry), timezone.now())}


def _add(request: HttpRequest, entry: ImportEntry) -> Account:
    """Store one login; only a deactivated account is refused for what the upstream says (operations §1.3 e)."""
    if entry.access_token is not None:
        facts = services.check_login(entry)
        verdict = verify_login(entry.access_token, facts.account_id)
        if verdict.is_deactivated:
            raise Refusal(400, verdict.message)
    with OAuthClient() as send:
        return services.account_add(entry=entry, actor=operator_of(request).name, send=send).account


@router.get("/login", auth=ADD)
def log_in(request: HttpRequest) -> HttpResponse:
    """Go to the log-in page of the upstream."""
    return HttpResponseRedirect(start_login(request)["authUrl"])


@router.post("/import", auth=ADD, response={200: schemas.ImportOut, **Errors})
def import_accounts(request: HttpRequest) -> dict[str, Any]:
    """Add every login in the body: JSON or text, in any format of operations §1.4. A bad one does not stop the rest."""
    document = parse_import(request.body.decode("utf-8", "replace"))
    if not document.entries:
        raise Refusal(400, " ".join(str(problem) for problem in document.problems[:20]) or "There is no login in it.")
    with OAuthClient() as send:
        report = services.account_import(document=document, actor=operator_of(request).name, send=send)
    return {
        "added": len(report.added),
        "updated": len(report.updated),
        "failed": len(report.errors),
        "errors": list(report.errors),
        "results": [
            {
                "place": one.place,
                "result": one.result,
                "id": one.account.pk if one.account else None,
                "error": one.message or None,
            }
            for one in report.outcomes
        ],
    }


@router.get("/export", auth=EXPORT, response={200: Any, **Errors})
def export_accounts(request: HttpRequest, ids: str = "", format: str = "full") -> HttpResponse:  # noqa: A002
    """Hand out accounts with their live tokens, and write it down.

    A session must have given its password within five minutes (`POST /auth/confirm-password`); a key proves itself
    with every request.
    """
    operator = operator_of(request)
    if not operator.is_key and not reauth.is_confirmed(request):
        raise Refusal(403, "Confirm your password first: POST /auth/confirm-password, then export within five minutes.")
    chosen = [part.strip() for part in ids.split(",") if part.strip()]
    text = services.account_export(format_name=format, ids=chosen, actor=operator.name)
    name = exporting.file_name(format, timezone.now())
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(text, content_type="application/json", headers=headers)


@router.post("/batch-delete", auth=DELETE, response={200: schemas.BatchDeleteOut, **Errors})
def batch_delete(request: HttpRequest, body: schemas.IdsIn) -> dict[str, Any]:
    """Forget accounts."""
    found = services.accounts_remove(ids=body.ids, actor=operator_of(request).name)
    return {"deleted": len(found.done), "notFound": list(found.missing)}


@router.post("/batch-status", auth=CHANGE, response={200: schemas.BatchStatusOut, **Errors})
def batch_status(request: HttpRequest, body: schemas.BatchStatusIn) -> dict[str, Any]:
    """Pause accounts, or use them again whatever stopped them."""
    event = "resumed" if body.status == "active" else "paused"
    found = services.accounts_switch(ids=body.ids, event=event, actor=operator_of(request).name)
    return {"updated": len(found.done), "notFound": list(found.missing)}


@router.post("/health-check", auth=CHANGE, response={200: schemas.HealthOut, **Errors}, exclude_none=True)
def health_check(request: HttpRequest, body: schemas.HealthIn | None = None) -> dict[str, Any]:
    """Ask the log-in server which logins are alive, by renewing them. Takes seconds per account."""
    asked = body or schemas.HealthIn()
    found = checking.accounts_check(
        ids=asked.ids or (), stagger_s=asked.stagger_ms / 1000, concurrency=asked.concurrency
    )
    counts = {kind: sum(one.result == kind for one in found) for kind in ("alive", "dead", "skipped")}
    return {"summary": {"total": len(found), **counts}, "results": [_check_out(one) for one in found]}


def _check_out(found: checking.CheckResult) -> dict[str, Any]:
    return {
        "id": found.account_id,
        "email": found.email or None,
        "previousStatus": found.previous_status,
        "result": found.result,
        "error": None if found.result == "alive" else found.message,
        "durationMs": found.duration_ms or None,
    }


@router.delete("/{account_id}", auth=DELETE, response={200: schemas.Success, **Errors})
def delete_account(request: HttpRequest, account_id: str) -> dict[str, Any]:
    """Forget one account."""
    if not services.accounts_remove(ids=[account_id], actor=operator_of(request).name).done:
        raise NotFound("There is no such account.")
    return {}


@router.post("/{account_id}/refresh", auth=CHANGE, response={200: schemas.CheckOut, **Errors}, exclude_none=True)
def refresh_account(request: HttpRequest, account_id: str) -> dict[str, Any]:
    """Renew one account's tokens now."""
    return _check_out(checking.account_check(_get(account_id)))


@router.post("/{account_id}/reset-usage", auth=CHANGE, response={200: schemas.Success, **Errors})
def reset_usage(request: HttpRequest, account_id: str) -> dict[str, Any]:
    """Count its requests from zero."""
    services.account_reset_usage(account_id=account_id, actor=operator_of(request).name)
    return {}


@router.patch("/{account_id}/label", auth=CHANGE, response={200: schemas.Success, **Errors})
def label_account(request: HttpRequest, account_id: str, body: schemas.LabelIn) -> dict[str, Any]:
    """Name an account."""
    row = _get(account_id)
    services.account_edit(
        account_id=account_id,
        actor=operator_of(request).name,
        label=body.label or "",
        max_concurrency=row.max_concurrency,
    )
    return {}


def _get(account_id: str) -> Account:
    row = Account.objects.filter(pk=account_id).first()
    if row is None:
        raise NotFound("There is no such account.")
    return row
