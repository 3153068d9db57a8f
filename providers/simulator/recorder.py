"""What the simulator received: every request and WebSocket message, in order, bounded (wire.md §13.2.14).

Headers keep the order of arrival and their original case, because clients are told apart by them.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import orjson

MAX_HELD_BYTES = 128 * 1024 * 1024


@dataclass
class ReceivedRequest:
    """One request as it came in; for a WebSocket message the method is `WS`."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    connection_id: int
    at: float
    account_id: str | None = None
    route: str = ""
    status: int | None = None
    """What was answered; None while the answer is under way or when the connection was cut."""
    faults: list[str] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """Return the first header of that name, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def json(self) -> Any:
        """Return the body as JSON."""
        return orjson.loads(self.body)

    def summary(self) -> dict[str, Any]:
        """Return the record as the control interface shows it."""
        try:
            body: Any = self.json() if self.body else None
        except ValueError:
            body = self.body.decode("latin-1")
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": body,
            "account_id": self.account_id,
            "connection_id": self.connection_id,
            "at": self.at,
            "route": self.route,
            "status": self.status,
            "faults": self.faults,
        }


class Recorder:
    """Keeps the last requests and counts everything."""

    def __init__(self, limit: int = 2_000) -> None:
        self.received: deque[ReceivedRequest] = deque(maxlen=limit)
        self.counters: Counter[str] = Counter()
        self._held_bytes = 0

    def add(self, record: ReceivedRequest) -> None:
        """Remember one request and count it per route, per account and per connection."""
        self._held_bytes += len(record.body)
        while self.received and (self._held_bytes > MAX_HELD_BYTES or len(self.received) == self.received.maxlen):
            self._held_bytes -= len(self.received.popleft().body)
        self.received.append(record)
        self.counters["requests"] += 1
        self.counters[f"route.{record.route}"] += 1
        self.counters[f"connection.{record.connection_id}"] += 1

    def attribute(self, record: ReceivedRequest, account_id: str) -> None:
        """Say whose request it was."""
        record.account_id = account_id
        self.counters[f"account.{account_id}"] += 1
        self.counters[f"account.{account_id}.{record.route}"] += 1

    def finish(self, record: ReceivedRequest, status: int) -> None:
        """Say what was answered."""
        record.status = status
        self.counters[f"status.{status}"] += 1
