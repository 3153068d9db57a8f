"""The Gemini adapter: where calls go, that the key stays out of addresses, what failures mean."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.adapters.gemini import GeminiProvider
from providers.contract import Conversation, Credential, Secret, Target
from translation import errors

PROVIDER = GeminiProvider("https://gemini.test/v1beta/")
KEY = Credential(token=Secret("AIza-secret"), scope="key-1")


def target(model: str) -> Target:
    return Target(provider="gemini", codec="gemini", model=model)


def classify(status: int, message: str = "", word: str = "", *details: Any, **headers: str) -> errors.GatewayError:
    error = {"code": status, "message": message, "status": word, "details": list(details)}
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return PROVIDER.classify(status, headers, orjson.dumps({"error": error}), 1000.0)


@pytest.mark.parametrize(
    ("model", "resource"),
    [
        ("gemini-2.5-pro", "models/gemini-2.5-pro"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("a?key=b:c", "models/a%3Fkey%3Db%3Ac"),
    ],
)
def test_calls_go_to_the_models_address(model: str, resource: str) -> None:
    request = PROVIDER.build(b"{}", KEY, target(model), Conversation(key="k"))
    assert request.url == f"https://gemini.test/v1beta/{resource}:streamGenerateContent?alt=sse"
    assert dict(request.headers)["x-goog-api-key"] == "AIza-secret"


def test_the_key_is_in_no_address_and_no_repr() -> None:
    for request in (PROVIDER.build(b"{}", KEY, target("m"), Conversation(key="k")), PROVIDER.models_request(KEY)):
        assert "AIza" not in request.url
        assert "AIza" not in repr(request)


@pytest.mark.parametrize(
    ("status", "message", "word", "kind", "reason"),
    [
        (400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", errors.AccountRejected,
         "invalidated"),
        (400, "User location is not supported for the API use.", "FAILED_PRECONDITION", errors.UpstreamBlocked,
         "region"),
        (400, "Enable billing.", "FAILED_PRECONDITION", errors.AccountRejected, "payment"),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
         "INVALID_ARGUMENT", errors.ContextTooLong, None),
        (400, "Thought signature is not valid.", "INVALID_ARGUMENT", errors.ReasoningRejected, None),
        (400, "Unknown name \"x\".", "INVALID_ARGUMENT", errors.UpstreamRefused, None),
        (401, "no", "UNAUTHENTICATED", errors.AccountRejected, "invalidated"),
        (403, "no", "PERMISSION_DENIED", errors.AccountRejected, "forbidden"),
        (403, "Consumer has been suspended.", "PERMISSION_DENIED", errors.AccountRejected, "banned"),
        (404, "models/x is not found for API version v1beta", "NOT_FOUND", errors.ModelUnsupported, None),
        (409, "no", "ABORTED", errors.UpstreamTransient, None),
        (500, "An internal error has occurred.", "INTERNAL", errors.UpstreamFailed, None),
        (503, "The model is overloaded.", "UNAVAILABLE", errors.UpstreamBusy, None),
        (504, "late", "DEADLINE_EXCEEDED", errors.UpstreamTimeout, None),
    ],
)  # fmt: skip
def test_failures_have_a_type(status: int, message: str, word: str, kind: type, reason: str | None) -> None:
    error = classify(status, message, word)
    assert type(error) is kind
    assert getattr(error, "reason", None) == reason
    assert error.message == message


def test_limits_say_for_how_long_and_whose_they_are() -> None:
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17.5s"}
    daily = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
    error = classify(429, "quota", "RESOURCE_EXHAUSTED", daily, delay)
    assert isinstance(error, errors.RateLimited)
    assert (error.scope, error.retry_after_s, error.until) == ("account", 17.5, 1017.5)
    brief = classify(429, "quota", "RESOURCE_EXHAUSTED", retry_after="9")
    assert isinstance(brief, errors.RateLimited)
    assert (brief.scope, brief.until) == ("transient", 1009.0)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b'"no"', b'{"error":"no"}', b'{"error":{"details":3}}']
)
def test_odd_bodies_are_still_errors_with_words(body: bytes) -> None:
    for status in (400, 403, 404, 418, 429, 500, 502):
        error = PROVIDER.classify(status, {}, body, 0.0)
        assert error.message
        assert "<html>" not in error.message
