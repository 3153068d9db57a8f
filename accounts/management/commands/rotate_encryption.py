"""`codexproxy rotate_encryption`: encrypt every secret anew with the first of ENCRYPTION_KEYS. Safe to repeat.

Put the new key first, keep the old ones behind it, run this, then drop the old ones. Every encrypted field of every
app is found by itself. A value that no key opens is left as it is and reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser
from django.db import models, transaction

from accounts import audit
from accounts.fields import EncryptedTextField, UnreadableSecret, key_ring
from accounts.management.plain import PlainCommand


class Command(PlainCommand):
    """Re-encrypt all rows with the first key."""

    help = "Encrypt every secret anew with the first of ENCRYPTION_KEYS."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the batch size."""
        parser.add_argument("--batch-size", type=int, default=200, metavar="N", help="rows per transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        """Go through every model with an encrypted field, in batches, each its own transaction."""
        rotated = unreadable = 0
        for model in encrypted_models():
            for ids in _batches(model, max(1, options["batch_size"])):
                done, lost = rotate_rows(model, ids)
                rotated, unreadable = rotated + done, unreadable + lost
                self.stderr.write(f"{model._meta.verbose_name_plural}: {rotated} values encrypted anew …")
        audit.record(actor=self.actor, action="encryption.rotated", values=rotated, unreadable=unreadable)
        self.print_json({"key_id": key_ring().current_id, "rotated": rotated, "unreadable": unreadable})
        if unreadable:
            raise CommandError(f"{unreadable} values were left alone: no key in ENCRYPTION_KEYS decrypts them.")


def encrypted_models() -> list[type[models.Model]]:
    """Return the models that have an encrypted field."""
    return [model for model in apps.get_models() if _fields(model)]


def _fields(model: type[models.Model]) -> list[EncryptedTextField]:
    return [field for field in model._meta.get_fields() if isinstance(field, EncryptedTextField)]


def _batches(model: type[models.Model], size: int) -> Iterator[list[Any]]:
    last: Any = None
    while True:
        rows = model._default_manager.order_by("pk")
        ids = list((rows if last is None else rows.filter(pk__gt=last)).values_list("pk", flat=True)[:size])
        if not ids:
            return
        yield ids
        last = ids[-1]


@transaction.atomic
def rotate_rows(model: type[models.Model], ids: list[Any]) -> tuple[int, int]:
    """Re-encrypt some rows; returns how many values were written and how many no key opens."""
    fields = _fields(model)
    rows = list(model._default_manager.select_for_update().filter(pk__in=ids))
    values = [getattr(row, field.attname) for row in rows for field in fields]
    model._default_manager.bulk_update(rows, [field.attname for field in fields])
    unreadable = sum(isinstance(value, UnreadableSecret) for value in values)
    return sum(bool(value) for value in values), unreadable
