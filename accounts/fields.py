"""A model field that is encrypted in the database and a `Secret` in Python. Never returns clear text by itself.

Keys come from `settings.ENCRYPTION_KEYS`. A value that no key opens is kept as it is and loads as `UnreadableSecret`:
one lost key must not take down the pages that would say so, nor destroy the value. Next: `crypto.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import FieldError
from django.db import models

from accounts.crypto import DecryptionFailed, KeyRing
from providers.contract import Secret

if TYPE_CHECKING:
    _TextField = models.TextField["Secret | str | None", "Secret | None"]
else:
    _TextField = models.TextField


class UnreadableSecret(Secret):
    """A stored value that no key decrypts: falsy, never revealed, written back unchanged."""

    __slots__ = ("reason", "stored")

    def __init__(self, stored: str, reason: str) -> None:
        super().__init__("")
        self.stored = stored
        self.reason = reason

    def reveal(self) -> str:
        """Raises: DecryptionFailed, always."""
        raise DecryptionFailed(self.reason)


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> KeyRing:
    return KeyRing(keys)


def key_ring() -> KeyRing:
    """Return the ring of the keys in settings."""
    return _ring(tuple(settings.ENCRYPTION_KEYS))


class EncryptedTextField(_TextField):
    """Text at rest as `v1:<key id>:<base64>`; `Secret` or None in Python. Empty text is stored as NULL."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(null=True, blank=True, editable=False)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Leave out what `__init__` sets anyway."""
        name, path, args, kwargs = super().deconstruct()
        for implied in ("null", "blank", "editable"):
            kwargs.pop(implied, None)
        return name, path, args, kwargs

    @property
    def context(self) -> str:
        """Return what is authenticated along with the value: where it belongs."""
        return f"{self.model._meta.label_lower}.{self.attname}"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Secret | None:
        """Decrypt one column."""
        if not value:
            return None
        try:
            return Secret(key_ring().decrypt(value, self.context))
        except DecryptionFailed as error:
            return UnreadableSecret(value, str(error))

    def to_python(self, value: Any) -> Any:
        """Wrap text, so that a secret assigned as `str` is not seen in clear."""
        if isinstance(value, Secret) or value is None:
            return value
        return Secret(str(value)) if value else None

    def get_prep_value(self, value: Any) -> str | None:
        """Encrypt for the database."""
        if isinstance(value, UnreadableSecret):
            return value.stored
        secret: Secret | None = self.to_python(value)
        return key_ring().encrypt(secret.reveal(), self.context) if secret else None

    def get_lookup(self, lookup_name: str) -> Any:
        """Allow `isnull` only: equal secrets have different ciphertexts."""
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is encrypted; only 'isnull' can be asked of it.")
        return super().get_lookup(lookup_name)

    def value_to_string(self, obj: models.Model) -> str:
        """Return what serializers write: the encrypted form."""
        return self.get_prep_value(self.value_from_object(obj)) or ""
