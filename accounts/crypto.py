"""Encryption of secrets at rest: AES-256-GCM with a ring of keys. Pure: never imports Django, never logs a value.

A stored value is `v1:<key id>:<base64 of nonce and ciphertext>`. The context ("accounts.account.access_token") is
authenticated along with it, so that a value copied into another column does not decrypt. Next: `fields.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = "v1"
MIN_KEY_CHARS = 32
NONCE_BYTES = 12
KEY_ID_CHARS = 8


class DecryptionFailed(Exception):
    """No key of the ring opens a stored value; the message names the key id that wrote it."""


def key_id(key: str) -> str:
    """Return the public name of a key: eight hex digits."""
    return hashlib.sha256(key.encode()).hexdigest()[:KEY_ID_CHARS]


def _cipher(key: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"codexproxy field encryption v1").derive(
        key.encode()
    )
    return AESGCM(derived)


class KeyRing:
    """The first key encrypts, every key decrypts. Invariant: keys never leave the object."""

    __slots__ = ("_ciphers", "current_id")

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("A key ring needs at least one key.")
        self._ciphers = {key_id(key): _cipher(key) for key in keys}
        self.current_id = key_id(keys[0])

    def __repr__(self) -> str:
        return f"KeyRing(current={self.current_id}, keys={len(self._ciphers)})"

    def encrypt(self, clear: str, context: str) -> str:
        """Return the stored form of `clear`."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._ciphers[self.current_id].encrypt(nonce, clear.encode(), context.encode())
        return f"{VERSION}:{self.current_id}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, stored: str, context: str) -> str:
        """Return the clear text of a stored value. Raises: DecryptionFailed."""
        version, _, rest = stored.partition(":")
        name, _, payload = rest.partition(":")
        cipher = self._ciphers.get(name)
        if version != VERSION or not payload:
            raise DecryptionFailed("The stored value is not one that this version of the program wrote.")
        if cipher is None:
            raise DecryptionFailed(f"No key in ENCRYPTION_KEYS has the id {name}, which encrypted this value.")
        try:
            sealed = base64.b64decode(payload, validate=True)
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode()).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise DecryptionFailed(f"The value encrypted with key {name} is damaged or was moved.") from error

    def seal(self, clear: bytes, context: str) -> bytes:
        """Return `clear` encrypted, for values that are no rows: the key's id, nonce and ciphertext as bytes."""
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._ciphers[self.current_id].encrypt(nonce, clear, context.encode())
        return self.current_id.encode() + nonce + ciphertext

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """Return what `seal` was given. Raises: DecryptionFailed."""
        name, nonce = (
            sealed[:KEY_ID_CHARS].decode("ascii", "replace"),
            sealed[KEY_ID_CHARS : KEY_ID_CHARS + NONCE_BYTES],
        )
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise DecryptionFailed(f"No key in ENCRYPTION_KEYS has the id {name}, which encrypted this value.")
        try:
            return cipher.decrypt(nonce, sealed[KEY_ID_CHARS + NONCE_BYTES :], context.encode())
        except (InvalidTag, ValueError) as error:
            raise DecryptionFailed(f"The value encrypted with key {name} is damaged or was moved.") from error

    def is_current(self, stored: str) -> bool:
        """Tell whether the first key wrote the value."""
        return stored.startswith(f"{VERSION}:{self.current_id}:")
