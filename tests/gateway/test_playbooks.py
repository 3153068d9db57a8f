"""The flow as dialogues: what the upstream says, what the client sees, and what must be left behind: nothing.

Every playbook runs for a client of every dialect unless it says otherwise: Responses take the relay lane, the others
the translate lane.
"""

from __future__ import annotations

import pytest

from accounts.values import ApiKeyView
from tests.dialects import DIALECTS
from tests.gateway.playbook import (
    CAPACITY,
    CHALLENGE,
    CREATED,
    HELLO,
    ITEM,
    LIMIT,
    NO_MODEL,
    NOW,
    OVERLOADED,
    Play,
    account,
    completed,
    event,
    failed,
    text,
)
from translation import registry

# ---- the good path --------------------------------------------------------------------------------------------------


async def test_a_stream_arrives_with_its_headers_and_is_counted_once(play: Play) -> None:
    play.upstream.answers(headers={"x-codex-primary-used-percent": "5", "x-secret": "1"}).sends(HELLO)
    client = await play.ask()
    assert (client.status, client.text, client.error) == (200, "Hello", None)
    assert client.headers["content-type"] == registry.get(DIALECTS[play.dialect].codec).stream_media_type
    assert client.headers["cache-control"] == "no-cache"
    assert client.headers["x-request-id"] == "req_test"
    assert "x-secret" not in client.headers
    record = play.record()
    assert (record.outcome, record.status, record.attempts, record.is_stream) == ("ok", 200, 1, True)
    assert (record.input_tokens, record.cached_tokens, record.output_tokens, record.reasoning_tokens) == (18, 8, 20, 3)
    assert (record.api_key_id, record.user_id, record.account_id, record.model) == (7, 3, "a", "gpt-5.5")
    assert record.lane == ("relay" if play.dialect == "responses" else "translate")
    assert record.ttfb_ms is not None


async def test_quota_headers_are_reported_and_only_same_wire_clients_see_them(play: Play) -> None:
    play.upstream.answers(headers={"x-codex-primary-used-percent": "5"}).sends(HELLO)
    client = await play.ask()
    [report] = [each for each in play.reports if each.limits is not None]
    assert report.account_id == "a"
    assert ("x-codex-primary-used-percent" in client.headers) == (play.dialect == "responses")


async def test_one_upstream_chunk_leaves_in_one_write(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("a") + text("b")).sends(text("c") + text("d")).sends(
        completed("abcd")
    )
    client = await play.ask()
    assert client.text == "abcd"
    assert len(client.writes) == 3


async def test_bytes_cut_anywhere_say_the_same(play: Play) -> None:
    play.upstream.answers().sends(HELLO)
    whole = await play.ask()
    other = Play(play.dialect)
    answer = other.upstream.answers()
    for position in range(len(HELLO)):
        answer.sends(HELLO[position : position + 1])
    cut = await other.ask()
    assert cut.body == whole.body


async def test_a_client_without_stream_gets_one_json_body(play: Play) -> None:
    play.upstream.answers().sends(HELLO)
    client = await play.ask(stream=False)
    assert (client.status, client.headers["content-type"]) == (200, "application/json")
    assert client.text == "Hello"
    assert len(client.writes) == 1
    record = play.record()
    assert (record.outcome, record.output_tokens, record.is_stream) == ("ok", 20, False)
    assert play.upstream.bodies[0]["stream"] is True


async def test_the_account_goes_out_and_the_clients_key_does_not(play: Play) -> None:
    play.upstream.answers().sends(HELLO)
    await play.ask(headers={"authorization": "Bearer cpx-theirs", "user-agent": "test/1"})
    [request] = play.upstream.requests
    assert play.upstream.tokens == ["token-a"]
    assert not any("cpx-theirs" in value for _, value in request.headers)
    assert play.record().client == "test/1"


async def test_an_account_with_an_egress_is_called_through_it(dialect: str) -> None:
    play = Play(dialect, accounts=(account("a", egress="http://proxy:1"),))
    play.upstream.answers().sends(HELLO)
    await play.ask()
    assert play.upstream.egresses == ["http://proxy:1"]


async def test_one_conversation_has_another_key_on_every_account(play: Play) -> None:
    play.upstream.answers(429, LIMIT)
    play.upstream.answers().sends(HELLO)
    await play.ask(prompt_cache_key="my-project")
    keys = [body["prompt_cache_key"] for body in play.upstream.bodies]
    assert len(set(keys)) == 2 and "my-project" not in keys


async def test_two_api_keys_with_the_same_conversation_name_share_nothing(dialect: str) -> None:
    play = Play(dialect, accounts=(account("a"),))
    play.upstream.answers().sends(HELLO)
    play.upstream.answers().sends(HELLO)
    await play.ask(prompt_cache_key="main")
    await play.ask(prompt_cache_key="main", key=ApiKeyView(id=8, user_id=4, name="other", prefix="cpx-"))
    assert len({body["prompt_cache_key"] for body in play.upstream.bodies}) == 2


# ---- retries before the first output --------------------------------------------------------------------------------

