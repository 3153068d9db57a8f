"""API keys: created here and shown once, revoked after a confirmation. The digest and the clear key never show up."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts import services
from accounts.admin.filters import KeyStateFilter
from accounts.admin.forms import ApiKeyForm
from accounts.models import ApiKey

_ISSUED = "issued_key"


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Keys of clients."""

    form = ApiKeyForm
    list_display = ("name", "shown", "user", "state", "models_allowed", "request_count", "last_used_at")
    list_filter = (KeyStateFilter, "is_admin", "pool")
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username", "user__email")
    ordering = ("-created_at", "-id")
    autocomplete_fields = ("user",)
    readonly_fields = ("shown", "state", "created_at", "last_used_at", "request_count")
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Show what happened to a key only when there is one."""
        return self.form.Meta.fields if obj is None else (*self.form.Meta.fields, *self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """A key never changes hands, and only a superuser makes a key that manages the gateway."""
        fixed = self.readonly_fields if obj is None else (*self.readonly_fields, "user")
        return fixed if request.user.is_superuser else (*fixed, "is_admin")

    @admin.display(description=_("key"), ordering="prefix")
    def shown(self, obj: ApiKey) -> str:
        """Return the start of the key."""
        return f"{obj.prefix}…"

    @display(  # type: ignore[untyped-decorator]
        description=_("state"), label={"active": "success", "expired": "warning", "revoked": "danger"}
    )
    def state(self, obj: ApiKey) -> Any:
        """Say whether the key works, and why not."""
        if obj.revoked_at is not None:
            why = f" · {obj.revoked_reason}" if obj.revoked_reason else ""
            return "revoked", _("Revoked %(day)s") % {"day": f"{obj.revoked_at:%Y-%m-%d}"} + why
        if obj.expires_at is not None and obj.expires_at <= timezone.now():
            return "expired", _("Expired %(day)s") % {"day": f"{obj.expires_at:%Y-%m-%d}"}
        if not obj.user.is_active:
            return "revoked", _("Its owner is switched off")
        return "active", _("Active")

    @admin.display(description=_("models"))
    def models_allowed(self, obj: ApiKey) -> Any:
        """Name the models, or say that there is no limit."""
        return ", ".join(obj.allowed_models) if obj.allowed_models else _("every model")

    @admin.action(description=_("Revoke keys …"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Ask first, with the consequence in numbers; then revoke."""
        rows = list(queryset.select_related("user").filter(revoked_at__isnull=True))
        if request.POST.get("confirmed") != "yes":
            context = {
                **self.admin_site.each_context(request),
                "title": _("Revoke API keys"),
                "opts": self.opts,
                "rows": rows,
                "requests": sum(row.request_count for row in rows),
            }
            return TemplateResponse(request, "admin/accounts/apikey/revoke.html", context)
        for row in rows:
            services.api_key_revoke(
                api_key_id=row.pk, actor=request.user.get_username(), reason=request.POST.get("reason", "")
            )
        words = ngettext("%(count)d key was revoked.", "%(count)d keys were revoked.", len(rows))
        self.message_user(request, words % {"count": len(rows)}, messages.SUCCESS)
        return None

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm[ApiKey], change: bool) -> None:  # noqa: FBT001
        """Create or change through the service; the clear key travels on the object to the next page only."""
        terms: dict[str, Any] = {
            "actor": request.user.get_username(),
            "name": obj.name,
            "is_admin": obj.is_admin,
            "allowed_models": obj.allowed_models,
            "expires_at": obj.expires_at,
            "max_concurrency": obj.max_concurrency,
            "pool": obj.pool,
        }
        if change:
            services.api_key_edit(api_key_id=obj.pk, **terms)
            return
        issued = services.api_key_create(user=obj.user, **terms)
        obj.pk = issued.row.pk
        obj.prefix = issued.row.prefix
        obj.__dict__[_ISSUED] = issued.key

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key, once; nothing may keep the page."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("Your new API key"),
            "opts": self.opts,
            "row": obj,
            "key": obj.__dict__[_ISSUED].reveal(),
        }
        response = TemplateResponse(request, "admin/accounts/apikey/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        """Delete through the service."""
        services.api_key_remove(api_key_id=obj.pk, actor=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Delete through the service, one by one."""
        for row in queryset:
            self.delete_model(request, row)
