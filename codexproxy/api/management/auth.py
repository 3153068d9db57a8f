"""Who may call the management API: holders of an admin api key, and people logged in to the dashboard.

Deny by default: every operation names its authentication, and a test looks that none is missing. Nothing depends on
the caller's address. A session needs a CSRF token for everything that changes something; a key in a header does not.
"""

from __future__ import annotations

import time
from typing import Any

from django.http import HttpRequest
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from accounts import keys
from accounts.loader import load_key
from accounts.models import User
from codexproxy.api.management.errors import Refusal
from translation.errors import Unauthenticated


class Operator:
    """Whoever passed. `name` is for the audit log; `is_key` tells a program from a person."""

    __slots__ = ("is_key", "name")

    def __init__(self, name: str, *, is_key: bool) -> None:
        self.name = name
        self.is_key = is_key


class AdminKey(AuthBase):
    """An api key that may manage this gateway, as `Authorization: Bearer` or `x-api-key`; never in the address."""

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Operator | None:
        """Return the caller; None when no key was sent. Raises: Refusal."""
        key = keys.presented_key({name.lower(): value for name, value in request.headers.items()}, {})
        if key is None:
            return None
        try:
            view = keys.authenticate(load_key(keys.digest(key)), key, time.time())
        except Unauthenticated as error:
            raise Refusal(401, str(error)) from error
        if not view.is_admin:
            raise Refusal(403, "This API key may not manage the gateway; use one that was created with --admin.")
        return Operator(f"key:{view.prefix}", is_key=True)


class DashboardSession(AuthBase):
    """Someone logged in to the dashboard who has the operation's permission; `reading` is the one that GET needs."""

    openapi_type = "apiKey"
    openapi_in = "cookie"
    openapi_name = "sessionid"

    def __init__(self, permission: str, reading: str = "") -> None:
        self.permission = permission
        self.reading = reading or permission
        super().__init__()

    def __call__(self, request: HttpRequest) -> Operator | None:
        """Return the caller; None when nobody is logged in. Raises: Refusal."""
        user: Any = request.user
        if not isinstance(user, User) or not user.is_active:
            return None
        needed = self.reading if request.method == "GET" else self.permission
        if not user.is_staff or not user.has_perm(needed):
            raise Refusal(403, "You are logged in, but may not do this; ask an administrator.")
        if check_csrf(request) is not None:
            raise Refusal(403, "The CSRF token is missing or wrong: send the csrftoken cookie as X-CSRFToken.")
        return Operator(user.get_username(), is_key=False)


class Anyone(AuthBase):
    """Open on purpose: the three operations around logging in."""

    openapi_type = "apiKey"

    def __call__(self, request: HttpRequest) -> Operator:
        """Let in."""
        return Operator("", is_key=False)


def operators(permission: str, *, reading: str = "") -> list[AuthBase]:
    """Return the authentication of an operation, or of a whole router: an admin key, or a session with `permission`."""
    return [AdminKey(), DashboardSession(permission, reading)]


def operator_of(request: HttpRequest) -> Operator:
    """Return who was let in."""
    found: Operator = request.auth  # type: ignore[attr-defined]  # set by Ninja
    return found
