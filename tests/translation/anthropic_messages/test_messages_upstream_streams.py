"""Anthropic's transcripts, however the chunks fall: decoded to the same events, relayed to the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import anthropic
import httpx2
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translation import errors
from translation.codec import WireContext
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.events import Proof
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.anthropic_messages import CODEC
from translation.protocols.anthropic_messages.upstream_request import ANSWER_TOOL
from translation.wire.ids import counting_ids

FOLDER = Path(__file__).parents[2] / "golden" / "anthropic-messages-upstream"
CASES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.sse"))}
FAILING = {"error_first", "error_in_stream", "truncated"}
WHOLE = sorted(CASES.keys() - FAILING)
USAGE = Usage(input_tokens=132, cached_tokens=100, cache_write_tokens=7, output_tokens=15)


def cuts(data):
    """Yield ways in which `data` may arrive."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(7)
    for _ in range(5):
        places = sorted(chance.sample(range(len(data)), min(9, len(data))))
        yield [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def decoded(chunks):
    decoder = CODEC.decoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish()
    grammar.check(events)
    return events


def folded(events):
    fold = Fold()
    fold.feed(events)
    return fold.result()


def plain(event):
    if isinstance(event, ev.Error):
        return (type(event.error), event.error.message)
    return event


def opened(*, stream=True, **body):
    body = {"model": "alias", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}], **body}
    return CODEC.open_request(orjson.dumps({**body, "stream": stream}), WireContext(ids=counting_ids()))


def tapped(chunks, *, stream=True):
    tap = CODEC.tap(opened(stream=stream))
    return tap, b"".join(tap.feed(chunk) for chunk in chunks) + tap.finish()


@pytest.mark.parametrize("name", sorted(CASES))
def test_however_the_chunks_fall_the_events_are_the_same(name):
    (whole, *others) = [[plain(event) for event in decoded(chunks)] for chunks in cuts(CASES[name])]
    assert all(events == whole for events in others)


@pytest.mark.parametrize("name", sorted(CASES))
def test_line_ends_make_no_difference_to_the_events(name):
    crlf = CASES[name].replace(b"\n", b"\r\n")
    assert [plain(event) for event in decoded([crlf])] == [plain(event) for event in decoded([CASES[name]])]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_relayed_stream_is_the_upstreams_byte_for_byte(name, line_end):
    data = CASES[name].replace(b"\n", line_end)
    for chunks in cuts(data):
        tap, output = tapped(chunks)
        assert output == data
        assert tap.done and tap.has_output and tap.error is None


@pytest.mark.parametrize("name", WHOLE)
def test_both_lanes_learn_the_same(name):
    tap, _ = tapped([CASES[name]])
    answer = folded(decoded([CASES[name]]))
    assert (tap.usage, tap.finish_reason) == (answer.usage, answer.finish_reason)
    assert tap.response_id == "msg_01XFD"


def texts(answer):
    return [(block.kind, block.text) for block in answer.blocks]


def test_text_is_said_and_counted_inclusively():
    answer = folded(decoded([CASES["text"]]))
    assert texts(answer) == [("text", "Hello! 你好 🎉\u2028")]
    assert (answer.id, answer.model) == ("msg_01XFD", "claude-sonnet-4-5-20250929")
    assert (answer.finish_reason, answer.raw_reason, answer.usage) == ("stop", "end_turn", USAGE)


def test_thinking_keeps_its_text_and_its_whole_signature():
    answer = folded(decoded([CASES["thinking"]]))
    assert texts(answer) == [("reasoning", "Let me see…"), ("text", "The answer is 4.")]
    assert answer.blocks[0].proof == Proof("anthropic-messages", "EqQBCgIYAhIM1gbcDa9GJwZA")


def test_hidden_thinking_is_a_proof_without_text():
    answer = folded(decoded([CASES["redacted_thinking"]]))
    assert texts(answer) == [("reasoning", ""), ("text", "Yes.")]
    assert answer.blocks[0].proof == Proof("anthropic-messages", "redacted_thinking:EmwKAhgBEgy3va3p")


def test_a_call_follows_the_text():
    answer = folded(decoded([CASES["tool_call"]]))
    assert texts(answer) == [("text", "I look."), ("tool_call", '{"city": "San Francisco"}')]
    assert (answer.blocks[1].start.call_id, answer.blocks[1].start.name) == ("toolu_01", "get_weather")
    assert answer.finish_reason == "tool_calls"


