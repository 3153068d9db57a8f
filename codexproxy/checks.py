"""System checks of the set-up: every mistake that an operator can make in the environment, each with what to do.

Run by `manage.py check` and by `codexproxy doctor`. E… stops what would not work, W… warns. Messages never hold a
value that may be a secret. Checks of the key ring are in `accounts/checks.py`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from codexproxy.env import DATABASE_ENGINES

MIN_SECRET_CHARS = 32
REDIS_SCHEMES = {"redis", "rediss", "unix"}
UPSTREAM_SETTINGS = ("CODEX_BASE_URL", "OPENAI_AUTH_URL", "IP_ECHO_URL", "CLIENT_FEED_URL")
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@register()
def check_setup(**_kwargs: Any) -> list[CheckMessage]:
    """Run every check of this module."""
    return [message for check in CHECKS for message in check()]


def check_data_folder() -> Iterator[CheckMessage]:
    """The data folder must be writable, and secrets in it must be their owner's only."""
    folder = Path(settings.DATA_DIR)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Error(
            f"The data folder {folder} cannot be written by this user.",
            hint="Give it to the user that runs codexproxy (chown), or name another folder in CODEXPROXY_DATA_DIR.",
            id="codexproxy.E001",
        )
        return
    for name in ("secret_key", "encryption_key", "setup_token"):
        path = folder / name
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield checks.Warning(
                f"The secret {path} can be read by other users of this machine.",
                hint=f"Run: chmod 600 {path}",
                id="codexproxy.W001",
            )


def check_secret_key() -> Iterator[CheckMessage]:
    """A short key could be guessed, and with it every session forged."""
    if len(settings.SECRET_KEY) < MIN_SECRET_CHARS:
        yield Error(
            f"SECRET_KEY has {len(settings.SECRET_KEY)} characters; it needs at least {MIN_SECRET_CHARS}.",
            hint="Leave it unset to have one made in the data folder, or make one with: "
            "python -c 'import secrets; print(secrets.token_urlsafe(48))'",
            id="codexproxy.E002",
        )


def check_database() -> Iterator[CheckMessage]:
    """SQLite on this machine, or PostgreSQL."""
    if settings.DATABASES["default"].get("ENGINE") not in DATABASE_ENGINES:
        yield Error(
            "DATABASE_URL names a database that is not supported, or cannot be read.",
            hint="Use postgres://user:password@host:5432/name, or leave it unset for SQLite in the data folder.",
            id="codexproxy.E003",
        )


def check_redis() -> Iterator[CheckMessage]:
    """The address of Redis must be one that its client understands."""
    if settings.REDIS_URL and urlsplit(settings.REDIS_URL).scheme not in REDIS_SCHEMES:
        yield Error(
            "REDIS_URL does not begin with redis://, rediss:// or unix://.",
            hint="Write it like redis://:password@host:6379/0, or leave it unset to keep shared state in memory.",
            id="codexproxy.E004",
        )


def check_upstreams() -> Iterator[CheckMessage]:
    """Upstream addresses must be complete; secrets travel there, so plain HTTP is for this machine only."""
    for name in UPSTREAM_SETTINGS:
        parts = urlsplit(getattr(settings, name))
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            yield Error(
                f"{name} is not a complete http(s) address.",
                hint=f"Unset {name} to use the real one, or write it like https://host/path.",
                id="codexproxy.E005",
            )
        elif parts.scheme == "http" and parts.hostname not in LOOPBACK:
            yield checks.Warning(
                f"{name} uses http:// to another machine: tokens would travel in clear.",
                hint="Use https://, or a simulator on this machine.",
                id="codexproxy.W002",
            )
    parts = urlsplit(settings.CODEX_BASE_URL)
    if parts.path.endswith(("/codex", "/responses", "/v1")) or parts.query:
        yield Error(
            "CODEX_BASE_URL goes too far: paths like /codex/responses are added to it.",
            hint="End it with /backend-api, as in https://chatgpt.com/backend-api.",
            id="codexproxy.E006",
        )


def check_workers() -> Iterator[CheckMessage]:
    """Several gateway processes must share limits and slots; memory cannot be shared."""
    count = os.environ.get("CODEXPROXY_WORKERS", "1")
    if count.isdigit() and int(count) > 1:
        if not settings.REDIS_URL:
            yield Error(
                f"{count} gateway processes run without REDIS_URL: each would count limits and slots for itself.",
                hint="Set REDIS_URL, or serve with one process.",
                id="codexproxy.E009",
            )
        if settings.DATABASES["default"].get("ENGINE") == "django.db.backends.sqlite3":
            yield checks.Warning(
                f"{count} gateway processes share one SQLite file: writes wait for each other.",
                hint="Set DATABASE_URL to a PostgreSQL database, or serve with one process.",
                id="codexproxy.W004",
            )


def check_web() -> Iterator[CheckMessage]:
    """Settings of the dashboard that Django would only complain about at the first log-in."""
    if settings.DEBUG:
        yield checks.Warning(
            "DEBUG is on: error pages show settings and source code to everybody.",
            hint="Unset DEBUG, except on a machine for development.",
            id="codexproxy.W005",
        )
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        if "://" not in origin:
            yield Error(
                f"CSRF_TRUSTED_ORIGINS holds {origin!r}, which has no scheme.",
                hint=f"Write https://{origin}.",
                id="codexproxy.E007",
            )


def check_retention() -> Iterator[CheckMessage]:
    """Usage is kept for some days."""
    if settings.USAGE_RETENTION_DAYS < 1:
        yield Error(
            "USAGE_RETENTION_DAYS must be at least 1.",
            hint="Unset it for 90 days.",
            id="codexproxy.E008",
        )


CHECKS: tuple[Callable[[], Iterator[CheckMessage]], ...] = (
    check_data_folder,
    check_secret_key,
    check_database,
    check_redis,
    check_upstreams,
    check_workers,
    check_web,
    check_retention,
)
