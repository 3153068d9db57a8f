"""The flow as dialogues: what the upstream says, what the client sees, and what must be left behind: nothing.

Every playbook runs for a Chat client (translate lane) and a Responses client (relay lane) unless it says otherwise.
"""

from __future__ import annotations

import asyncio

import pytest

from accounts.values import ApiKeyView
from codexproxy.gateway.lane import SILENT
from tests.gateway.playbook import (
    CREATED,
    HELLO,
    ITEM,
    NOW,
    CancelledAt,
    Client,
    Play,
    account,
    completed,
    event,
    failed,
    text,
)
from translation.ir import events as ev

LIMIT = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached", "resets_in_seconds": 5400}}
EXPIRED = {"error": {"code": "token_expired", "message": "expired"}}
OVERLOADED = {"error": {"code": "server_is_overloaded", "message": "overloaded"}}
CAPACITY = {"detail": "Selected model is at capacity. Please try a different model."}
NO_MODEL = {"detail": "The 'gpt-5.5' model is not supported when using Codex with a ChatGPT account."}
CHALLENGE = b"<html>Just a moment...</html>"


@pytest.fixture(params=["chat", "responses"])
def dialect(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def play(dialect: str) -> Play:
    return Play(dialect)


# ---- the good path --------------------------------------------------------------------------------------------------


async def test_a_stream_arrives_with_its_headers_and_is_counted_once(play: Play) -> None:
    play.upstream.answers(headers={"x-codex-primary-used-percent": "5", "x-secret": "1"}).sends(HELLO)
    client = await play.ask()
    assert (client.status, client.text, client.error) == (200, "Hello", None)
    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.headers["cache-control"] == "no-cache"
    assert client.headers["x-request-id"] == "req_test"
    assert "x-secret" not in client.headers
    record = play.record()
    assert (record.outcome, record.status, record.attempts, record.is_stream) == ("ok", 200, 1, True)
    assert (record.input_tokens, record.cached_tokens, record.output_tokens, record.reasoning_tokens) == (18, 8, 20, 3)
    assert (record.api_key_id, record.user_id, record.account_id, record.model) == (7, 3, "a", "gpt-5.5")
    assert record.lane == ("translate" if play.dialect == "chat" else "relay")
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
    answer = client.json
    if play.dialect == "chat":
        assert answer["choices"][0]["message"]["content"] == "Hello"
        assert answer["usage"]["completion_tokens"] == 20
    else:
        assert answer["output"][0]["content"][0]["text"] == "Hello"
        assert answer["usage"]["output_tokens"] == 20
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
    assert client.json["error"]["code"] == "upstream_transport_error"
    assert play.upstream.tokens == ["token-a", "token-a", "token-a", "token-b"]
    assert play.record().outcome == "upstream_error"
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
        (event("error", code="usage_limit_reached", message="The usage limit has been reached"), ["token-a", "token-b"]),
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
    assert (client.status, client.json["error"]["code"]) == (status, code)
    assert len(play.upstream.requests) == 1
    assert play.penalties == []
    assert play.record().outcome == "client_error"


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
    assert client.json["error"]["type"] == "usage_limit_reached"
    assert play.record().outcome == "rate_limited"


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
    if play.dialect == "chat":
        assert client.body.count(b"data: [DONE]") <= 1
        assert b'"finish_reason":"stop"' not in client.body
    else:
        assert client.body.count(b"event: response.failed") == 1
        assert b"response.completed" not in client.body


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
    assert (client.status, client.json["error"]["code"]) == (504, "upstream_stream_truncated")
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


# ---- the first-event gate, patience, heartbeats, timeouts -----------------------------------------------------------


async def test_headers_wait_for_the_first_output(play: Play) -> None:
    client = Client()
    seen: list[bool] = []
    play.upstream.answers().sends(CREATED).pauses(5).does(lambda: seen.append(client.started)).sends(
        ITEM + text("Hi")
    ).does(lambda: seen.append(client.started)).sends(completed("Hi"))
    await play.generate(client, stream=True)
    assert seen == [False, True]
    assert client.text == "Hi"


async def test_after_some_patience_the_answer_starts_and_a_failure_is_told_inside(play: Play) -> None:
    play.upstream.answers().sends(CREATED).pauses(30).sends(failed("invalid_prompt", "No."))
    client = await play.ask()
    assert (client.status, client.text) == (200, "")
    assert client.error is not None and client.error["message"] == "No."
    assert len(play.upstream.requests) == 1


async def test_an_early_start_does_not_end_the_right_to_retry(play: Play) -> None:
    play.upstream.answers().sends(CREATED).pauses(30).sends(failed("server_is_overloaded"))
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert (client.status, client.text, client.error) == (200, "Hello", None)
    assert play.upstream.tokens == ["token-a", "token-b"]
    if play.dialect == "responses":
        assert client.body.count(b"event: response.created") == 1


async def test_a_client_that_wants_one_body_hears_nothing_early(play: Play) -> None:
    play.upstream.answers().sends(CREATED).pauses(100).sends(failed("invalid_prompt", "No."))
    client = await play.ask(stream=False)
    assert client.status == 400
    assert len(client.writes) == 1


async def test_silence_in_the_middle_is_filled_with_heartbeats(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).pauses(65).sends(text("lo") + completed("Hello"))
    client = await play.ask()
    assert (client.text, client.error) == ("Hello", None)
    assert 3 <= client.heartbeats <= 4
    assert client.times == sorted(client.times)


async def test_no_heartbeat_while_the_upstream_talks(play: Play) -> None:
    answer = play.upstream.answers().sends(CREATED + ITEM)
    for _ in range(20):
        answer.pauses(9).sends(text("x"))
    answer.sends(completed("x" * 20))
    client = await play.ask()
    assert client.text == "x" * 20
    assert client.heartbeats == 0


async def test_no_heartbeat_after_the_end_even_when_the_upstream_stays_open(dialect: str) -> None:
    play = Play(dialect, heartbeat_s=0.1, gate_patience_s=0.1)
    play.upstream.answers().sends(HELLO).hangs()
    client = await play.ask()
    assert client.heartbeats == 0
    await asyncio.sleep(60)
    assert client.heartbeats == 0


async def test_silence_before_the_first_event_is_a_timeout(dialect: str) -> None:
    play = Play(dialect, first_event_timeout_s=8, gate_patience_s=10)
    play.upstream.answers().hangs()
    client = await play.ask()
    assert (client.status, client.json["error"]["code"]) == (504, "upstream_timeout")
    assert play.record().outcome == "upstream_error"


async def test_an_upstream_that_never_sends_headers_is_a_timeout(dialect: str) -> None:
    play = Play(dialect, first_event_timeout_s=8, gate_patience_s=10)
    play.upstream.never_answers()
    client = await play.ask()
    assert (client.status, client.json["error"]["code"]) == (504, "upstream_timeout")


async def test_a_collected_answer_that_never_comes_is_a_timeout(dialect: str) -> None:
    play = Play(dialect, first_event_timeout_s=8)
    play.upstream.answers().sends(CREATED).hangs()
    client = await play.ask(stream=False)
    assert (client.status, client.json["error"]["code"]) == (504, "upstream_timeout")


async def test_silence_in_the_middle_ends_the_stream_with_an_error(dialect: str) -> None:
    play = Play(dialect, idle_timeout_s=60)
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).hangs()
    client = await play.ask()
    assert (client.status, client.text) == (200, "Hel")
    assert client.error is not None and "silent for 60 s" in client.error["message"]
    assert play.record().outcome == "upstream_error"


