"""Reasoning proofs in the hands of clients: which of those they send back may go upstream again.

A Codex blob is a Fernet token. Anything else (a Claude signature, a Gemini thought signature, junk) must never be
forwarded, because one bad blob fails the whole request. Only the shape is checked; no key is involved.
Facts: spec/translation.md §3.4.
"""

from __future__ import annotations

CODEX_ORIGIN = "openai-responses"
"""`Proof.origin` of blobs that the Responses wire made."""

CODEX_FORMAT = "openai-responses-v1"
"""`format` of a `reasoning.encrypted` detail, the spelling that OpenRouter introduced."""

MAX_PROOF_CHARS = 32 * 1024 * 1024

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_HEADER_BYTES = 25
_MAC_BYTES = 32
_CIPHER_BLOCK = 16


def is_codex_proof(value: object) -> bool:
    """Say whether `value` has the shape of the Codex backend's encrypted reasoning.

    Version byte 0x80 (which reads "gAAAA" together with the zero bytes of the time), base64url throughout, and a
    ciphertext of a positive multiple of 16 bytes between the 25 byte header and the 32 byte MAC.
    """
    if not isinstance(value, str) or not value.startswith("gAAAA") or len(value) > MAX_PROOF_CHARS:
        return False
    body = value.rstrip("=")
    if len(value) - len(body) > 2 or len(body) % 4 == 1 or not body.isascii():
        return False
    cipher_bytes = len(body) * 3 // 4 - _HEADER_BYTES - _MAC_BYTES
    if cipher_bytes <= 0 or cipher_bytes % _CIPHER_BLOCK:
        return False
    return not body.encode().translate(None, _ALPHABET)
