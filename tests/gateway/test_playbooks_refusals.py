"""Requests that are refused before they leave, tokens that are renewed, and a world that changes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from accounts.values import ApiKeyView, PoolRules
from tests.gateway.playbook import (
    CREATED,
    EXPIRED,
    HELLO,
    ITEM,
    LIMIT,
    NOW,
    Client,
    Play,
    account,
    completed,
    failed,
    text,
)

# ---- refusals before any attempt ------------------------------------------------------------------------------------


async def test_a_continuation_that_is_not_known_is_said_with_the_code_clients_act_on() -> None:
    play = Play("responses")
    client = await play.ask(previous_response_id="resp_old")
    assert (client.status, client.json["error"]["code"]) == (400, "previous_response_not_found")
    assert play.upstream.requests == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"model":1}', b'{"stream":true}', b"\xff", b'{"messages":1}'])
async def test_a_bad_body_is_a_clear_400_and_still_counted(play: Play, raw: bytes) -> None:
    client = await play.ask(raw=raw)
    assert client.status == 400
    assert client.failure is not None and client.failure.message
    record = play.record()
    assert (record.outcome, play.upstream.requests) == ("client_error", [])


async def test_an_unknown_model_is_not_found(play: Play) -> None:
    client = await play.ask(model="llama-3")
    assert (client.status, play.record().error_code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("model", "status"),
    [("gpt-5.5", 403), ("gpt-5.5-high", 403), ("gpt-5.4", 200), ("gpt-5.4-high", 200), ("mine", 200)],
)
async def test_the_models_of_a_key_are_decided_on_the_resolved_name(play: Play, model: str, status: int) -> None:
    play.change(aliases={"mine": "gpt-5.4"})
    play.upstream.answers().sends(HELLO)
    key = ApiKeyView(id=7, user_id=3, name="k", prefix="cpx-", allowed_models=("gpt-5.4",))
    client = await play.ask(model=model, key=key)
    assert client.status == status
    if status == 403:
        assert play.record().error_code == "model_not_allowed"


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
    assert (refused.status, play.record().error_code) == (429, "concurrency_limit_exceeded")
    assert refused.headers["retry-after"] == "1"
    gate.set()
    await running
    play.upstream.answers().sends(HELLO)
    assert (await play.ask(key=key)).text == "Hello"


async def test_a_draining_gateway_takes_nothing_new(play: Play) -> None:
    play.gateway.is_draining = True
    client = await play.ask()
    record = play.record()
    assert (client.status, record.error_code) == (play.status(503), "shutting_down")
    assert record.outcome == "no_capacity"  # a restart is nobody's bug
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
    play = Play(dialect, accounts=accounts, pool=PoolRules(wait_s=0))
    client = await play.ask(stream=stream)
    assert (client.status, client.headers.get("retry-after")) == (play.status(status), retry_after)
    assert play.record().outcome == "no_capacity"


async def test_a_bug_of_ours_is_told_with_the_request_id_and_nothing_else(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    answer = play.upstream.answers()
    answer.open_error = RuntimeError("secret detail")
    client = await play.ask()
    assert client.status == 500
    assert client.failure is not None and "req_test" in client.failure.message and b"secret" not in client.body
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
    assert (client.status, play.record().error_code) == (play.status(503), "no_available_accounts")
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
    play.upstream.answers(429, LIMIT).steps.insert(
        0, _action(lambda: play.change(accounts=(), aliases={"gpt-5.5": "x"}))
    )
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert (client.status, client.text) == (200, "Hello")
    assert play.store.current.accounts == ()


async def test_removing_an_account_in_mid_stream_does_not_cut_its_answer(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).does(lambda: play.change(accounts=())).sends(
        text("lo") + completed("Hello")
    )
    assert (await play.ask()).text == "Hello"


def _action(action: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def step() -> None:
        action()

    return step
