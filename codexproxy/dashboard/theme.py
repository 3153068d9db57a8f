"""How the dashboard looks and what its sidebar lists. Imported by settings, so nothing here may touch models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    from django.http import HttpRequest

ITEMS: tuple[tuple[Any, str, str], ...] = (
    (gettext_lazy("Accounts"), "group", "accounts.account"),
    (gettext_lazy("Requests"), "receipt_long", "stats.usagerecord"),
    (gettext_lazy("People"), "person", "accounts.user"),
    (gettext_lazy("API keys"), "key", "accounts.apikey"),
    (gettext_lazy("Audit log"), "history", "accounts.auditentry"),
    (gettext_lazy("Schedules"), "schedule", "django_celery_beat.periodictask"),
)
"""Title, symbol and model of each page, by how often an operator needs it."""

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Codex Proxy",
    "SITE_HEADER": "Codex Proxy",
    "SITE_SYMBOL": "conversion_path",
    "SITE_URL": None,
    "SHOW_LANGUAGES": True,
    "SHOW_HISTORY": False,  # the audit log knows more
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [lambda request: _static("dashboard/dashboard.css")],
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: _static("dashboard/icon.svg")},
    ],
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.7)",
            "100": "oklch(95.3% .051 180.8)",
            "200": "oklch(91% .096 180.4)",
            "300": "oklch(85.5% .138 181.1)",
            "400": "oklch(77.7% .152 181.9)",
            "500": "oklch(70.4% .14 182.5)",
            "600": "oklch(51.1% .096 186.4)",
            "700": "oklch(45% .085 186.8)",
            "800": "oklch(39% .075 187.5)",
            "900": "oklch(34% .06 188.4)",
            "950": "oklch(27.7% .046 192.5)",
        },
    },
    "SIDEBAR": {"show_search": False, "navigation": "codexproxy.dashboard.theme.navigation"},
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar: the overview, and each page that exists and that this person may see."""
    from django.contrib import admin  # not above: settings import this module, before there are apps

    registered = {model._meta.label_lower: model_admin for model, model_admin in admin.site._registry.items()}
    items = [{"title": _("Overview"), "icon": "monitoring", "link": reverse("admin:index")}]
    for title, symbol, label in ITEMS:
        model_admin = registered.get(label)
        if model_admin is not None and model_admin.has_view_permission(request):
            link = reverse(f"admin:{label.replace('.', '_')}_changelist")
            items.append({"title": str(title), "icon": symbol, "link": link})
    return [{"items": items}]


def _static(path: str) -> str:
    from django.templatetags.static import static  # not above, for the same reason

    return static(path)
