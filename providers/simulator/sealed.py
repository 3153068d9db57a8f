"""Opaque strings the backend hands out: encrypted reasoning, compaction, turn state (wire.md §2.7, §3.5.3).

They look like Fernet tokens (version byte, time, IV, whole cipher blocks, MAC) and carry a digest of the account
that owns them, so that a blob replayed on another account is refused as the backend refuses it. Nothing is secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct

_VERSION = 0x80
_BLOCK = 16
_MAC = 32
_HEAD = 1 + 8 + 16
_SALT = b"codexproxy simulator"


def _owner_tag(owner: str) -> bytes:
    return hashlib.blake2b(owner.encode(), key=_SALT, digest_size=_BLOCK).digest()


def _mac(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, key=_SALT, digest_size=_MAC).digest()


def seal(owner: str, *, now: float, nonce: int, blocks: int = 10) -> str:
    """Return a blob that belongs to `owner`; ten blocks give the 292 characters of a turn state."""
    seed = hashlib.shake_128(b"%d" % nonce).digest(16 + (blocks - 1) * _BLOCK)
    payload = bytes([_VERSION]) + struct.pack(">Q", int(now)) + seed[:16] + _owner_tag(owner) + seed[16:]
    return base64.urlsafe_b64encode(payload + _mac(payload)).decode()


def is_well_formed(blob: str) -> bool:
    """Whether the string has the outer shape of a Fernet token."""
    if not blob.startswith("gAAAA"):
        return False
    try:
        raw = base64.b64decode(blob, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return False
    body = len(raw) - _HEAD - _MAC
    return raw[0] == _VERSION and body >= _BLOCK and body % _BLOCK == 0


def is_owned_by(blob: str, owner: str) -> bool:
    """Whether this simulator made the blob, for this owner, and nobody changed it."""
    if not is_well_formed(blob):
        return False
    raw = base64.urlsafe_b64decode(blob)
    payload = raw[:-_MAC]
    return _mac(payload) == raw[-_MAC:] and payload[_HEAD : _HEAD + _BLOCK] == _owner_tag(owner)
