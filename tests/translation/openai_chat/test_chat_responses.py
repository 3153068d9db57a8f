"""Chat answers, one test per row of spec/translation.md §15.2, streamed and collected, from hand-written events."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from translation.errors import ContextTooLong, RateLimited, UpstreamDisconnected, UpstreamFailed
from translation.ir import events as ev
from translation.ir.normalizer import Normalizer
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.openai_chat import CODEC
from translation.protocols.openai_chat.cursor import OVERFLOW_TOKENS, overflow_events

START = ev.Start(id="resp_1", model="gpt-5.5-internal", created=1)
USAGE = Usage(input_tokens=10, cached_tokens=4, output_tokens=6, reasoning_tokens=2, total_tokens=16)
STOP = ev.Stop(finish_reason="stop", usage=USAGE)
CURSOR = {"user-agent": "Cursor/1.7"}


def text(*pieces: str, index: int = 0, item_id: str = "msg_1") -> list[ev.Event]:
    deltas = [ev.TextDelta(index, piece) for piece in pieces]
    return [ev.BlockStart(index=index, kind="text", item_id=item_id), *deltas, ev.BlockStop(index=index)]


def tool(
    *pieces: str, index: int = 0, call_id: str = "call_1", name: str = "f", kind: str = "function"
) -> list[ev.Event]:
    start = ev.BlockStart(index=index, kind="tool_call", call_id=call_id, name=name, tool_kind=kind)  # type: ignore[arg-type]
    return [start, *(ev.ToolCallDelta(index, piece) for piece in pieces), ev.BlockStop(index=index)]


def stop(reason: Any, **more: Any) -> ev.Stop:
    return ev.Stop(finish_reason=reason, usage=USAGE, **more)


def test_row_052_text_is_a_role_chunk_content_chunks_a_finish_and_done(chat):
    chunks = chat.chunks([START, *text("Hel", "lo"), STOP])
    assert [chunk["choices"][0] for chunk in chunks[:-1]] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None},
        {"index": 0, "delta": {"content": "Hel"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "lo"}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]
    assert chunks[-1] == "[DONE]"
    assert {(c["id"], c["object"], c["created"]) for c in chunks[:-1]} == {
        ("chatcmpl-" + "0" * 32, "chat.completion.chunk", 1763900000)
    }
    assert list(chunks[0]) == ["id", "object", "created", "model", "choices"]


def test_row_053_the_role_is_sent_once(chat, deltas_of):
    events = [START, *text("a"), *tool("{}", index=1), *text("b", index=2), STOP]
    assert sum("role" in delta for delta in deltas_of(chat.chunks(events))) == 1


def test_row_054_usage_is_an_extra_chunk_and_null_elsewhere(chat):
    chunks = chat.chunks([START, *text("a"), STOP], stream_options={"include_usage": True})
    *normal, usage, done = chunks
    assert done == "[DONE]" and all(chunk["usage"] is None for chunk in normal)
    assert usage["choices"] == []
    assert usage["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 6,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_row_054_usage_that_nobody_counted_is_sent_as_zeros_like_in_a_collected_answer(chat):
    stop = ev.Stop(finish_reason="stop")
    *_, usage, _ = chat.chunks([START, *text("a"), stop], stream_options={"include_usage": True})
    assert usage["choices"] == [] and usage["usage"] == chat.collect([START, *text("a"), stop])["usage"]


def test_row_054_usage_of_an_earlier_update_counts(chat):
    events = [START, *text("a"), ev.UsageUpdate(USAGE), ev.Stop(finish_reason="stop")]
    chunks = chat.chunks(events, stream_options={"include_usage": True})
    assert chunks[-2]["usage"]["total_tokens"] == 16


def test_row_055_without_include_usage_there_is_no_usage(chat):
    for options in ({}, {"stream_options": {"include_usage": False}}, {"stream_options": None}):
        chunks = chat.chunks([START, *text("a"), STOP], **options)
        assert all("usage" not in chunk and chunk["choices"] for chunk in chunks[:-1])


@pytest.mark.parametrize(
    ("row", "reason", "word"),
    [("056", "length", "length"), ("057", "content_filter", "content_filter"), ("058", "refusal", "stop")],
)
def test_row_056_057_reasons_of_the_end(chat, finishes_of, row, reason, word):
    events = [START, *text("a"), stop(reason)]
    assert finishes_of(chat.chunks(events)) == [word]
    assert chat.collect(events)["choices"][0]["finish_reason"] == word


def test_row_056_a_limit_beats_the_calls_that_were_made(chat, finishes_of):
    assert finishes_of(chat.chunks([START, *tool('{"a'), stop("length")])) == ["length"]


def test_calls_end_with_tool_calls_even_if_the_upstream_said_stop(chat, finishes_of):
    events = [START, *tool("{}"), stop("stop")]
    assert finishes_of(chat.chunks(events)) == ["tool_calls"]
    assert chat.collect(events)["choices"][0]["finish_reason"] == "tool_calls"


def test_row_058_a_refusal_is_delta_refusal(chat, deltas_of):
    events = [START, ev.BlockStart(index=0, kind="refusal"), ev.RefusalDelta(0, "I "), ev.RefusalDelta(0, "won't")]
    events += [ev.BlockStop(index=0), stop("refusal")]
    assert [delta["refusal"] for delta in deltas_of(chat.chunks(events)) if "refusal" in delta] == ["I ", "won't"]
    message = chat.collect(events)["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I won't")


def test_row_059_060_061_a_call_is_one_header_and_arguments_without_id_or_name(chat, deltas_of):
    events = [START, *tool('{"a": 1}'), stop("tool_calls")]
    calls = [delta["tool_calls"] for delta in deltas_of(chat.chunks(events)) if "tool_calls" in delta]
    assert calls == [
        [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"a": 1}'}}],
    ]
    message = chat.collect(events)["choices"][0]["message"]
    assert message["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ]
    assert message["content"] is None


def test_row_062_063_interleaved_calls_keep_their_own_index(chat, deltas_of):
    first, second = tool("{", "}", index=1, call_id="a"), tool("[", "]", index=2, call_id="b")
    mixed = [*text("x"), first[0], second[0], first[1], second[1], first[2], second[2], first[3], second[3]]
    events = [START, *mixed, stop("tool_calls")]
    assert _arguments(deltas_of(chat.chunks(events))) == {0: "{}", 1: "[]"}
    assert [c["function"]["arguments"] for c in chat.collect(events)["choices"][0]["message"]["tool_calls"]] == [
        "{}",
        "[]",
    ]


def _arguments(deltas: list[dict[str, Any]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            found[call["index"]] = found.get(call["index"], "") + call["function"]["arguments"]
    return found


def test_row_064_065_066_snapshots_add_nothing_twice(chat, deltas_of):
    """The normalizer owns these laws; this shows that nothing is said twice on the way out."""
    normalizer = Normalizer()
    normalizer.start("r")
    block = normalizer.open("tool_call", "call_1", 0, item_id="call_1", call_id="call_1", name="f")
    normalizer.delta(block, '{"a"')
    normalizer.snapshot(normalizer.open("tool_call", "call_1", name="f"), '{"a":1}')
    normalizer.snapshot(block, "something else")
    normalizer.close(block)
    normalizer.stop("tool_calls")
    assert _arguments(deltas_of(chat.chunks(normalizer.out))) == {0: '{"a":1}'}


def test_row_067_custom_input_is_sent_once_in_the_custom_envelope(chat, deltas_of):
    events = [START, *tool("raw input", kind="custom"), stop("tool_calls")]
    calls = [delta["tool_calls"] for delta in deltas_of(chat.chunks(events)) if "tool_calls" in delta]
    assert calls == [
        [{"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "f", "input": ""}}],
        [{"index": 0, "custom": {"input": "raw input"}}],
    ]
    message = chat.collect(events)["choices"][0]["message"]
    assert message["tool_calls"] == [{"id": "call_1", "type": "custom", "custom": {"name": "f", "input": "raw input"}}]


def test_row_067_cursor_gets_custom_calls_in_the_function_envelope(chat, deltas_of):
    events = [START, *tool("raw", kind="custom"), stop("tool_calls")]
    assert _arguments(deltas_of(chat.chunks(events, CURSOR))) == {0: "raw"}
    call = chat.collect(events, CURSOR)["choices"][0]["message"]["tool_calls"][0]
    assert call == {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "raw"}}


def reasoning(*parts: str, index: int = 0, proof: str | None = None) -> list[ev.Event]:
    deltas = [ev.ReasoningDelta(index, part, number) for number, part in enumerate(parts)]
    end = ev.BlockStop(index=index, proof=ev.Proof("openai-responses", proof) if proof else None)
    return [ev.BlockStart(index=index, kind="reasoning", item_id="rs_1"), *deltas, end]


def test_row_068_summary_parts_are_separated_by_a_blank_line(chat, deltas_of):
    events = [START, *reasoning("one", "two"), *reasoning("three", index=1), *text("x", index=2), STOP]
    said = "".join(delta.get("reasoning_content", "") for delta in deltas_of(chat.chunks(events)))
    assert said == "one\n\ntwo\n\nthree"
    assert chat.collect(events)["choices"][0]["message"]["reasoning_content"] == said


def test_reasoning_proofs_travel_to_the_client_and_back(chat, deltas_of):
    proof = "gAAAA" + "A" * (4 * 26 - 5)  # 78 bytes is not Fernet-shaped; see the next lines
    events = [START, *reasoning("x", proof=proof), *text("y", index=1), STOP]
    details = [delta["reasoning_details"] for delta in deltas_of(chat.chunks(events)) if "reasoning_details" in delta]
    expected = {
        "type": "reasoning.encrypted",
        "index": 0,
        "id": "rs_1",
        "data": proof,
        "format": "openai-responses-v1",
    }
    assert details == [[expected]]
    assert chat.collect(events)["choices"][0]["message"]["reasoning_details"] == [expected]


def image(data: str, *, partial: bool = False, index: int = 0) -> ev.ImageDelta:
    return ev.ImageDelta(index, data, "image/jpeg", partial)


def test_row_069_an_image_is_a_message_image_and_no_call(chat, deltas_of, finishes_of):
    events = [START, ev.BlockStart(index=0, kind="image"), image("QUJD"), ev.BlockStop(index=0), STOP]
    entry = {"type": "image_url", "index": 0, "image_url": {"url": "data:image/jpeg;base64,QUJD"}}
    chunks = chat.chunks(events)
    assert [delta["images"] for delta in deltas_of(chunks) if "images" in delta] == [[entry]]
    assert finishes_of(chunks) == ["stop"]
    assert chat.collect(events)["choices"][0]["message"]["images"] == [entry]


def test_row_070_partial_and_repeated_images_are_not_sent(chat, deltas_of):
    pictures = [image("AA==", partial=True), image("QUJD"), image("QUJD"), image("QkJC")]
    events = [START, ev.BlockStart(index=0, kind="image"), *pictures, ev.BlockStop(index=0), STOP]
    sent = [entry for delta in deltas_of(chat.chunks(events)) for entry in delta.get("images", ())]
    assert [entry["index"] for entry in sent] == [0, 1]
    assert chat.collect(events)["choices"][0]["message"]["images"] == sent


def test_row_071_a_failure_after_output_is_an_error_chunk_then_done(chat, finishes_of):
    events = [START, *text("a"), ev.Error(RateLimited("Slow down.", retry_after_s=3))]
    chunks = chat.chunks(events)
    assert chunks[-2:] == [
        {"error": {"message": "Slow down.", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}},
        "[DONE]",
    ]
    assert finishes_of(chunks) == []


def test_row_072_an_error_without_payload_is_a_default_error(chat):
    chunks = chat.chunks([START, *text("a"), ev.Error(UpstreamFailed("The upstream failed."))])
    assert chunks[-2]["error"]["code"] == "server_error"


def test_row_073_end_of_file_without_terminal_is_a_truncated_error_chunk(chat):
    normalizer = Normalizer()
    normalizer.start("r")
    normalizer.delta(normalizer.open("text", 0), "half")
    normalizer.eof()
    chunks = chat.chunks(normalizer.out)
    assert chunks[-2]["error"]["code"] == "upstream_stream_truncated" and chunks[-1] == "[DONE]"


def test_row_074_end_of_file_collected_is_an_error_and_no_success():
    fold = Fold()
    fold.feed([START, *text("half")])
    with pytest.raises(UpstreamDisconnected):
        fold.result()


def test_row_075_nothing_is_written_before_the_first_output(chat):
    """So that the flow can still answer with an HTTP status."""
    encoder = CODEC.encoder(chat.open(stream=True))
    assert encoder.encode([ev.Ping(), START, ev.BlockStart(index=0, kind="text"), ev.UsageUpdate(USAGE)]) == b""
    assert encoder.encode([ev.TextDelta(0, "a")]).count(b"data: ") == 2


def test_row_075_the_error_is_a_json_body_with_a_status():
    error = CODEC.encode_error(RateLimited("Slow down.", retry_after_s=2.2))
    assert (error.status, error.headers["retry-after"]) == (429, "3")
    assert error.body.startswith(b'{"error":{"message":"Slow down."')


def test_row_076_an_empty_second_message_keeps_the_first(chat):
    events = [START, *text("kept"), *text(index=1, item_id="msg_2"), STOP]
    assert chat.collect(events)["choices"][0]["message"]["content"] == "kept"


def test_row_077_nothing_at_all_is_an_empty_answer_and_never_injected_text(chat, deltas_of):
    events = [START, STOP]
    assert deltas_of(chat.chunks(events)) == [{"role": "assistant", "content": ""}, {}]
    message = chat.collect(events)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "", "refusal": None}


def test_row_078_citations_come_once_before_the_end_with_positions_in_the_whole_message(chat, deltas_of):
    def cite(index: int, kind: str = "url_citation") -> ev.Citation:
        return ev.Citation(index, {"type": kind, "url": "u", "title": "t", "start_index": 0, "end_index": 2})

    first, second = text("héy", index=0), text("you", index=1)
    events = [START, *first[:2], cite(0), first[2], *second[:1], cite(1), cite(1, "file_citation"), *second[1:], STOP]
    found = [
        {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": at, "end_index": at + 2}}
        for at in (0, 3)
    ]
    deltas = deltas_of(chat.chunks(events))
    assert [delta.get("annotations") for delta in deltas[-2:]] == [found, None]
    assert sum("annotations" in delta for delta in deltas) == 1
    assert chat.collect(events)["choices"][0]["message"]["annotations"] == found


@pytest.mark.parametrize(
    ("written", "details"), [(None, {}), (0, {"cached_creation_tokens": 0}), (7, {"cached_creation_tokens": 7})]
)
def test_row_079_cache_writes_are_told_when_known(chat, written, details):
    events = [START, *text("a"), ev.Stop(finish_reason="stop", usage=Usage(input_tokens=9, cache_write_tokens=written))]
    assert chat.collect(events)["usage"]["prompt_tokens_details"] == {"cached_tokens": 0, **details}


def test_row_080_the_model_is_echoed_as_the_client_wrote_it(chat):
    model = 'Gpt-5.5 "high"/é'
    chunks = chat.chunks([START, *text("a"), STOP], model=model)
    assert {chunk["model"] for chunk in chunks[:-1]} == {model}
    assert chat.collect([START, STOP], model=model)["model"] == model


def switched_on(opened):
    context = replace(opened.context, options={"chat.cursor_overflow_answer": "true"})
    return replace(opened, context=context)


def test_row_081_cursor_is_told_to_compact(chat):
    error = ContextTooLong("Too long.")
    opened = switched_on(chat.open(CURSOR))
    events = overflow_events(error, opened)
    assert events is not None
    answer = chat.collect(events, CURSOR)
    assert answer["usage"]["prompt_tokens"] == OVERFLOW_TOKENS
    assert answer["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert overflow_events(error, switched_on(chat.open({"user-agent": "aider"}))) is None
    assert overflow_events(error, chat.open(CURSOR)) is None
    assert overflow_events(RateLimited("x"), opened) is None


def test_row_082_reasoning_cut_by_the_limit_is_kept(chat, deltas_of, finishes_of):
    events = [START, *reasoning("deep"), stop("length")]
    chunks = chat.chunks(events)
    assert finishes_of(chunks) == ["length"]
    assert any(delta.get("reasoning_content") == "deep" for delta in deltas_of(chunks))
    assert chat.collect(events)["choices"][0]["message"]["reasoning_content"] == "deep"


LEGACY = {"functions": [{"name": "f"}]}


def test_legacy_functions_are_answered_with_function_call(chat, deltas_of, finishes_of):
    events = [START, *tool('{"a"', ":1}"), stop("tool_calls")]
    chunks = chat.chunks(events, **LEGACY)
    assert [delta["function_call"] for delta in deltas_of(chunks) if "function_call" in delta] == [
        {"name": "f", "arguments": ""},
        {"arguments": '{"a"'},
        {"arguments": ":1}"},
    ]
    assert finishes_of(chunks) == ["function_call"]
    choice = chat.collect(events, **LEGACY)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert "tool_calls" not in choice["message"] and choice["finish_reason"] == "function_call"


def test_nothing_follows_the_terminal(chat):
    for terminal in (STOP, ev.Error(UpstreamFailed("x"))):
        encoder = CODEC.encoder(chat.open(stream=True))
        assert encoder.encode([START, terminal, ev.TextDelta(0, "late"), STOP]).endswith(b"data: [DONE]\n\n")
        assert encoder.encode([ev.TextDelta(0, "late"), ev.UsageUpdate(USAGE), STOP]) == b""
        assert encoder.heartbeat() == b""


def test_a_heartbeat_is_a_comment_at_any_time(chat):
    encoder = CODEC.encoder(chat.open(stream=True))
    assert encoder.heartbeat() == b": ping\n\n"
    encoder.encode([START, *text("a")])
    assert encoder.heartbeat() == b": ping\n\n"


def test_a_lone_surrogate_does_not_kill_the_stream(chat):
    data = chat.stream([START, *text("a\udc00b"), STOP])
    assert b'"content":"a\\udc00b"' in data


def test_searches_and_opaque_blocks_say_nothing(chat, deltas_of):
    events = [
        START,
        ev.BlockStart(index=0, kind="search"),
        ev.SearchResult(0, {"query": "q"}),
        ev.BlockStop(index=0),
        ev.BlockStart(index=1, kind="opaque"),
        ev.Opaque("openai-responses", "response.x", {}),
        ev.BlockStop(index=1, item={"type": "x"}),
        *text("a", index=2),
        STOP,
    ]
    assert deltas_of(chat.chunks(events)) == [{"role": "assistant", "content": ""}, {"content": "a"}, {}]
    assert chat.collect(events)["choices"][0]["message"]["content"] == "a"


def test_chunking_does_not_change_the_bytes(chat):
    events = [START, *reasoning("r"), *text("a", "b", index=1), *tool("{", "}", index=2), stop("tool_calls")]
    whole = CODEC.encoder(chat.open(stream=True)).encode(events)
    assert whole == chat.stream(events)


def test_a_second_call_in_the_legacy_shape_is_left_out(chat, deltas_of):
    events = [START, *tool("{}"), *tool("[]", index=1, call_id="b"), stop("tool_calls")]
    calls = [delta["function_call"] for delta in deltas_of(chat.chunks(events, **LEGACY)) if "function_call" in delta]
    assert calls == [{"name": "f", "arguments": ""}, {"arguments": "{}"}]
    assert chat.collect(events, **LEGACY)["choices"][0]["message"]["function_call"]["arguments"] == "{}"


def test_a_proof_of_another_vendor_is_not_handed_out(chat, deltas_of):
    end = ev.BlockStop(index=0, proof=ev.Proof("anthropic-messages", "sig"))
    events = [START, ev.BlockStart(index=0, kind="reasoning"), ev.ReasoningDelta(0, "x"), end, STOP]
    assert not any("reasoning_details" in delta for delta in deltas_of(chat.chunks(events)))
    assert "reasoning_details" not in chat.collect(events)["choices"][0]["message"]
