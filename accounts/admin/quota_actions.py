"""What an operator does about limits, from the list of accounts: ask for them now, spend a banked reset."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from accounts.models import Account
from accounts.services.errors import AccountsError
from accounts.services.quota import quota_refresh, reset_credit_consume

MAX_ASKED_AT_ONCE = 20
"""A page waits for the slowest of them."""


@admin.action(description=gettext_lazy("Ask for limits now"), permissions=["change"])
def ask_for_limits(model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Account]) -> None:
    """Ask the upstream about the chosen accounts, and say what came of each that did not answer."""
    rows = list(queryset[:MAX_ASKED_AT_ONCE])
    names = {row.pk: str(row) for row in rows}
    checks = quota_refresh(rows=rows)
    for check in checks:
        if check.problem:
            model_admin.message_user(request, f"{names[check.account_id]}: {check.problem}", messages.WARNING)
    answered = sum(not check.problem for check in checks)
    if answered:
        words = _("The limits of %(count)d accounts are up to date.") % {"count": answered}
        model_admin.message_user(request, words, messages.SUCCESS)


@admin.action(description=gettext_lazy("Spend a banked reset …"), permissions=["change"])
def spend_reset(model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Account]) -> HttpResponse | None:
    """Spend one banked reset of one account, after a page that says that it cannot be taken back."""
    rows = list(queryset[:2])
    if len(rows) != 1:
        model_admin.message_user(request, _("Choose exactly one account."), messages.WARNING)
        return None
    [row] = rows
    if "confirmed" not in request.POST:
        context = {
            **model_admin.admin_site.each_context(request),
            "title": _("Spend a banked reset"),
            "opts": model_admin.opts,
            "row": row,
        }
        return TemplateResponse(request, "admin/accounts/account/spend_reset.html", context)
    try:
        code = reset_credit_consume(row=row, actor=request.user.get_username())
    except AccountsError as problem:
        model_admin.message_user(request, f"{row}: {problem}", messages.ERROR)
        return None
    level = messages.SUCCESS if code == "reset" else messages.WARNING
    model_admin.message_user(request, f"{row}: {_words(code)}", level)
    return None


def _words(code: str) -> str:
    known = {
        "reset": _("The limits were reset."),
        "nothing_to_reset": _("There was nothing to reset; no banked reset was spent."),
        "no_credit": _("There is no banked reset left."),
        "already_redeemed": _("This banked reset was spent before."),
    }
    return known.get(code, _("The upstream answered with something unknown; look at the limits."))
