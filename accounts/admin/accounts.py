"""The pool: every account with its state in words, what can be done about it, and its own page. No token is ever shown.

Adding is in `adding.py`, handing out in `exporting.py`. What changes something is a POST with a CSRF token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts import checking, quota, services
from accounts.admin import adding
from accounts.admin.exporting import export_page
from accounts.admin.filters import STATES, AccountStateFilter
from accounts.admin.forms import AccountForm
from accounts.admin.quota_actions import ask_for_limits, spend_reset
from accounts.lifecycle import Kind
from accounts.models import Account, AccountStatus, AuditEntry
from accounts.quota_words import bars
from accounts.status import describe, duration_words

COLORS: Mapping[Kind, str] = MappingProxyType(
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
MAX_CHECKED_AT_ONCE = 10
"""A page waits for each of them; more are left to the command line and the schedule."""
AUDIT_SHOWN = 8
_HERE = "admin/accounts/account"


@admin.register(Account)
class AccountAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """The pool, row by row."""

    list_display = ("name", "state", "plan", "quota_left", "requests", "used", "buttons")
    list_display_links = ("name",)
    list_filter = (AccountStateFilter, "plan")
    search_fields = ("label", "email", "id", "chatgpt_account_id", "chatgpt_user_id")
    ordering = ("label", "email", "id")
    list_per_page = 50
    list_before_template = f"{_HERE}/pool.html"
    change_form_outer_before_template = f"{_HERE}/detail.html"
    form = AccountForm
    fields = ("label", "max_concurrency", "pools")
    actions = ("check_logins", ask_for_limits, spend_reset, "pause", "resume", "export")

    # ---- columns -----------------------------------------------------------------------------------------------

    @display(description=_("account"), ordering="label", header=True)  # type: ignore[untyped-decorator]
    def name(self, obj: Account) -> tuple[str, str]:
        """Return the label, and the e-mail below it."""
        return str(obj), obj.email if obj.label else ""

    @admin.display(description=_("state"), ordering="status")
    def state(self, obj: Account) -> SafeString:
        """Say what, why and until when."""
        found = describe(obj, timezone.now())
        return render_to_string(f"{_HERE}/state.html", {"state": found, "type": COLORS[found.kind]})

    @admin.display(description=_("quota left"))
    def quota_left(self, obj: Account) -> SafeString:
        """Draw what the upstream last reported."""
        plan = [bar for bar in bars(quota.load(obj.quota), timezone.now().timestamp()) if not bar.bucket]
        if not plan:
            return format_html('<span class="cpx-muted whitespace-nowrap">{}</span>', _("not reported yet"))
        return render_to_string(f"{_HERE}/quota_bars.html", {"bars": plan})

    @admin.display(description=_("requests"), ordering="request_count")
    def requests(self, obj: Account) -> SafeString:
        """Return how many, aligned."""
        return format_html('<span class="cpx-number">{}</span>', obj.request_count)

    @admin.display(description=_("last used"), ordering="last_used_at")
    def used(self, obj: Account) -> SafeString:
        """Say how long ago; the moment itself on hover."""
        if obj.last_used_at is None:
            return format_html("{}", _("never"))
        words = _("%(span)s ago") % {"span": duration_words(timezone.now() - obj.last_used_at)}
        return format_html('<span class="whitespace-nowrap" title="{}">{}</span>', obj.last_used_at, words)

    @admin.display(description=_("actions"))
    def buttons(self, obj: Account) -> SafeString:
        """Offer what can be done; the buttons send the list's own form elsewhere."""
        return render_to_string(f"{_HERE}/buttons.html", {"row": obj, "state": describe(obj, timezone.now())})

    # ---- on several --------------------------------------------------------------------------------------------

    @admin.action(description=_("Check the log-ins (renews their tokens)"), permissions=["change"])
    def check_logins(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Ask the log-in server about each, and say what it said."""
        ids = list(queryset.values_list("pk", flat=True)[:MAX_CHECKED_AT_ONCE])
        for found in checking.accounts_check(ids=ids, stagger_s=0.5):
            name = str(queryset.filter(pk=found.account_id).first() or found.account_id)
            self._tell(request, name, found)

    @admin.action(description=_("Pause"), permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Give the chosen accounts no new requests; those that run go on."""
        self._switch(request, list(queryset.values_list("pk", flat=True)), "paused")

    @admin.action(description=_("Resume"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Account]) -> None:
        """Use the chosen accounts again, whatever stopped them."""
        self._switch(request, list(queryset.values_list("pk", flat=True)), "resumed")

    @admin.action(description=_("Export with tokens …"), permissions=["export"])
    def export(self, request: HttpRequest, queryset: QuerySet[Account]) -> HttpResponse:
        """Go to the page that asks for the password."""
        ids = ",".join(queryset.values_list("pk", flat=True))
        return HttpResponseRedirect(f"{reverse('admin:accounts_account_export')}?ids={ids}")

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Tell who may hand tokens out."""
        return bool(request.user.has_perm("accounts.export_account"))

    def _switch(self, request: HttpRequest, ids: list[str], event: Literal["paused", "resumed"]) -> None:
        services.accounts_switch(ids=ids, event=event, actor=request.user.get_username())
        status = AccountStatus.PAUSED if event == "paused" else AccountStatus.ACTIVE
        words = ngettext("%(count)d account: %(status)s.", "%(count)d accounts: %(status)s.", len(ids))
        self.message_user(request, words % {"count": len(ids), "status": status.label}, messages.SUCCESS)

    def _tell(self, request: HttpRequest, name: str, found: checking.CheckResult) -> None:
        level = messages.SUCCESS if found.result == "alive" else messages.WARNING
        self.message_user(request, f"{name}: {found.message}", level)

    # ---- pages -------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of log-ins, of the export, and the buttons of one account."""

        def page(view: Callable[..., HttpResponse], permission: str) -> Callable[..., HttpResponse]:
            def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
                if not request.user.has_perm(f"accounts.{permission}_account"):
                    raise PermissionDenied
                return view(request, *args, **kwargs)

            return self.admin_site.admin_view(guarded)

        return [
            path("add/login/<str:login_id>/", page(self._login_view, "add"), name="accounts_account_login"),
            path(
                "add/login/<str:login_id>/state/",
                page(adding.login_state, "add"),
                name="accounts_account_login_state",
            ),
            path("export/", page(self._export_view, "export"), name="accounts_account_export"),
            path("<str:account_id>/do/", page(self._do_view, "change"), name="accounts_account_do"),
            *super().get_urls(),
        ]

    @method_decorator(sensitive_post_parameters("text"))
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Add accounts, in one of three ways."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return adding.add_page(self, request)

    @method_decorator(sensitive_post_parameters("callback_url"))
    def _login_view(self, request: HttpRequest, login_id: str) -> HttpResponse:
        return adding.login_page(self, request, login_id)

    @method_decorator(sensitive_post_parameters("password"))
    def _export_view(self, request: HttpRequest) -> HttpResponse:
        return export_page(self, request)

    def _do_view(self, request: HttpRequest, account_id: str) -> HttpResponse:
        """Do what a button says, and go back to where it stood. Raises: Http404."""
        row = Account.objects.filter(pk=account_id).first()
        if row is None or request.method != "POST":
            raise Http404
        verb = request.POST.get("do", "")
        if verb == "refresh":
            self._tell(request, str(row), checking.account_check(row))
        elif verb == "ask":
            ask_for_limits(self, request, Account.objects.filter(pk=row.pk))
        elif verb in ("pause", "resume"):
            self._switch(request, [row.pk], "paused" if verb == "pause" else "resumed")
        else:
            raise Http404
        back = request.headers.get("referer", "")
        is_ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
        return HttpResponseRedirect(back if is_ours else reverse("admin:accounts_account_change", args=[row.pk]))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show how many accounts are in which state above the list."""
        now = timezone.now()
        chips = [
            {"name": name, "title": words, "count": apply(Account.objects.all(), now).count()}
            for name, (words, apply) in STATES.items()
        ]
        context = {
            "chips": [chip for chip in chips if chip["count"]],
            "chosen_state": request.GET.get("state", ""),
            "may_export": self.has_export_permission(request),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the whole account above the little that can be edited."""
        now = timezone.now()
        row = Account.objects.filter(pk=object_id).first()
        context: dict[str, Any] = {"show_save_and_add_another": False, **(extra_context or {})}
        if row is not None:
            state = describe(row, now)
            context |= {
                "row": row,
                "state": state,
                "state_type": COLORS[state.kind],
                "now": now,
                "audit": AuditEntry.objects.filter(target=row.pk).order_by("-at", "-id")[:AUDIT_SHOWN],
            }
        return super().change_view(request, object_id, form_url, context)

    # ---- writing -----------------------------------------------------------------------------------------------

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
        """Remove through the service."""
        services.accounts_remove(ids=list(queryset.values_list("pk", flat=True)), actor=request.user.get_username())
