"""The Codex adapter: failures row by row of spec/wire.md §6.2, quota headers of §5.1, request headers of §2.1."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from providers.adapters.codex import ORIGINATOR, USER_AGENT, CodexProvider, conversation_key
from providers.contract import Conversation, Credential, QuotaWindow, RateLimits, Secret, Target
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
    ("unknown parameter", 400, {"detail": "Unsupported parameter: foo"}, errors.UpstreamRefused, 400, "invalid_request_error"),
    ("store", 400, {"detail": "Store must be set to false"}, errors.UpstreamRefused, 400, "invalid_request_error"),
    ("bad value", 400, openai("invalid_value"), errors.UpstreamRefused, 400, "invalid_value"),
    ("policy", 400, openai("cyber_policy"), errors.UpstreamRefused, 400, "cyber_policy"),
    ("plan lacks model", 400, {"detail": "The 'gpt-x' model is not supported when using Codex with a ChatGPT account."},
     errors.ModelUnsupported, 400, "model_not_supported"),
    ("model unavailable", 404, openai(None, "The model gpt-x is not available."), errors.ModelUnsupported, 404, "model_not_supported"),
    ("version gate", 400, {"detail": "The 'gpt-x' model requires a newer version of Codex. Please upgrade."},
     errors.UpstreamRefused, 400, "invalid_request_error"),
    ("lost continuation", 400, openai("previous_response_not_found"), errors.ContinuationLost, 400, "previous_response_not_found"),
    ("foreign reasoning by code", 400, openai("invalid_encrypted_content"), errors.ReasoningRejected, 400, "invalid_encrypted_content"),
    ("foreign reasoning by text", 400, {"detail": "The encrypted content gAAA could not be verified."},
     errors.ReasoningRejected, 400, "invalid_encrypted_content"),
    ("too long", 400, openai("context_length_exceeded"), errors.UpstreamRefused, 400, "context_length_exceeded"),
    ("validation list", 422, {"detail": [{"loc": ["body"], "msg": "wrong"}]}, errors.UpstreamRefused, 422, "invalid_request_error"),
    ("token expired", 401, openai("token_expired"), errors.AccountRejected, 503, "no_available_accounts"),
    ("token invalidated", 401, openai("token_invalidated"), errors.AccountRejected, 503, "no_available_accounts"),
    ("unparsable token", 401, {"detail": "Could not parse your authentication token."}, errors.AccountRejected, 503, "no_available_accounts"),
    ("empty 401", 401, b"", errors.AccountRejected, 503, "no_available_accounts"),
    ("deactivated", 401, openai("account_deactivated"), errors.AccountRejected, 503, "no_available_accounts"),
    ("residency", 401, {"detail": "Workspace is not authorized in this region."}, errors.UpstreamBlocked, 502, "upstream_blocked"),
    ("workspace, detail form", 402, {"detail": {"code": "deactivated_workspace"}}, errors.AccountRejected, 503, "no_available_accounts"),
    ("workspace, error form", 402, {"error": {"code": "deactivated_workspace"}}, errors.AccountRejected, 503, "no_available_accounts"),
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
    ("per minute", 429, openai("rate_limit_exceeded", "Please try again in 11.054s."), errors.RateLimited, 429, "rate_limit_exceeded"),
    ("capacity", 429, {"detail": "Selected model is at capacity. Please try a different model."},
     errors.ModelAtCapacity, 429, "rate_limit_exceeded"),
    ("bare 429", 429, b"", errors.RateLimited, 429, "usage_limit_reached"),
    ("server error by type", 500, {"error": {"type": "server_error", "message": "oops"}}, errors.UpstreamFailed, 500, "server_error"),
    ("server error bare", 500, b"", errors.UpstreamFailed, 500, "server_error"),
    ("bad gateway", 502, HTML_BLOCK, errors.UpstreamUnreachable, 502, "upstream_transport_error"),
    ("gateway timeout", 504, b"", errors.UpstreamUnreachable, 502, "upstream_transport_error"),
    ("edge", 522, b"", errors.UpstreamUnreachable, 502, "upstream_transport_error"),
    ("overloaded", 503, openai("server_is_overloaded"), errors.UpstreamBusy, 503, "server_is_overloaded"),
    ("slow down", 503, openai("slow_down"), errors.UpstreamBusy, 503, "server_is_overloaded"),
    ("overloaded by type", 529, {"error": {"type": "overloaded_error"}}, errors.UpstreamBusy, 503, "server_is_overloaded"),
    ("bare 503", 503, b"", errors.UpstreamBusy, 503, "server_is_overloaded"),
    ("redirect", 302, b"", errors.UpstreamRefused, 400, "invalid_request_error"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "shown", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
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


# ---- limits of a good answer ----------------------------------------------------------------------------------------


def limits(**headers: str) -> RateLimits | None:
    return PROVIDER.limits({name.replace("_", "-"): value for name, value in headers.items()}, NOW)


def test_both_windows_plan_and_credits_are_read() -> None:
    found = limits(
        x_codex_primary_used_percent="12.5", x_codex_primary_window_minutes="300", x_codex_primary_reset_at="1787000300",
        x_codex_secondary_used_percent="80", x_codex_secondary_window_minutes="10080",
        x_codex_secondary_reset_after_seconds="60", x_codex_plan_type="plus", x_codex_active_limit="premium",
        x_codex_credits_has_credits="True", x_codex_credits_unlimited="False", x_codex_credits_balance="3.20",
    )  # fmt: skip
    assert found is not None
    assert found.windows == {
        "codex": {
            "primary": QuotaWindow(used_percent=12.5, window_minutes=300, reset_at=1_787_000_300.0),
            "secondary": QuotaWindow(used_percent=80.0, window_minutes=10080, reset_at=NOW + 60),
        }
    }
    assert (found.plan, found.active_limit) == ("plus", "premium")
    assert found.credits == {"has_credits": True, "unlimited": False, "balance": "3.20"}


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("True", True), ("true", True), ("1", True), (" TRUE ", True), ("False", False), ("false", False), ("0", False), ("", False)],
)
def test_booleans_come_in_every_casing(word: str, meaning: bool) -> None:  # noqa: FBT001  (a table of truth)
    found = limits(x_codex_plan_type="plus", x_codex_credits_unlimited=word)
    assert found is not None and found.credits == {"unlimited": meaning}


@pytest.mark.parametrize("odd", ["NaN", "inf", "-inf", "", "many", "1e999", "12,5"])
def test_a_malformed_number_counts_as_absent(odd: str) -> None:
    found = limits(x_codex_primary_used_percent=odd, x_codex_secondary_used_percent="5", x_codex_secondary_reset_at=odd,
                   x_codex_secondary_window_minutes=odd)  # fmt: skip
    assert found is not None
    assert found.windows == {"codex": {"secondary": QuotaWindow(used_percent=5.0)}}


def test_only_a_secondary_window_is_a_family_too() -> None:
    found = limits(x_codex_secondary_used_percent="5", x_codex_secondary_window_minutes="10080")
    assert found is not None and set(found.windows["codex"]) == {"secondary"}


def test_a_weekly_primary_window_keeps_its_own_length() -> None:
    found = limits(x_codex_primary_used_percent="5", x_codex_primary_window_minutes="10080")
    assert found is not None and found.windows["codex"]["primary"].window_minutes == 10080


def test_an_empty_window_does_not_count_but_one_with_a_reset_does() -> None:
    found = limits(
        x_codex_primary_used_percent="0", x_codex_primary_window_minutes="0",
        x_codex_secondary_used_percent="0", x_codex_secondary_reset_at="1787000300",
    )  # fmt: skip
    assert found is not None and set(found.windows["codex"]) == {"secondary"}


def test_other_metered_limits_are_read_under_their_own_id() -> None:
    found = limits(x_codex_primary_used_percent="5", x_codex_bengalfox_primary_used_percent="100",
                   x_codex_bengalfox_limit_name="Spark")  # fmt: skip
    assert found is not None
    assert set(found.windows) == {"codex", "codex_bengalfox"}
    assert found.windows["codex_bengalfox"]["primary"].used_percent == 100


def test_an_answer_without_a_word_about_quota_gives_none() -> None:
    assert limits(content_type="text/event-stream", x_request_id="1") is None


def test_a_thousand_families_are_not_all_kept() -> None:
    found = PROVIDER.limits({f"x-{number}-primary-used-percent": "5" for number in range(1000)}, NOW)
    assert found is not None and len(found.windows) <= 16


def test_every_number_that_is_read_is_finite() -> None:
    found = limits(x_codex_primary_used_percent="1e308", x_codex_primary_reset_after_seconds="1e308")
    assert found is not None
    window = found.windows["codex"]["primary"]
    assert math.isfinite(window.used_percent) and window.reset_at is not None and math.isfinite(window.reset_at)


# ---- building a request ---------------------------------------------------------------------------------------------

TOKEN = "at-canary-7f3a"
CREDENTIAL = Credential(token=Secret(TOKEN), scope="acct-1", upstream_account_id="ws-1")
TARGET = Target(provider="codex", codec="openai-responses", model="gpt-5.5")


def build(credential: Credential = CREDENTIAL, **client: str) -> list[tuple[str, str]]:
    conversation = Conversation(key="conv", headers={name.replace("_", "-"): value for name, value in client.items()})
    return list(PROVIDER.build(b"{}", credential, TARGET, conversation).headers)


def test_the_request_goes_to_the_responses_endpoint_with_the_body_untouched() -> None:
    request = PROVIDER.build(b'{"a": 1}', CREDENTIAL, TARGET, Conversation(key="conv"))
    assert (request.method, request.url) == ("POST", "https://upstream.example/backend-api/codex/responses")
    assert request.body == b'{"a": 1}'


def test_the_headers_and_their_order_are_those_of_the_official_client() -> None:
    assert build() == [
        ("x-codex-window-id", "conv:0"),
        ("x-client-request-id", "conv"),
        ("session-id", "conv"),
        ("thread-id", "conv"),
        ("accept", "text/event-stream"),
        ("content-type", "application/json"),
        ("authorization", f"Bearer {TOKEN}"),
        ("chatgpt-account-id", "ws-1"),
        ("originator", ORIGINATOR),
        ("user-agent", USER_AGENT),
    ]


def test_optional_headers_stand_where_the_official_client_has_them() -> None:
    names = [
        name
        for name, _ in build(
            Credential(token=Secret(TOKEN), scope="s", upstream_account_id="ws", is_fedramp=True),
            x_openai_internal_codex_responses_lite="true", x_openai_subagent="review", x_codex_turn_state="opaque",
            x_codex_beta_features="remote_compaction_v2", x_codex_window_id="theirs:2",
        )
    ]  # fmt: skip
    assert names == [
        "x-codex-beta-features", "x-codex-turn-state", "x-codex-window-id", "x-openai-subagent",
        "x-openai-internal-codex-responses-lite", "x-client-request-id", "session-id", "thread-id", "accept",
        "content-type", "authorization", "chatgpt-account-id", "x-openai-fedramp", "originator", "user-agent",
    ]  # fmt: skip


def test_an_account_without_a_workspace_sends_no_workspace() -> None:
    names = [name for name, _ in build(Credential(token=Secret(TOKEN), scope="s"))]
    assert "chatgpt-account-id" not in names and "x-openai-fedramp" not in names


def test_nothing_a_client_sends_passes_unless_it_is_on_the_list() -> None:
    headers = build(
        authorization="Bearer cpx-theirs", cookie="a=b", x_api_key="cpx-theirs", user_agent="curl", host="evil",
        x_forwarded_for="1.2.3.4", x_stainless_lang="python", originator="x", x_openai_subagent="made up",
        session_id="theirs", thread_id="theirs", connection="x-drop", x_codex_installation_id="theirs",
    )  # fmt: skip
    assert headers == build()


@pytest.mark.parametrize(
    ("sent", "number"),
    [("thread:3", "3"), ("thread:0", "0"), ("thread", "0"), ("", "0"), ("t:-1", "0"), ("t:99999999", "0"), ("t:x", "0")],
)
def test_a_window_keeps_its_number_and_loses_its_name(sent: str, number: str) -> None:
    assert dict(build(x_codex_window_id=sent))["x-codex-window-id"] == f"conv:{number}"


def test_a_token_never_shows_in_any_representation() -> None:
    request = PROVIDER.build(b"{}", CREDENTIAL, TARGET, Conversation(key="conv"))
    for value in (CREDENTIAL, CREDENTIAL.token, request, [request], {"request": request}):
        assert TOKEN not in repr(value) and TOKEN not in str(value)
    assert TOKEN not in f"{CREDENTIAL.token}"


def test_secrets_are_equal_by_value_and_empty_when_empty() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("") and Secret("x")
    assert len({Secret("a"), Secret("a")}) == 1


# ---- conversation keys ----------------------------------------------------------------------------------------------


def test_a_conversation_has_one_stable_key_per_account_and_never_the_clients() -> None:
    first = conversation_key("acct-1", "my-project")
    assert first == conversation_key("acct-1", "my-project")
    assert first != conversation_key("acct-2", "my-project")
    assert first != conversation_key("acct-1", "my-projec")
    assert "my-project" not in first
    assert uuid.UUID(first).version == 4


def test_scope_and_key_cannot_be_shifted_into_each_other() -> None:
    assert conversation_key("a", "bc") != conversation_key("ab", "c")


# ---- what goes back to clients --------------------------------------------------------------------------------------


def test_only_headers_that_clients_act_on_go_back() -> None:
    upstream = {
        "x-codex-primary-used-percent": "5", "x-codex-turn-state": "opaque", "x-models-etag": "e", "openai-model": "gpt",
        "x-reasoning-included": "true", "set-cookie": "__cf_bm=1", "cf-ray": "1", "server": "cloudflare",
        "x-request-id": "theirs", "content-type": "text/event-stream", "openai-organization": "org-1",
        "content-length": "5", "transfer-encoding": "chunked", "x-oai-request-id": "theirs",
    }  # fmt: skip
    assert PROVIDER.relayed_headers(upstream) == {
        "x-codex-primary-used-percent": "5", "x-codex-turn-state": "opaque", "x-models-etag": "e",
        "openai-model": "gpt", "x-reasoning-included": "true",
    }  # fmt: skip
