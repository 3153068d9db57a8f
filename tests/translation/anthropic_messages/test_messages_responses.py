"""Answers, by the rows of spec/translation.md §15.4: upstream frames or events in, what the client reads out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from translation import registry
from translation.codec import ModelInfo, WireContext
from translation.errors import InvalidRequest, UpstreamDisconnected, UpstreamFailed
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.passes.read_pages import PagesInverse
from translation.passes.stop_sequences import StopInverse
from translation.protocols.anthropic_messages import CODEC
from translation.wire import sse

THINKING = {"type": "enabled", "budget_tokens": 2000}
USAGE = Usage(input_tokens=1000, cached_tokens=900, output_tokens=7, reasoning_tokens=3, total_tokens=1007)
SEARCH_TOOL = {"type": "web_search_20250305", "name": "web_search"}


def upstream(*frames: dict[str, Any]) -> list[ev.Event]:
    """Return the events of Codex frames; created and completed are added."""
    head = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 1}}
    tail = () if frames and frames[-1]["type"] in ("response.incomplete", "error") else (completed(),)
    data = b"".join(
        b"event: %b\ndata: %b\n\n" % (frame["type"].encode(), orjson.dumps(frame)) for frame in (head, *frames, *tail)
    )
    decoder = registry.get_upstream("openai-responses").decoder()
    return [*decoder.feed(data), *decoder.finish()]


def completed(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "status": "completed", "output": list(output), **more}
    return {"type": "response.completed", "response": response}


def added(item: dict[str, Any], at: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def done(item: dict[str, Any], at: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": at, "item": item}


def thought(index: int = 0, *parts: str, proof: str | None = "gAAAAsig") -> list[ev.Event]:
    deltas = [ev.ReasoningDelta(index, part, number) for number, part in enumerate(parts)]
    stop = ev.BlockStop(index=index, proof=None if proof is None else ev.Proof("openai-responses", proof))
    return [ev.BlockStart(index=index, kind="reasoning"), *deltas, stop]


def said(index: int = 0, *pieces: str, kind: Any = "text") -> list[ev.Event]:
    maker = ev.RefusalDelta if kind == "refusal" else ev.TextDelta
    deltas = [maker(index, piece) for piece in pieces]
    return [ev.BlockStart(index=index, kind=kind), *deltas, ev.BlockStop(index=index)]


def start_call(index: int, name: str = "f", **more: Any) -> ev.BlockStart:
    return ev.BlockStart(index=index, kind="tool_call", call_id=more.pop("call_id", f"call_{index}"), name=name, **more)


def called(index: int = 0, *pieces: str, **more: Any) -> list[ev.Event]:
    deltas = [ev.ToolCallDelta(index, piece) for piece in pieces]
    return [start_call(index, **more), *deltas, ev.BlockStop(index=index)]


def searched(index: int, action: dict[str, Any], item_id: str = "ws_1") -> list[ev.Event]:
    start = ev.BlockStart(index=index, kind="search", item_id=item_id)
    return [start, ev.SearchResult(index, action), ev.BlockStop(index=index)]


def answer(*blocks: list[ev.Event], reason: Any = "stop", usage: Usage | None = USAGE, **more: Any) -> list[ev.Event]:
    stop = ev.Stop(finish_reason=reason, usage=usage, **more)
    return [ev.Start(id="r"), *(event for block in blocks for event in block), stop]


@pytest.fixture
def read(messages, added_up):
    """Return the message of a stream, after comparing it with the collected one."""

    def read_both(events: list[ev.Event], **body: Any) -> dict[str, Any]:
        streamed = added_up(messages.frames(events, **body))
        assert streamed == messages.collect(events, **body)
        return streamed

    return read_both


def test_row_117_the_first_event_has_an_estimate_and_the_cache_keys(messages):
    first = messages.frames(answer(said(0, "a")), messages=[{"role": "user", "content": "word " * 400}])[0]
    usage = first["message"]["usage"]
    assert first["message"]["model"] == "claude-sonnet-4-5" and 400 < usage["input_tokens"] < 700
    assert usage["cache_creation_input_tokens"] == usage["cache_read_input_tokens"] == usage["output_tokens"] == 0


def test_row_118_a_proof_is_the_signature_before_the_stop(messages):
    frames = messages.frames(answer(thought(0, "hm")), thinking=THINKING)
    kinds = [frame.get("delta", {}).get("type", frame["type"]) for frame in frames[1:5]]
    assert kinds == ["content_block_start", "thinking_delta", "signature_delta", "content_block_stop"]


@pytest.mark.parametrize(("final", "expected"), [("gAAAAfinal", "gAAAAfinal"), (None, "gAAAAearly")])
def test_row_119_120_the_final_proof_counts_and_the_early_one_only_without_it(read, final, expected):
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    last = {**item, "encrypted_content": final} if final else item
    events = upstream(added({**item, "summary": [], "encrypted_content": "gAAAAearly"}), done(last))
    (block,) = read(events, thinking=THINKING)["content"]
    assert block["signature"] == expected


def test_row_121_parts_of_one_item_are_one_block(read):
    (block,) = read(answer(thought(0, "a", "b", "c")), thinking=THINKING)["content"]
    assert block == {"type": "thinking", "thinking": "a\n\nb\n\nc", "signature": "gAAAAsig"}


def test_row_122_two_items_are_two_blocks(read):
    content = read(answer(thought(0, "a", proof="gAAAA1"), thought(1, "b", proof="gAAAA2")), thinking=THINKING)[
        "content"
    ]
    assert [(block["thinking"], block["signature"]) for block in content] == [("a", "gAAAA1"), ("b", "gAAAA2")]


def test_row_123_a_proof_without_text_is_an_empty_thinking_block(read):
    (block,) = read(answer(thought(0)), thinking=THINKING)["content"]
    assert block == {"type": "thinking", "thinking": "", "signature": "gAAAAsig"}


def test_thinking_without_anything_to_say_is_no_block(read):
    assert read(answer(thought(0, proof=None)), thinking=THINKING)["content"] == []


@pytest.mark.parametrize(
    ("body", "is_shown"),
    [
        ({"thinking": THINKING}, True),
        ({"thinking": {"type": "adaptive"}}, True),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, False),
        ({"output_config": {"effort": "high"}}, True),
        ({"model": "gpt-5.5-high"}, True),
        ({"model": "gpt-5.5-fast-high"}, True),
        ({"model": "gpt-5.1-codex-max"}, False),
        ({}, False),
    ],
)
def test_thinking_is_shown_to_those_who_asked(read, body, is_shown):
    kinds = [block["type"] for block in read(answer(thought(0, "hm"), said(1, "a")), **body)["content"]]
    assert kinds == (["thinking", "text"] if is_shown else ["text"])


def test_omitted_thinking_keeps_its_signature(read):
    thinking = {"type": "adaptive", "display": "omitted"}
    (block,) = read(answer(thought(0, "hm")), thinking=thinking)["content"]
    assert (block["thinking"], block["signature"]) == ("", "gAAAAsig")


def test_row_124_thinking_is_stopped_before_text(messages):
    frames = messages.frames(answer(thought(0, "hm"), said(1, "a")), thinking=THINKING)
    assert [frame["index"] for frame in frames if frame["type"] == "content_block_start"] == [0, 1]


def test_row_125_interleaved_calls_are_put_one_after_the_other(read):
    events = answer(
        [start_call(0), start_call(1), ev.ToolCallDelta(1, '{"b":'), ev.ToolCallDelta(0, '{"a":1}')],
        [ev.ToolCallDelta(1, "2}"), ev.BlockStop(index=1), ev.BlockStop(index=0)],
        reason="tool_calls",
    )
    assert [block["input"] for block in read(events)["content"]] == [{"a": 1}, {"b": 2}]


def test_row_125_the_first_open_call_streams_at_once(messages):
    encoder = CODEC.encoder(messages.open(stream=True))
    encoder.encode([ev.Start(id="r"), start_call(0), start_call(1)])
    assert b"partial_json" in encoder.encode([ev.ToolCallDelta(0, "{")])
    assert encoder.encode([ev.ToolCallDelta(1, "{")]) == b""


def test_row_126_text_waits_for_an_open_call(read):
    events = answer([start_call(0)], said(1, "after"), [ev.ToolCallDelta(0, "{}"), ev.BlockStop(index=0)])
    assert [block["type"] for block in read(events)["content"]] == ["tool_use", "text"]


CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1"}


def test_row_127_a_name_that_comes_last_delays_the_start(read):
    delta = {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0, "delta": '{"a":1}'}
    events = upstream(added({**CALL, "name": ""}), delta, done({**CALL, "name": "f", "arguments": '{"a":1}'}))
    (block,) = read(events)["content"]
    assert (block["name"], block["input"]) == ("f", {"a": 1})


def test_row_129_arguments_only_in_the_terminal_snapshot(read):
    item = {**CALL, "name": "f", "arguments": '{"a":1}'}
    head = {"type": "response.created", "response": {"id": "resp_1"}}
    frames = [head, added({**CALL, "name": "f", "arguments": ""}), completed(item)]
    decoder = registry.get_upstream("openai-responses").decoder()
    events = decoder.feed(b"".join(sse.frame(f["type"].encode(), orjson.dumps(f)) for f in frames))
    assert read(events)["content"][0]["input"] == {"a": 1}


def test_row_130_text_only_in_the_item_snapshot_is_said_once(read):
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
    assert read(upstream(done(item)))["content"] == [{"type": "text", "text": "hi"}]


def test_row_131_147_empty_texts_leave_no_ghosts(read):
    content = read(answer(said(0), called(1, "{}"), reason="tool_calls"))["content"]
    assert [block["type"] for block in content] == ["tool_use"]
    empty = read(answer(usage=Usage(input_tokens=1)))
    assert (empty["content"], empty["stop_reason"]) == ([], "end_turn")


FOUND = {
    "type": "search",
    "query": "tea",
    "sources": [{"type": "url", "url": "https://a"}, {"type": "url", "url": "https://a"}],
}


def test_row_132_134_a_search_is_told_as_use_and_result(read):
    message = read(answer(searched(0, FOUND), said(1, "x")), tools=[SEARCH_TOOL])
    use, found, _ = message["content"]
    assert (use["type"], use["id"], use["input"]) == ("server_tool_use", "srvtoolu_ws_1", {"query": "tea"})
    assert found["tool_use_id"] == use["id"] and [entry["url"] for entry in found["content"]] == ["https://a"]
    assert message["stop_reason"] == "end_turn" and message["usage"]["server_tool_use"] == {"web_search_requests": 1}


def test_row_132_a_search_nobody_declared_is_not_told(read):
    assert [block["type"] for block in read(answer(searched(0, FOUND), said(1, "x")))["content"]] == ["text"]


def test_row_133_repeated_and_empty_steps_make_one_pair(read):
    steps = [searched(0, {"type": "open_page", "url": None}, "ws_0"), searched(1, FOUND), searched(2, FOUND)]
    content = read(answer(*steps, said(3, "x")), tools=[SEARCH_TOOL])["content"]
    assert [block["type"] for block in content] == ["server_tool_use", "web_search_tool_result", "text"]


def test_citations_are_written_on_their_text(read):
    block = said(0, "tea")
    block.insert(2, ev.Citation(0, {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0}))
    (text,) = read(answer(block))["content"]
    (citation,) = text["citations"]
    assert (citation["type"], citation["url"], citation["title"]) == ("web_search_result_location", "https://a", "A")


@pytest.mark.parametrize(
    ("blocks", "reason", "expected"),
    [
        ([said(0, "a")], "length", "max_tokens"),  # row 135
        ([said(0, "a")], "content_filter", "refusal"),  # row 136
        ([said(0, "no", kind="refusal")], "stop", "refusal"),
        ([said(0, "a")], "stop", "end_turn"),
        ([called(0, "{}")], "stop", "tool_use"),
        ([called(0, "{}"), said(1, "a")], "length", "tool_use"),
        ([said(0, "a"), called(1, '{"a":')], "length", "max_tokens"),
    ],
)
def test_row_135_136_stop_reasons(messages, blocks, reason, expected):
    events = answer(*blocks, reason=reason)
    assert messages.frames(events)[-2]["delta"]["stop_reason"] == expected
    assert messages.collect(events)["stop_reason"] == expected


def test_row_115_a_stop_sequence_is_named(read):
    inverse = StopInverse(("END",))
    events = inverse.inbound(answer(said(0, "some EN", "D more")))
    message = read(events)
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    assert message["content"] == [{"type": "text", "text": "some "}] and message["usage"]["input_tokens"] > 0


def test_row_137_an_error_mid_stream_is_a_named_event(messages):
    frames = messages.frames([*answer(said(0, "a"))[:3], ev.Error(UpstreamFailed("gone"))])
    assert frames[-1] == {"type": "error", "error": {"type": "api_error", "message": "gone"}}


def test_row_138_a_policy_error_is_the_requests_fault(messages):
    error = InvalidRequest("no", code="cyber_policy")
    assert messages.frames([ev.Error(error)])[-1]["error"]["type"] == "invalid_request_error"


def test_row_139_an_end_without_a_terminal_is_an_error(messages):
    frames = messages.frames([*answer(said(0, "a"))[:3], ev.Error(UpstreamDisconnected("ended early"))])
    assert frames[-1]["error"]["type"] == "api_error"


def test_row_140_141_usage_is_exclusive_and_never_invented(read):
    usage = read(answer(said(0, "a")))["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (100, 900, 7)
    fresh = read(answer(said(0, "a"), usage=Usage(input_tokens=5, output_tokens=1)))["usage"]
    assert (fresh["input_tokens"], fresh["cache_read_input_tokens"]) == (5, 0)


@pytest.mark.parametrize(("written", "kept"), [('{"file_path":"a","pages":""}', {"file_path": "a"})])
def test_row_142_empty_pages_of_read_are_taken_out(read, written, kept):
    events = PagesInverse().inbound(answer(called(0, written[:9], written[9:], name="Read"), reason="tool_calls"))
    assert read(events)["content"][0]["input"] == kept


def test_row_143_a_picture_becomes_a_note(read):
    block = [ev.BlockStart(index=0, kind="image"), ev.ImageDelta(0, "AAAA"), ev.BlockStop(index=0)]
    message = read(answer(block))
    assert message["content"][0]["type"] == "text" and message["stop_reason"] == "end_turn"
    assert "AAAA" not in message["content"][0]["text"]


@pytest.mark.parametrize("pieces", [(), ("raw",), ('say "hi"', "\nthere \\ ünïcode 👋")])
def test_row_144_a_free_text_call_is_a_tool_use(read, pieces):
    (block,) = read(answer(called(0, *pieces, tool_kind="custom"), reason="tool_calls"))["content"]
    assert block["input"] == {"input": "".join(pieces)}


def test_row_145_call_ids_have_legal_characters(read):
    (block,) = read(answer(called(0, "{}", call_id="call:1/x.y")))["content"]
    assert block["id"] == "call_1_x_y"


def test_row_146_no_arguments_are_an_empty_object(read):
    assert read(answer(called(0)))["content"][0]["input"] == {}


@pytest.mark.parametrize("arguments", ["not json", "[1]", "null"])
def test_collected_arguments_are_always_an_object(messages, arguments):
    assert messages.collect(answer(called(0, arguments)))["content"][0]["input"] == {}


# ---- listings, counts, framing --------------------------------------------------------------------------------------


def test_row_149_models_are_listed_as_anthropic_does():
    models = [
        ModelInfo(id="gpt-5.5", display_name="GPT 5.5", created=1_763_900_000, context_window=400_000),
        ModelInfo(id="secret", is_hidden=True),
        ModelInfo(id="gpt-5"),
    ]
    listed = orjson.loads(CODEC.encode_models(models, WireContext()))
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("gpt-5.5", "gpt-5", False)
    assert listed["data"][0] == {
        "type": "model",
        "id": "gpt-5.5",
        "display_name": "GPT 5.5",
        "created_at": "2025-11-23T12:13:20Z",
        "max_input_tokens": 400_000,
    }
    assert orjson.loads(CODEC.encode_models([], WireContext())) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_row_148_a_megabyte_of_picture_is_not_counted_as_text(messages):
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 1_000_000}}
    counted = CODEC.countable(messages.open(messages=[{"role": "user", "content": [picture]}])).estimate()
    assert 1000 < counted < 2000


def test_a_heartbeat_is_a_ping_once_the_message_has_begun(messages):
    encoder = CODEC.encoder(messages.open(stream=True))
    assert encoder.heartbeat() == sse.COMMENT_PING
    encoder.encode(answer(said(0, "a"))[:3])
    assert encoder.heartbeat() == b'event: ping\ndata: {"type":"ping"}\n\n'
    encoder.encode([ev.BlockStop(index=0), ev.Stop(finish_reason="stop")])
    assert encoder.heartbeat() == b"" and encoder.encode(said(1, "late")) == b""


def test_all_events_of_a_chunk_are_the_same_bytes_as_one_by_one(messages):
    events = answer(thought(0, "a", "b"), said(1, "x", "y"), called(2, "{", "}"))
    whole = CODEC.encoder(messages.open(stream=True, thinking=THINKING)).encode(events)
    assert whole == messages.stream(events, thinking=THINKING)


def test_a_lone_surrogate_is_escaped(messages):
    frames = messages.stream(answer(said(0, "\ud83d", "x")))
    assert b"\\ud83d" in frames
