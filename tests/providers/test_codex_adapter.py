"""The Codex adapter: quota headers (spec/wire.md §5.1), request headers (§2.1), conversation keys."""

from __future__ import annotations

import math
import uuid

import pytest

from providers.adapters.codex import ORIGINATOR, USER_AGENT, CodexProvider, conversation_key
from providers.contract import Conversation, Credential, QuotaWindow, RateLimits, Secret, Target

NOW = 1_787_000_000.0
PROVIDER = CodexProvider("https://upstream.example/backend-api")


# ---- limits of a good answer ----------------------------------------------------------------------------------------


def limits(**headers: str) -> RateLimits | None:
    return PROVIDER.limits({name.replace("_", "-"): value for name, value in headers.items()}, NOW)


def test_both_windows_plan_and_credits_are_read() -> None:
    found = limits(
        x_codex_primary_used_percent="12.5", x_codex_primary_window_minutes="300",
        x_codex_primary_reset_at="1787000300", x_codex_secondary_used_percent="80",
        x_codex_secondary_window_minutes="10080",
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
    [
        ("True", True),
        ("true", True),
        ("1", True),
        (" TRUE ", True),
        ("False", False),
        ("false", False),
        ("0", False),
        ("", False),
    ],
)
def test_booleans_come_in_every_casing(word: str, meaning: bool) -> None:
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
    assert math.isfinite(window.used_percent) and window.reset_at is None  # nothing resets in more than a year


# ---- building a request ---------------------------------------------------------------------------------------------

TOKEN = "at-canary-7f3a"
CREDENTIAL = Credential(token=Secret(TOKEN), scope="acct-1", upstream_account_id="ws-1")
TARGET = Target(provider="codex", codec="openai-responses", model="gpt-5.5")


def build(credential: Credential = CREDENTIAL, *, keeps_account: bool = True, **client: str) -> list[tuple[str, str]]:
    headers = {name.replace("_", "-"): value for name, value in client.items()}
    conversation = Conversation(key="conv", headers=headers, keeps_account=keeps_account)
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


def test_turn_state_goes_back_only_to_the_account_that_issued_it() -> None:
    assert ("x-codex-turn-state", "opaque") in build(x_codex_turn_state="opaque")
    assert build(x_codex_turn_state="opaque", keeps_account=False) == build()


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
    [
        ("thread:3", "3"),
        ("thread:0", "0"),
        ("thread", "0"),
        ("", "0"),
        ("t:-1", "0"),
        ("t:99999999", "0"),
        ("t:x", "0"),
    ],
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
        "x-codex-primary-used-percent": "5", "x-codex-turn-state": "opaque", "x-models-etag": "e",
        "openai-model": "gpt", "x-reasoning-included": "true", "set-cookie": "__cf_bm=1", "cf-ray": "1",
        "server": "cloudflare",
        "x-request-id": "theirs", "content-type": "text/event-stream", "openai-organization": "org-1",
        "content-length": "5", "transfer-encoding": "chunked", "x-oai-request-id": "theirs",
    }  # fmt: skip
    assert PROVIDER.relayed_headers(upstream) == {
        "x-codex-primary-used-percent": "5", "x-codex-turn-state": "opaque", "x-models-etag": "e",
        "openai-model": "gpt", "x-reasoning-included": "true",
    }  # fmt: skip
