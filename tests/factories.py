"""Factories of rows, one per model. Tokens are well-formed and belong to nobody.

`access_jwt` mints what a log-in server would; the clock is an argument where a test cares about time.
"""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import factory

from accounts import keys
from accounts.models import Account, ApiKey, AuditEntry, User

AUTH_CLAIM = "https://api.openai.com/auth"
PROFILE_CLAIM = "https://api.openai.com/profile"


def jwt(claims: dict[str, Any]) -> str:
    """Return an unsigned token around the claims."""

    def segment(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{segment({'alg': 'RS256'})}.{segment(claims)}.c2lnbmF0dXJl"


def access_jwt(
    account_id: str = "workspace-1",
    user_id: str = "user-1",
    *,
    plan: str = "plus",
    email: str = "one@example.com",
    expires_in_s: float = 864_000,
    serial: int = 0,
) -> str:
    """Return an access token of one login; `serial` makes two of them differ."""
    return jwt(
        {
            "exp": int(time.time() + expires_in_s),
            "jti": f"jti-{serial}",
            AUTH_CLAIM: {
                "chatgpt_account_id": account_id,
                "chatgpt_user_id": user_id,
                "chatgpt_plan_type": plan,
            },
            PROFILE_CLAIM: {"email": email},
        }
    )


class UserFactory(factory.django.DjangoModelFactory):
    """A member who cannot log in yet."""

    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"person-{n}")
    email = factory.LazyAttribute(lambda o: f"{o.username}@example.com")
    password = "!"


class AccountFactory(factory.django.DjangoModelFactory):
    """A ready account with both tokens."""

    class Meta:
        model = Account

    label = factory.Sequence(lambda n: f"account {n}")
    email = factory.Sequence(lambda n: f"account-{n}@example.com")
    chatgpt_account_id = factory.Sequence(lambda n: f"workspace-{n}")
    chatgpt_user_id = factory.Sequence(lambda n: f"user-{n}")
    plan = "plus"
    access_token = factory.LazyAttribute(lambda o: access_jwt(o.chatgpt_account_id, o.chatgpt_user_id))
    refresh_token = factory.Sequence(lambda n: f"rt_refresh-token-number-{n}")
    token_expires_at = factory.LazyFunction(lambda: datetime.fromtimestamp(time.time() + 864_000, UTC))


class ApiKeyFactory(factory.django.DjangoModelFactory):
    """A working key; `clear` is its text."""

    class Meta:
        model = ApiKey

    class Params:
        clear = factory.LazyFunction(keys.mint_key)

    user = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"key {n}")
    prefix = factory.LazyAttribute(lambda o: o.clear[: keys.SHOWN_CHARS])
    digest = factory.LazyAttribute(lambda o: keys.digest(o.clear))


class AuditEntryFactory(factory.django.DjangoModelFactory):
    """One line of the audit log."""

    class Meta:
        model = AuditEntry

    actor = "operator"
    action = "account.added"
    target = factory.Sequence(lambda n: f"target-{n}")
