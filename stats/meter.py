"""One usage record per request, and the bounded queue that takes them off the hot path. Never imports Django.

The queue drops nothing silently: beyond its bound the oldest records are folded into per-minute aggregates and
counted, so that tokens are never lost, only detail. `writer.py` drains it.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Outcome = Literal["ok", "client_gone", "client_error", "rate_limited", "no_capacity", "upstream_error", "gateway_bug"]
Lane = Literal["relay", "translate", "none"]

MAX_QUEUED = 50_000


class UsageRecord(Struct, frozen=True, kw_only=True):
    """What one request came to. Times are unix seconds and milliseconds as named; tokens are inclusive counts."""

    request_id: str
    started_at: float
    api_key_id: int | None = None
    user_id: int | None = None
    account_id: str | None = None
    protocol: str = ""
    client: str = ""
    model: str = ""
    upstream_model: str = ""
    lane: Lane = "none"
    is_stream: bool = False
    status: int = 0
    outcome: Outcome = "ok"
    error_code: str = ""
    error_message: str = ""
    attempts: int = 0
    ttfb_ms: int | None = None
    duration_ms: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    requests: int = 1
    why: str = ""
    """How it was decided, as `accounts/why.py` encodes it."""


class UsageQueue:
    """Bounded; `put` is synchronous and cheap, `take` is for the writer."""

    def __init__(self, max_queued: int = MAX_QUEUED) -> None:
        self._records: deque[UsageRecord] = deque()
        self._overflow: dict[tuple[object, ...], UsageRecord] = {}
        self._max_queued = max_queued
        self.folded = 0

    def __len__(self) -> int:
        return len(self._records) + len(self._overflow)

    def put(self, record: UsageRecord) -> None:
        """Queue a record; when full, fold the oldest one into its minute."""
        if len(self._records) >= self._max_queued:
            self._fold(self._records.popleft())
        self._records.append(record)

    def take(self, at_most: int) -> list[UsageRecord]:
        """Remove and return up to `at_most` records, aggregates first."""
        taken: list[UsageRecord] = []
        while self._overflow and len(taken) < at_most:
            taken.append(self._overflow.popitem()[1])
        while self._records and len(taken) < at_most:
            taken.append(self._records.popleft())
        return taken

    def put_back(self, records: list[UsageRecord]) -> None:
        """Return records that could not be written, in their old order."""
        self._records.extendleft(reversed(records))
        while len(self._records) > self._max_queued:
            self._fold(self._records.popleft())

    def _fold(self, record: UsageRecord) -> None:
        self.folded += 1
        minute = int(record.started_at // 60) * 60
        key = (minute, record.api_key_id, record.account_id, record.upstream_model, record.outcome)
        known = self._overflow.get(key)
        if known is None:
            self._overflow[key] = replace(record, started_at=float(minute), why="")
            return
        self._overflow[key] = replace(
            known,
            requests=known.requests + record.requests,
            input_tokens=known.input_tokens + record.input_tokens,
            cached_tokens=known.cached_tokens + record.cached_tokens,
            output_tokens=known.output_tokens + record.output_tokens,
            reasoning_tokens=known.reasoning_tokens + record.reasoning_tokens,
        )
