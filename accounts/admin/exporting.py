"""The page that hands accounts out with their live tokens: it asks for the password, and writes it down."""

from __future__ import annotations

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import exporting, reauth, services
from accounts.admin.forms import ExportForm
from accounts.models import Account
from accounts.services import AccountsError


def export_page(admin: ModelAdmin[Account], request: HttpRequest) -> HttpResponse:
    """Ask in which shape; answer with the file."""
    ids = [part for part in (request.POST.get("ids") or request.GET.get("ids") or "").split(",") if part]
    rows = Account.objects.order_by("label", "email", "id")
    chosen = list(rows.filter(pk__in=ids) if ids else rows)
    form = ExportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            reauth.confirm(request, form.cleaned_data["password"])
            return _file(request, form.cleaned_data["format"], [row.pk for row in chosen])
        except AccountsError as error:
            form.add_error("password", str(error))
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": _("Export accounts"),
        "form": form,
        "rows": chosen,
        "ids": ",".join(ids),
        "without_renewal": sum(not row.refresh_token for row in chosen),
    }
    return TemplateResponse(request, "admin/accounts/account/export.html", context)


def _file(request: HttpRequest, format_name: str, ids: list[str]) -> HttpResponse:
    text = services.account_export(format_name=format_name, ids=ids, actor=request.user.get_username())
    name = exporting.file_name(format_name, timezone.now())
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type="application/json", headers=headers)
