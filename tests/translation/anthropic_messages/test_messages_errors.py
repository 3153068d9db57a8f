"""Errors as Anthropic's clients read them: the matrix of spec/translation.md §12."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from translation import errors
from translation.protocols.anthropic_messages import CODEC


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.InvalidRequest("m"), 400, "invalid_request_error"),
        (errors.UnsupportedFeature("m"), 400, "invalid_request_error"),
        (errors.ReasoningRejected("m"), 400, "invalid_request_error"),
        (errors.Unauthenticated("m"), 401, "authentication_error"),
        (errors.UpstreamRefused("m", status=402), 402, "billing_error"),
        (errors.PermissionDenied("m"), 403, "permission_error"),
        (errors.ModelNotFound("m"), 404, "not_found_error"),
        (errors.ModelUnsupported("m"), 404, "not_found_error"),
        (errors.RouteNotFound("m"), 404, "not_found_error"),
        (errors.MethodNotAllowed("m"), 405, "invalid_request_error"),
        (errors.RequestTooLarge("m"), 413, "request_too_large"),
        (errors.KeyLimited("m"), 429, "rate_limit_error"),
        (errors.RateLimited("m"), 429, "rate_limit_error"),
        (errors.ModelAtCapacity("m"), 429, "rate_limit_error"),
        (errors.NoCapacity("m", status=429), 429, "rate_limit_error"),
        (errors.GatewayBug("m"), 500, "api_error"),
        (errors.UpstreamFailed("m"), 500, "api_error"),
        (errors.EmptyResponse("m"), 502, "api_error"),
        (errors.UpstreamBlocked("m", reason="challenge"), 502, "api_error"),
        (errors.UpstreamUnreachable("m"), 502, "api_error"),
        (errors.UpstreamTimeout("m"), 504, "timeout_error"),
        (errors.UpstreamDisconnected("m"), 504, "api_error"),
        (errors.NoCapacity("m"), 529, "overloaded_error"),
        (errors.ShuttingDown("m"), 529, "overloaded_error"),
        (errors.AccountRejected("m", reason="expired"), 529, "overloaded_error"),
        (errors.UpstreamBusy("m"), 529, "overloaded_error"),
    ],
)
def test_status_and_type_of_every_kind(error: errors.GatewayError, status: int, kind: str):
    answer = CODEC.encode_error(error)
    assert answer.status == status
    assert orjson.loads(answer.body) == {"type": "error", "error": {"type": kind, "message": "m"}}


def test_a_full_context_begins_with_the_words_that_claude_code_compacts_on():
    def message(text: str) -> Any:
        return orjson.loads(CODEC.encode_error(errors.ContextTooLong(text)).body)["error"]["message"]

    assert message("The window is full.") == "prompt is too long: The window is full."
    assert message("prompt is too long: 2 > 1") == "prompt is too long: 2 > 1"


def test_a_wait_is_told_in_whole_seconds():
    answer = CODEC.encode_error(errors.NoCapacity("m", retry_after_s=1.2))
    assert answer.headers["retry-after"] == "2"


def test_the_envelope_repeats_the_request_id():
    error = errors.UpstreamBusy("m")
    error.request_id = "req_1"
    assert orjson.loads(CODEC.encode_error(error).body)["request_id"] == "req_1"
