"""The relay lane's reader. Rows: translation §15.6 and §13; client facts: clients §6, §10."""

from __future__ import annotations

import json

import pytest

from translation import errors as err
from translation.protocols.openai_responses import CODEC

CODEX_CLIENT = {"originator": "codex_exec"}


def test_deltas_pass_byte_for_byte(responses, script):
    delta = (
        b"event: response.output_text.delta\n"
        b'data: {"odd" :  "spacing", "type":"response.output_text.delta", "delta":"\\u00e9", "output_index":0}\n\n'
    )
    script.created().message()
    script.frames.append(delta)
    relayed = responses.tap([script.message_done("é").end().data], model="gpt-5.5")
    assert delta in relayed.output


def test_row_180_incomplete_is_relayed_as_the_end_and_nothing_follows(responses, script):
    script.created().message().text("a").end("incomplete", incomplete_details={"reason": "max_output_tokens"})
    script.text("late").end()
    relayed = responses.tap([script.data])
    assert relayed.names[-1] == "response.incomplete"
    assert relayed.names.count("response.output_text.delta") == 1
    assert (relayed.tap.done, relayed.tap.error, relayed.tap.finish_reason) == (True, None, "length")


def test_row_181_incomplete_collected_is_an_answer(responses, script):
    script.created().message().text("a").message_done("a")
    script.end("incomplete", incomplete_details={"reason": "content_filter"})
    tap = responses.tap([script.data]).tap
    assert json.loads(tap.collected())["status"] == "incomplete"
    assert tap.finish_reason == "content_filter"


def test_row_182_a_failed_response_collected_raises_by_code(responses, script):
    message = "Rate limit reached. Please try again in 28ms."
    script.created().event("response.failed", response={"error": {"code": "rate_limit_exceeded", "message": message}})
    with pytest.raises(err.RateLimited) as caught:
        responses.tap([script.data]).tap.collected()
    assert (caught.value.status, caught.value.scope, caught.value.retry_after_s) == (429, "transient", 0.028)


def test_row_183_completed_output_empty_is_rebuilt_in_index_order(responses, script):
    script.created().call_done("{}", index=1).message_done("text", index=0).end()
    relayed = responses.tap([script.data])
    output = relayed.payload("response.completed")["response"]["output"]
    assert [item["type"] for item in output] == ["message", "function_call"]
    assert json.loads(relayed.tap.collected())["output"] == output
    assert relayed.tap.finish_reason == "tool_calls"


def test_row_184_text_that_only_deltas_brought_becomes_a_message(responses, script):
    relayed = responses.tap([script.created().text("Hel", "lo").end().data])
    (message,) = relayed.payload("response.completed")["response"]["output"]
    assert message["content"] == [{"type": "output_text", "annotations": [], "text": "Hello"}]


def test_a_message_done_without_content_is_filled_from_its_deltas(responses, script):
    script.created().message().text("Hel", "lo")
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": []}
    script.event("response.output_item.done", output_index=0, item=item).end()
    (message,) = responses.tap([script.data]).payload("response.completed")["response"]["output"]
    assert message["content"][0]["text"] == "Hello"


def test_the_memory_of_a_very_long_answer_stays_bounded(responses, script, monkeypatch):
    monkeypatch.setattr("translation.protocols.openai_responses.tap.MAX_HELD_DELTAS", 10)
    script.created().message().text(*(f"{number} " for number in range(100)))
    relayed = responses.tap(script.end().frames)
    (message,) = relayed.payload("response.completed")["response"]["output"]
    assert message["content"][0]["text"] == "".join(f"{number} " for number in range(100))


def test_the_flow_may_end_a_stream_that_failed_too_early(responses, script):
    """What was passed on before any output was kept back, so the failure begins with created again."""
    from tests.translation.openai_responses.conftest import frames_of

    tap = CODEC.tap(responses.open(stream=True))
    tap.feed(script.created().data)
    frames = frames_of(tap.fail(err.NoCapacity("nobody left")))
    assert [name for name, _ in frames] == ["response.created", "response.failed"]
    assert {payload["response"]["id"] for _, payload in frames} == {"resp_1"}


def test_an_output_that_is_not_empty_is_left_alone(responses, script):
    item = {"id": "other", "type": "message", "content": []}
    script.created().message_done("text").end(output=[item])
    relayed = responses.tap([script.data], model="gpt-5.5")
    assert relayed.payload("response.completed")["response"]["output"] == [item]
    assert script.frames[-1] in relayed.output


def test_row_185_codex_events_reach_codex_only(responses, script):
    script.event("codex.rate_limits", plan_type="plus").created().event("keepalive").event("surprise")
    script.message_done("a").event("codex.response.metadata").end()
    plain, codex = responses.tap([script.data]), responses.tap([script.data], CODEX_CLIENT)
    assert plain.names == ["response.created", "response.output_item.done", "response.completed"]
    assert codex.names == [
        "codex.rate_limits",
        "response.created",
        "keepalive",
        "surprise",
        "response.output_item.done",
        "codex.response.metadata",
        "response.completed",
    ]
    assert json.loads(plain.tap.asides["codex.rate_limits"])["plan_type"] == "plus"