async def test_silence_after_an_early_start_is_told_in_the_stream(dialect: str) -> None:
    play = Play(dialect, first_event_timeout_s=100, idle_timeout_s=100)
    play.upstream.answers().sends(CREATED).hangs()
    client = await play.ask()
    assert client.status == 200
    assert client.error is not None


async def test_a_long_answer_has_no_total_limit(play: Play) -> None:
    answer = play.upstream.answers().sends(CREATED + ITEM)
    for _ in range(100):
        answer.pauses(200).sends(text("x"))
    answer.sends(completed("x" * 100))
    client = await play.ask()
    assert (client.text, client.error) == ("x" * 100, None)


async def test_the_upstreams_silence_is_not_counted_while_the_client_reads_slowly(dialect: str) -> None:
    play = Play(dialect, idle_timeout_s=60)
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).sends(text("lo") + completed("Hello"))

    class SlowClient(Client):
        async def write(self, data: bytes) -> None:
            self.is_writing = True
            await asyncio.sleep(500)
            await super().write(data)

    client = SlowClient()
    await asyncio.create_task(play.generate(client, stream=True))
    assert (client.text, client.error) == ("Hello", None)


# ---- refusals before any attempt ------------------------------------------------------------------------------------


async def test_a_continuation_that_is_not_known_is_said_with_the_code_clients_act_on() -> None:
    play = Play("responses")
    client = await play.ask(previous_response_id="resp_old")
    assert (client.status, client.json["error"]["code"]) == (400, "previous_response_not_found")
    assert play.upstream.requests == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"model":1}', b'{"stream":true}', b"\xff", b'{"model":"gpt-5.5"}'])
