"""Failure payloads → typed errors, by exact code (wire §6.4), and back into frames and envelopes."""

from __future__ import annotations

import json

import pytest

from translation import errors as err
from translation.protocols.openai_responses import CODEC
from translation.protocols.openai_responses.errors import error_from_payload, stream_error_object

CASES = [
    ("context_length_exceeded", err.ContextTooLong, 400),
    ("invalid_prompt", err.UpstreamRefused, 400),
    ("cyber_policy", err.UpstreamRefused, 400),
    ("bio_policy", err.UpstreamRefused, 400),
    ("misalignment_policy_violation", err.UpstreamRefused, 400),
    ("insufficient_quota", err.RateLimited, 429),
    ("usage_not_included", err.RateLimited, 429),
    ("quota_exceeded", err.RateLimited, 429),
    ("payment_required", err.AccountRejected, 503),
    ("usage_limit_reached", err.RateLimited, 429),
    ("rate_limit_reached", err.RateLimited, 429),
    ("rate_limit_exceeded", err.RateLimited, 429),
    ("subscription_sharing_usage_limit_exceeded", err.RateLimited, 429),
    ("server_is_overloaded", err.UpstreamBusy, 503),
    ("slow_down", err.UpstreamBusy, 503),
    ("overloaded_error", err.UpstreamBusy, 503),
    ("server_error", err.UpstreamFailed, 500),
    ("token_expired", err.AccountRejected, 503),
    ("invalid_api_key", err.AccountRejected, 503),
    ("account_deactivated", err.AccountRejected, 503),
    ("forbidden", err.AccountRejected, 503),
    ("previous_response_not_found", err.ContinuationLost, 400),
    ("invalid_encrypted_content", err.ReasoningRejected, 400),
    ("websocket_connection_limit_reached", err.UpstreamUnreachable, 502),
    ("model_not_found", err.UpstreamRefused, 404),
    ("soft_rate_limit_warning", err.UpstreamError, 502),
]


@pytest.mark.parametrize(("code", "kind", "status"), CASES)
@pytest.mark.parametrize("form", ["response", "nested", "flat", "as type"])
def test_the_exact_code_decides_in_every_form(code, kind, status, form):
    payload = {
        "response": {"type": "response.failed", "response": {"error": {"code": code, "message": "m"}}},
        "nested": {"type": "error", "error": {"type": "invalid", "code": code.upper(), "message": "m"}},
        "flat": {"type": "error", "code": code, "message": "m", "param": None},
        "as type": {"type": "error", "error": {"type": code, "message": "m"}},
    }[form]
    error = error_from_payload(payload)
    assert (type(error), error.status) == (kind, status)
    assert "m" in error.message


def test_row_229_the_usage_limit_keeps_what_codex_renders():
    fields = {
        "type": "usage_limit_reached",
        "message": "m",
        "plan_type": "plus",
        "resets_at": 9,
        "resets_in_seconds": 5,
    }
    error = error_from_payload({"type": "error", "error": fields})
    wire = CODEC.encode_error(error)
    assert (wire.status, wire.headers["retry-after"], error.until) == (429, "5", 9)
    body = json.loads(wire.body)["error"]
    assert {key: body[key] for key in fields} == fields
    assert stream_error_object(error)["code"] == "usage_limit_reached"


def test_row_230_a_model_at_capacity_is_not_the_accounts_fault():
    message = "Selected model is at capacity. Please try a different model."
    assert type(error_from_payload({"error": {"message": message}})) is err.ModelAtCapacity


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"detail": [{"loc": ["body"], "msg": "bad"}]}, '[{"loc":["body"],"msg":"bad"}]'),
        ({"detail": "plain"}, "plain"),
        ({"detail": {"message": "inner", "code": "x"}}, "inner"),
        ({"error": {"detail": "d"}}, "d"),
        ({"error": {"error_description": "e"}}, "e"),
        ({"error": "just text"}, "just text"),
        ({}, "without a message"),
    ],
)
def test_row_231_the_message_is_readable_wherever_it_stands(payload, text):
    assert text in error_from_payload(payload).message


@pytest.mark.parametrize(("hint", "seconds"), [("in 11.054s.", 11.054), ("in 28ms", 0.028), ("in 2 seconds", 2.0)])
def test_the_wait_of_a_per_minute_limit_is_read(hint, seconds):
    payload = {"error": {"code": "rate_limit_exceeded", "message": f"Please try again {hint}"}}
    assert error_from_payload(payload).retry_after_s == pytest.approx(seconds)


def test_an_account_failure_does_not_show_the_account():
    error = error_from_payload({"error": {"code": "account_deactivated", "message": "Your account x@y is gone"}})
    assert "x@y" not in error.message
    assert "x@y" in error.detail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (err.UpstreamDisconnected("m"), "server_error"),
        (err.GatewayBug("m"), "server_error"),
        (err.ContextTooLong("m"), "context_length_exceeded"),
        (err.UpstreamBusy("m"), "server_is_overloaded"),
    ],
)
def test_a_failed_response_has_a_code_clients_act_on(error, code):
    assert stream_error_object(error) == {"code": code, "message": "m"}


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (err.InvalidRequest("m", param="input"), 400, "invalid_request_error", "invalid_request"),
        (err.Unauthenticated("m"), 401, "invalid_request_error", "invalid_api_key"),
        (err.PermissionDenied("m"), 403, "invalid_request_error", "model_not_allowed"),
        (err.ModelNotFound("m"), 404, "invalid_request_error", "model_not_found"),
        (err.ModelUnsupported("m"), 400, "invalid_request_error", "model_not_found"),
        (err.KeyLimited("m"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (err.NoCapacity("m"), 503, "server_error", "no_available_accounts"),
        (err.NoCapacity("m", status=429), 429, "rate_limit_error", "no_available_accounts"),
        (err.UpstreamBusy("m"), 503, "server_error", "server_is_overloaded"),
        (err.GatewayBug("m"), 500, "server_error", "internal_error"),
    ],
)
def test_the_envelope_follows_the_matrix(error, status, kind, code):
    wire = CODEC.encode_error(error)
    body = json.loads(wire.body)["error"]
    assert (wire.status, body["type"], body["code"], body["message"]) == (status, kind, code, "m")
    assert body["param"] == error.param
