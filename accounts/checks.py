"""System checks of the key ring, with ids. Never prints a key or a value.

accounts.E001 no key · accounts.E002 a key that is too short · accounts.E003 rows that no key decrypts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from accounts.crypto import MIN_KEY_CHARS


@register(Tags.security)
def check_keys(**kwargs: Any) -> list[CheckMessage]:
    """Refuse an empty ring and keys that are easy to guess."""
    keys = list(getattr(settings, "ENCRYPTION_KEYS", ()))
    if not any(keys):
        return [
            Error(
                "ENCRYPTION_KEYS is empty, so tokens cannot be stored.",
                hint="Leave the variable unset to have a key made in the data folder, or give it a long random text.",
                id="accounts.E001",
            )
        ]
    return [
        Error(
            f"Key number {number} of ENCRYPTION_KEYS is shorter than {MIN_KEY_CHARS} characters.",
            hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'",
            id="accounts.E002",
        )
        for number, key in enumerate(keys, start=1)
        if len(key) < MIN_KEY_CHARS
    ]


@register(Tags.database)
def check_rows_decrypt(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Find rows that were encrypted with a key that is gone. Runs with `check --database` and `doctor`."""
    from accounts.selectors import accounts_unreadable  # not at the top: models are not loaded yet

    if not databases:
        return []
    try:
        names = accounts_unreadable()
    except DatabaseError:  # not migrated yet: nothing can be unreadable
        return []
    if not names:
        return []
    return [
        Error(
            f"{len(names)} account(s) cannot be decrypted with the keys in ENCRYPTION_KEYS: {', '.join(names[:5])}.",
            hint="Put the old key back at the end of ENCRYPTION_KEYS, or remove these accounts and add them again.",
            id="accounts.E003",
        )
    ]