async def test_a_bad_body_is_a_clear_400_and_still_counted(play: Play, raw: bytes) -> None:
    client = await play.ask(raw=raw)
    assert client.status == 400
    assert client.json["error"]["type"] == "invalid_request_error"
    assert play.record().outcome == "client_error"


async def test_an_unknown_model_is_not_found(play: Play) -> None:
    client = await play.ask(model="llama-3")
    assert (client.status, client.json["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(("model", "status"), [("gpt-5.5", 403), ("gpt-5.5-high", 403), ("gpt-5.4", 200), ("gpt-5.4-high", 200), ("mine", 200)])
async def test_the_models_of_a_key_are_decided_on_the_resolved_name(play: Play, model: str, status: int) -> None:
    play.change(aliases={"mine": "gpt-5.4"})
    play.upstream.answers().sends(HELLO)
    key = ApiKeyView(id=7, user_id=3, name="k", prefix="cpx-", allowed_models=("gpt-5.4",))
    client = await play.ask(model=model, key=key)
    assert client.status == status
    if status == 403:
        assert client.json["error"]["code"] == "model_not_allowed"


async def test_a_key_may_run_so_many_requests_at_once(play: Play) -> None:
    key = ApiKeyView(id=7, user_id=3, name="k", prefix="cpx-", max_concurrency=1)
    gate = asyncio.Event()
    first, refused = Client(), Client()
    answer = play.upstream.answers().sends(CREATED + ITEM + text("Hi"))

    async def wait() -> None:
        await gate.wait()

    answer.steps.append(wait)  # type: ignore[arg-type]
    answer.sends(completed("Hi"))
    running = asyncio.create_task(play.generate(first, stream=True, key=key))
    while not first.started:
        await asyncio.sleep(0)
    await play.generate(refused, stream=True, key=key)
    assert (refused.status, refused.json["error"]["code"]) == (429, "concurrency_limit_exceeded")
    assert refused.headers["retry-after"] == "1"
    gate.set()
    await running
    play.upstream.answers().sends(HELLO)
    assert (await play.ask(key=key)).text == "Hello"


async def test_a_draining_gateway_takes_nothing_new(play: Play) -> None:
    play.gateway.is_draining = True
    client = await play.ask()
    assert (client.status, client.json["error"]["code"]) == (503, "shutting_down")
    assert int(client.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("accounts", "status", "retry_after"),
    [
        ((), 503, None),
        ((account("a", is_usable=False),), 503, None),
        ((account("a", cooling_until=NOW + 7200), account("b", cooling_until=NOW + 600)), 429, "600"),
        ((account("a", max_concurrency=0),), 429, "2"),
    ],
    ids=["none", "all need a login", "all rest", "all busy"],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_no_capacity_says_why_and_when(
    dialect: str, accounts: tuple, status: int, retry_after: str | None, stream: bool
) -> None:
    play = Play(dialect, accounts=accounts)
    client = await play.ask(stream=stream)
    assert (client.status, client.headers.get("retry-after")) == (status, retry_after)
    assert play.record().outcome == "no_capacity"


async def test_a_bug_of_ours_is_told_with_the_request_id_and_nothing_else(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    answer = play.upstream.answers()
    answer.open_error = RuntimeError("secret detail")
    client = await play.ask()
    assert client.status == 500
    assert "req_test" in client.json["error"]["message"] and b"secret" not in client.body
    assert "secret detail" in caplog.text
    assert play.record().outcome == "gateway_bug"


# ---- tokens ---------------------------------------------------------------------------------------------------------


async def test_an_expired_token_is_renewed_once_and_the_same_account_answers(play: Play) -> None:
    play.refresh = play.renew
    play.upstream.answers(401, EXPIRED)
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert client.text == "Hello"
    assert play.refreshed == ["a"]
    assert play.upstream.tokens == ["token-a", "renewed-a"]
    assert play.penalties == []


async def test_a_token_expired_inside_the_stream_is_renewed_too(play: Play) -> None:
    play.refresh = play.renew
    play.upstream.answers().sends(failed("token_expired"))
    play.upstream.answers().sends(HELLO)
    assert (await play.ask()).text == "Hello"
    assert play.refreshed == ["a"]


async def test_a_token_refused_right_after_its_renewal_is_the_accounts_end(play: Play) -> None:
    play.refresh = play.renew
    play.upstream.answers(401, EXPIRED)
    play.upstream.answers(401, EXPIRED)
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert client.text == "Hello"
    assert play.refreshed == ["a"]
    assert play.upstream.tokens == ["token-a", "renewed-a", "token-b"]
    assert [(name, penalty.rejection) for name, penalty in play.penalties] == [("a", "expired")]


async def test_when_the_renewal_fails_another_account_answers(play: Play) -> None:
    play.upstream.answers(401, EXPIRED)
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert client.text == "Hello"
    assert play.upstream.tokens == ["token-a", "token-b"]
    assert [(name, penalty.rejection) for name, penalty in play.penalties] == [("a", "expired")]


async def test_every_account_gets_its_own_renewal(play: Play) -> None:
    play.refresh = lambda name: play.renew(name) if name == "b" else False
    play.upstream.answers(401, EXPIRED)
    play.upstream.answers(401, EXPIRED)
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert client.text == "Hello"
    assert play.refreshed == ["a", "b"]
    assert play.upstream.tokens == ["token-a", "token-b", "renewed-b"]


async def test_when_all_logins_are_refused_no_account_is_available(play: Play) -> None:
    for _ in range(3):
        play.upstream.answers(401, EXPIRED)
    client = await play.ask()
    assert (client.status, client.json["error"]["code"]) == (503, "no_available_accounts")
    assert play.refreshed == ["a", "b", "c"]


async def test_refused_reasoning_is_left_out_and_the_same_account_asked_again() -> None:
    play = Play("responses")
    play.upstream.answers(400, {"error": {"code": "invalid_encrypted_content", "message": "no"}})
    play.upstream.answers().sends(HELLO)
    history = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAforeign"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "again"},
    ]
    client = await play.ask(input=history, include=["reasoning.encrypted_content"])
    assert client.text == "Hello"
    first, second = play.upstream.requests
    assert b"gAAAforeign" in first.body and b"gAAAforeign" not in second.body
    assert play.upstream.tokens == ["token-a", "token-a"]
    assert b"again" in second.body


async def test_reasoning_refused_twice_is_told() -> None:
    play = Play("responses")
    for _ in range(2):
        play.upstream.answers(400, {"error": {"code": "invalid_encrypted_content", "message": "no"}})
    client = await play.ask()
    assert (client.status, client.json["error"]["code"]) == (400, "invalid_encrypted_content")


# ---- the world changes meanwhile ------------------------------------------------------------------------------------


async def test_a_request_keeps_the_world_it_began_with(play: Play) -> None:
    play.upstream.answers(429, LIMIT).steps.insert(0, _action(lambda: play.change(accounts=(), aliases={"gpt-5.5": "x"})))
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert (client.status, client.text) == (200, "Hello")
    assert play.store.current.accounts == ()


async def test_removing_an_account_in_mid_stream_does_not_cut_its_answer(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).does(lambda: play.change(accounts=())).sends(
        text("lo") + completed("Hello")
    )
    assert (await play.ask()).text == "Hello"


def _action(action):  # noqa: ANN001, ANN202
    async def step() -> None:
        action()

    return step


# ---- leaving at any moment ------------------------------------------------------------------------------------------


def _success(play: Play) -> None:
    play.upstream.answers().sends(CREATED).sends(ITEM + text("Hel")).sends(text("lo")).sends(completed("Hello")).hangs()


def _rotation(play: Play) -> None:
    play.upstream.answers(429, LIMIT)
    play.upstream.answers(403, CHALLENGE)
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).breaks()


def _renewal(play: Play) -> None:
    play.refresh = play.renew
    play.upstream.answers(401, EXPIRED)
    play.upstream.answers(400, NO_MODEL)
    play.upstream.answers(500, b"")
    play.upstream.answers(500, b"")


def _patience(play: Play) -> None:
    play.upstream.answers().sends(CREATED).pauses(40).sends(failed("invalid_prompt"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script", [_success, _rotation, _renewal, _patience])
async def test_a_client_may_leave_at_every_single_await(dialect: str, script, stream: bool) -> None:  # noqa: ANN001
    number = 0
    while True:
        number += 1
        play = Play(dialect)
        script(play)
        key = ApiKeyView(id=7, user_id=3, name="k", prefix="cpx-", max_concurrency=1)
        client = Client()
        leaving = CancelledAt(play.generate(client, stream=stream, key=key, prompt_cache_key="talk"), number)
        task = asyncio.create_task(_await(leaving))
        await asyncio.wait([task])
        await play.check_nothing_is_left(requests=1)
        record = play.record()
        if not leaving.fired:
            assert not task.cancelled()
            break
        assert task.cancelled(), f"the cancellation at await {number} was swallowed"
        assert record.outcome == "client_gone" or client.started
        await asyncio.sleep(100)
        assert not client.heartbeats or script is _patience
    assert number > 8


async def _await(awaitable: CancelledAt) -> None:
    await awaitable


async def test_leaving_after_the_last_byte_is_no_leaving(play: Play) -> None:
    play.upstream.answers().sends(HELLO).hangs()
    client = Client()
    task = asyncio.create_task(play.generate(client, stream=True))
    while not client.ended:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    assert not task.done()  # it waits for the upstream's end of file
    task.cancel()
    await asyncio.wait([task])
    await play.check_nothing_is_left()
    record = play.record()
    assert (record.outcome, record.output_tokens) == ("ok", 20)


async def test_tokens_known_when_the_client_left_are_counted(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).hangs()
    client = Client()
    task = asyncio.create_task(play.generate(client, stream=True))
    while not client.writes:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await play.check_nothing_is_left()
    record = play.record()
    assert (record.outcome, record.account_id, record.error_code) == ("client_gone", "a", "")
    assert play.penalties == []


def test_the_silent_events_are_exactly_those_that_say_nothing_yet() -> None:
    assert SILENT == {ev.Start, ev.Ping, ev.UsageUpdate, ev.Opaque, ev.Stop, ev.Error}
