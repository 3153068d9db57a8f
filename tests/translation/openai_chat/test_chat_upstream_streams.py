"""Transcripts of Chat providers: what they mean, however they are cut, and what of them a relayed client gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from translation import errors
from translation.ir import events as ev
from translation.ir.grammar import check
from translation.ir.response import Fold, GenerateResponse
from translation.protocols.openai_chat import CODEC
from translation.protocols.openai_chat.tap import ChatBodyTap, ChatTap

GOLDEN = Path(__file__).parents[2] / "golden" / "openai-chat-upstream"
FAILURES = {"error_before": errors.RateLimited, "error_in_stream": errors.UpstreamFailed}
CUT = {"truncated": errors.UpstreamDisconnected}


def transcript(case: str) -> bytes:
    return (GOLDEN / case / "stream.sse").read_bytes()


def decode(chunks: list[bytes]) -> list[ev.Event]:
    decoder = CODEC.decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish()


def folded(data: bytes) -> GenerateResponse:
    fold = Fold()
    fold.feed(decode([data]))
    return fold.result()


def frames(*payloads: Any, done: bool = True) -> bytes:
    data = b"".join(b"data: %b\n\n" % orjson.dumps(payload) for payload in payloads)
    return data + (b"data: [DONE]\n\n" if done else b"")


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


# ---- the decoder ---------------------------------------------------------------------------------------------------


def test_a_transcript_means_the_same_however_it_is_cut(openai_chat_upstream_case, cuts, golden, events_as_jsonl):
    data = transcript(openai_chat_upstream_case)
    expected = events_as_jsonl(decode([data]))
    for chunks in cuts(data):
        events = decode(chunks)
        check(events)
        assert events_as_jsonl(events) == expected
    golden("openai-chat-upstream", openai_chat_upstream_case).expect("stream.ir.jsonl", expected)


@pytest.mark.parametrize(("case", "kind"), [*FAILURES.items(), *CUT.items()])
def test_a_failure_in_the_stream_is_a_typed_error(case, kind):
    last = decode([transcript(case)])[-1]
    assert isinstance(last, ev.Error) and isinstance(last.error, kind)


def test_thoughts_come_before_the_text_and_are_not_part_of_it():
    answer = folded(transcript("reasoning"))
    assert [(block.kind, block.text) for block in answer.blocks] == [("reasoning", "Let me think."), ("text", "42")]
    assert answer.usage is not None
    assert (answer.usage.cached_tokens, answer.usage.reasoning_tokens, answer.usage.total) == (8, 25, 44)


def test_parallel_calls_keep_their_own_arguments():
    answer = folded(transcript("parallel_tool_calls"))
    calls = [(b.start.call_id, b.start.name, b.text) for b in answer.blocks if b.kind == "tool_call"]
    assert calls == [("call_a", "get_weather", '{"city":"Oslo"}'), ("call_b", "get_time", '{"zone":"CET"}')]
    assert answer.finish_reason == "tool_calls"


def test_late_null_and_repeated_names_make_one_correct_call_each():
    answer = folded(transcript("odd_tool_calls"))
    calls = [(b.start.call_id, b.start.name, b.text) for b in answer.blocks]
    assert calls == [("call_1", "first", '{"a":1}'), ("call_2", "second", "{}")]
    assert answer.finish_reason == "tool_calls", "the server said stop, but it called"


@pytest.mark.parametrize(
    ("case", "reason"),
    [("text", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("refusal", "refusal")],
)
def test_the_end_is_told_as_the_provider_meant_it(case, reason):
    assert folded(transcript(case)).finish_reason == reason


def test_a_call_without_an_index_belongs_to_its_id_else_to_the_last_one():
    call = {"id": "a", "function": {"name": "f", "arguments": "{"}}
    answer = folded(
        frames(
            chunk({"tool_calls": [call]}),
            chunk({"tool_calls": [{"function": {"arguments": '"x":1'}}]}),
            chunk({"tool_calls": [{"id": "a", "function": {"arguments": "}"}}]}, "tool_calls"),
        )
    )
    assert [block.text for block in answer.blocks] == ['{"x":1}']


def test_a_call_nobody_gave_an_id_gets_one_that_no_other_turn_has():
    delta = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"x": 1}}}]}
    block = folded(frames(chunk(delta, "tool_calls"))).blocks[0]
    assert block.start.call_id == "call_c1_1" and block.text == '{"x":1}'


def test_a_whole_json_answer_is_read_where_a_stream_was_due():
    message = {"role": "assistant", "content": "Hi", "tool_calls": None}
    body = {
        "id": "c1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    answer = folded(orjson.dumps(body, option=orjson.OPT_INDENT_2))
    assert [block.text for block in answer.blocks] == ["Hi"] and answer.usage is not None
    assert answer.usage.total == 4


def test_counts_that_repeat_count_once_and_null_choices_are_no_fault():
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    data = frames(
        chunk({"content": "a"}, usage={"prompt_tokens": 5}),
        chunk({}, "stop", usage=usage),
        {"choices": None, "usage": usage},
    )
    usage_seen = folded(data).usage
    assert usage_seen is not None and usage_seen.total == 7


@pytest.mark.parametrize("data", [b"", b"data: [DONE]\n\n", b"<html>Bad gateway</html>"])
def test_a_stream_that_never_began_is_a_failure(data):
    events = decode([data])
    check(events)
    assert isinstance(events[-1], ev.Error)


@pytest.mark.parametrize("word", ["error", "insufficient_system_resource"])
def test_a_provider_that_gives_up_has_not_finished(word):
    events = decode([frames(chunk({"content": "a"}), chunk({}, word))])
    assert isinstance(events[-1], ev.Error)


KEYS = (
    *("id", "created", "choices", "delta", "message", "index", "finish_reason", "usage", "prompt_tokens", "error"),
    *("content", "reasoning", "reasoning_details", "refusal", "tool_calls", "function", "name", "arguments", "custom"),
    *("images", "image_url", "annotations", "url_citation", "function_call", "code", "message", "detail", "data"),
)
LEAVES = st.none() | st.booleans() | st.sampled_from([0, 1, -1, 2.5, 10**30, "", "stop", "a", "9" * 5000])
NONSENSE = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
)
DELTAS = st.dictionaries(st.sampled_from(KEYS), NONSENSE, max_size=5)


@given(deltas=st.lists(DELTAS, max_size=3), bodies=st.lists(NONSENSE, max_size=3), is_done=st.booleans())
def test_nonsense_keeps_the_grammar_and_breaks_neither_reader(chat, deltas, bodies, is_done):
    payloads = [*({"choices": [{"delta": delta}]} for delta in deltas), *bodies]
    data = b"".join(b"data: %b\n\n" % json.dumps(payload).encode() for payload in payloads)
    data += b"data: [DONE]\n\n" if is_done else b""
    check(decode([data]))
    for reader in (tap(chat), body_tap(chat)):
        reader.feed(data)
        reader.finish()
        assert reader.done


# ---- the relay -----------------------------------------------------------------------------------------------------


def tap(chat, **body: Any) -> ChatTap:
    found = CODEC.tap(chat.open(stream=True, **body))
    assert isinstance(found, ChatTap)
    return found


def relay(reader: ChatTap, chunks: list[bytes]) -> bytes:
    return b"".join([reader.feed(piece) for piece in chunks]) + reader.finish()


ASKED = {"stream_options": {"include_usage": True}}


def test_a_relayed_stream_leaves_byte_for_byte(openai_chat_upstream_case, cuts, chat):
    data = transcript(openai_chat_upstream_case)
    for chunks in cuts(data):
        sent = relay(tap(chat, **ASKED), chunks)
        if openai_chat_upstream_case in CUT:
            whole = data[: data.rindex(b"data: ")]
            assert sent.startswith(whole) and b'"upstream_stream_truncated"' in sent[len(whole) :]
        else:
            assert sent == data


def test_the_relay_learns_what_the_decoder_learns(openai_chat_upstream_case, chat):
    data = transcript(openai_chat_upstream_case)
    reader = tap(chat, **ASKED)
    relay(reader, [data])
    fold = Fold()
    fold.feed(decode([data]))
    assert reader.done
    assert type(reader.error) is type(fold.error)
    if fold.error is None:
        answer = fold.result()
        assert (reader.usage, reader.response_id) == (answer.usage, answer.id)
        assert reader.has_output


def test_unknown_fields_events_and_comments_pass_the_relay(chat):
    data = (
        b": hello\n\n"
        b'event: vendor.note\ndata: {"x": [1, 2.50], "b":"\\u00e4"}\n\n'
        b'id: 7\ndata: {"id":"c1","choices":[{"index":0,"delta":{"content":"a","zz":1}}],"vendor":{"a":1e400}}\n\n'
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop","native":"END"}]}\n\n'
        b"data: [DONE]\n\n"
    )
    assert relay(tap(chat, **ASKED), [data]) == data


def test_counts_that_only_the_gateway_asked_for_stay_with_it(chat):
    data = transcript("text")
    reader = tap(chat)
    sent = relay(reader, [data])
    assert b'"choices":[]' not in sent and sent.endswith(b"data: [DONE]\n\n")
    assert reader.usage is not None and reader.usage.cached_tokens == 16


def test_a_failure_before_any_output_leaves_the_choice_to_the_flow(chat):
    reader = tap(chat)
    reader.feed(transcript("error_before"))
    assert reader.done and not reader.has_output and isinstance(reader.error, errors.RateLimited)
    assert b"no_available_accounts" in reader.fail(errors.NoCapacity("Nobody is left."))


def test_nothing_follows_the_end_of_a_relayed_stream(chat):
    reader = tap(chat)
    relay(reader, [transcript("text")])
    assert reader.feed(transcript("text")) == b"" == reader.fail(errors.UpstreamTimeout("late"))


def test_a_json_body_becomes_the_stream_the_relayed_client_asked_for(chat):
    message = {"role": "assistant", "content": "Hi"}
    body = orjson.dumps({"id": "c1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    reader = tap(chat)
    sent = reader.feed(body) + reader.finish()
    assert b'"content":"Hi"' in sent and sent.endswith(b"data: [DONE]\n\n") and reader.finish_reason == "stop"


def body_tap(chat) -> ChatBodyTap:
    found = CODEC.tap(chat.open())
    assert isinstance(found, ChatBodyTap)
    return found


def test_a_relayed_body_leaves_byte_for_byte(chat, cuts):
    message = {"role": "assistant", "content": "Hi", "vendor": 1}
    choice = {"index": 0, "message": message, "finish_reason": "length"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    body = b"\n\n" + orjson.dumps({"id": "c1", "choices": [choice], "usage": usage}, option=orjson.OPT_INDENT_2)
    for chunks in cuts(body):
        reader = body_tap(chat)
        assert relay(reader, chunks) == b"" and reader.collected() == body  # type: ignore[arg-type]
        assert reader.usage is not None and reader.usage.total == 4
        assert (reader.response_id, reader.finish_reason) == ("c1", "length")


@pytest.mark.parametrize("body", [b"", b"oops", b'{"error":{"message":"no","type":"server_error"}}'])
def test_a_body_that_is_no_answer_is_an_error(chat, body):
    reader = body_tap(chat)
    reader.feed(body)
    reader.finish()
    with pytest.raises(errors.UpstreamError):
        reader.collected()


def test_a_stream_is_folded_for_a_client_that_wants_a_body(chat):
    reader = body_tap(chat)
    reader.feed(transcript("tool_call"))
    reader.finish()
    message = orjson.loads(reader.collected())["choices"][0]["message"]
    assert message["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city":"Paris"}'}
