"""What a provider's failure means, by its code first and its status second."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from providers.adapters.openai_compatible.errors import classify, retry_after_s
from translation import errors

NOW_S = 1_763_900_000.0


def judged(status: int, body: Any = None, **headers: str) -> errors.GatewayError:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return classify(status, {name.replace("_", "-"): value for name, value in headers.items()}, data, NOW_S)


def told(message: str = "m", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, told(code="invalid_api_key"), errors.AccountRejected),
        (402, told("Insufficient Balance"), errors.AccountRejected),
        (403, b"<html>", errors.AccountRejected),
        (429, told(type="requests", code="rate_limit_exceeded"), errors.RateLimited),
        (429, told(type="insufficient_quota", code="insufficient_quota"), errors.RateLimited),
        (500, told(type="server_error"), errors.UpstreamFailed),
        (502, b"bad gateway", errors.UpstreamFailed),
        (503, told(), errors.UpstreamBusy),
        (529, told(), errors.UpstreamBusy),
        (408, told(), errors.UpstreamTransient),
        (400, told(code="context_length_exceeded"), errors.ContextTooLong),
        (400, told("This model's maximum context length is 8192 tokens."), errors.ContextTooLong),
        (400, told(type="invalid_request_error"), errors.UpstreamRefused),
        (404, told(code="model_not_found"), errors.UpstreamRefused),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, errors.UpstreamRefused),
        (400, {"object": "error", "message": "bad", "code": 400}, errors.UpstreamRefused),
        (400, [told()], errors.UpstreamRefused),
    ],
)
def test_a_failure_has_the_type_that_decides_what_happens_next(status, body, kind):
    assert type(judged(status, body)) is kind


def test_a_refusal_keeps_status_message_code_and_parameter():
    error = judged(400, told("Bad value.", type="invalid_request_error", code="invalid_value", param="top_p"))
    assert (error.status, error.message, error.code, error.param) == (400, "Bad value.", "invalid_value", "top_p")
    assert judged(404, told("No such model.")).status == 404


def test_a_list_of_details_is_readable():
    assert "field required" in judged(422, {"detail": [{"msg": "field required"}]}).message


def test_clients_learn_nothing_of_the_key():
    error = judged(401, told("Incorrect API key provided: sk-abc***xyz.", code="invalid_api_key"))
    assert "sk-" not in error.message and isinstance(error, errors.AccountRejected)
    assert error.reason == "invalidated"


def test_a_spent_quota_is_the_accounts_and_a_rate_passes():
    quota, rate = judged(429, told(code="insufficient_quota")), judged(429, told(), retry_after="7")
    assert isinstance(quota, errors.RateLimited) and quota.scope == "account"
    assert isinstance(rate, errors.RateLimited) and rate.scope == "transient"
    assert (rate.retry_after_s, rate.until) == (7.0, NOW_S + 7)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Sun, 23 Nov 2025 12:13:50 GMT"}, 30.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "99999999"}, 86400.0),
    ],
)
def test_the_wait_a_provider_asks_for_is_read_in_all_its_forms(headers, expected):
    assert retry_after_s(headers, NOW_S) == expected
