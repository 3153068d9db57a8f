"""`codexproxy explain REQUEST_ID [--json]`: why a request went where it went, from its usage record."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from msgspec.structs import asdict

from accounts import why
from accounts.management.plain import PlainCommand
from accounts.selectors import iso
from stats.explaining import explain
from stats.models import UsageRecord


class Command(PlainCommand):
    """Explain one request."""

    help = "Say which accounts a request could use, which were passed over and why, and what was tried."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("request_id", metavar="REQUEST_ID", help="the x-request-id of the answer")
        parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON object instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the explanation. Raises: CommandError when the request is not known."""
        request_id = options["request_id"]
        row = (
            UsageRecord.objects.select_related("user", "api_key", "account")
            .filter(request_id=request_id)
            .order_by("-started_at")
            .first()
        )
        if row is None:
            raise CommandError(
                f"No request {request_id[:80]!r} is known. Records appear a second or two after the answer, and are "
                "deleted after the retention time."
            )
        sentences = explain(row)
        if options["as_json"]:
            self.print_json(_facts(row) | {"explanation": sentences})
            return
        who = " · ".join(part for part in (str(row.user or ""), row.api_key.name if row.api_key else "") if part)
        self.stdout.write(f"{row.request_id} · {iso(row.started_at)} · {who or 'unknown key'}")
        self.stdout.write(f"{row.model} · HTTP {row.status} · {row.get_outcome_display()}")
        if row.error_message:
            self.stdout.write(f"{row.error_code}: {row.error_message}")
        for number, sentence in enumerate(sentences or ["Nothing was kept of how it was decided."], start=1):
            self.stdout.write(f"{number:2}. {sentence}")


def _facts(row: UsageRecord) -> dict[str, Any]:
    return {
        "request_id": row.request_id,
        "started_at": iso(row.started_at),
        "user": row.user.get_username() if row.user else None,
        "api_key": row.api_key.name if row.api_key else None,
        "account": row.account_id,
        "model": row.model,
        "upstream_model": row.upstream_model,
        "protocol": row.protocol,
        "lane": row.lane,
        "status": row.status,
        "outcome": row.outcome,
        "error_code": row.error_code or None,
        "error_message": row.error_message or None,
        "attempts": row.attempts,
        "ttfb_ms": row.ttfb_ms,
        "duration_ms": row.duration_ms,
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "why": _why(row),
    }


def _why(row: UsageRecord) -> dict[str, Any] | None:
    """Return the record with the names of its fields; stored, most of it are arrays."""
    kept = why.decode(row.why)
    if kept is None:
        return None
    return asdict(kept) | {
        "over": [asdict(each) for each in kept.over],
        "moved": asdict(kept.moved) if kept.moved is not None else None,
        "waits": [asdict(each) for each in kept.waits],
        "tries": [asdict(each) for each in kept.tries],
    }
