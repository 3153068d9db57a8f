"""Reads usage for the dashboard: the four figures of the last day, in a constant number of queries.

Works alike on SQLite and PostgreSQL. Returns small frozen values, never rows; words are the dashboard's affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, Case, Count, F, Func, Q, Sum, When, Window
from django.db.models.functions import RowNumber

from stats.models import UsageRecord, UsageRecordQuerySet

HOURS = 24


class EpochHour(Func):
    """Whole hours since 1970 of a moment. `TruncHour` would call back into Python for every row on SQLite."""

    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Use SQLite's own date function."""
        return self.as_sql(
            compiler,
            connection,
            template="(CAST(strftime('%%%%s', %(expressions)s) AS INTEGER) / 3600)",
            **extra,
        )

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Use the epoch of PostgreSQL."""
        return self.as_sql(
            compiler,
            connection,
            template="FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / 3600)::bigint",
            **extra,
        )


@dataclass(frozen=True, kw_only=True)
class DayFigures:
    """The last 24 hours. Series have one value per hour, oldest first; a median is None where nothing was measured."""

    requests: int
    requests_by_hour: tuple[int, ...]
    tokens: int
    cached_share: float
    tokens_by_hour: tuple[int, ...]
    errors: int
    error_share: float
    errors_by_hour: tuple[int, ...]
    common_outcome: str
    common_error_code: str
    ttfb_ms: int | None
    ttfb_by_hour: tuple[int | None, ...]


def day_figures(now: datetime) -> DayFigures:
    """Return the figures of the 24 hours that end at `now`, in three queries."""
    this_hour = int(now.timestamp()) // 3600
    window = UsageRecord.objects.filter(started_at__gt=now - timedelta(hours=HOURS), started_at__lte=now)
    hours = {this_hour - HOURS + 1 + position: position for position in range(HOURS)}
    sums = _sums_by_hour(window)
    total = {name: sum(row[name] for row in sums) for name in _SUMMED}
    outcome, code = _most_common_failure(window) if total["errors"] else ("", "")
    median, median_by_hour = _median_ttfb(window)

    def series(name: str) -> tuple[int, ...]:
        values = [0] * HOURS
        for row in sums:
            # Rows of the partial hour at the far end of the window share the first place.
            values[hours.get(row["hour"], 0)] += row[name]
        return tuple(values)

    return DayFigures(
        requests=total["requests"],
        requests_by_hour=series("requests"),
        tokens=total["tokens"],
        cached_share=total["cached"] / total["input"] if total["input"] else 0.0,
        tokens_by_hour=series("tokens"),
        errors=total["errors"],
        error_share=total["errors"] / total["requests"] if total["requests"] else 0.0,
        errors_by_hour=series("errors"),
        common_outcome=outcome,
        common_error_code=code,
        ttfb_ms=median,
        ttfb_by_hour=tuple(median_by_hour.get(hour) for hour in hours),
    )


def last_failures(at_most: int) -> list[UsageRecord]:
    """Return the newest failed requests, with the rows that name them."""
    return list(
        UsageRecord.objects.failed()
        .select_related("api_key", "user", "account")
        .order_by("-started_at", "-id")[:at_most]
    )


def has_any_request() -> bool:
    """Tell whether a request was ever recorded."""
    return UsageRecord.objects.exists()


_SUMMED = ("requests", "tokens", "input", "cached", "errors")
_SUCCESS = Q(outcome__in=[UsageRecord.Outcome.OK, UsageRecord.Outcome.CLIENT_GONE])


def _sums_by_hour(window: UsageRecordQuerySet) -> list[Any]:
    return list(
        window.annotate(hour=EpochHour("started_at"))
        .values("hour")
        .annotate(
            # `total_…` because an aggregate may not bear the name of a field that later ones read.
            total_requests=Sum("requests"),
            tokens=Sum(F("input_tokens") + F("output_tokens")),
            input=Sum("input_tokens"),
            cached=Sum("cached_tokens"),
            errors=Sum(Case(When(_SUCCESS, then=0), default=F("requests"), output_field=BigIntegerField())),
        )
        .order_by()
        .values("hour", "tokens", "input", "cached", "errors", requests=F("total_requests"))
    )


def _most_common_failure(window: UsageRecordQuerySet) -> tuple[str, str]:
    row = (
        window.failed()
        .values("outcome", "error_code")
        .annotate(weight=Sum("requests"))
        .order_by("-weight", "outcome", "error_code")
        .first()
    )
    return (row["outcome"], row["error_code"]) if row else ("", "")


def _median_ttfb(window: UsageRecordQuerySet) -> tuple[int | None, dict[int, int]]:
    """Return the median of the window and of each hour: the row in the middle, found by window functions."""
    hour = EpochHour("started_at")
    rows = (
        window.filter(ttfb_ms__isnull=False)
        .annotate(
            hour=hour,
            place=Window(RowNumber(), order_by=[F("ttfb_ms"), F("id")]),
            count=Window(Count("id")),
            hour_place=Window(RowNumber(), partition_by=[hour], order_by=[F("ttfb_ms"), F("id")]),
            hour_count=Window(Count("id"), partition_by=[hour]),
        )
        .filter(Q(place=(F("count") + 1) / 2) | Q(hour_place=(F("hour_count") + 1) / 2))
        .values_list("hour", "ttfb_ms", "place", "count", "hour_place", "hour_count")
    )
    median: int | None = None
    by_hour: dict[int, int] = {}
    for row_hour, ttfb_ms, place, count, hour_place, hour_count in rows:
        if place == (count + 1) // 2:
            median = ttfb_ms
        if hour_place == (hour_count + 1) // 2 and ttfb_ms is not None:
            by_hour[row_hour] = ttfb_ms
    return median, by_hour


def usage_by_account() -> dict[str, dict[str, int]]:
    """Return the tokens of each account, as far as records go back. One query over all of them; for lists only."""
    rows = UsageRecord.objects.filter(account__isnull=False).values("account_id").order_by()
    found = rows.annotate(input=Sum("input_tokens"), output=Sum("output_tokens"), cached=Sum("cached_tokens"))
    return {
        row["account_id"]: {
            "input_tokens": row["input"] or 0,
            "output_tokens": row["output"] or 0,
            "cached_tokens": row["cached"] or 0,
        }
        for row in found
    }
