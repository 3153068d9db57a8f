"""Continuing by `previous_response_id`: any transport, any worker, any account; what is lost, and what it costs."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from accounts.crypto import KeyRing
from accounts.values import ApiKeyView
from codexproxy.gateway import journal as journal_module
from codexproxy.gateway.journal import Journal
from codexproxy.gateway.state.contract import MAX_LINKS
from codexproxy.gateway.types import ClientRequest
from tests.gateway.playbook import CREATED, ITEM, LIMIT, NOW, Client, Play, account, event, failed, text
from translation import registry

OTHER_KEY = ApiKeyView(id=8, user_id=4, name="phone", prefix="cpx-other")
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA-proof"}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{}"}


@pytest.fixture
def play() -> Play:
    return Play("responses")


def message(said: str) -> dict[str, Any]:
    content = [{"type": "output_text", "annotations": [], "text": said}]
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}


def answer(response_id: str, *items: dict[str, Any], status: str = "completed") -> bytes:
    """A whole answer of `items`, under an id of its own."""
    response = {"id": response_id, "object": "response", "status": status, "output": list(items)}
    return (
        event("response.created", response={"id": response_id, "object": "response", "status": "in_progress"})
        + b"".join(
            event("response.output_item.added", output_index=index, item=item)
            + event("response.output_item.done", output_index=index, item=item)
            for index, item in enumerate(items)
        )
        + event(f"response.{status}", response=response)
    )


async def ask(play: Play, said: str | list[Any], previous: str | None = None, **fields: Any) -> Client:
    more = {} if previous is None else {"previous_response_id": previous}
    client = await play.ask(input=said, **more, **fields)
    await play.journal.flush()
    return client


def sent(play: Play) -> list[Any]:
    """What the upstream was sent last, in short: texts of messages, types of other items."""
    return [
        "".join(part["text"] for part in item["content"]) if item["type"] == "message" else item["type"]
        for item in play.upstream.bodies[-1]["input"]
    ]


# ---- what can be continued ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_streams", [True, False])
@pytest.mark.parametrize("then_streams", [True, False])
async def test_a_response_is_continued_whether_streamed_or_collected(
    play: Play, first_streams: bool, then_streams: bool
) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first", stream=first_streams)
    play.upstream.answers().sends(answer("resp_2", message("two")))
    client = await ask(play, "second", "resp_1", stream=then_streams)
    assert client.status == 200
    assert sent(play) == ["first", "one", "second"]
    assert "previous_response_id" not in play.upstream.bodies[-1]


async def test_a_long_conversation_is_whole_beyond_the_longest_chain(play: Play) -> None:
    for number in range(MAX_LINKS + 5):
        play.upstream.answers().sends(answer(f"resp_{number}", message(f"a{number}")))
        await ask(play, f"q{number}", f"resp_{number - 1}" if number else None)
    assert sent(play) == [
        *(each for number in range(MAX_LINKS + 4) for each in (f"q{number}", f"a{number}")),
        f"q{MAX_LINKS + 4}",
    ]


async def test_the_answer_of_the_translate_lane_is_continued_as_well(play: Play) -> None:
    tool = {"type": "function", "name": "n" * 70, "parameters": {"type": "object", "properties": {}}}
    for stream in (True, False):
        play.upstream.answers().sends(answer("resp_1", message("one")))
        first = await ask(play, "first", stream=stream, tools=[tool])
        assert play.record().lane == "translate"
        response_id = first.json["id"] if not stream else list(first.events())[-1]["response"]["id"]
        play.upstream.answers().sends(answer("resp_2", message("two")))
        await ask(play, "second", response_id)
        assert sent(play) == ["first", "one", "second"]
        play.usage.take(9)


async def test_tool_outputs_alone_are_enough_and_find_their_calls(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", THOUGHT, CALL))
    await ask(play, "run it")
    play.upstream.answers().sends(answer("resp_2", message("done")))
    await ask(play, [{"type": "function_call_output", "call_id": "call_1", "output": "ok"}], "resp_1")
    assert sent(play) == ["run it", "reasoning", "function_call", "function_call_output"]


async def test_one_response_may_be_continued_in_two_ways(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first")
    for branch in ("left", "right"):
        play.upstream.answers().sends(answer(f"resp_{branch}", message(branch)))
        await ask(play, branch, "resp_1")
        assert sent(play) == ["first", "one", branch]


async def test_an_answer_cut_by_its_limit_can_be_continued(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("on"), status="incomplete"))
    await ask(play, "first")
    play.upstream.answers().sends(answer("resp_2", message("e")))
    await ask(play, "go on", "resp_1")
    assert sent(play) == ["first", "on", "go on"]


async def test_nothing_new_to_say_is_legal(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first")
    play.upstream.answers().sends(answer("resp_2", message("two")))
    body = orjson.dumps({"model": "gpt-5.5", "stream": True, "previous_response_id": "resp_1"})
    client = await play.ask(raw=body)
    assert (client.status, sent(play)) == (200, ["first", "one"])


async def test_a_compaction_expands_what_it_compacts(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first")
    play.upstream.answers(headers={"content-type": "application/json"}).sends(orjson.dumps({"output": []}))
    body = play.body(stream=False, input="compact this", previous_response_id="resp_1")
    client = Client()
    request = ClientRequest(method="POST", path="/v1/responses/compact", headers={}, body=body, request_id="req_c")
    await play.gateway.generate(registry.get("openai-responses"), play.key, request, client)
    assert sent(play) == ["first", "one", "compact this"]


async def test_a_client_may_continue_while_the_upstream_is_slow_to_end_its_body(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one"))).pauses(0.9)
    first = Client()
    running = asyncio.create_task(play.generate(first, stream=True, input="first"))
    while not first.ended:
        await asyncio.sleep(0)
    play.upstream.answers().sends(answer("resp_2", message("two")))
    second = Client()
    await play.generate(second, stream=True, input="second", previous_response_id="resp_1")
    assert not running.done() and second.status == 200
    assert sent(play) == ["first", "one", "second"]
    await running


# ---- workers and accounts -------------------------------------------------------------------------------------------


async def test_another_worker_continues_it(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first")
    play.gateway.journal = Journal(play.state, KeyRing(["0" * 32]), clock=lambda: NOW)
    play.upstream.answers().sends(answer("resp_2", message("two")))
    await ask(play, "second", "resp_1")
    assert sent(play) == ["first", "one", "second"]


async def test_a_client_that_is_quicker_than_the_other_workers_write_is_waited_for(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_link = play.state.keep_link

    async def slowly(*given: Any, **named: Any) -> None:
        await asyncio.sleep(0.1)
        await keep_link(*given, **named)

    monkeypatch.setattr(play.state, "keep_link", slowly)
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await play.ask(input="first")
    play.gateway.journal = Journal(play.state, KeyRing(["0" * 32]), clock=lambda: NOW)
    assert not play.state._links, "the first worker has not written yet"
    play.upstream.answers().sends(answer("resp_2", message("two")))
    client = await play.ask(input="second", previous_response_id="resp_1")
    assert (client.status, sent(play)) == (200, ["first", "one", "second"])


async def test_the_same_worker_reads_what_is_not_written_yet(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(play.state, "keep_link", never)
    for number, previous in enumerate((None, "resp_0", "resp_1")):
        play.upstream.answers().sends(answer(f"resp_{number}", message(f"a{number}")))
        await play.ask(input=f"q{number}", **({"previous_response_id": previous} if previous else {}))
    assert sent(play) == ["q0", "a0", "q1", "a1", "q2"]
    assert play.journal._writing is not None
    play.journal._writing.cancel()


async def test_a_conversation_stays_on_its_account_and_keeps_its_reasoning(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", THOUGHT, message("one")))
    await ask(play, "first", instructions="Be brief.")
    play.upstream.answers().sends(answer("resp_2", message("two")))
    await ask(play, "second", "resp_1", instructions="Now be long.")
    assert sent(play) == ["first", "reasoning", "one", "second"]
    tokens = [dict(request.headers)["authorization"] for request in play.upstream.requests]
    keys = [body["prompt_cache_key"] for body in play.upstream.bodies]
    assert tokens[0] == tokens[1] and keys[0] == keys[1]


async def test_a_named_conversation_stays_on_its_account_when_instructions_are_not_repeated() -> None:
    play = Play("responses", accounts=tuple(account(name, max_concurrency=1) for name in "abcdef"))
    previous = None
    for number in range(6):
        play.upstream.answers().sends(answer(f"resp_{number}", THOUGHT, message(f"a{number}")))
        instructions = {} if number else {"instructions": "You are terse."}
        await ask(play, f"q{number}", previous, prompt_cache_key="k", **instructions)
        previous = f"resp_{number}"
    assert len({dict(request.headers)["authorization"] for request in play.upstream.requests}) == 1
    assert sent(play).count("reasoning") == 5


async def test_another_account_goes_on_without_the_reasoning_of_the_first(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", THOUGHT, message("one")))
    await ask(play, "first")
    play.upstream.answers(429, LIMIT)
    play.upstream.answers().sends(answer("resp_2", {**THOUGHT, "id": "rs_2"}, message("two")))
    await ask(play, "second", "resp_1")
    tokens = {dict(request.headers)["authorization"] for request in play.upstream.requests}
    assert len(tokens) == 2 and sent(play) == ["first", "one", "second"]

    play.upstream.answers().sends(answer("resp_3", message("three")))
    await ask(play, "third", "resp_2")
    assert sent(play) == ["first", "one", "second", "reasoning", "two", "third"], "its own reasoning stays"
    assert play.upstream.bodies[-1]["input"][3]["id"] == "rs_2"


async def test_the_journal_works_when_the_first_account_is_gone() -> None:
    play = Play("responses", accounts=(account("a"),))
    play.upstream.answers().sends(answer("resp_1", THOUGHT, message("one")))
    await ask(play, "first")
    play.change(accounts=(account("b"),))
    play.known_accounts.add("b")
    play.upstream.answers().sends(answer("resp_2", message("two")))
    assert (await ask(play, "second", "resp_1")).status == 200
    assert sent(play) == ["first", "one", "second"]


async def test_reasoning_that_was_refused_is_not_brought_back_by_the_next_turn(play: Play) -> None:
    refused = {"error": {"code": "invalid_encrypted_content", "message": "could not be verified"}}
    play.upstream.answers().sends(answer("resp_1", THOUGHT, message("one")))
    await ask(play, "first")
    play.upstream.answers(400, refused)
    play.upstream.answers().sends(answer("resp_2", message("two")))
    await ask(play, "second", "resp_1")
    play.upstream.answers().sends(answer("resp_3", message("three")))
    await ask(play, "third", "resp_2")
    assert sent(play) == ["first", "one", "second", "two", "third"]


# ---- what is not found ----------------------------------------------------------------------------------------------


def assert_not_found(client: Client) -> None:
    assert client.status == 400
    error = client.json["error"]
    assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")


async def test_an_unknown_id_is_not_found_and_asks_nobody(play: Play) -> None:
    assert_not_found(await ask(play, "hi", "resp_unknown"))
    assert not play.upstream.requests


async def test_another_key_does_not_find_it(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first")
    assert_not_found(await ask(play, "second", "resp_1", key=OTHER_KEY))


async def test_what_was_not_to_be_stored_is_not_found(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first", store=False)
    assert_not_found(await ask(play, "second", "resp_1"))


async def test_an_entry_whose_time_is_over_is_not_found(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first")
    play.journal._clock = lambda: NOW + journal_module.TTL_S + 1
    assert_not_found(await ask(play, "second", "resp_1"))


async def test_a_failed_response_is_not_found(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel") + failed("server_error"))
    await ask(play, "first")
    assert_not_found(await ask(play, "second", "resp_up"))


async def test_a_conversation_beyond_the_bound_is_answered_but_not_kept(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_STORY_BYTES", 1000)
    play.upstream.answers().sends(answer("resp_1", message("x" * 1000)))
    assert (await ask(play, "first")).status == 200
    assert_not_found(await ask(play, "second", "resp_1"))


async def test_a_journal_that_cannot_keep_up_drops_and_says_so(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(journal_module, "MAX_PENDING_BYTES", 10)
    play.upstream.answers().sends(answer("resp_1", message("one")))
    assert (await ask(play, "first")).status == 200
    assert "the journal cannot keep up" in caplog.text
    assert_not_found(await ask(play, "second", "resp_1"))


async def test_an_id_the_upstream_gives_twice_means_the_latest_and_leaks_nothing(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, keep_link = asyncio.Event(), play.state.keep_link

    async def later(*given: Any, **named: Any) -> None:
        await gate.wait()
        await keep_link(*given, **named)

    monkeypatch.setattr(play.state, "keep_link", later)
    for said in ("one", "two", "three"):
        play.upstream.answers().sends(answer("resp_1", message(said)))
        await play.ask(input=said)
    gate.set()
    await play.journal.flush()
    assert (play.journal._pending, play.journal._pending_bytes) == ({}, 0)
    play.upstream.answers().sends(answer("resp_2", message("four")))
    await ask(play, "go on", "resp_1")
    assert sent(play) == ["three", "three", "go on"]


async def test_a_shared_state_that_fails_costs_the_entry_and_nothing_else(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise OSError("gone")

    monkeypatch.setattr(play.state, "keep_link", fails)
    play.upstream.answers().sends(answer("resp_1", message("one")))
    assert (await ask(play, "first")).status == 200
    assert "could not be kept" in caplog.text
    assert (play.journal._pending_bytes, play.journal._writing) == (0, None)


async def test_a_chat_client_is_refused_rather_than_answered_without_its_history() -> None:
    play = Play("chat")
    client = Client()
    body = orjson.dumps({"model": "gpt-5.5", "input": "hi", "previous_response_id": "resp_1"})
    await play.generate(client, stream=False, raw=body)
    assert_not_found(client)


# ---- at rest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 5_000, 200_000])
async def test_nothing_can_be_read_at_rest_and_all_of_it_comes_back(play: Play, length: int) -> None:
    play.upstream.answers().sends(answer("resp_1", message("top secret " * length)))
    await ask(play, "a secret question")
    kept = b"".join(link.value for link in play.state._links.values())
    assert kept and b"secret" not in kept
    play.upstream.answers().sends(answer("resp_2", message("two")))
    await ask(play, "go on", "resp_1")
    assert sent(play)[1] == "top secret " * length


async def test_an_entry_moved_to_another_key_does_not_open(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first")
    links = play.state._links
    links["journal:8:resp_1"] = links["journal:7:resp_1"]
    assert_not_found(await ask(play, "second", "resp_1", key=OTHER_KEY))


async def test_keys_of_the_ring_may_be_rotated(play: Play) -> None:
    play.upstream.answers().sends(answer("resp_1", message("one")))
    await ask(play, "first")
    play.gateway.journal = Journal(play.state, KeyRing(["1" * 32, "0" * 32]), clock=lambda: NOW)
    play.upstream.answers().sends(answer("resp_2", message("two")))
    assert (await ask(play, "second", "resp_1")).status == 200


# ---- the property ---------------------------------------------------------------------------------------------------

TEXTS = st.text(min_size=1, max_size=20)
CALLS = st.builds(
    lambda number, name: {
        "id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": "{}",
    },
    st.integers(0, 9**9), st.sampled_from(["shell", "read"]),
)  # fmt: skip
OUTPUTS = st.lists(
    st.one_of(TEXTS.map(message), st.just(THOUGHT), CALLS), min_size=1, max_size=3, unique_by=lambda item: item["type"]
)
TURNS = st.lists(st.tuples(TEXTS, OUTPUTS, st.booleans()), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(turns=TURNS)
def test_the_expanded_request_is_the_one_of_a_client_that_sent_the_whole_history(
    turns: list[tuple[str, list[dict[str, Any]], bool]],
) -> None:
    async def converse(*, by_id: bool) -> list[Any]:
        play = Play("responses", accounts=(account("a"),))
        history: list[Any] = []
        previous = None
        for number, (said, output, stream) in enumerate(turns):
            new = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": said}]}]
            for item in history[-3:]:
                if item["type"] == "function_call":
                    result = {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
                    new.insert(0, result)
            play.upstream.answers().sends(answer(f"resp_{number}", *output))
            client = await ask(play, new if by_id else history + new, previous if by_id else None, stream=stream)
            assert client.status == 200
            previous = f"resp_{number}"
            history += new + output
        return [replace(request, body=b"") for request in play.upstream.requests] + play.upstream.bodies

    assert asyncio.run(converse(by_id=True)) == asyncio.run(converse(by_id=False))
