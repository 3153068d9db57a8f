"""How a request for Anthropic is signed, and what its failures mean."""

from __future__ import annotations

import orjson
import pytest

from providers.adapters.anthropic import AnthropicProvider
from providers.contract import Conversation, Credential, Secret, Target
from translation import errors

PROVIDER = AnthropicProvider("https://api.example.org/anthropic/")
CREDENTIAL = Credential(token=Secret("sk-ant-secret"), scope="key-1")
TARGET = Target(provider="anthropic", codec="anthropic-messages", model="m")
NOW_S = 1_000.0


def built(**headers):
    client = {name.replace("_", "-"): value for name, value in headers.items()}
    return PROVIDER.build(b"{}", CREDENTIAL, TARGET, Conversation(key="k", headers=client))


def classified(status, kind="", message="said", headers=None):
    body = orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})
    return PROVIDER.classify(status, headers or {}, body, NOW_S)


def test_a_request_is_signed_with_the_key_and_a_version():
    request = built()
    assert (request.method, request.url) == ("POST", "https://api.example.org/anthropic/v1/messages")
    headers = dict(request.headers)
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("sk-ant-secret", "2023-06-01")
    assert "anthropic-beta" not in headers and "secret" not in repr(request)


def test_the_clients_version_and_betas_are_passed_on_and_nothing_else():
    headers = dict(built(anthropic_version="2024-01-01", anthropic_beta="a,b", x_api_key="mine", cookie="c").headers)
    assert (headers["anthropic-version"], headers["anthropic-beta"]) == ("2024-01-01", "a,b")
    assert headers["x-api-key"] == "sk-ant-secret" and "cookie" not in headers


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_request_error", "max_tokens: required", errors.UpstreamRefused),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", errors.ContextTooLong),
        (400, "invalid_request_error", "Invalid `signature` in `thinking` block", errors.ReasoningRejected),
        (400, "invalid_request_error", "Your credit balance is too low", errors.AccountRejected),
        (401, "authentication_error", "invalid x-api-key", errors.AccountRejected),
        (402, "billing_error", "pay", errors.AccountRejected),
        (403, "permission_error", "no", errors.AccountRejected),
        (404, "not_found_error", "model: claude-x", errors.ModelUnsupported),
        (404, "not_found_error", "Not Found", errors.UpstreamRefused),
        (408, "", "slow", errors.UpstreamTransient),
        (413, "request_too_large", "big", errors.RequestTooLarge),
        (422, "novel", "odd", errors.UpstreamRefused),
        (429, "rate_limit_error", "slow down", errors.RateLimited),
        (500, "api_error", "oops", errors.UpstreamFailed),
        (503, "", "busy", errors.UpstreamBusy),
        (504, "timeout_error", "late", errors.UpstreamTimeout),
        (529, "overloaded_error", "Overloaded", errors.UpstreamBusy),
    ],
)
def test_every_failure_has_its_type(status, kind, message, expected):
    assert type(classified(status, kind, message)) is expected


def test_a_refusal_keeps_message_and_status():
    error = classified(422, "novel", "odd")
    assert (error.message, error.status) == ("odd", 422)


def test_a_rejected_key_is_told_to_operators_only():
    error = classified(401, "authentication_error", "invalid x-api-key sk-ant-…")
    assert "sk-ant" not in error.message and "sk-ant" in error.detail


def test_the_wait_of_a_limit_is_kept():
    error = classified(429, "rate_limit_error", headers={"retry-after": "17"})
    assert (error.retry_after_s, error.until, error.scope) == (17.0, 1017.0, "transient")
    assert classified(429, "rate_limit_error", headers={"retry-after": "soon"}).retry_after_s == 2.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"text"}', b'{"detail":"x"}', b"\xff"])
def test_any_body_is_an_error_of_its_status(body):
    assert isinstance(PROVIDER.classify(529, {}, body, NOW_S), errors.UpstreamBusy)
    assert isinstance(PROVIDER.classify(401, {}, body, NOW_S), errors.AccountRejected)
    assert isinstance(PROVIDER.classify(502, {}, body, NOW_S), errors.UpstreamFailed)


def test_a_page_instead_of_a_refusal_is_the_edges():
    assert isinstance(PROVIDER.classify(403, {}, b"<html>", NOW_S), errors.UpstreamBlocked)


def test_limits_reach_the_client_and_the_organization_does_not():
    headers = {"request-id": "r", "anthropic-ratelimit-requests-remaining": "1", "anthropic-organization-id": "o"}
    assert PROVIDER.relayed_headers(headers) == {"request-id": "r", "anthropic-ratelimit-requests-remaining": "1"}
