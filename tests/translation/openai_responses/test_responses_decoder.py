"""The laws of decoding, one by one (translation §1.3); orders that no golden case has."""

from __future__ import annotations

import pytest

from translation.ir import events as ev


def texts(answer):
    return [block.text for block in answer.blocks if block.kind == "text"]


def test_a_call_is_found_by_any_of_its_ids(responses, script):
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}
    script.created().event("response.output_item.added", output_index=3, item=item)
    for address in ({"output_index": 3}, {"item_id": "fc_1"}, {"call_id": "call_1"}):
        script.event("response.function_call_arguments.delta", **address, delta="x")
    (block,) = responses.fold(responses.events([script.end().data])).blocks
    assert (block.text, block.start.call_id) == ("xxx", "call_1")


def test_an_unknown_id_does_not_fall_back_to_the_first_item(responses, script):
    script.created().text("a", index=0).text("b", index=7, item_id="msg_other")
    assert texts(responses.fold(responses.events([script.end().data]))) == ["a", "b"]


def test_item_ids_that_change_with_every_event_are_one_item(responses, script):
    script.created().message(item_id="id_1").text("Hel", item_id="id_2").text("lo", item_id="id_3")
    script.message_done("Hello", item_id="id_4").end()
    assert texts(responses.fold(responses.events([script.data]))) == ["Hello"]


def test_a_name_that_comes_late_holds_the_arguments_back(responses, script):
    script.created().event("response.function_call_arguments.delta", item_id="fc_1", output_index=0, delta='{"a"')
    events = responses.events([script.call_done('{"a":1}').end().data])
    (start,) = [event for event in events if isinstance(event, ev.BlockStart)]
    assert (start.name, start.call_id) == ("f", "call_1")
    assert responses.fold(events).blocks[0].text == '{"a":1}'


def test_a_snapshot_that_contradicts_keeps_what_was_said(responses, script):
    script.created().text("one").message_done("two").end()
    assert texts(responses.fold(responses.events([script.data]))) == ["one"]


def test_a_snapshot_sends_only_what_is_missing(responses, script):
    events = responses.events([script.created().text("Hel").message_done("Hello").end().data])
    assert [event.text for event in events if isinstance(event, ev.TextDelta)] == ["Hel", "lo"]


def test_raw_reasoning_has_its_own_channel(responses, script):
    place = {"item_id": "rs_1", "output_index": 0, "content_index": 0}
    script.created().event("response.reasoning_text.delta", **place, delta="raw")
    script.event("response.reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta="sum")
    (block,) = responses.fold(responses.events([script.end().data])).blocks
    assert (block.parts, block.channels) == (("sum", "raw"), ("summary", "text"))


def test_arguments_as_json_become_text(responses, script):
    item = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": {"a": 1}}
    script.created().event("response.output_item.done", output_index=0, item=item).end()
    assert responses.fold(responses.events([script.data])).blocks[0].text == '{"a":1}'


def test_arguments_may_follow_an_item_done_without_any(responses, script):
    item = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f"}
    script.created().event("response.output_item.done", output_index=0, item=item)
    script.event("response.function_call_arguments.delta", item_id="fc_1", output_index=0, delta="{}").end()
    assert responses.fold(responses.events([script.data])).blocks[0].text == "{}"


@pytest.mark.parametrize(
    ("response", "reason", "raw"),
    [
        ({"incomplete_details": {"reason": "max_output_tokens"}}, "length", "max_output_tokens"),
        ({"incomplete_details": {"reason": "content_filter"}}, "content_filter", "content_filter"),
        ({"incomplete_details": {"reason": "interrupted"}}, "stop", "interrupted"),
        ({"incomplete_details": None}, "stop", "incomplete"),
    ],
)
def test_incomplete_is_a_success(responses, script, response, reason, raw):
    events = responses.events([script.created().text("a").end("incomplete", **response).data])
    assert (events[-1].finish_reason, events[-1].raw_reason) == (reason, raw)


def test_nothing_follows_the_terminal_event(responses, script):
    script.created().end().text("late").event("response.failed", response={"error": {"code": "server_error"}})
    assert isinstance(responses.events([script.data])[-1], ev.Stop)


def test_usage_of_a_failed_response_is_kept(responses, script):
    usage = {"input_tokens": 3, "output_tokens": 1}
    events = responses.events([script.created().end("failed", usage=usage, error={"code": "server_error"}).data])
    assert isinstance(events[-2], ev.UsageUpdate)


def test_row_232_and_233_text_is_cut_nowhere_but_at_line_ends(responses, script):
    text = "ü\u2028日\u0085👩‍💻"
    data = script.created().text(text).end().data
    for size in range(1, 5):
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        assert texts(responses.fold(responses.events(chunks))) == [text]


def test_bytes_that_are_no_utf8_do_not_stop_the_stream(responses, script):
    data = script.created().text("a?b").end().data.replace(b"a?b", b"a\xffb")
    assert texts(responses.fold(responses.events([data]))) == ["a\ufffdb"]
