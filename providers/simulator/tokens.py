"""Well-formed but unsigned JWTs, as the auth server hands them out (wire.md §7.3).

Nobody on the client side verifies signatures, so neither do we: what matters is the claims. Must never read the
wall clock; the caller says what time it is. Next: `accounts.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import orjson

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
ISSUER = "https://auth.openai.com"
AUTH_CLAIM = "https://api.openai.com/auth"
PROFILE_CLAIM = "https://api.openai.com/profile"
ACCESS_LIFETIME_S = 864_000
ID_LIFETIME_S = 3_600


def _segment(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def encode_jwt(claims: dict[str, Any]) -> str:
    """Return a three-part token around the claims; the signature is filler of the right length."""
    head = {"alg": "RS256", "typ": "JWT", "kid": "simulator"}
    body = f"{_segment(head)}.{_segment(claims)}"
    filler = b"".join(hashlib.sha256(f"{body}{part}".encode()).digest() for part in range(8))
    return f"{body}.{base64.urlsafe_b64encode(filler).rstrip(b'=').decode()}"


def decode_claims(token: str) -> dict[str, Any] | None:
    """Return the claims of a token, or None when it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    return claims if isinstance(claims, dict) else None


def _auth_claim(chatgpt_account_id: str, user_id: str, plan: str) -> dict[str, Any]:
    return {
        "chatgpt_account_id": chatgpt_account_id,
        "chatgpt_account_user_id": f"{user_id}__{chatgpt_account_id}",
        "chatgpt_user_id": user_id,
        "user_id": user_id,
        "chatgpt_plan_type": plan,
        "chatgpt_compute_residency": "no_constraint",
    }


def mint_access_token(
    chatgpt_account_id: str,
    *,
    user_id: str = "user-sim",
    plan: str = "plus",
    email: str = "sim@example.com",
    now: float,
    lifetime_s: float = ACCESS_LIFETIME_S,
    serial: int = 0,
) -> str:
    """Return an access token of this account; `serial` makes two tokens of one second differ."""
    return encode_jwt(
        {
            "aud": ["https://api.openai.com/v1"],
            "client_id": CLIENT_ID,
            "exp": int(now + lifetime_s),
            "iat": int(now),
            "nbf": int(now),
            "iss": ISSUER,
            "jti": f"jti-{chatgpt_account_id}-{serial}",
            AUTH_CLAIM: _auth_claim(chatgpt_account_id, user_id, plan),
            PROFILE_CLAIM: {"email": email, "email_verified": True},
            "scp": ["openid", "profile", "email", "offline_access"],
            "session_id": f"authsess_{user_id}",
            "sub": f"auth0|{user_id}",
        }
    )


def mint_id_token(
    chatgpt_account_id: str,
    *,
    user_id: str = "user-sim",
    plan: str = "plus",
    email: str = "sim@example.com",
    now: float,
    lifetime_s: float = ID_LIFETIME_S,
) -> str:
    """Return the id token that goes with an access token."""
    auth = _auth_claim(chatgpt_account_id, user_id, plan) | {
        "chatgpt_account_is_fedramp": False,
        "completed_platform_onboarding": False,
        "is_org_owner": True,
        "groups": [],
        "organizations": [{"id": f"org-{user_id}", "is_default": True, "role": "owner", "title": "Personal"}],
    }
    return encode_jwt(
        {
            "aud": [CLIENT_ID],
            "iss": ISSUER,
            "iat": int(now),
            "exp": int(now + lifetime_s),
            "email": email,
            "email_verified": True,
            "auth_provider": "google",
            "sub": f"auth0|{user_id}",
            AUTH_CLAIM: auth,
        }
    )
