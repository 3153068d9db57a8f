"""Every error of the gateway, as a tree; the bottom layer, so that everyone can raise it.

    GatewayError                         kind, status, code, message, param, retry_after_s
    ├── ClientError                      the caller must change something; never retried
    ├── NoCapacity                       nothing to lease; knows when the soonest account is back
    ├── UpstreamError                    they answered with a failure, or did not answer
    └── GatewayBug                       our own fault

The *type* carries the decision, never the text. Only a provider's `classify` reads vendor error text, only a codec's
`encode_error` writes a client envelope. Renderings per protocol: spec/translation.md §12.
"""

from __future__ import annotations

from typing import Any, ClassVar


class GatewayError(Exception):
    """A failure with everything a codec needs to tell the client in its own dialect.

    `message` is shown to clients: it says what happened, why, and what to do, and holds no secret. `detail` is for
    operators' logs only. `extra` holds vendor fields that clients act on (`plan_type`, `resets_at`,
    `resets_in_seconds`) and that must keep their spelling.
    """

    kind: ClassVar[str] = "internal"
    status: int = 500
    code: str = "internal_error"
    request_id: str = ""
    """Set by whoever answers a client, for dialects that repeat it in the body."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        error_type: str | None = None,
        extra: dict[str, Any] | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status
        self.param = param
        self.retry_after_s = retry_after_s
        self.error_type = error_type
        self.extra: dict[str, Any] = extra or {}
        self.detail = detail


# ---- the caller must change something ------------------------------------------------------------------------------


class ClientError(GatewayError):
    """The request itself is wrong, or the caller may not make it."""

    kind = "bad_request"
    status = 400
    code = "invalid_request"


class InvalidRequest(ClientError):
    """Malformed body, wrong type of an essential field, impossible combination."""


class UnsupportedFeature(ClientError):
    """Content that cannot be carried upstream; knobs are dropped instead, and listed."""

    code = "unsupported_value"


class ContextTooLong(ClientError):
    """The conversation exceeds the model's context window; clients compact on this code."""

    kind = "context_length"
    code = "context_length_exceeded"


class RequestTooLarge(ClientError):
    """The body exceeds the gateway's limit."""

    kind = "too_large"
    status = 413
    code = "request_too_large"


class Unauthenticated(ClientError):
    """No api key, an unknown one, a revoked or an expired one."""

    kind = "unauthenticated"
    status = 401
    code = "invalid_api_key"


class PermissionDenied(ClientError):
    """A known api key asks for something it may not use."""

    kind = "forbidden"
    status = 403
    code = "model_not_allowed"


class ModelNotFound(ClientError):
    """No target serves this model name."""

    kind = "model_not_found"
    status = 404
    code = "model_not_found"


class RouteNotFound(ClientError):
    """A path the gateway does not serve."""

    kind = "not_found"
    status = 404
    code = "not_found"


class MethodNotAllowed(ClientError):
    """A served path, asked with the wrong method."""

    kind = "bad_request"
    status = 405
    code = "method_not_allowed"


class KeyLimited(ClientError):
    """The api key's own budget, rate or concurrency is used up."""

    kind = "rate_limited"
    status = 429
    code = "rate_limit_exceeded"


# ---- nothing to lease ----------------------------------------------------------------------------------------------


class NoCapacity(GatewayError):
    """No account can take the request: 429 with the time when limits are the reason, else 503."""

    kind = "no_capacity"
    status = 503
    code = "no_available_accounts"
    tally: str = ""
    """The accounts' reasons, counted in words; set by whoever looked at them all."""


class ShuttingDown(GatewayError):
    """The process drains; another one, or the same in a moment, will answer."""

    kind = "no_capacity"
    status = 503
    code = "shutting_down"


class StateUnavailable(GatewayError):
    """The server that gateway processes share their limits on does not answer; nothing is sent without limits."""

    kind = "no_capacity"
    status = 503
    code = "shared_state_unavailable"


# ---- upstream ------------------------------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    """They answered with a failure, or did not answer."""

    kind = "upstream"
    status = 502
    code = "upstream_error"


class RateLimited(UpstreamError):
    """429 on the account. `scope`: account (plan quota), bucket (one metered limit), transient (per minute)."""

    kind = "rate_limited"
    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, scope: str = "account", until: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.scope = scope
        self.until = until


class ModelAtCapacity(UpstreamError):
    """429 that blames the model, not the account: wait a little, no penalty."""

    kind = "rate_limited"
    status = 429
    code = "rate_limit_exceeded"


class AccountRejected(UpstreamError):
    """The credential is not accepted. `reason`: expired, invalidated, banned, payment, forbidden."""

    kind = "account_rejected"
    status = 503
    code = "no_available_accounts"

    def __init__(self, message: str, *, reason: str, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.reason = reason


class UpstreamBusy(UpstreamError):
    """Overloaded; account-neutral."""

    kind = "overloaded"
    status = 503
    code = "server_is_overloaded"


class UpstreamFailed(UpstreamError):
    """500 before any output; account-neutral, worth one other account."""

    kind = "server_error"
    status = 500
    code = "server_error"


class UpstreamBlocked(UpstreamError):
    """The edge refused us: challenge, path block, region. `reason` says which; never a ban of the account."""

    kind = "upstream_blocked"
    status = 502
    code = "upstream_blocked"

    def __init__(self, message: str, *, reason: str, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.reason = reason


class UpstreamUnreachable(UpstreamError):
    """Connect, TLS or egress failure, or a reset before the response: never an account's fault."""

    kind = "transport"
    status = 502
    code = "upstream_transport_error"


class UpstreamTransient(UpstreamError):
    """408, 409, 423, 425: neither the request's fault nor the account's; the same thing may work in a moment."""

    kind = "overloaded"
    status = 503


class UpstreamTimeout(UpstreamError):
    """No first event, or silence between events, for longer than allowed."""

    kind = "timeout"
    status = 504
    code = "upstream_timeout"


class UpstreamDisconnected(UpstreamError):
    """The stream ended without a terminal event."""

    kind = "disconnected"
    status = 504
    code = "upstream_stream_truncated"


class EmptyResponse(UpstreamError):
    """Completed without any output although tokens were to be expected."""

    kind = "empty"
    status = 502
    code = "empty_response"


class ModelUnsupported(UpstreamError):
    """This account's plan lacks the model; another account may have it."""

    kind = "model_unsupported"
    status = 400
    code = "model_not_supported"


class ReasoningRejected(UpstreamError):
    """Encrypted reasoning of another account or an expired one: retry once without reasoning items."""

    kind = "bad_request"
    status = 400
    code = "invalid_encrypted_content"


class ContinuationLost(UpstreamError):
    """`previous_response_id` is unknown upstream; the code is one that clients act on."""

    kind = "bad_request"
    status = 400
    code = "previous_response_not_found"


class UpstreamRefused(UpstreamError):
    """A 4xx that is the request's fault, relayed with the upstream's message and code."""

    kind = "bad_request"
    status = 400
    code = "invalid_request_error"


class ProtocolViolation(UpstreamError):
    """They sent something that is not their protocol."""

    kind = "upstream"
    status = 502
    code = "upstream_protocol_error"


class GatewayBug(GatewayError):
    """We failed; always logged with a trace, and the client learns only the request id."""

    kind = "internal"
    status = 500
    code = "internal_error"
