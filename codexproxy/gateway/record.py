"""The usage record of one request while it is being written: filled along the way, put in the queue once at the end."""

from __future__ import annotations

from collections.abc import Callable

from accounts.lease import Lease
from accounts.values import AccountView, ApiKeyView
from accounts.why import Decision, Try
from codexproxy.gateway.types import ClientRequest
from stats.meter import Outcome, UsageQueue, UsageRecord
from translation import errors
from translation.ir.usage import NO_USAGE, Usage

MAX_CLIENT_CHARS = 80
MAX_CODE_CHARS = 40


class RequestRecord:
    """Collects what happened; `finish` queues it exactly once."""

    __slots__ = (
        "_attempt", "_attempt_began", "_clock", "_key", "_protocol", "_request", "_started", "_started_at", "account",
        "attempts", "decision", "error", "first_byte", "is_stream", "lane", "left", "model", "status",
        "upstream_model", "usage",
    )  # fmt: skip

    def __init__(
        self, request: ClientRequest, key: ApiKeyView, protocol: str, *, now: float, clock: Callable[[], float]
    ) -> None:
        self._request = request
        self._key = key
        self._protocol = protocol
        self._clock = clock
        self._started_at = now
        self._started = clock()
        self.account: AccountView | None = None
        self._attempt: Try | None = None
        self._attempt_began = 0.0
        self.attempts = 0
        self.decision = Decision()
        self.error: errors.GatewayError | None = None
        self.first_byte: float | None = None
        self.is_stream = False
        self.lane = "none"
        self.left = False
        self.model = ""
        self.status = 0
        self.upstream_model = ""
        self.usage: Usage | None = None

    def begin_attempt(self, lease: Lease) -> None:
        """An upstream call is about to be made on the account of `lease`."""
        self.attempts += 1
        self.account = lease.account
        self._attempt = self.decision.attempt(lease.account.id, lease.how, lease.paced_s)
        self._attempt_began = self._clock()

    def end_attempt(self, error: errors.GatewayError | None = None, action: str = "") -> None:
        """The call ended, and `action` follows."""
        attempt = self._attempt
        if attempt is not None:
            attempt.took_ms = round((self._clock() - self._attempt_began) * 1000)
            if error is None:
                attempt.status = 200
            else:
                attempt.status, attempt.error, attempt.action = error.status, error.code[:MAX_CODE_CHARS], action

    def mark_output(self) -> None:
        """The first byte of output is about to leave."""
        if self.first_byte is None:
            self.first_byte = self._clock()

    def finish(self, queue: UsageQueue) -> None:
        """Queue the record."""
        usage = self.usage or NO_USAGE
        error = self.error
        queue.put(
            UsageRecord(
                request_id=self._request.request_id,
                started_at=self._started_at,
                api_key_id=self._key.id,
                user_id=self._key.user_id,
                account_id=self.account.id if self.account is not None else None,
                protocol=self._protocol,
                client=self._request.headers.get("user-agent", "")[:MAX_CLIENT_CHARS],
                model=self.model,
                upstream_model=self.upstream_model,
                lane=self.lane,  # type: ignore[arg-type]
                is_stream=self.is_stream,
                status=self.status,
                outcome=outcome_of(error, left=self.left),
                error_code=error.code if error is not None else "",
                error_message=(error.detail or error.message)[:500] if error is not None else "",
                attempts=self.attempts,
                ttfb_ms=round((self.first_byte - self._started) * 1000) if self.first_byte is not None else None,
                duration_ms=round((self._clock() - self._started) * 1000),
                input_tokens=usage.input_tokens,
                cached_tokens=usage.cached_tokens,
                output_tokens=usage.output_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                why=self.decision.encode(),
            )
        )


def outcome_of(error: errors.GatewayError | None, *, left: bool) -> Outcome:
    """Return the one word that statistics group by."""
    if left:
        return "client_gone"
    if error is None:
        return "ok"
    if error.kind == "rate_limited":
        return "rate_limited"
    if isinstance(error, errors.NoCapacity | errors.ShuttingDown):
        return "no_capacity"
    if isinstance(error, errors.ClientError | errors.UpstreamRefused):
        return "client_error"
    if isinstance(error, errors.UpstreamError):
        return "upstream_error"
    return "gateway_bug"
