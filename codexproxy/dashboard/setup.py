"""The one-time set-up link: its token, kept only as a hash in the data folder, and the page that spends it.

The link is printed by `serve` while nobody can administer this gateway. It works once, for a day, and is gone (404)
as soon as there is an administrator.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.forms import BaseUserCreationForm
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

VALID_S = 24 * 3600
FIRST_USERNAME = "admin"
"""The person who owns the first API key, until the set-up gives them a password and perhaps another name."""


class SetupToken:
    """The single token of this data folder. Making a new one ends the old one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "setup_token"

    def create(self, now_s: float) -> str:
        """Return a new token, in clear for the only time."""
        token = secrets.token_urlsafe(32)
        candidate = self._path.with_name(f".setup_token.{os.getpid()}")
        descriptor = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"digest": _digest(token), "expires_at": now_s + VALID_S}, file)
        candidate.replace(self._path)
        return token

    def is_valid(self, token: str, now_s: float) -> bool:
        """Tell whether `token` would be accepted now."""
        try:
            stored = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return False
        is_same = hmac.compare_digest(str(stored.get("digest", "")), _digest(token))
        return is_same and float(stored.get("expires_at", 0)) > now_s

    def spend(self, token: str, now_s: float) -> bool:
        """Use `token` up. Only one of several simultaneous callers is told that it did."""
        if not self.is_valid(token, now_s):
            return False
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True


def has_administrator() -> bool:
    """Tell whether somebody can administer this gateway."""
    return get_user_model()._default_manager.filter(is_superuser=True, is_active=True).exists()


class SetupForm(BaseUserCreationForm):
    """Name and password of the first administrator."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget = UnfoldAdminTextInputWidget({"autocomplete": "username", "autofocus": True})
        for name in ("password1", "password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget({"autocomplete": "new-password"})

    class Meta:
        model = get_user_model()
        fields = ("username",)


@sensitive_post_parameters()
@never_cache
def setup_view(request: HttpRequest, token: str, site_context: dict[str, Any]) -> HttpResponse:
    """Let the holder of the link become the first administrator.

    Raises: Http404 for a token that is wrong, spent or too old, and always once there is an administrator.
    """
    keeper = SetupToken(settings.DATA_DIR)
    if has_administrator() or not keeper.is_valid(token, time.time()):
        raise Http404
    form = SetupForm(request.POST or None, instance=_placeholder(), initial={"username": FIRST_USERNAME})
    if request.method == "POST" and form.is_valid():
        if not keeper.spend(token, time.time()):
            raise Http404
        with transaction.atomic():
            user = form.save(commit=False)
            user.is_staff = user.is_superuser = user.is_active = True
            user.save()
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return HttpResponseRedirect(reverse("admin:index"))
    context = {**site_context, "form": form, "title": _("Set up this gateway")}
    return TemplateResponse(request, "admin/setup.html", context)


def _placeholder() -> Any:
    """Return the person made for the first API key, if nobody has ever logged in as them."""
    user = get_user_model()._default_manager.filter(username=FIRST_USERNAME).first()
    return user if user is not None and not user.has_usable_password() else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
