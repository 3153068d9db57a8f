"""Upstream accounts: state in words, pause, resume, refresh, and adding by pasting. No token is ever shown."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from msgspec.structs import replace
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts import quota, refresh, services
from accounts.admin.filters import AccountStateFilter
from accounts.admin.forms import AccountForm, PasteForm
from accounts.admin.quota_actions import ask_for_limits, spend_reset
from accounts.lifecycle import Kind
from accounts.models import Account, AccountStatus
from accounts.quota_words import bars
from accounts.status import describe, duration_words
from providers.oauth.client import OAuthClient

_COLORS: Mapping[Kind, str] = MappingProxyType(
    {
        "ready": "success",
        "cooling": "info",
        "needs_login": "warning",
        "unpaid": "warning",
        "banned": "danger",
        "paused": "default",
        "disabled": "danger",
    }
)

MAX_REFRESHED_AT_ONCE = 10
"""A page waits for each of them; more are left to the schedule."""


@admin.register(Account)
class AccountAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """The pool, row by row."""

    list_display = ("name", "state", "plan", "quota_left", "request_count", "used")
    list_display_links = ("name",)
    list_filter = (AccountStateFilter, "plan")
    search_fields = ("label", "email", "id", "chatgpt_account_id", "chatgpt_user_id")
    ordering = ("label", "email", "id")
    form = AccountForm
    fields = (
        "label",
        "max_concurrency",
        "pools",
        "state",
        "email",
        "plan",
        "request_count",
        "last_used_at",
        "token_expires_at",
        "can_renew",
        "last_refreshed_at",
        "status_changed_at",
        "chatgpt_account_id",
        "chatgpt_user_id",
        "id",
        "created_at",
    )
    readonly_fields = fields[3:]
    actions = ("refresh_now", ask_for_limits, spend_reset, "pause", "resume")
    change_form_outer_after_template = "admin/accounts/account/quota_panel_of.html"

    @display(description=_("account"), ordering="label", header=True)  # type: ignore[untyped-decorator]
    def name(self, obj: Account) -> tuple[str, str]:
        """Return the label, and the e-mail below it."""
        return str(obj), obj.email if obj.label else ""

    @admin.display(description=_("state"), ordering="status")
    def state(self, obj: Account) -> SafeString:
        """Say what, why and until when."""
        found = describe(obj, timezone.now())
        context = {"state": found, "type": _COLORS[found.kind]}
        return render_to_string("admin/accounts/account/state.html", context)

    @admin.display(description=_("quota"))
    def quota_left(self, obj: Account) -> SafeString:
        """Draw what the upstream last reported."""
        plan = [bar for bar in bars(quota.load(obj.quota), timezone.now().timestamp()) if not bar.bucket]
        if not plan:
            return format_html("{}", _("not reported yet"))
        return render_to_string("admin/accounts/account/quota_bars.html", {"bars": plan})

    @admin.display(description=_("last used"), ordering="last_used_at")
    def used(self, obj: Account) -> SafeString:
        """Say how long ago; the moment itself on hover."""
        if obj.last_used_at is None:
            return format_html("{}", _("never"))
        words = _("%(span)s ago") % {"span": duration_words(timezone.now() - obj.last_used_at)}
        return format_html('<span class="whitespace-nowrap" title="{}">{}</span>', obj.last_used_at, words)

    @admin.display(description=_("renews itself"), boolean=True)
    def can_renew(self, obj: Account) -> bool:
        """Tell whether there is a refresh token."""
        return bool(obj.refresh_token)

    @admin.action(description=_("Refresh tokens now"), permissions=["change"])
    def refresh_now(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Renew the tokens of the chosen accounts, and say what came of each."""
        with OAuthClient() as send:
            for row in queryset[:MAX_REFRESHED_AT_ONCE]:
                result = refresh.refresh_account(row.pk, http_send=send, owner=refresh.lease_owner(), reason="manual")
                level = messages.SUCCESS if result.outcome in ("refreshed", "adopted") else messages.WARNING
                self.message_user(request, f"{row}: {result.message}", level)

    @admin.action(description=_("Pause"), permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Give the chosen accounts no new requests; those that run go on."""
        self._switch(request, queryset, "paused")

    @admin.action(description=_("Resume"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Use the chosen accounts again, whatever stopped them."""
        self._switch(request, queryset, "resumed")

    def _switch(self, request: HttpRequest, queryset: QuerySet[Account], event: Literal["paused", "resumed"]) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        services.accounts_switch(ids=ids, event=event, actor=request.user.get_username())
        status = AccountStatus.PAUSED if event == "paused" else AccountStatus.ACTIVE
        words = ngettext("%(count)d account: %(status)s.", "%(count)d accounts: %(status)s.", len(ids))
        self.message_user(request, words % {"count": len(ids), "status": status.label}, messages.SUCCESS)

    @method_decorator(sensitive_post_parameters("text"))
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Add accounts from pasted text."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PasteForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            return self._import(request, form)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Add accounts"),
            "opts": self.opts,
            "form": form,
        }
        return TemplateResponse(request, "admin/accounts/account/paste.html", context)

    def _import(self, request: HttpRequest, form: PasteForm) -> HttpResponse:
        document, label = form.cleaned_data["text"], form.cleaned_data["label"]
        if label and len(document.entries) == 1:
            document = replace(document, entries=(replace(document.entries[0], label=label),))
        with OAuthClient() as send:
            report = services.account_import(document=document, actor=request.user.get_username(), send=send)
        if report.added or report.updated:
            words = _("Added: %(added)d. Updated: %(updated)d.")
            counts = {"added": len(report.added), "updated": len(report.updated)}
            self.message_user(request, words % counts, messages.SUCCESS)
        for error in report.errors[:20]:
            self.message_user(request, error, messages.ERROR)
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:accounts_account_changelist"))

    def save_model(self, request: HttpRequest, obj: Account, form: ModelForm[Account], change: bool) -> None:  # noqa: FBT001
        """Change through the service."""
        services.account_edit(
            account_id=obj.pk,
            actor=request.user.get_username(),
            label=obj.label,
            max_concurrency=obj.max_concurrency,
            pools=obj.pools,
        )

    def delete_model(self, request: HttpRequest, obj: Account) -> None:
        """Remove through the service."""
        services.accounts_remove(ids=[obj.pk], actor=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Remove through the service, one by one."""
        for row in queryset:
            self.delete_model(request, row)
