"""Filters of the request log, one per question an operator asks, and the paginator that never counts it all."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from stats.models import UsageRecord
from translation.registry import codecs

MOST_COUNTED = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """Counts no further than `MOST_COUNTED` rows: the cost of a page stays the same however long the log is."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, at most `MOST_COUNTED`."""
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_COUNTED].count())


class ResultFilter(admin.SimpleListFilter):
    """Which requests failed."""

    title = _("result")
    parameter_name = "result"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Offer both."""
        return [("ok", _("Answered")), ("failed", _("Failed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """Keep the chosen ones."""
        if self.value() == "ok":
            return queryset.filter(outcome=UsageRecord.Outcome.OK)
        if self.value() == "failed":
            return queryset.exclude(outcome__in=[UsageRecord.Outcome.OK, UsageRecord.Outcome.CLIENT_GONE])
        return queryset


class ProtocolFilter(admin.SimpleListFilter):
    """Which protocol did the client speak? The choices come from the codecs: asking the rows would read them all."""

    title = _("protocol")
    parameter_name = "protocol"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every codec."""
        return [(name, name) for name in sorted(codecs())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """Keep the chosen one."""
        return queryset.filter(protocol=self.value()) if self.value() else queryset
