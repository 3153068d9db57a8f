"""Proof key for code exchange (RFC 7636) and the state of a log-in. Pure; randomness is an argument."""

from __future__ import annotations

import base64
import hashlib

from msgspec import Struct

from providers.contract import Secret

VERIFIER_BYTES = 64


class Pkce(Struct, frozen=True, kw_only=True):
    """A verifier, kept until the exchange, and the challenge that goes into the address."""

    verifier: Secret
    challenge: str


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier."""
    return _base64url(hashlib.sha256(verifier.encode("ascii")).digest())


def make_pkce(entropy: bytes) -> Pkce:
    """Return a pair from `VERIFIER_BYTES` random bytes."""
    if len(entropy) < 32:
        raise ValueError("A verifier needs at least 32 random bytes.")
    verifier = _base64url(entropy)
    return Pkce(verifier=Secret(verifier), challenge=challenge_of(verifier))
