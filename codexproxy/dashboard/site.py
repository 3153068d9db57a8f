"""The operators' admin site: the overview as its index, and the one-time set-up page. Read `overview.py` next."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from unfold.sites import UnfoldAdminSite


class OperatorSite(UnfoldAdminSite):
    """Django Admin as the operators' dashboard."""

    index_template = "admin/overview.html"
    index_title = _("Overview")

    def get_urls(self) -> list[URLPattern]:
        """Add the set-up page, the only one that asks for no log-in: nobody can log in yet."""
        return [path("setup/<str:token>/", self.setup, name="setup"), *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the overview."""
        # Imported here: sites are made while apps load, before there are models.
        from codexproxy.dashboard.overview import overview

        return super().index(request, {"overview": overview(request), **(extra_context or {})})

    def setup(self, request: HttpRequest, token: str) -> HttpResponse:
        """Let the holder of the one-time link become the first administrator."""
        from codexproxy.dashboard.setup import setup_view

        return setup_view(request, token, self.each_context(request))