RETRIED = {
    "plan limit": (429, LIMIT),
    "capacity": (429, CAPACITY),
    "overloaded": (503, OVERLOADED),
    "server error": (500, b""),
    "challenge": (403, CHALLENGE),
    "stealth block": (404, b""),
    "lacks the model": (400, NO_MODEL),
    "banned": (401, {"error": {"code": "account_deactivated"}}),
    "no payment": (402, b""),
    "forbidden": (403, {"detail": "Forbidden"}),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("status", "body"), RETRIED.values(), ids=RETRIED.keys())
async def test_a_failure_of_one_account_is_answered_by_another(
    play: Play, status: int, body: object, stream: bool
) -> None:
    play.upstream.answers(status, body)
    play.upstream.answers().sends(HELLO)
    client = await play.ask(stream=stream)
    assert (client.status, client.error) == (200, None)
    assert play.upstream.tokens == ["token-a", "token-b"]
    record = play.record()
    assert (record.outcome, record.attempts, record.account_id) == ("ok", 2, "b")


@pytest.mark.parametrize("status", [502, 504, 522])
async def test_a_failing_edge_is_tried_again_on_the_same_account(play: Play, status: int) -> None:
    play.upstream.answers(status, b"<html></html>")
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert client.text == "Hello"
    assert play.upstream.tokens == ["token-a", "token-a"]
    assert play.penalties == []


async def test_a_broken_connection_is_tried_twice_there_and_once_elsewhere_then_told(play: Play) -> None:
    for _ in range(4):
        play.upstream.cannot_be_reached()
    client = await play.ask()
    assert client.status == 502
    assert play.upstream.tokens == ["token-a", "token-a", "token-a", "token-b"]
    record = play.record()
    assert (record.outcome, record.error_code) == ("upstream_error", "upstream_transport_error")
    assert play.penalties == []


@pytest.mark.parametrize("end", ["close", "break"])
async def test_a_stream_that_ends_before_any_output_is_tried_again(play: Play, end: str) -> None:
    answer = play.upstream.answers().sends(CREATED)
    if end == "break":
        answer.breaks()
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert (client.status, client.text, client.error) == (200, "Hello", None)
    assert len(play.upstream.requests) == 2


@pytest.mark.parametrize(
    ("frame", "tokens"),
    [
        (failed("usage_limit_reached", resets_in_seconds=5400), ["token-a", "token-b"]),
        (failed("server_is_overloaded"), ["token-a", "token-b"]),
        (failed("rate_limit_exceeded", "Please try again in 2s."), ["token-a", "token-b"]),
        (failed("server_error"), ["token-a", "token-b"]),
        (
            event("error", code="usage_limit_reached", message="The usage limit has been reached"),
            ["token-a", "token-b"],
        ),
        (failed("account_deactivated"), ["token-a", "token-b"]),
    ],
)
@pytest.mark.parametrize("before", [b"", CREATED, CREATED + event("codex.rate_limits", plan_type="plus")])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_as_the_first_event_of_a_good_answer_rotates(
    play: Play, frame: bytes, tokens: list[str], before: bytes, stream: bool
) -> None:
    if before:
        play.upstream.answers().sends(before).sends(frame)
    else:
        play.upstream.answers().sends(frame)
    play.upstream.answers().sends(HELLO)
    client = await play.ask(stream=stream)
    assert (client.status, client.error) == (200, None)
    assert play.upstream.tokens == tokens
    if stream:
        assert client.text == "Hello"
        assert client.body.count(b"response.created\n") <= 1


async def test_a_limit_told_inside_the_stream_rests_the_account_as_long_as_it_said(play: Play) -> None:
    play.upstream.answers().sends(CREATED + failed("usage_limit_reached", resets_in_seconds=5400))
    play.upstream.answers().sends(HELLO)
    await play.ask()
    [(name, penalty)] = play.penalties
    assert (name, penalty.cool_until) == ("a", NOW + 5400)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"detail": "Unsupported parameter: foo"}, "invalid_request_error"),
        (400, {"error": {"code": "context_length_exceeded", "message": "too long"}}, "context_length_exceeded"),
        (400, {"error": {"code": "cyber_policy", "message": "flagged"}}, "cyber_policy"),
        (413, b"", "context_too_large"),
        (422, {"detail": [{"msg": "bad"}]}, "invalid_request_error"),
    ],
)
async def test_the_requests_own_fault_is_told_at_once(play: Play, status: int, body: object, code: str) -> None:
    play.upstream.answers(status, body)
    client = await play.ask()
    record = play.record()
    assert (client.status, record.error_code, record.outcome) == (status, code, "client_error")
    assert len(play.upstream.requests) == 1
    assert play.penalties == []


async def test_the_attempts_of_one_request_are_bounded(dialect: str) -> None:
    play = Play(dialect, accounts=tuple(account(f"a{number:02}") for number in range(50)), max_attempts=6)
    for _ in range(6):
        play.upstream.answers(429, LIMIT)
    client = await play.ask()
    assert client.status == 429
    assert play.record().attempts == 6


