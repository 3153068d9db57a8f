"""Writes usage: a batch of records with the counters they move, and pruning. Called by the writer and by tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import IntegrityError, models, transaction
from django.db.models import F

from accounts.why import MAX_BYTES
from stats import meter
from stats.models import UsageRecord

PRUNE_BATCH = 5_000
PRUNE_MOST_BATCHES = 200
"""One run deletes at most a million rows: the next hour goes on, and SQLite's writer is free in between."""

_TEXTS: dict[str, int] = {
    field.name: field.max_length
    for field in UsageRecord._meta.get_fields()
    if isinstance(field, models.CharField) and field.max_length
}
_REFERENCES = ("api_key", "user", "account")


def usage_record_batch(records: Sequence[meter.UsageRecord]) -> int:
    """Insert `records` and move the counters of their keys and accounts, all or nothing; return how many.

    A key, person or account that was deleted meanwhile is left out of its records; the usage itself is kept.
    """
    rows = [_row(record) for record in records]
    try:
        _insert(rows)
    except IntegrityError:
        _drop_dangling_references(rows)
        _insert(rows)
    return len(rows)


def usage_prune(*, before: datetime) -> int:
    """Delete records started before `before`, in batches and at most a million at a time; return how many."""
    deleted = 0
    for _ in range(PRUNE_MOST_BATCHES):
        doomed = UsageRecord.objects.filter(started_at__lt=before).order_by("started_at").values("pk")[:PRUNE_BATCH]
        in_batch, _by_model = UsageRecord.objects.filter(pk__in=list(doomed.values_list("pk", flat=True))).delete()
        deleted += in_batch
        if in_batch < PRUNE_BATCH:
            break
    return deleted


def _insert(rows: list[UsageRecord]) -> None:
    with transaction.atomic():
        for row in rows:
            row.pk = None
        UsageRecord.objects.bulk_create(rows)
        _move_counters(apps.get_model("accounts", "Account"), rows, "account_id")
        _move_counters(apps.get_model("accounts", "ApiKey"), rows, "api_key_id")


def _move_counters(model: type[models.Model], rows: Iterable[UsageRecord], reference: str) -> None:
    """Add the requests of `rows` to the objects they refer to: one update per object, not per record."""
    counts: dict[Any, int] = {}
    latest: dict[Any, datetime] = {}
    for row in rows:
        pk = getattr(row, reference)
        if pk is None:
            continue
        counts[pk] = counts.get(pk, 0) + row.requests
        latest[pk] = max(latest.get(pk, row.started_at), row.started_at)
    for pk in sorted(counts):  # the same order in every process, so that two writers cannot deadlock
        model._default_manager.filter(pk=pk).update(
            request_count=F("request_count") + counts[pk], last_used_at=latest[pk]
        )


def _row(record: meter.UsageRecord) -> UsageRecord:
    return UsageRecord(
        **{name: _text(getattr(record, name), size) for name, size in _TEXTS.items()},
        started_at=datetime.fromtimestamp(record.started_at, UTC),
        api_key_id=record.api_key_id,
        user_id=record.user_id,
        account_id=_account_pk(record.account_id),
        is_stream=record.is_stream,
        status=record.status,
        attempts=record.attempts,
        ttfb_ms=None if record.ttfb_ms is None else max(0, record.ttfb_ms),
        duration_ms=max(0, record.duration_ms),
        input_tokens=record.input_tokens,
        cached_tokens=record.cached_tokens,
        output_tokens=record.output_tokens,
        reasoning_tokens=record.reasoning_tokens,
        requests=record.requests,
        why=_text(record.why, MAX_BYTES),
    )


def _text(value: str, size: int) -> str:
    """Make a client's or an upstream's text fit a column: PostgreSQL takes no NUL and no lone surrogate."""
    return value[:size].encode("utf-8", "replace").decode().replace("\x00", "")


def _account_pk(account_id: str | None) -> Any:
    """Return the primary key that a hot-path account id stands for; accounts that are not rows have none."""
    if not account_id:
        return None
    try:
        return apps.get_model("accounts", "Account")._meta.pk.to_python(account_id)
    except Exception:
        return None


def _drop_dangling_references(rows: Collection[UsageRecord]) -> None:
    targets = (apps.get_model("accounts", "ApiKey"), get_user_model(), apps.get_model("accounts", "Account"))
    for name, model in zip(_REFERENCES, targets, strict=True):
        attribute = f"{name}_id"
        wanted = {getattr(row, attribute) for row in rows} - {None}
        known = set(model._default_manager.filter(pk__in=wanted).values_list("pk", flat=True))
        for row in rows:
            if getattr(row, attribute) not in known:
                setattr(row, attribute, None)
