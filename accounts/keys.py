"""API keys of clients: how they look, how they are hashed, how one is found in a request. Pure.

Keys have 256 bits of entropy, so one SHA-256 is a sound hash (a slow one would only slow the hot path). The digest is
the lookup key of the snapshot; the clear text exists once, at creation.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping

from accounts.values import ApiKeyView
from translation.errors import Unauthenticated

KEY_PREFIX = "cpx-"
SHOWN_CHARS = 12
"""How much of a key is kept in clear, so that people recognize it: `cpx-` and eight characters."""


def mint_key() -> str:
    """Return a new key: `cpx-` and 43 URL-safe characters."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> bytes:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(key.encode()).digest()


def presented_key(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """Return the key a client presents: Bearer, `x-api-key`, `x-goog-api-key`, then `?key=`.

    One that looks like ours goes first: a Codex client with a ChatGPT login sends its own bearer whatever is
    configured, and our key in a header beside it (spec/clients.md §1.5).
    """
    bearer = None
    authorization = headers.get("authorization")
    if authorization:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer" and value:
            bearer = value.strip()
            if bearer.startswith(KEY_PREFIX):
                return bearer
    others = (headers.get("x-api-key"), headers.get("x-goog-api-key"), query.get("key"))
    if bearer is None:
        return next((key for key in others if key), None)
    return next((key for key in others if key and key.startswith(KEY_PREFIX)), bearer)


def authenticate(keys: Mapping[bytes, ApiKeyView], key: str | None, now_s: float) -> ApiKeyView:
    """Return the api key's view.

    Raises: Unauthenticated with words that say what to do, never echoing the key.
    """
    if not key:
        raise Unauthenticated(
            "No API key was sent. Send one as 'Authorization: Bearer cpx-…', 'x-api-key' or 'x-goog-api-key'.",
            code="missing_api_key",
        )
    view = keys.get(digest(key))
    if view is None:
        raise Unauthenticated("This API key is not known here. Check it, or ask your operator for a new one.")
    if not view.is_active:
        raise Unauthenticated(f"This API key is not active: {view.inactive_reason}. Ask your operator for a new one.")
    if view.expires_at is not None and view.expires_at <= now_s:
        raise Unauthenticated("This API key has expired. Ask your operator for a new one.", code="expired_api_key")
    return view
