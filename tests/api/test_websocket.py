"""Responses over WebSocket at ASGI level: handshake, turns and their memory, error frames, ends. No database."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import orjson
import pytest

from codexproxy.api import websocket
from codexproxy.api.turns import StickyState, read_frame, read_turn
from tests.api.sockets import AUTHORIZED, CODEX, EXPIRED, REVOKED, Stage, user
from tests.gateway.playbook import CREATED, HELLO, ITEM, LIMIT, NOW, completed, event, failed, text
from translation.errors import InvalidRequest

DEVELOPER = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are terse."}]}


@pytest.fixture
def stage() -> Stage:
    return Stage()


def texts(items: list[dict[str, Any]]) -> list[str]:
    """What the items of an input say."""
    return ["".join(part["text"] for part in item["content"]) for item in items if item["type"] == "message"]


def said(frames: list[dict[str, Any]]) -> str:
    return "".join(frame["delta"] for frame in frames if frame["type"] == "response.output_text.delta")


# ---- handshake ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/backend-api/codex/responses"])
async def test_a_known_key_is_let_in(stage: Stage, path: str) -> None:
    socket = await stage.connect(path=path)
    assert socket.messages[0]["type"] == "websocket.accept"
    socket.leaves()
    await socket.ends()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"authorization": "Bearer cpx-unknown"}, "invalid_api_key"),
        ({"authorization": f"Bearer {REVOKED}"}, "invalid_api_key"),
        ({"authorization": f"Bearer {EXPIRED}"}, "expired_api_key"),
    ],
)
async def test_a_bad_key_is_refused_before_the_upgrade(stage: Stage, headers: dict[str, str], code: str) -> None:
    socket = await stage.connect(headers)
    await socket.ends()
    start, body = socket.messages
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert orjson.loads(body["body"])["error"]["code"] == code


async def test_a_server_without_refusal_bodies_gets_a_bare_one(stage: Stage) -> None:
    socket = await stage.connect({}, extensions={})
    await socket.ends()
    assert socket.messages == [{"type": "websocket.close", "code": 1008}]


async def test_other_paths_have_no_socket(stage: Stage) -> None:
    socket = await stage.connect(path="/v1/realtime")
    assert socket.messages[0]["status"] == 404


async def test_a_key_may_have_so_many_sockets_and_no_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_SOCKETS_PER_KEY", 2)
    first, second = [await stage.connect() for _ in range(2)]
    refused = await stage.connect()
    assert refused.messages[0]["status"] == 429
    error = orjson.loads(refused.messages[1]["body"])["error"]
    assert error["code"] == "websocket_limit_exceeded" and "2 WebSockets" in error["message"]
    assert (b"retry-after", b"30") in refused.messages[0]["headers"]
    first.leaves()
    await first.ends()
    third = await stage.connect()
    assert third.messages[0]["type"] == "websocket.accept"
    for socket in (second, third):
        socket.leaves()
        await socket.ends()
    assert not stage.door._sockets_of


async def test_a_draining_gateway_lets_nobody_in(stage: Stage) -> None:
    stage.play.gateway.is_draining = True
    socket = await stage.connect()
    assert socket.messages[0]["status"] == 503
    assert (b"retry-after", b"2") in socket.messages[0]["headers"]


# ---- turns ----------------------------------------------------------------------------------------------------------


async def test_every_event_is_one_text_frame(stage: Stage) -> None:
    stage.play.upstream.answers().sends(HELLO)
    socket = await stage.connect(AUTHORIZED)
    frames = await socket.turn("hi")
    assert [frame["type"] for frame in frames] == [
        "response.created", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert said(frames) == "Hello"
    assert frames[-1]["response"]["output"][0]["content"][0]["text"] == "Hello"


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
async def test_frames_do_not_depend_on_how_the_stream_was_cut(stage: Stage, size: int) -> None:
    whole = CREATED + b": ping\n\n" + ITEM + text("Hél") + text('lo \\n "ü"') + completed("Hello")
    stage.play.upstream.answers().sends(whole)
    cut = stage.play.upstream.answers()
    for start in range(0, len(whole), size):
        cut.sends(whole[start : start + size])
    socket = await stage.connect(AUTHORIZED)
    assert await socket.turn("hi") == await socket.turn("hi")
    assert all("\n" not in message.get("text", "") for message in socket.messages)


async def test_codex_is_told_the_headers_of_the_answer(stage: Stage) -> None:
    headers = {"x-codex-turn-state": "state-1", "openai-model": "gpt-5.5", "x-models-etag": 'W/"1"', "set-cookie": "x"}
    stage.play.upstream.answers(headers=headers).sends(HELLO)
    socket = await stage.connect()
    metadata, created, *_ = await socket.turn("hi")
    assert metadata["type"] == "codex.response.metadata" and created["type"] == "response.created"
    assert metadata["headers"] == {
        "x-codex-turn-state": "state-1", "openai-model": "gpt-5.5", "x-models-etag": 'W/"1"',
        "x-request-id": metadata["headers"]["x-request-id"],
    }  # fmt: skip


LIMITS = {
    "x-codex-plan-type": "plus",
    "x-codex-primary-used-percent": "42", "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": str(int(NOW) + 9000),
    "x-codex-secondary-used-percent": "100", "x-codex-secondary-window-minutes": "10080",
    "x-codex-bengalfox-primary-used-percent": "7", "x-codex-bengalfox-primary-window-minutes": "300",
    "x-codex-credits-has-credits": "false", "x-codex-credits-balance": "0",
}  # fmt: skip


async def test_codex_is_told_the_limits_before_the_answer_begins(stage: Stage) -> None:
    stage.play.upstream.answers(headers=LIMITS).sends(HELLO)
    socket = await stage.connect()
    metadata, limits, created, *_ = await socket.turn("hi")
    assert (metadata["type"], created["type"]) == ("codex.response.metadata", "response.created")
    assert (limits["type"], limits["plan_type"]) == ("codex.rate_limits", "plus")
    assert limits["rate_limits"] == {
        "allowed": False, "limit_reached": True,
        "primary": {
            "used_percent": 42.0, "window_minutes": 300, "reset_after_seconds": 9000, "reset_at": int(NOW) + 9000,
        },
        "secondary": {
            "used_percent": 100.0, "window_minutes": 10080, "reset_after_seconds": None, "reset_at": None,
        },
    }  # fmt: skip
    assert limits["additional_rate_limits"]["codex_bengalfox"]["primary"]["used_percent"] == 7.0
    assert limits["credits"] == {"has_credits": False, "balance": "0"}


@pytest.mark.parametrize(("headers", "known"), [(AUTHORIZED, LIMITS), (CODEX, {"x-codex-plan-type": "plus"})])
async def test_limits_are_not_told_to_others_nor_when_unknown(
    stage: Stage, headers: dict[str, str], known: dict[str, str]
) -> None:
    stage.play.upstream.answers(headers=known).sends(HELLO)
    socket = await stage.connect(headers)
    assert "codex.rate_limits" not in {frame["type"] for frame in await socket.turn("hi")}


async def test_a_turn_is_a_usage_record(stage: Stage) -> None:
    stage.play.upstream.answers().sends(HELLO)
    socket = await stage.connect()
    await socket.turn("hi")
    socket.leaves()
    await socket.ends()
    record = stage.play.record()
    assert (record.outcome, record.protocol, record.is_stream, record.input_tokens) == (
        "ok", "openai-responses", True, 18,
    )  # fmt: skip
    await stage.play.check_nothing_is_left(requests=0)


async def test_a_warm_up_is_answered_here_and_remembered(stage: Stage) -> None:
    socket = await stage.connect()
    frames = await socket.turn([DEVELOPER], generate=False)
    assert [frame["type"] for frame in frames][0::2] == ["response.created", "response.completed"]
    warm = frames[-1]["response"]
    assert warm["id"].startswith("resp_") and warm["output"] == []
    assert not stage.play.upstream.requests and len(stage.play.usage) == 0

    stage.play.upstream.answers().sends(HELLO)
    await socket.turn("hi", previous_response_id=warm["id"])
    [body] = stage.play.upstream.bodies
    assert texts(body["input"]) == ["You are terse.", "hi"]
    assert "previous_response_id" not in body and "generate" not in body and "type" not in body


async def test_an_empty_warm_up_and_an_empty_tail_are_legal(stage: Stage) -> None:
    socket = await stage.connect()
    warm = (await socket.turn([], generate=False))[-1]["response"]
    stage.play.upstream.answers().sends(HELLO)
    assert said(await socket.turn([], previous_response_id=warm["id"])) == "Hello"


async def test_incremental_turns_send_the_whole_conversation_and_keep_its_prefix(stage: Stage) -> None:
    socket = await stage.connect()
    response_id = (await socket.turn([DEVELOPER], generate=False))[-1]["response"]["id"]
    for number in range(3):
        stage.play.upstream.answers().sends(HELLO)
        frames = await socket.turn(f"turn {number}", previous_response_id=response_id)
        response_id = frames[-1]["response"]["id"]
    inputs = [body["input"] for body in stage.play.upstream.bodies]
    assert texts(inputs[-1]) == ["You are terse.", "turn 0", "Hello", "turn 1", "Hello", "turn 2"]
    for earlier, later in itertools.pairwise(inputs):
        assert later[: len(earlier)] == earlier


async def test_tool_outputs_find_their_calls(stage: Stage) -> None:
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{}"}
    stage.play.upstream.answers().sends(
        CREATED
        + event("response.output_item.done", output_index=0, item=call)
        + event("response.completed", response={"id": "resp_up", "status": "completed", "output": []})
    )
    socket = await stage.connect()
    first = (await socket.turn("run it"))[-1]["response"]["id"]
    stage.play.upstream.answers().sends(HELLO)
    await socket.turn(
        [{"type": "function_call_output", "call_id": "call_1", "output": "done"}], previous_response_id=first
    )
    kinds = [item["type"] for item in stage.play.upstream.bodies[-1]["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]


async def test_row_199_custom_tool_calls_are_remembered_like_others(stage: Stage) -> None:
    call = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_1", "name": "apply_patch", "input": "*** Begin"}
    stage.play.upstream.answers().sends(
        CREATED
        + event("response.output_item.done", output_index=0, item=call)
        + event("response.completed", response={"id": "resp_up", "status": "completed", "output": []})
    )
    socket = await stage.connect()
    first = (await socket.turn("patch it"))[-1]["response"]["id"]
    stage.play.upstream.answers().sends(HELLO)
    output = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"}
    await socket.turn([output], previous_response_id=first)
    sent = stage.play.upstream.bodies[-1]["input"]
    assert [item.get("call_id") for item in sent] == [None, "call_1", "call_1"]
    assert sent[1]["input"] == "*** Begin"


async def test_a_compaction_is_not_asked_for_again_by_the_turn_that_continues_it(stage: Stage) -> None:
    item = {"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAAA"}
    stage.play.upstream.answers().sends(
        CREATED
        + event("response.output_item.done", output_index=0, item=item)
        + event("response.completed", response={"id": "resp_up", "status": "completed", "output": []})
    )
    socket = await stage.connect()
    compacted = await socket.turn([user("hi"), {"type": "compaction_trigger"}])
    assert [frame["item"]["type"] for frame in compacted if frame["type"] == "response.output_item.done"] == [
        "compaction"
    ]
    stage.play.upstream.answers().sends(HELLO)
    await socket.turn("go on", previous_response_id=compacted[-1]["response"]["id"])
    kinds = [[each["type"] for each in body["input"]] for body in stage.play.upstream.bodies]
    assert kinds == [["message", "compaction_trigger"], ["message", "compaction", "message"]]


async def test_an_unknown_response_is_not_found_and_everything_can_be_sent_again(stage: Stage) -> None:
    socket = await stage.connect()
    warm = (await socket.turn([DEVELOPER], generate=False))[-1]["response"]["id"]
    for previous in ("resp_unknown", warm + "x", "x" * 5000):
        [frame] = await socket.turn("hi", previous_response_id=previous)
        assert (frame["type"], frame["status"]) == ("error", 400)
        assert frame["error"]["code"] == "previous_response_not_found"
    [frame] = await socket.turn([], generate=False, previous_response_id="resp_unknown")
    assert frame["error"]["code"] == "previous_response_not_found"

    stage.play.upstream.answers().sends(HELLO)
    assert said(await socket.turn([DEVELOPER, user("hi")])) == "Hello", "the client sends everything again"


async def test_a_response_outlives_its_socket_and_may_be_continued_twice(stage: Stage) -> None:
    socket = await stage.connect()
    warm = (await socket.turn([DEVELOPER], generate=False))[-1]["response"]["id"]
    socket.leaves()
    await socket.ends()
    for number in range(2):
        stage.play.upstream.answers().sends(HELLO)
        other = await stage.connect()
        assert said(await other.turn(f"turn {number}", previous_response_id=warm)) == "Hello"
    inputs = [texts(body["input"]) for body in stage.play.upstream.bodies]
    assert inputs == [["You are terse.", "turn 0"], ["You are terse.", "turn 1"]]


async def test_a_failed_turn_can_be_asked_again(stage: Stage) -> None:
    socket = await stage.connect()
    warm = (await socket.turn([DEVELOPER], generate=False))[-1]["response"]["id"]
    stage.play.upstream.answers().sends(CREATED + failed("invalid_prompt"))
    [frame] = await socket.turn("hi", previous_response_id=warm)
    assert (frame["status"], frame["error"]["code"]) == (400, "invalid_prompt")
    stage.play.upstream.answers().sends(HELLO)
    assert said(await socket.turn("hi", previous_response_id=warm)) == "Hello"


async def test_a_string_is_an_input_as_over_http(stage: Stage) -> None:
    stage.play.upstream.answers().sends(HELLO)
    socket = await stage.connect(AUTHORIZED)
    socket.says(model="gpt-5.5", input="hi")
    await socket.answer()
    assert texts(stage.play.upstream.bodies[0]["input"]) == ["hi"]


async def test_the_turn_state_goes_back_within_its_turn_only(stage: Stage) -> None:
    socket = await stage.connect()
    for turn_id in ("turn-1", "turn-1", "turn-2"):
        stage.play.upstream.answers(headers={"x-codex-turn-state": f"of-{turn_id}"}).sends(HELLO)
        await socket.turn("hi", client_metadata={"turn_id": turn_id, "x-codex-ws-stream-request-start-ms": "1"})
    sent = [dict(request.headers).get("x-codex-turn-state") for request in stage.play.upstream.requests]
    assert sent == [None, "of-turn-1", None]
    assert stage.play.upstream.bodies[0]["client_metadata"] == {"turn_id": "turn-1"}


async def test_what_is_a_header_over_http_becomes_one_again(stage: Stage) -> None:
    stage.play.upstream.answers().sends(HELLO)
    socket = await stage.connect()
    await socket.turn(
        "hi",
        client_metadata={
            "ws_request_header_x_openai_internal_codex_responses_lite": "true", "x-openai-subagent": "review",
            "x-codex-window-id": "thread-1:4",
        },
    )  # fmt: skip
    headers = dict(stage.play.upstream.requests[0].headers)
    assert headers["x-openai-internal-codex-responses-lite"] == "true"
    assert headers["x-openai-subagent"] == "review"
    assert headers["x-codex-window-id"].endswith(":4")


# ---- errors ---------------------------------------------------------------------------------------------------------


async def test_a_second_request_while_one_runs_is_an_error_and_the_first_goes_on(stage: Stage) -> None:
    stage.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).pauses(0.1).sends(text("lo") + completed("Hello"))
    socket = await stage.connect()
    socket.asks("first")
    await socket.until(lambda: said(socket.frames) == "Hel")
    socket.asks("second")
    [error] = [frame for frame in await socket.answer() if frame["type"] == "error"]
    assert (error["status"], error["error"]["code"]) == (400, "response_in_progress")
    assert said(socket.frames) + said((await socket.answer())[:1]) == "Hello" or said(socket.frames) == "Hello"
    assert len(stage.play.upstream.requests) == 1


async def test_the_next_request_may_follow_the_terminal_frame_at_once(stage: Stage) -> None:
    stage.play.upstream.answers().sends(HELLO).pauses(0.3)  # the upstream is slow to end its body
    stage.play.upstream.answers().sends(HELLO)
    socket = await stage.connect()
    first = (await socket.turn("one"))[-1]["response"]["id"]
    assert said(await socket.turn("two", previous_response_id=first)) == "Hello"
    socket.leaves()
    await socket.ends()
    assert [record.outcome for record in stage.play.usage.take(9)] == ["ok", "ok"]


async def test_an_upstream_refusal_is_an_error_frame_with_its_headers(stage: Stage) -> None:
    for _ in range(3):
        stage.play.upstream.answers(429, LIMIT)
    socket = await stage.connect()
    [frame] = await socket.turn("hi")
    assert (frame["type"], frame["status"]) == ("error", 429)
    assert frame["error"]["type"] == "usage_limit_reached"
    assert int(frame["headers"]["retry-after"]) > 0
    assert "content-type" not in frame["headers"]
    assert socket.close_code is None


async def test_a_failure_after_output_is_a_failed_response(stage: Stage) -> None:
    stage.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).breaks()
    socket = await stage.connect()
    frames = await socket.turn("hi")
    assert frames[-1]["type"] == "response.failed"
    assert frames[-1]["response"]["error"]["code"] == "server_error"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ("{}", "invalid_request"),
        ('{"type":"session.update"}', "unknown_message_type"),
        ('{"type":"response.create","input":"hi"}', "missing_required_parameter"),
        ('{"type":"response.create","model":"gpt-5.5"}', "missing_required_parameter"),
        ('{"type":"response.create","model":"gpt-5.5","input":7}', "invalid_type"),
        ('{"type":"response.create","model":"gpt-5.5","input":7,"generate":false}', "invalid_type"),
        ('{"type":"response.create","model":"nothing-like-it","input":"hi"}', "model_not_found"),
    ],
)
async def test_what_cannot_be_served_is_an_error_frame_and_the_socket_lives(stage: Stage, sent: str, code: str) -> None:
    socket = await stage.connect()
    socket.incoming.put_nowait({"type": "websocket.receive", "text": sent})
    [frame] = await socket.answer()
    assert (frame["type"], frame["error"]["code"]) == ("error", code)
    stage.play.upstream.answers().sends(HELLO)
    assert said(await socket.turn("hi")) == "Hello"


async def test_acknowledgements_are_ignored(stage: Stage) -> None:
    socket = await stage.connect()
    socket.says(type="response.processed", response_id="resp_1")
    stage.play.upstream.answers().sends(HELLO)
    assert said(await socket.turn("hi")) == "Hello"


async def test_binary_frames_close_the_socket(stage: Stage) -> None:
    socket = await stage.connect()
    socket.incoming.put_nowait({"type": "websocket.receive", "bytes": b"\0"})
    await socket.ends()
    assert socket.close_code == 1003


async def test_a_key_that_was_revoked_meanwhile_ends_the_socket(stage: Stage) -> None:
    socket = await stage.connect()
    stage.play.change(keys={})
    [frame] = await socket.turn("hi")
    assert frame["status"] == 401
    await socket.ends()
    assert socket.close_code == 1008


# ---- ends -----------------------------------------------------------------------------------------------------------


async def test_leaving_in_mid_stream_frees_everything(stage: Stage) -> None:
    stage.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).hangs()
    socket = await stage.connect()
    socket.asks("hi")
    await socket.until(lambda: said(socket.frames) == "Hel")
    socket.leaves()
    await socket.ends()
    assert stage.play.record().outcome == "client_gone"
    await stage.play.check_nothing_is_left(requests=0)


async def test_leaving_at_any_moment_leaves_nothing_behind() -> None:
    for moment in range(60):
        stage = Stage()
        stage.play.upstream.answers().sends(CREATED + ITEM).sends(text("Hel")).sends(text("lo") + completed("Hello"))
        socket = await stage.connect()
        socket.asks("hi")
        for _ in range(moment):
            await asyncio.sleep(0)
        socket.leaves()
        await socket.ends()
        assert len(stage.play.usage) <= 1, f"two records after {moment} steps"
        await stage.play.check_nothing_is_left(requests=None)


async def test_a_broken_connection_in_mid_stream_is_no_fault_of_the_gateway(stage: Stage) -> None:
    stage.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).sends(text("lo")).hangs()
    socket = await stage.connect()
    socket.is_broken = True
    socket.asks("hi")
    await socket.until(lambda: bool(stage.play.upstream.streams))
    socket.leaves()
    await socket.ends()
    assert stage.play.record().outcome == "client_gone"
    await stage.play.check_nothing_is_left(requests=0)


async def test_a_drain_closes_idle_sockets_and_lets_a_running_turn_finish(stage: Stage) -> None:
    stage.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).pauses(0.1).sends(text("lo") + completed("Hello"))
    idle, busy = await stage.connect(), await stage.connect()
    busy.asks("hi")
    await busy.until(lambda: said(busy.frames) == "Hel")
    stage.play.gateway.is_draining = True
    stage.door.start_drain()
    await idle.ends()
    await busy.ends()
    assert (idle.close_code, busy.close_code) == (1012, 1012)
    assert said(busy.frames) == "Hello"
    assert busy.frames[-1]["type"] == "response.completed"


async def test_an_idle_socket_is_closed_and_a_working_one_is_not(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "IDLE_S", 0.05)
    stage.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).pauses(0.2).sends(text("lo") + completed("Hello"))
    busy, idle = await stage.connect(), await stage.connect()
    assert said(await busy.turn("hi")) == "Hello"
    await idle.ends()
    assert idle.close_code == 1001


async def test_an_old_socket_sends_its_client_to_a_new_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LIFETIME_S", 0.0)
    socket = await stage.connect()
    await asyncio.sleep(0.01)
    [frame] = await socket.turn("hi")
    assert frame["error"]["code"] == "websocket_connection_limit_reached"
    await socket.ends()
    assert socket.close_code == 1000


# ---- frames ---------------------------------------------------------------------------------------------------------


def test_a_nested_response_is_read_as_a_flat_one() -> None:
    message = read_frame('{"type":"response.create","response":{"model":"m","input":"hi"}}')
    turn = read_turn(message)
    assert orjson.loads(turn.body())["model"] == "m"


@pytest.mark.parametrize("sent", ["\ud800", "nul", '{"type":7}'])
def test_a_frame_that_is_no_message_is_refused(sent: str) -> None:
    with pytest.raises(InvalidRequest):
        read_frame(sent)


def test_a_turn_state_from_the_handshake_belongs_to_the_first_turn() -> None:
    sticky = StickyState("s")
    assert sticky.header("a") == {"x-codex-turn-state": "s"}
    assert sticky.header("a") == {"x-codex-turn-state": "s"}
    assert sticky.header("b") == {}
    assert StickyState("s").header("") == {}


def test_the_stage_runs_at_a_known_time() -> None:
    assert Stage().play.gateway.clock() == NOW and CODEX["originator"]