def test_a_call_without_arguments_has_an_empty_object():
    answer = folded(decoded([CASES["parallel_calls"]]))
    assert [block.text for block in answer.blocks] == ['{"city":"Oslo"}', "{}"]
    assert [block.start.call_id for block in answer.blocks] == ["toolu_a", "toolu_b"]


@pytest.mark.parametrize(("name", "reason"), [("length", "length"), ("refusal", "refusal"), ("unknown", "stop")])
def test_the_reason_of_the_end_is_told(name, reason):
    assert folded(decoded([CASES[name]])).finish_reason == reason


def test_a_stop_sequence_is_told():
    answer = folded(decoded([CASES["stop_sequence"]]))
    assert (answer.finish_reason, answer.stop_sequence) == ("stop", "END")


def test_a_search_is_one_block_and_its_source_a_citation():
    answer = folded(decoded([CASES["web_search"]]))
    assert [block.kind for block in answer.blocks] == ["text", "search", "text"]
    assert answer.blocks[1].action == {
        "type": "search",
        "query": "one two",
        "sources": [{"type": "url", "url": "https://example.org/a", "title": "A"}],
    }
    assert answer.blocks[2].citations[0]["url"] == "https://example.org/a"
    assert answer.usage.web_searches == 1


def test_unknown_blocks_leave_no_gap():
    events = decoded([CASES["unknown"]])
    assert [event.index for event in events if isinstance(event, ev.BlockStart)] == [0]
    assert texts(folded(events)) == [("text", "Known.")]


def test_overload_before_the_answer_is_an_error_of_its_kind():
    (event,) = decoded([CASES["error_first"]])
    assert isinstance(event.error, errors.UpstreamBusy)
    tap, output = tapped([CASES["error_first"]])
    assert isinstance(tap.error, errors.UpstreamBusy) and not tap.has_output
    assert output == CASES["error_first"]


def test_an_error_in_the_stream_ends_it_in_the_upstreams_own_words():
    assert isinstance(decoded([CASES["error_in_stream"]])[-1].error, errors.UpstreamFailed)
    tap, output = tapped([CASES["error_in_stream"] + b"event: ping\ndata: {}\n\n"])
    assert output == CASES["error_in_stream"]
    assert isinstance(tap.error, errors.UpstreamFailed) and tap.has_output
    assert tap.usage.input_tokens == 132


def test_a_truncated_stream_is_a_failure_and_its_cut_frame_is_not_passed_on(parse):
    assert isinstance(decoded([CASES["truncated"]])[-1].error, errors.UpstreamDisconnected)
    for chunks in cuts(CASES["truncated"]):
        tap, output = tapped(chunks)
        assert isinstance(tap.error, errors.UpstreamDisconnected)
        frames = parse(output)
        assert frames[-1]["type"] == "error" and frames[-2]["delta"]["text"] == "Half"


def test_nothing_follows_the_end():
    tap, output = tapped([CASES["text"] + CASES["text"], CASES["text"]])
    assert output == CASES["text"]
    assert tap.heartbeat() == b""
    assert sum(isinstance(event, ev.Stop) for event in decoded([CASES["text"] * 2])) == 1


def test_a_stream_that_lacks_only_its_last_word_is_complete():
    cut = CASES["text"].rpartition(b"event: message_stop")[0]
    assert isinstance(decoded([cut])[-1], ev.Stop)
    tap, output = tapped([cut])
    assert tap.error is None and output == CASES["text"]


def test_a_ping_waits_for_the_message_to_start():
    tap = CODEC.tap(opened())
    assert tap.heartbeat().startswith(b":")
    tap.feed(CASES["text"][:-1])
    assert tap.heartbeat().startswith(b"event: ping")


def test_something_else_than_a_stream_is_said_so():
    (event,) = decoded([b"<html>Bad gateway</html>"])
    assert isinstance(event.error, errors.ProtocolViolation) and "Bad gateway" in event.error.message


