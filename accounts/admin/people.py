"""People: who may log in here, and whose keys are whose. Groups are not used by this product."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import services
from accounts.models import User

POWERS = ("is_staff", "is_superuser", "user_permissions")


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """People. Only a superuser gives or takes powers, and only a superuser edits a superuser."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "role", "is_active", "active_keys", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    filter_horizontal = ("user_permissions",)
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Who"), {"fields": ("first_name", "last_name", "email")}),
        (_("What they may do"), {"fields": ("is_active", *POWERS)}),
        (_("When"), {"fields": ("last_login", "date_joined")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Count the keys that work."""
        counted = Count("api_keys", filter=Q(api_keys__revoked_at__isnull=True))
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.annotate(key_count=counted)

    @admin.display(description=_("keys"), ordering="key_count")
    def active_keys(self, obj: User) -> int:
        """Return how many keys are not revoked."""
        count: int = obj.key_count  # type: ignore[attr-defined]  # annotated in get_queryset
        return count

    @admin.display(description=_("role"), ordering="is_superuser")
    def role(self, obj: User) -> Any:
        """Say what the person may do here."""
        if obj.is_superuser:
            return _("Administrator")
        return _("Staff") if obj.is_staff else _("Member")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep powers out of the hands of those who have none."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *POWERS)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Protect superusers from staff."""
        return super().has_change_permission(request, obj) and self._may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Protect superusers from staff, and everyone from deleting themselves."""
        return super().has_delete_permission(request, obj) and self._may_touch(request, obj) and obj != request.user

    def _may_touch(self, request: HttpRequest, obj: User | None) -> bool:
        return obj is None or request.user.is_superuser or not obj.is_superuser

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:  # noqa: FBT001
        """Store through the service."""
        services.user_save(user=obj, actor=request.user.get_username(), fields=form.changed_data)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        """Delete through the service."""
        services.user_remove(user=obj, actor=request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Delete through the service, one by one, leaving out whom the person may not touch."""
        for user in queryset:
            if self.has_delete_permission(request, user):
                services.user_remove(user=user, actor=request.user.get_username())
