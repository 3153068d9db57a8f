"""When a socket may be sent only what is new, what the frames stand for; no socket."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.transport.socket_turns import (
    Memory,
    Turn,
    as_sse,
    headers_of,
    name_of,
    read_turn,
    refusal_of,
)

THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def said(text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part], **more}


def call(number: int, arguments: str = '{"a": 1}') -> dict[str, Any]:
    return {"id": "fc", "type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": arguments}


def output(number: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{number}", "output": "ok"}


def turn(*items: Any, **fields: Any) -> Turn:
    return read_turn(orjson.dumps({"model": "m", "input": items, **fields}))


def after(given: Turn, *answer: Any) -> Memory:
    memory = Memory()
    memory.learn(given, None, "resp_1", list(answer))
    return memory


# ---- what may be continued ------------------------------------------------------------------------------------------


def test_what_is_new_is_found_after_what_was_seen_and_said() -> None:
    memory = after(turn(user("a")), said("b"))
    assert memory.tail_of(turn(user("a"), said("b"), user("c"))) == 2


@pytest.mark.parametrize(
    "replayed",
    [
        pytest.param({"role": "assistant", "content": "b"}, id="a string, no type, no id"),
        pytest.param(said("b", id=None, status=None, phase="final_answer"), id="another phase"),
        pytest.param(
            {"type": "message", "role": "assistant", "content": [{"text": "b", "type": "output_text"}]}, id="no extras"
        ),
    ],
)
def test_the_same_words_in_other_clothes_are_the_same(replayed: dict[str, Any]) -> None:
    memory = after(turn(user("a")), said("b"))
    assert memory.tail_of(turn(user("a"), replayed, user("c"))) == 2


@pytest.mark.parametrize("kept", [True, False])
def test_what_no_client_replays_may_be_missing(kept: bool) -> None:
    memory = after(turn(user("a")), THOUGHT, SEARCH, said("b"))
    between = [THOUGHT, SEARCH] if kept else []
    assert memory.tail_of(turn(user("a"), *between, said("b"), user("c"))) == len(between) + 2


def test_arguments_may_have_been_parsed_and_written_again() -> None:
    memory = after(turn(user("a")), call(1, '{"a":1,"b":[2]}'))
    assert memory.tail_of(turn(user("a"), call(1, '{ "a": 1, "b": [2] }'), output(1))) == 2
    assert memory.tail_of(turn(user("a"), call(1, '{"a":2,"b":[2]}'), output(1))) is None


def test_turns_add_up() -> None:
    memory = after(turn(user("a")), said("b"))
    second = turn(user("a"), said("b"), user("c"))
    memory.learn(second, memory.tail_of(second), "resp_2", [THOUGHT, said("d")])
    assert memory.tail_of(turn(user("a"), said("b"), user("c"), said("d"), user("e"))) == 4
    assert memory.latest_id == "resp_2"


def test_what_another_way_has_answered_meanwhile_is_new_to_the_socket() -> None:
    memory = after(turn(user("a")), said("b"))
    assert memory.tail_of(turn(user("a"), said("b"), user("c"), said("d"), user("e"))) == 2


# ---- what may not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([user("a"), said("b")], id="nothing new"),
        pytest.param([user("a")], id="rewound"),
        pytest.param([user("x"), said("b"), user("c")], id="edited question"),
        pytest.param([user("a"), said("x"), user("c")], id="edited answer"),
        pytest.param([user("a"), user("c")], id="answer left out"),
        pytest.param([user("a"), {**THOUGHT, "encrypted_content": "other"}, said("b"), user("c")], id="other thought"),
        pytest.param([], id="empty"),
    ],
)
def test_a_history_that_does_not_match_is_sent_whole(items: list[Any]) -> None:
    assert after(turn(user("a")), THOUGHT, said("b")).tail_of(turn(*items)) is None


@pytest.mark.parametrize(
    "fields", [{"model": "n"}, {"tools": []}, {"instructions": "x"}, {"service_tier": "flex"}, {"text": {}}]
)
def test_any_other_field_that_differs_sends_everything(fields: dict[str, Any]) -> None:
    memory = after(turn(user("a")), said("b"))
    given = {"model": "m", **fields, "input": [user("a"), said("b"), user("c")]}
    assert memory.tail_of(read_turn(orjson.dumps(given))) is None


def test_client_metadata_may_differ() -> None:
    memory = after(turn(user("a"), client_metadata={"turn_id": "1"}), said("b"))
    assert memory.tail_of(turn(user("a"), said("b"), user("c"), client_metadata={"turn_id": "2"})) == 2


def test_every_call_has_to_be_answered_and_every_output_has_to_have_its_call() -> None:
    memory = after(turn(user("a")), call(1), call(2))
    seen = [user("a"), call(1), call(2)]
    assert memory.tail_of(turn(*seen, output(1), output(2))) == 3
    assert memory.tail_of(turn(*seen, output(1))) is None
    assert memory.tail_of(turn(*seen, user("never mind"))) is None
    assert memory.tail_of(turn(*seen, output(1), output(2), output(3))) is None
    assert memory.tail_of(turn(*seen, output(1), output(2), call(3), output(3))) == 3


def test_schemas_are_compared_to_the_last_word() -> None:
    def lite(name: str) -> dict[str, Any]:
        schema = {"type": "object", "properties": {name: {"type": "string"}}}
        return {"type": "additional_tools", "tools": [{"type": "function", "name": "f", "parameters": schema}]}

    memory = after(turn(lite("id"), user("a")), said("b"))
    assert memory.tail_of(turn(lite("id"), user("a"), said("b"), user("c"))) == 3
    assert memory.tail_of(turn(lite("status"), user("a"), said("b"), user("c"))) is None


def test_a_forgotten_memory_continues_nothing() -> None:
    memory = after(turn(user("a")), said("b"))
    memory.forget()
    assert memory.tail_of(turn(user("a"), said("b"), user("c"))) is None


ITEMS = st.lists(
    st.one_of(
        st.sampled_from("abc").map(user), st.sampled_from("abc").map(said), st.just(THOUGHT), st.just(SEARCH),
    ),
    max_size=6,
)  # fmt: skip


@given(asked=ITEMS, answer=ITEMS, then=ITEMS, is_replay=st.booleans(), keeps=st.booleans())
def test_what_is_left_out_is_what_the_socket_has(
    asked: list[Any], answer: list[Any], then: list[Any], is_replay: bool, keeps: bool
) -> None:
    more = then
    if is_replay:
        then = [*asked, *(item for item in answer if keeps or item["type"] == "message"), *more]
    start = after(turn(*asked), *answer).tail_of(turn(*then))
    if is_replay and more and more[-1]["type"] == "message":
        assert start is not None, "a faithful replay with something new is continued"
    if start is None:
        return

    def spoken(items: list[Any]) -> list[tuple[str, str]]:
        return [(item["role"], item["content"][0]["text"]) for item in items if item["type"] == "message"]

    assert spoken(then[:start]) == spoken([*asked, *answer])
    assert then[start:]


# ---- messages -------------------------------------------------------------------------------------------------------


def test_a_continuing_message_names_the_response_and_carries_the_tail() -> None:
    memory = after(turn(user("a")), said("b"))
    given = turn(user("a"), said("b"), user("c"), client_metadata={"k": "v"})
    message = orjson.loads(given.message({"x-codex-turn-state": "s"}, memory, 2))
    assert message == {
        "type": "response.create", "model": "m", "input": [user("c")], "previous_response_id": "resp_1",
        "client_metadata": {"k": "v", "x-codex-turn-state": "s"},
    }  # fmt: skip
    whole = orjson.loads(given.message({}, memory, None))
    assert len(whole["input"]) == 3 and "previous_response_id" not in whole


def test_agents_differ_by_instructions_and_tools() -> None:
    variants = {
        turn(user("a"), **fields).variant
        for fields in ({}, {"instructions": "x"}, {"tools": [{"name": "f"}]}, {"tools": [{"name": "g"}]})
    }
    assert len(variants) == 4
    assert turn(user("a")).variant == turn(user("b"), model="n").variant


# ---- frames ---------------------------------------------------------------------------------------------------------


def test_an_event_becomes_the_bytes_it_would_have_been_over_http() -> None:
    frame = b'{"type":"response.output_text.delta","delta":"x"}'
    assert as_sse(name_of(frame), frame) == b"event: response.output_text.delta\ndata: " + frame + b"\n\n"
    assert name_of(b'{\n "delta": "x",\n "type": "response.output_text.delta"\n}') == b"response.output_text.delta"
    assert b"\n\n" not in as_sse(b"e", b'{\n\n"a": 1}')[:-2]
    assert name_of(b"[1]") == name_of(b"nonsense") == name_of(b'{"type":7}') == b""


def test_rate_limits_become_the_headers_of_an_http_answer() -> None:
    frame = {
        "type": "codex.rate_limits", "plan_type": "plus",
        "rate_limits": {
            "primary": {
                "used_percent": 42.0, "window_minutes": 300, "reset_after_seconds": 9000, "reset_at": 1787009000,
            },
            "secondary": None,
        },
        "credits": {"has_credits": False, "unlimited": False, "balance": "0"},
    }  # fmt: skip
    assert headers_of(b"codex.rate_limits", orjson.dumps(frame)) == {
        "x-codex-plan-type": "plus", "x-codex-primary-used-percent": "42.0", "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": "1787009000", "x-codex-primary-reset-after-seconds": "9000",
        "x-codex-credits-has-credits": "false", "x-codex-credits-unlimited": "false", "x-codex-credits-balance": "0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "name", "family"),
    [
        ("metered_limit_name", "codex_bengalfox", "x-codex-bengalfox"),
        ("limit_name", "code_review", "x-codex-code-review"),
        ("limit_id", "codex", "x-codex"),
    ],
)
def test_another_bucket_keeps_its_name(field: str, name: str, family: str) -> None:
    frame = {field: name, "rate_limits": {"primary": {"used_percent": 1}}}
    assert headers_of(b"codex.rate_limits", orjson.dumps(frame)) == {f"{family}-primary-used-percent": "1"}


@pytest.mark.parametrize("frame", [b"nonsense", b"{}", b'{"rate_limits":7}', b'{"rate_limits":{"primary":[]}}'])
def test_limits_that_cannot_be_read_are_no_limits(frame: bytes) -> None:
    assert headers_of(b"codex.rate_limits", frame) == {}


def test_metadata_headers_may_be_lists_and_cookies_are_not_passed_on() -> None:
    frame = {"headers": {"OpenAI-Model": ["a", "b"], "set-cookie": ["x=1"], "bad": "a\r\nb", "n": 1, "no": None}}
    assert headers_of(b"codex.response.metadata", orjson.dumps(frame)) == {"openai-model": "b", "n": "1"}


@pytest.mark.parametrize(
    "frame",
    [
        {"status": 429, "error": {"type": "usage_limit_reached"}},
        {"status_code": 429, "error": {"type": "usage_limit_reached"}},
        {"status": 429, "body": {"error": {"type": "usage_limit_reached"}}},
    ],
)
def test_an_error_frame_is_the_answer_it_stands_for(frame: dict[str, Any]) -> None:
    headers = {"x-codex-primary-used-percent": "100.0", "x-codex-primary-window-minutes": 300}
    refusal = refusal_of(orjson.dumps({"type": "error", **frame, "headers": headers}))
    assert refusal is not None
    status, told, body = refusal
    assert (status, orjson.loads(body)) == (429, {"error": {"type": "usage_limit_reached"}})
    assert told == {
        "x-codex-primary-used-percent": "100.0", "x-codex-primary-window-minutes": "300",
        "content-type": "application/json",
    }  # fmt: skip


def test_flat_errors_are_read_and_those_without_a_status_are_events() -> None:
    refusal = refusal_of(b'{"type":"error","status":400,"code":"c","message":"m"}')
    assert refusal is not None and orjson.loads(refusal[2]) == {"error": {"code": "c", "message": "m"}}
    assert refusal_of(b'{"type":"error","code":"server_is_overloaded"}') is None
    assert refusal_of(b'{"type":"error","status":200}') is None
    assert refusal_of(b"nonsense") is None