@pytest.mark.parametrize("name", WHOLE)
def test_the_collected_relay_is_what_the_sdks_add_up(name, parse, added_up):
    tap, _ = tapped([CASES[name]], stream=False)
    message = orjson.loads(tap.collected())
    if name == "unknown":
        assert message["content"] == [{"type": "novelty", "extra": 1}, {"type": "text", "text": "Known."}]
        return
    expected = added_up(parse(CASES[name]))
    assert message.pop("usage").items() >= expected.pop("usage").items()
    assert message == expected


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "unknown"])
def test_the_vendors_own_sdk_adds_a_relay_up_to_the_same(name):
    _, output = tapped([CASES[name]])
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=output)
    http_client = httpx2.Client(transport=httpx2.MockTransport(lambda request: answer))
    client = anthropic.Anthropic(api_key="k", base_url="http://gateway.invalid", http_client=http_client)
    with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream:
        message = stream.get_final_message()
    collected = orjson.loads(tapped([CASES[name]], stream=False)[0].collected())
    assert [block.type for block in message.content] == [block["type"] for block in collected["content"]]
    assert [getattr(block, "text", None) for block in message.content] == [
        block.get("text") for block in collected["content"]
    ]
    assert (message.id, message.stop_reason) == (collected["id"], collected["stop_reason"])


def test_one_json_answer_is_accepted_where_the_client_wants_one():
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "novel": 1,
        "content": [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}],
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }  # fmt: skip
    tap, _ = tapped([orjson.dumps(message)], stream=False)
    assert orjson.loads(tap.collected()) == message
    assert (tap.usage, tap.finish_reason) == (Usage(input_tokens=3, output_tokens=4), "tool_calls")
    answer = folded(decoded([orjson.dumps(message)]))
    assert texts(answer) == [("text", "a"), ("tool_call", '{"x":1}')]


def test_a_failed_collected_relay_raises_its_error():
    tap, _ = tapped([CASES["error_first"]], stream=False)
    with pytest.raises(errors.UpstreamBusy):
        tap.collected()


def test_an_answer_given_by_the_gateways_own_tool_is_text():
    data = CASES["tool_call"].replace(b"get_weather", ANSWER_TOOL.encode())
    answer = folded(decoded([data]))
    assert texts(answer)[1] == ("text", '{"city": "San Francisco"}')


# ---- what the client's encoder writes, the decoder reads -----------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
objects = st.dictionaries(st.text("ab", min_size=1), st.integers(0, 9), max_size=2).map(
    lambda o: orjson.dumps(o).decode()
)


@st.composite
def stories(draw):
    events = [ev.Start(id="resp_1")]
    kinds = draw(st.lists(st.sampled_from(["text", "reasoning", "tool_call"]), min_size=1, max_size=5))
    for index, kind in enumerate(kinds):
        if kind == "tool_call":
            events.append(ev.BlockStart(index=index, kind=kind, call_id=f"toolu_{index}", name="f"))
            events.append(ev.ToolCallDelta(index, draw(objects)))
        else:
            events.append(ev.BlockStart(index=index, kind=kind))
            delta = ev.TextDelta if kind == "text" else ev.ReasoningDelta
            events += [delta(index, piece) for piece in draw(st.lists(words, min_size=1, max_size=3))]
        proof = Proof("anthropic-messages", f"sig{index}") if kind == "reasoning" else None
        events.append(ev.BlockStop(index=index, proof=proof))
    ends = ["tool_calls"] if "tool_call" in kinds else ["stop", "length", "refusal"]
    cached = draw(st.integers(0, 50))
    usage = Usage(
        input_tokens=cached + draw(st.integers(0, 50)), cached_tokens=cached, output_tokens=draw(st.integers(1, 9))
    )
    return [*events, ev.Stop(finish_reason=draw(st.sampled_from(ends)), usage=usage)]


@settings(max_examples=100, deadline=None)
@given(stories(), st.integers(1, 64))
def test_what_the_encoder_writes_the_decoder_reads_back(events, size):
    encoder = CODEC.encoder(opened(thinking={"type": "enabled", "budget_tokens": 2000}))
    data = encoder.encode(events)
    said, read = folded(events), folded(decoded([data[at : at + size] for at in range(0, len(data), size)]))
    assert texts(read) == texts(said)
    assert [block.proof for block in read.blocks] == [block.proof for block in said.blocks]
    assert [(block.start.call_id, block.start.name) for block in read.blocks] == [
        (block.start.call_id, block.start.name) for block in said.blocks
    ]
    assert read.finish_reason == said.finish_reason
    assert (read.usage.input_tokens, read.usage.cached_tokens, read.usage.output_tokens) == (
        said.usage.input_tokens, said.usage.cached_tokens, said.usage.output_tokens,
    )  # fmt: skip