@pytest.mark.parametrize(
    "headers",
    [{"user-agent": "codex_exec/0.169.0 (Debian)"}, {"x-codex-window-id": "w"}, {"originator": "Codex Desktop"}],
)
def test_codex_is_recognized_by_any_of_its_headers(responses, script, headers):
    script.event("codex.rate_limits").created().end()
    assert "codex.rate_limits" in responses.tap([script.data], headers).names


def test_unknown_response_events_pass(responses, script):
    script.created().event("response.brand_new.thing", x=1).end()
    assert "response.brand_new.thing" in responses.tap([script.data]).names


def test_row_186_a_rejection_before_created_synthesizes_created_and_failed(responses, script):
    script.event("response.failed", response={"id": "resp_9", "error": {"code": "server_error", "message": "boom"}})
    relayed = responses.tap([script.data])
    assert relayed.names == ["response.created", "response.failed"]
    assert (relayed.tap.has_output, relayed.tap.done) == (False, True)
    assert isinstance(relayed.tap.error, err.UpstreamFailed)
    failed = relayed.payload("response.failed")
    assert failed["response"]["error"] == {"code": "server_error", "message": "boom"}
    assert (failed["response"]["id"], failed["sequence_number"]) == ("resp_9", 1)


def test_a_flat_error_event_before_created_is_typed(responses, script):
    script.event("error", code="context_length_exceeded", message="too long", param="input")
    relayed = responses.tap([script.data])
    assert isinstance(relayed.tap.error, err.ContextTooLong)
    assert not relayed.tap.has_output


def test_row_187_an_early_end_of_file_becomes_a_full_failed_response(responses, script):
    relayed = responses.tap([script.created().message().text("a").data])
    assert relayed.names[-1] == "response.failed"
    payload = relayed.payload("response.failed")
    assert payload["sequence_number"] == 3
    response = payload["response"]
    assert response["error"]["code"] == "server_error"
    assert (response["object"], response["status"], response["output"]) == ("response", "failed", [])
    assert (response["id"], response["model"], response["usage"]) == ("resp_1", "my-model", None)
    assert isinstance(relayed.tap.error, err.UpstreamDisconnected)


def test_a_failure_after_output_passes_as_it_came(responses, script):
    script.created().message().text("a")
    script.event("response.failed", response={"id": "resp_1", "error": {"code": "slow_down", "message": "busy"}})
    relayed = responses.tap([script.data])
    assert script.frames[-1] in relayed.output
    assert isinstance(relayed.tap.error, err.UpstreamBusy)
    assert relayed.tap.has_output


def test_row_80_the_model_shown_is_the_one_asked_for(responses, script):
    script.created().event("response.in_progress", response={"model": "gpt-5.5"}).message_done("a").end()
    relayed = responses.tap([script.data], model="alias-high-fast")
    shown = [payload["response"]["model"] for _, payload in relayed.frames if "response" in payload]
    assert shown == ["alias-high-fast"] * 3


def test_frames_are_untouched_when_nothing_must_change(responses, script):
    item = {"id": "msg_1", "type": "message", "content": []}
    data = script.created().message().text("a").message_done("a").end(output=[item]).data
    assert responses.tap([data], model="gpt-5.5").output == data


def test_created_is_written_when_the_upstream_leaves_it_out(responses, script):
    relayed = responses.tap([script.message_done("a").end().data])
    assert relayed.names == ["response.created", "response.output_item.done", "response.completed"]


def test_the_id_shown_first_stays(responses, script):
    """openai-python raises when the id changes between created and completed."""
    first = responses.tap([script.message_done("a").end().data])
    ids = {payload["response"]["id"] for _, payload in first.frames if "response" in payload}
    assert ids == {first.tap.response_id}
    other = responses.tap([type(script)().created(id="resp_a").end().data])
    assert other.payload("response.completed")["response"]["id"] == "resp_a"


def test_it_learns_usage_id_and_the_commit_point(responses, script):
    tap_state = responses.tap([script.created().data])
    assert not tap_state.tap.has_output
    script.message().text("a").message_done("a")
    usage = {"input_tokens": 3, "input_tokens_details": None, "output_tokens": 2, "output_tokens_details": None}
    relayed = responses.tap([script.end(usage=usage).data])
    assert relayed.tap.has_output
    assert (relayed.tap.usage.input_tokens, relayed.tap.usage.total, relayed.tap.response_id) == (3, 5, "resp_1")


def test_row_234_a_heartbeat_is_a_comment_until_the_end(responses, script):
    tap = CODEC.tap(responses.open(stream=True))
    assert tap.heartbeat() == b": ping\n\n"
    tap.feed(script.created().frames[0])
    assert tap.heartbeat() == b": ping\n\n"
    tap.feed(script.end().frames[1])
    assert tap.heartbeat() == b""
    assert tap.feed(script.text("late").frames[2]) == b""
    assert tap.finish() == b""


