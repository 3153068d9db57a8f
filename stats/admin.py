"""The request log: one row per request, in plain words, read-only. Cheap however many rows there are."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from stats.explaining import explain
from stats.figures import human_count, human_ms
from stats.filters import CappedPaginator, ProtocolFilter, ResultFilter
from stats.models import UsageRecord

OUTCOME_LABELS = {
    UsageRecord.Outcome.OK: "success",
    UsageRecord.Outcome.CLIENT_GONE: "info",
    UsageRecord.Outcome.CLIENT_ERROR: "warning",
    UsageRecord.Outcome.RATE_LIMITED: "warning",
    UsageRecord.Outcome.NO_CAPACITY: "danger",
    UsageRecord.Outcome.UPSTREAM_ERROR: "danger",
    UsageRecord.Outcome.GATEWAY_BUG: "danger",
}


def number(text: str, exact: object) -> SafeString:
    """Return a right-aligned figure with its exact value on hover."""
    return format_html('<span class="cpx-number" title="{}">{}</span>', exact, text)


@admin.register(UsageRecord)
class UsageRecordAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Requests, newest first."""

    list_display = ("when", "person", "model", "client", "result", "tokens", "first_byte", "duration", "tries")
    list_display_links = ("when",)
    list_filter = (ResultFilter, "outcome", "lane", ProtocolFilter, "started_at")
    list_select_related = ("user", "api_key", "account")
    list_per_page = 50
    show_full_result_count = False
    paginator = CappedPaginator
    ordering = ("-started_at", "-id")
    search_fields = (
        "request_id__exact",
        "model__istartswith",
        "user__username__istartswith",
        "api_key__name__istartswith",
        "api_key__prefix__startswith",
    )
    search_help_text = _("Request ID, or the beginning of a model, a person or a key")
    actions = None
    fieldsets: ClassVar = (
        (None, {"fields": ("outcome", "reason", "started_at", "request_id")}),
        (_("How it was decided"), {"fields": ("decision",)}),
        (_("Who asked"), {"fields": ("user", "api_key", "client", "protocol")}),
        (_("Who answered"), {"fields": ("account", "model", "upstream_model", "lane", "attempts", "status")}),
        (_("How long"), {"fields": ("first_byte", "duration", "is_stream")}),
        (
            _("Tokens"),
            {"fields": ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "requests")},
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody writes the log by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        """Nobody edits it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        """Nobody deletes from it; retention does."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageRecord]:
        """Load what the columns name."""
        queryset: QuerySet[UsageRecord] = super().get_queryset(request).select_related(*self.list_select_related)
        return queryset.defer("why")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show every field of the fieldsets."""
        return [name for _title, options in self.fieldsets for name in options["fields"]]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All of them are read-only."""
        return self.get_fields(request, obj)

    @admin.display(description=_("started"), ordering="-started_at")
    def when(self, row: UsageRecord) -> Any:
        """The moment it came in, in the reader's format."""
        return row.started_at

    @admin.display(description=_("person and key"))
    def person(self, row: UsageRecord) -> str:
        """Who asked, and with which key."""
        names = [str(part) for part in (row.user, row.api_key.name if row.api_key else None) if part]
        return " · ".join(names) or "–"

    @display(description=_("result"), ordering="outcome", label=OUTCOME_LABELS)
    def result(self, row: UsageRecord) -> tuple[str, str]:
        """How it ended, as a colored word."""
        return row.outcome, str(row.get_outcome_display())

    @admin.display(description=_("why"))
    def reason(self, row: UsageRecord) -> str:
        """What went wrong, in the words that the client was told."""
        return " · ".join(part for part in (row.error_code, row.error_message) if part) or "–"

    @admin.display(description=_("step by step"))
    def decision(self, row: UsageRecord) -> SafeString | str:
        """Which accounts could serve it, which were passed over, what was tried."""
        steps = format_html_join("", "<li>{}</li>", ((sentence,) for sentence in explain(row)))
        return format_html('<ol class="cpx-steps">{}</ol>', steps) if steps else "–"

    @admin.display(description=_("tokens"))
    def tokens(self, row: UsageRecord) -> SafeString:
        """Tokens in and out."""
        total = row.input_tokens + row.output_tokens
        exact = _("in %(input)s (%(cached)s cached), out %(output)s") % {
            "input": row.input_tokens,
            "cached": row.cached_tokens,
            "output": row.output_tokens,
        }
        return number(human_count(total), exact)

    @admin.display(description=_("first byte"), ordering="ttfb_ms")
    def first_byte(self, row: UsageRecord) -> SafeString:
        """How long the client waited for the first byte."""
        return number(human_ms(row.ttfb_ms), f"{row.ttfb_ms} ms")

    @admin.display(description=_("duration"), ordering="duration_ms")
    def duration(self, row: UsageRecord) -> SafeString:
        """How long all of it took."""
        return number(human_ms(row.duration_ms), f"{row.duration_ms} ms")

    @admin.display(description=_("attempts"), ordering="attempts")
    def tries(self, row: UsageRecord) -> SafeString:
        """How many upstream calls it took."""
        return number(str(row.attempts), row.attempts)
