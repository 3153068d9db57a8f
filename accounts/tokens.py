"""Reads what a ChatGPT token says about itself. Pure; signatures are never verified, nobody on this side can.

Tolerant: a claim of the wrong type counts as absent. Facts: spec/wire.md §7.3.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

import msgspec
from msgspec import Struct

AUTH_CLAIM = "https://api.openai.com/auth"
PROFILE_CLAIM = "https://api.openai.com/profile"
PLAN_ALIASES = {"hc": "enterprise", "education": "edu"}


class TokenFacts(Struct, frozen=True, kw_only=True):
    """Who a login belongs to. Empty text means the tokens do not say; `expires_at` is unix seconds."""

    account_id: str = ""
    user_id: str = ""
    email: str = ""
    plan: str = ""
    expires_at: float | None = None
    is_fedramp: bool = False


def decode_claims(token: str) -> dict[str, Any] | None:
    """Return the claims of a JWT, or None when it is none."""
    parts = token.split(".")
    if len(parts) != 3 or not parts[1]:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        return None
    return cast(dict[str, Any], claims) if isinstance(claims, dict) else None


def _section(claims: dict[str, Any], name: str) -> dict[str, Any]:
    section = claims.get(name)
    return cast(dict[str, Any], section) if isinstance(section, dict) else {}


def _text(*candidates: Any) -> str:
    return next((value.strip() for value in candidates if isinstance(value, str) and value.strip()), "")


def _expiry(claims: dict[str, Any]) -> float | None:
    value = claims.get("exp")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_tokens(access_token: str, id_token: str = "") -> TokenFacts:
    """Return what the two tokens of a login say together; identity from the id token first, expiry from the access."""
    access = decode_claims(access_token) or {}
    identity = decode_claims(id_token) or {}
    auth = _section(access, AUTH_CLAIM)
    id_auth = _section(identity, AUTH_CLAIM)
    profile = _section(access, PROFILE_CLAIM)
    plan = _text(id_auth.get("chatgpt_plan_type"), auth.get("chatgpt_plan_type"), profile.get("chatgpt_plan_type"))
    return TokenFacts(
        account_id=_text(id_auth.get("chatgpt_account_id"), auth.get("chatgpt_account_id"))[:128],
        user_id=_text(
            id_auth.get("chatgpt_user_id"),
            auth.get("chatgpt_user_id"),
            id_auth.get("user_id"),
            auth.get("user_id"),
            profile.get("chatgpt_user_id"),
        )[:128],
        email=_text(identity.get("email"), profile.get("email"), access.get("email"))[:254],
        plan=PLAN_ALIASES.get(plan.lower(), plan.lower())[:32],
        expires_at=_expiry(access),
        is_fedramp=id_auth.get("chatgpt_account_is_fedramp") is True or auth.get("chatgpt_account_is_fedramp") is True,
    )