def test_aliases_are_renamed(responses):
    data = (
        b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n'
        b'event: response.text.delta\ndata: {"type":"response.text.delta","output_index":0,"delta":"Hi"}\n\n'
        b'event: response.done\ndata: {"type":"response.done","response":{"id":"r","status":"completed"}}\n\n'
    )
    relayed = responses.tap([data])
    assert relayed.names == ["response.created", "response.output_text.delta", "response.completed"]
    assert relayed.payload("response.completed")["response"]["output"][0]["content"][0]["text"] == "Hi"


def test_a_trailing_frame_without_a_blank_line_still_counts(responses, script):
    data = script.created().message_done("a").end().data.rstrip(b"\n")
    relayed = responses.tap([data])
    assert (relayed.names[-1], relayed.tap.error) == ("response.completed", None)


def test_a_pretty_printed_error_event_is_written_as_data_lines(responses, script):
    script.created()
    script.frames.append(b'event: error\ndata: {\n  "type": "error",\n  "error": {"code": "server_error"}\n}\n\n')
    relayed = responses.tap([script.data])
    assert relayed.names == ["response.created", "error"]


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (b'{"detail":"Unsupported parameter: x"}', err.ProtocolViolation, "Unsupported parameter: x"),
        (b'{"detail":[{"loc":["body"],"msg":"bad"}]}', err.ProtocolViolation, "bad"),
        (b'{"error":{"message":"m","code":"model_not_found"}}', err.UpstreamRefused, "m"),
        (b"upstream connect error", err.ProtocolViolation, "upstream connect error"),
        (b"", err.UpstreamDisconnected, "closed the stream"),
    ],
)
def test_a_body_that_is_no_stream_is_an_error_with_its_text(responses, body, error, text):
    relayed = responses.tap([body])
    assert type(relayed.tap.error) is error
    assert text in relayed.tap.error.message
    assert not relayed.tap.has_output
    assert (relayed.names[0], relayed.names[-1]) == ("response.created", "response.failed")
    decoded = responses.events([body])[-1].error
    assert (type(decoded), decoded.message) == (error, relayed.tap.error.message)


def test_a_json_response_instead_of_a_stream_is_an_answer(responses):
    part = {"type": "output_text", "text": "Hi", "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
    body = json.dumps({"id": "resp_1", "object": "response", "status": "completed", "output": [item]}, indent=1)
    relayed = responses.tap([body.encode()])
    assert relayed.names[0] == "response.created"
    assert relayed.names[-1] == "response.completed"
    assert json.loads(relayed.tap.collected())["output"][0]["content"][0]["text"] == "Hi"


def test_an_event_beyond_the_limit_fails_the_stream(responses, script, monkeypatch):
    monkeypatch.setattr("translation.protocols.openai_responses.tap.MAX_FRAME_BYTES", 1000)
    script.created()
    relayed = responses.tap([script.data, b"data: " + b"x" * 2000])
    assert isinstance(relayed.tap.error, err.ProtocolViolation)
    assert relayed.names[-1] == "response.failed"


def test_what_the_upstream_says_of_an_account_is_not_the_clients_affair(responses, script):
    script.created().message().text("a").event(
        "response.failed",
        response={"id": "resp_1", "error": {"code": "token_invalidated", "message": "Sign in again."}},
    )
    told = responses.tap([script.data])
    assert told.output.count(b"event: response.failed") == 1
    assert b"token_invalidated" not in told.output and b"Sign in" not in told.output
    assert b'"code":"no_available_accounts"' in told.output


@pytest.mark.parametrize("is_named", [True, False])
def test_half_a_frame_at_the_end_of_the_file_is_not_passed_on(responses, script, is_named):
    """SDKs would fail on its JSON, and never read the failure behind it."""
    data = script.created().message().text("Hel", "lo").data[:-30]
    if not is_named:
        head, _, last = data.rpartition(b"event: ")
        data = head + last.partition(b"\n")[2]
    relayed = responses.tap([data])
    assert [payload["delta"] for name, payload in relayed.frames if name.endswith(".delta")] == ["Hel"]
    assert relayed.names[-1] == "response.failed" and isinstance(relayed.tap.error, err.UpstreamDisconnected)


def test_an_end_under_a_name_that_no_client_knows_becomes_a_failed_response(responses, script):
    script.created().message().text("Hel").event("response.error", error={"code": "server_error", "message": "gone"})
    relayed = responses.tap([script.data])
    assert relayed.names[-1] == "response.failed" and "response.error" not in relayed.names
    assert relayed.payload("response.failed")["response"]["error"]["message"] == "gone"


def test_created_is_said_once(responses, script):
    relayed = responses.tap([script.created().message().created().text("a").message_done("a").end().data])
    assert relayed.names.count("response.created") == 1 and relayed.names[0] == "response.created"