async def test_when_every_account_is_limited_the_answer_says_when_the_soonest_is_back(play: Play) -> None:
    for seconds in (5400, 600, 7200):
        play.upstream.answers(429, {"error": {**LIMIT["error"], "resets_in_seconds": seconds}})
    client = await play.ask()
    assert (client.status, client.headers["retry-after"]) == (429, "600")
    assert client.failure is not None
    assert "All accounts exhausted (3 resting until 08:10 UTC). The usage limit has been reached" in (
        client.failure.message
    )
    assert play.record().outcome == "rate_limited"


async def test_the_reset_that_codex_shows_is_the_soonest_accounts_not_the_last_ones() -> None:
    play = Play("responses")
    for seconds in (5400, 600, 7200):
        play.upstream.answers(429, {"error": {**LIMIT["error"], "resets_in_seconds": seconds}})
    tried = await play.ask()  # learns the limits by trying
    refused = await play.ask()  # knows them
    for client in (tried, refused):
        assert client.error is not None and client.error["type"] == "usage_limit_reached"
        assert (client.error["resets_at"], client.error["resets_in_seconds"]) == (NOW + 600, 600)
    assert len(play.upstream.requests) == 3


@pytest.mark.parametrize(("seconds", "says"), [(45, None), (5400, "false")])
async def test_clients_are_told_not_to_try_again_when_the_reset_is_far(
    dialect: str, seconds: int, says: str | None
) -> None:
    """Claude Code and both SDKs obey; without it they ask for minutes. Google's and Ollama's know no such word."""
    play = Play(dialect, accounts=(account("a"),))
    play.upstream.answers(429, {"error": {**LIMIT["error"], "resets_in_seconds": seconds}})
    for client in (await play.ask(), await play.ask(stream=False)):
        assert (client.status, client.headers["retry-after"]) == (429, str(seconds))
        assert client.headers.get("x-should-retry") == (says if dialect not in ("gemini", "ollama") else None)


async def test_a_plan_that_lacks_the_model_is_remembered(play: Play) -> None:
    play.upstream.answers(400, NO_MODEL)
    play.upstream.answers().sends(HELLO)
    play.upstream.answers().sends(HELLO)
    await play.ask()
    await play.ask()
    assert play.upstream.tokens[0] == "token-a"
    assert "token-a" not in play.upstream.tokens[1:]


# ---- nothing is replayed after output -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        failed("server_is_overloaded"), failed("usage_limit_reached", resets_in_seconds=60), failed("server_error"),
        failed("token_expired"), failed("invalid_encrypted_content"), None, "break",
    ],
    ids=lambda ending: "end of file" if ending is None else str(ending)[-60:],
)  # fmt: skip
async def test_after_output_a_failure_is_told_in_the_stream_and_never_retried(
    play: Play, ending: bytes | str | None
) -> None:
    answer = play.upstream.answers().sends(CREATED + ITEM + text("Hel"))
    if ending == "break":
        answer.breaks()
    elif ending is not None:
        answer.sends(ending)  # type: ignore[arg-type]
    client = await play.ask()
    assert (client.status, client.text) == (200, "Hel")
    assert client.error is not None and client.error["message"]
    assert len(play.upstream.requests) == 1
    record = play.record()
    assert record.outcome in ("upstream_error", "rate_limited")
    assert record.status == 200
    assert DIALECTS[play.dialect].ends(client.body, client.media_type) == ["error"]


async def test_a_good_end_is_the_last_thing_said_whatever_comes_after(play: Play) -> None:
    play.upstream.answers().sends(HELLO).sends(failed("server_error")).sends(text("ghost")).breaks()
    client = await play.ask()
    assert (client.text, client.error) == ("Hello", None)
    assert play.record().outcome == "ok"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_in_the_same_chunk_after_output_is_told(play: Play, stream: bool) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel") + failed("server_error"))
    if not stream:  # nothing was sent yet, so a server error may go elsewhere once
        play.upstream.answers().sends(HELLO)
    client = await play.ask(stream=stream)
    assert (client.error is not None) == stream


async def test_a_collected_answer_cut_in_the_middle_is_no_success_and_not_replayed(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel"))
    client = await play.ask(stream=False)
    assert (client.status, play.record().error_code) == (504, "upstream_stream_truncated")
    assert len(play.upstream.requests) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_without_any_output_goes_to_other_accounts_and_is_then_told(stream: bool) -> None:
    play = Play("chat")
    for _ in range(3):
        play.upstream.answers().sends(CREATED + completed())
    client = await play.ask(stream=stream)
    assert (client.status, client.json["error"]["code"]) == (502, "empty_response")
    assert play.upstream.tokens == ["token-a", "token-b", "token-c"]
    assert play.record().outcome == "upstream_error"


async def test_an_empty_answer_is_made_good_by_another_account() -> None:
    play = Play("chat")
    play.upstream.answers().sends(CREATED + completed())
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert (client.text, client.error) == ("Hello", None)


async def test_an_answer_of_no_tokens_is_meant(play: Play) -> None:
    play.upstream.answers().sends(CREATED + completed(output_tokens=0))
    client = await play.ask()
    assert (client.status, client.text, client.error) == (200, "", None)
