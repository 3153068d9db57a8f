"""The pages that add accounts: three ways to choose from, a log-in under way, and what an import came to.

They work without scripts; `login.js` only watches and copies. No page shows a token, and no address holds a secret.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from msgspec import Struct
from msgspec.structs import replace

from accounts import services
from accounts.admin.forms import CallbackForm, LabelForm, PasteForm
from accounts.callback_listener import is_on_this_machine, listener
from accounts.models import Account, PendingLogin
from accounts.services import AccountsError
from providers.oauth.client import OAuthClient

TEMPLATES = "admin/accounts/account"
MAX_SHOWN = 500


class Way(Struct, frozen=True, kw_only=True):
    """One way to add an account, as a card."""

    name: str
    symbol: str
    title: str | Promise
    text: str | Promise


WAYS = (
    Way(
        name="browser",
        symbol="language",
        title=_("Log in with a browser"),
        text=_("Open the log-in page, agree, and come back. Works from anywhere."),
    ),
    Way(
        name="device",
        symbol="devices",
        title=_("Type a code on any device"),
        text=_("Shows a short code. You type it on a phone or another computer."),
    ),
    Way(
        name="paste",
        symbol="content_paste",
        title=_("Paste or upload"),
        text=_("Tokens, auth.json of the Codex CLI, or an export of another gateway."),
    ),
)


def add_page(admin: ModelAdmin[Account], request: HttpRequest) -> HttpResponse:
    """Show the ways; begin the chosen one."""
    chosen = request.POST.get("way") or request.GET.get("way") or "browser"
    way = next((one for one in WAYS if one.name == chosen), WAYS[0])
    form_class = PasteForm if way.name == "paste" else LabelForm
    form = form_class(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        if way.name == "paste":
            return _import(admin, request, form.cleaned_data)
        try:
            row = _start(request, way.name, form.cleaned_data["label"])
            return HttpResponseRedirect(reverse("admin:accounts_account_login", args=[row.pk]))
        except AccountsError as error:
            form.add_error(None, str(error))
    again = Account.objects.filter(pk=request.GET.get("again") or "").first()
    context = {"title": _("Add accounts"), "ways": WAYS, "way": way, "form": form, "again": again}
    return _page(admin, request, "add", context)


def _start(request: HttpRequest, way: str, label: str) -> PendingLogin:
    actor = request.user.get_username()
    if way == "device":
        with OAuthClient() as send:
            return services.device_login_start(actor=actor, send=send, label=label)
    started = services.browser_login_start(actor=actor, label=label)
    if is_on_this_machine(request.get_host()):
        listener.open()
    return started.row


def _import(admin: ModelAdmin[Account], request: HttpRequest, cleaned: dict[str, Any]) -> HttpResponse:
    document, label = cleaned["document"], cleaned["label"]
    if label and len(document.entries) == 1:
        document = replace(document, entries=(replace(document.entries[0], label=label),))
    with OAuthClient() as send:
        report = services.account_import(document=document, actor=request.user.get_username(), send=send)
    context = {
        "title": _("What became of it"),
        "report": report,
        "outcomes": report.outcomes[:MAX_SHOWN],
        "hidden": max(0, len(report.outcomes) - MAX_SHOWN),
        "more_link": f"{reverse('admin:accounts_account_add')}?way=paste",
    }
    return _page(admin, request, "imported", context)


# ---- a log-in under way --------------------------------------------------------------------------------------------


def login_page(admin: ModelAdmin[Account], request: HttpRequest, login_id: str) -> HttpResponse:
    """Show what to do next, and take the address that was pasted. Raises: Http404."""
    row = _get(login_id)
    again_link = f"{reverse('admin:accounts_account_add')}?way={row.kind}"
    form = CallbackForm(request.POST if "callback_url" in request.POST else None)
    if request.method == "POST" and "cancel" in request.POST:
        services.login_cancel(login_id=row.pk)
        return HttpResponseRedirect(again_link)
    if request.method == "POST" and form.is_valid():
        try:
            with OAuthClient() as send:
                row = services.browser_login_finish(callback_url=form.cleaned_data["callback_url"], send=send)
        except AccountsError as error:
            form.add_error("callback_url", str(error))
            row.refresh_from_db()
    elif row.kind == PendingLogin.Kind.DEVICE:
        row = _ask(row)
    if row.outcome == PendingLogin.Outcome.DONE and row.account_id:
        return _done(request, row)
    now = timezone.now()
    context = {
        "title": _("Log in"),
        "row": row,
        "form": form,
        "auth_url": services.auth_url_of(row) if row.kind == PendingLogin.Kind.BROWSER else "",
        "is_listening": listener.is_open and is_on_this_machine(request.get_host()),
        "is_over": row.outcome != PendingLogin.Outcome.PENDING or row.expires_at <= now,
        "again_link": again_link,
        "new_tab": format_html('target="{}" rel="noopener noreferrer"', "_blank"),
        "left_s": max(0, round((row.expires_at - now).total_seconds())),
    }
    return _page(admin, request, "login", context)


def login_state(request: HttpRequest, login_id: str) -> HttpResponse:
    """Say how a log-in stands, for `login.js`. Raises: Http404."""
    row = _ask(_get(login_id))
    is_late = row.outcome == PendingLogin.Outcome.PENDING and row.expires_at <= timezone.now()
    return JsonResponse({"outcome": "failed" if is_late else row.outcome})


def _ask(row: PendingLogin) -> PendingLogin:
    if row.kind != PendingLogin.Kind.DEVICE or row.outcome != PendingLogin.Outcome.PENDING:
        return row
    with OAuthClient() as send:
        return services.device_login_poll(login_id=row.pk, send=send)


def _done(request: HttpRequest, row: PendingLogin) -> HttpResponse:
    words = _("%(account)s was added.") if row.is_new else _("%(account)s was logged in again.")
    messages.success(request, words % {"account": row.account})
    return HttpResponseRedirect(reverse("admin:accounts_account_change", args=[row.account_id]))


def _get(login_id: str) -> PendingLogin:
    row = PendingLogin.objects.select_related("account").filter(pk=login_id).first()
    if row is None or row.kind == PendingLogin.Kind.EXCHANGE:
        raise Http404
    return row


def _page(admin: ModelAdmin[Account], request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    shared = {**admin.admin_site.each_context(request), "opts": admin.opts}
    return TemplateResponse(request, f"{TEMPLATES}/{name}.html", shared | context)
