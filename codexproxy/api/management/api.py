"""The operators' JSON API: one router per area, mounted at the root because its paths are (spec/operations.md §13).

Its own description is at `/api/docs` and `/api/openapi.json`, for people of the dashboard. Protocol routes are not here
(`api/wire.py`); they never reach Django.
"""

from __future__ import annotations

from django.contrib.admin.views.decorators import staff_member_required
from ninja import NinjaAPI

from codexproxy.api.management import accounts, login, quota
from codexproxy.api.management.auth import operators
from codexproxy.api.management.errors import install

api = NinjaAPI(
    title="Codex Proxy management",
    version="1",
    urls_namespace="management",
    docs_url="/api/docs",
    openapi_url="/api/openapi.json",
    docs_decorator=staff_member_required,
    auth=operators("accounts.change_account"),  # what a route gets that names none
)
install(api)
api.add_router("/auth/accounts", accounts.router)
api.add_router("/auth", login.router)
api.add_router("/auth", quota.router, auth=operators("accounts.change_account", reading="accounts.view_account"))
