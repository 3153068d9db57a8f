"""What failures of the Codex backend mean, row by row of spec/wire.md §6.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from providers.adapters.codex import CodexProvider
from translation import errors

NOW = 1_787_000_000.0
PROVIDER = CodexProvider("https://upstream.example/backend-api")
HTML_BLOCK = b"<html><title>Access denied | chatgpt.com used Cloudflare to restrict access</title>error 1020</html>"
HTML_CHALLENGE = b"<html><title>Just a moment...</title><script>window._cf_chl_opt={}</script></html>"


def classify(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> errors.UpstreamError:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return PROVIDER.classify(status, headers or {}, raw, NOW)


def openai(code: str | None = None, message: str = "They said so.", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code, **fields}}


def limit(kind: str = "usage_limit_reached", **fields: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "message": "The usage limit has been reached", "plan_type": "plus", **fields}}


# ---- type, status and code ------------------------------------------------------------------------------------------

ROWS: list[tuple[str, int, Any, type[errors.UpstreamError], int, str]] = [
    (
        "unknown parameter",
        400,
        {"detail": "Unsupported parameter: foo"},
        errors.UpstreamRefused,
        400,
        "invalid_request_error",
    ),
    ("store", 400, {"detail": "Store must be set to false"}, errors.UpstreamRefused, 400, "invalid_request_error"),
    ("bad value", 400, openai("invalid_value"), errors.UpstreamRefused, 400, "invalid_value"),
    ("policy", 400, openai("cyber_policy"), errors.UpstreamRefused, 400, "cyber_policy"),
    (
        "plan lacks model",
        400,
        {"detail": "The 'gpt-x' model is not supported when using Codex with a ChatGPT account."},
        errors.ModelUnsupported,
        400,
        "model_not_supported",
    ),
    (
        "model unavailable",
        404,
        openai(None, "The model gpt-x is not available."),
        errors.ModelUnsupported,
        404,
        "model_not_supported",
    ),
    (
        "version gate",
        400,
        {"detail": "The 'gpt-x' model requires a newer version of Codex. Please upgrade."},
        errors.UpstreamRefused,
        400,
        "invalid_request_error",
    ),
    (
        "lost continuation",
        400,
        openai("previous_response_not_found"),
        errors.ContinuationLost,
        400,
        "previous_response_not_found",
    ),
    (
        "foreign reasoning by code",
        400,
        openai("invalid_encrypted_content"),
        errors.ReasoningRejected,
        400,
        "invalid_encrypted_content",
    ),
    (
        "foreign reasoning by text",
        400,
        {"detail": "The encrypted content gAAA could not be verified."},
        errors.ReasoningRejected,
        400,
        "invalid_encrypted_content",
    ),
    ("too long", 400, openai("context_length_exceeded"), errors.ContextTooLong, 400, "context_length_exceeded"),
    (
        "validation list",
        422,
        {"detail": [{"loc": ["body"], "msg": "wrong"}]},
        errors.UpstreamRefused,
        422,
        "invalid_request_error",
    ),
    ("token expired", 401, openai("token_expired"), errors.AccountRejected, 503, "no_available_accounts"),
    ("token invalidated", 401, openai("token_invalidated"), errors.AccountRejected, 503, "no_available_accounts"),
    (
        "unparsable token",
        401,
        {"detail": "Could not parse your authentication token."},
        errors.AccountRejected,
        503,
        "no_available_accounts",
    ),
    ("empty 401", 401, b"", errors.AccountRejected, 503, "no_available_accounts"),
    ("deactivated", 401, openai("account_deactivated"), errors.AccountRejected, 503, "no_available_accounts"),
    (
        "residency",
        401,
        {"detail": "Workspace is not authorized in this region."},
        errors.UpstreamBlocked,
        502,
        "upstream_blocked",
    ),
    (
        "workspace, detail form",
        402,
        {"detail": {"code": "deactivated_workspace"}},
        errors.AccountRejected,
        503,
        "no_available_accounts",
    ),
    (
        "workspace, error form",
        402,
        {"error": {"code": "deactivated_workspace"}},
        errors.AccountRejected,
        503,
        "no_available_accounts",
    ),
    ("challenge", 403, HTML_CHALLENGE, errors.UpstreamBlocked, 502, "upstream_blocked"),
    ("firewall", 403, HTML_BLOCK, errors.UpstreamBlocked, 502, "upstream_blocked"),
    ("forbidden", 403, {"detail": "Forbidden"}, errors.AccountRejected, 503, "no_available_accounts"),
    ("suspended", 403, openai("account_suspended"), errors.AccountRejected, 503, "no_available_accounts"),
    ("country", 403, openai("unsupported_country_region_territory"), errors.UpstreamBlocked, 502, "upstream_blocked"),
    ("stealth block", 404, b"", errors.UpstreamBlocked, 502, "upstream_blocked"),
    ("stealth block of blanks", 404, b"\r\n", errors.UpstreamBlocked, 502, "upstream_blocked"),
    ("wrong path", 404, {"detail": "Not Found"}, errors.UpstreamRefused, 404, "invalid_request_error"),
    ("limit said with 404", 404, limit(), errors.RateLimited, 429, "usage_limit_reached"),
    ("too large", 413, b"<html>413</html>", errors.UpstreamRefused, 413, "context_too_large"),
    ("plan quota", 429, limit(resets_in_seconds=5400), errors.RateLimited, 429, "usage_limit_reached"),
    ("plan without Codex", 429, limit("usage_not_included"), errors.RateLimited, 429, "usage_not_included"),
    ("quota", 429, openai("insufficient_quota"), errors.RateLimited, 429, "insufficient_quota"),
    (
        "per minute",
        429,
        openai("rate_limit_exceeded", "Please try again in 11.054s."),
        errors.RateLimited,
        429,
        "rate_limit_exceeded",
    ),
    (
        "capacity",
        429,
        {"detail": "Selected model is at capacity. Please try a different model."},
        errors.ModelAtCapacity,
        429,
        "rate_limit_exceeded",
    ),
    ("bare 429", 429, b"", errors.RateLimited, 429, "usage_limit_reached"),
    (
        "server error by type",
        500,
        {"error": {"type": "server_error", "message": "oops"}},
        errors.UpstreamFailed,
        500,
        "server_error",
    ),
    ("server error bare", 500, b"", errors.UpstreamFailed, 500, "server_error"),
    ("bad gateway", 502, HTML_BLOCK, errors.UpstreamUnreachable, 502, "upstream_transport_error"),
    ("gateway timeout", 504, b"", errors.UpstreamUnreachable, 502, "upstream_transport_error"),
    ("edge", 522, b"", errors.UpstreamUnreachable, 502, "upstream_transport_error"),
    ("overloaded", 503, openai("server_is_overloaded"), errors.UpstreamBusy, 503, "server_is_overloaded"),
    ("slow down", 503, openai("slow_down"), errors.UpstreamBusy, 503, "server_is_overloaded"),
    (
        "overloaded by type",
        529,
        {"error": {"type": "overloaded_error"}},
        errors.UpstreamBusy,
        503,
        "server_is_overloaded",
    ),
    ("bare 503", 503, b"", errors.UpstreamBusy, 503, "server_is_overloaded"),
    ("redirect", 302, b"", errors.UpstreamRefused, 400, "invalid_request_error"),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_every_failure_has_its_type_and_its_answer(
    status: int, body: Any, kind: type[errors.UpstreamError], shown: int, code: str
) -> None:
    error = classify(status, body)
    assert type(error) is kind
    assert (error.status, error.code) == (shown, code)
    assert error.message


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, openai("token_expired"), "expired"),
        (401, openai("token_invalidated"), "invalidated"),
        (401, openai("token_revoked"), "invalidated"),
        (401, openai("invalid_api_key"), "invalidated"),
        (401, {"detail": "Unauthorized"}, "invalidated"),
        (401, openai("account_deactivated"), "banned"),
        (401, {"detail": "Your OpenAI account has been deactivated, please check your email."}, "banned"),
        (402, {"detail": {"code": "deactivated_workspace"}}, "payment"),
        (402, b"", "payment"),
        (403, openai("account_suspended"), "banned"),
        (403, {"detail": "Forbidden"}, "forbidden"),
    ],
)
def test_a_rejection_says_whether_a_new_login_helps(status: int, body: Any, reason: str) -> None:
    error = classify(status, body)
    assert isinstance(error, errors.AccountRejected)
    assert error.reason == reason


@pytest.mark.parametrize(
    ("status", "body", "headers", "reason"),
    [
        (403, HTML_CHALLENGE, {}, "challenge"),
        (403, {"detail": "no"}, {"cf-mitigated": "challenge"}, "challenge"),
        (403, b"<html>Attention Required! | Cloudflare</html>", {}, "challenge"),
        (403, HTML_BLOCK, {}, "firewall"),
        (403, b"", {}, "firewall"),
        (404, b"", {}, "path block"),
        (403, openai("unsupported_country_region_territory"), {}, "region"),
        (401, {"detail": "Workspace is not authorized in this region."}, {}, "region"),
    ],
)
def test_a_block_at_the_edge_is_no_ban_and_says_what_it_was(
    status: int, body: Any, headers: dict[str, str], reason: str
) -> None:
    error = classify(status, body, headers)
    assert isinstance(error, errors.UpstreamBlocked)
    assert error.reason == reason


# ---- limits in failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "until"),
    [
        (limit(resets_in_seconds=5400, resets_at=NOW + 9), {}, NOW + 5400),
        (limit(resets_at=NOW + 9000), {}, NOW + 9000),
        (limit(resets_in_seconds=None, resets_at=str(NOW + 9000)), {}, NOW + 9000),
        (limit(resets_at=NOW - 5), {}, None),
        (limit(resets_in_seconds=-1, resets_at=0), {"retry-after": "30"}, NOW + 30),
        (limit(resets_in_seconds=True), {}, None),
        (limit(resets_in_seconds="NaN"), {}, None),
        (limit(), {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        (limit(), {"retry-after": "0"}, None),
        (
            limit(),
            {
                "x-codex-primary-used-percent": "100", "x-codex-primary-reset-at": str(NOW + 300),
                "x-codex-secondary-used-percent": "40", "x-codex-secondary-reset-at": str(NOW + 90_000),
            },
            NOW + 300,
        ),
        (
            limit(),
            {
                "x-codex-primary-used-percent": "100", "x-codex-primary-reset-after-seconds": "300",
                "x-codex-secondary-used-percent": "100.0", "x-codex-secondary-reset-at": str(NOW + 90_000),
            },
            NOW + 90_000,
        ),
        (b"", {}, None),
    ],
)  # fmt: skip
def test_a_plan_limit_knows_when_it_ends(body: Any, headers: dict[str, str], until: float | None) -> None:
    error = classify(429, body, headers)
    assert isinstance(error, errors.RateLimited)
    assert (error.scope, error.until) == ("account", until)
    assert error.retry_after_s == (None if until is None else until - NOW)


def test_a_plan_limit_keeps_the_fields_clients_act_on_and_no_others() -> None:
    error = classify(429, limit(resets_in_seconds=5400, resets_at=NOW + 5400, eligible_promo=None, secret="no"))
    assert error.error_type == "usage_limit_reached"
    assert error.extra == {
        "plan_type": "plus", "resets_at": NOW + 5400, "resets_in_seconds": 5400, "eligible_promo": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("message", "wait_s"),
    [
        ("Please try again in 11.054s.", 11.054),
        ("Please try again in 28ms.", 0.028),
        ("please TRY AGAIN IN 3 seconds", 3.0),
        ("try again in 1 second", 1.0),
    ],
)
def test_a_limit_per_minute_is_transient_and_reads_the_hint(message: str, wait_s: float) -> None:
    error = classify(429, openai("rate_limit_exceeded", message))
    assert isinstance(error, errors.RateLimited)
    assert error.scope == "transient"
    assert error.until == pytest.approx(NOW + wait_s)
    assert error.retry_after_s is not None and error.retry_after_s >= 1.0


def test_a_limit_per_minute_without_a_hint_is_still_transient() -> None:
    error = classify(429, openai("rate_limit_exceeded", "Slow down please."))
    assert isinstance(error, errors.RateLimited)
    assert (error.scope, error.until) == ("transient", None)


def test_a_plan_without_codex_rests_long() -> None:
    error = classify(429, limit("usage_not_included"))
    assert isinstance(error, errors.RateLimited)
    assert error.until is not None and error.until >= NOW + 3600


def test_the_type_counts_when_the_code_is_a_number() -> None:
    assert isinstance(classify(404, limit(code=429, resets_in_seconds=60)), errors.RateLimited)


def test_capacity_of_the_model_never_counts_as_the_accounts_limit() -> None:
    error = classify(429, openai("rate_limit_exceeded", "Selected model is at capacity. Please try a different model."))
    assert isinstance(error, errors.ModelAtCapacity)


def test_busy_repeats_the_wait_they_asked_for() -> None:
    assert classify(503, b"", {"retry-after": "7"}).retry_after_s == 7
    assert classify(503, b"", {"retry-after": "soon"}).retry_after_s == 2


# ---- robustness of taking apart -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"null", b"1", b'"text"', b"{", b"\xff\xfe", b'{"error":null}', b'{"error":[]}', b'{"error":"words"}',
        b'{"detail":null}', b'{"detail":{}}', b'{"error":{"code":[],"message":{},"param":3}}',
        b'{"error":{"message":"\\ud800"}}', b'{"error":{"code":NaN}}', b'{"error":' * 3000, b"[" * 200_000,
        b'{"error":' * 3000 + b"1" + b"}" * 3000,
        b'{"error":{"type":"usage_limit_reached","resets_in_seconds":1' + b"0" * 400 + b',"x":NaN}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_no_body_however_odd_breaks_the_classification(status: int, body: bytes) -> None:
    error = classify(status, body)
    assert isinstance(error, errors.UpstreamError)
    assert error.message and len(error.message) <= 2000
    error.message.encode("utf-8", "backslashreplace")


def test_a_message_in_a_list_is_readable() -> None:
    assert "field required" in classify(422, {"detail": [{"msg": "field required"}]}).message


def test_an_html_page_is_never_shown_to_a_client() -> None:
    for status in (400, 403, 404, 413, 500, 502):
        assert "<html" not in classify(status, HTML_BLOCK).message


def test_a_rejected_account_does_not_show_the_clients_what_they_said_about_it() -> None:
    error = classify(401, {"detail": "Your OpenAI account alice@example.com has been deactivated"})
    assert "alice" not in error.message and "alice" in error.detail
