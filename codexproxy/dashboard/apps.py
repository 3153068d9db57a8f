"""Installs the operators' site as Django's admin site. The label stays `admin`, and so does every URL's name."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class DashboardAdminConfig(AdminConfig):
    """Django Admin with `OperatorSite` as the site that `admin.site` and `@admin.register` mean."""

    default_site = "codexproxy.dashboard.site.OperatorSite"
