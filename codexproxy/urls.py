"""Django's own routes: the dashboard and the management API.

Protocol routes never come here; `asgi.py` answers them before Django does.
"""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from codexproxy.api.management.api import api

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("", api.urls),
]
