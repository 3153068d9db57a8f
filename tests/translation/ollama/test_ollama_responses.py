"""Lines of a stream and collected answers. Rows: spec/translation.md §15.7."""

from __future__ import annotations

from typing import Any

import pytest

from translation.errors import ModelNotFound, RateLimited, UpstreamFailed
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.ollama import CODEC

GENERATE = "/api/generate"
CREATED = "2025-11-23T12:13:20.750000000Z"
USAGE = Usage(input_tokens=10, cached_tokens=4, output_tokens=6, reasoning_tokens=2)
STOP = ev.Stop(finish_reason="stop", usage=USAGE)


def answer(*blocks: list[ev.Event], stop: ev.Stop = STOP) -> list[ev.Event]:
    return [ev.Start(id="r"), *(event for block in blocks for event in block), stop]


def text(*pieces: str, index: int = 0) -> list[ev.Event]:
    return [
        ev.BlockStart(index=index, kind="text"),
        *(ev.TextDelta(index, p) for p in pieces),
        ev.BlockStop(index=index),
    ]


def thought(*pieces: str, index: int = 0) -> list[ev.Event]:
    deltas = [ev.ReasoningDelta(index, piece, part) for part, piece in enumerate(pieces)]
    return [ev.BlockStart(index=index, kind="reasoning"), *deltas, ev.BlockStop(index=index)]


def call(*pieces: str, index: int = 0, name: str = "add") -> list[ev.Event]:
    start = ev.BlockStart(index=index, kind="tool_call", call_id=f"call_{index}", name=name)
    return [start, *(ev.ToolCallDelta(index, piece) for piece in pieces), ev.BlockStop(index=index)]


class Clock:
    """A clock that moves a second with every look."""

    def __init__(self) -> None:
        self.now_s = 1_763_900_000.75

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_row_210_the_last_line_repeats_nothing(app):
    lines = app.lines(answer(thought("hm"), text("Hel", "lo", index=1)))
    assert [line["message"].get("content") for line in lines] == ["", "Hel", "lo", ""]
    last = lines[-1]
    assert last == {
        "model": "gpt-5.5",
        "created_at": CREATED,
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 10,
        "eval_count": 6,
    }


def test_row_214_an_error_in_the_middle_is_a_line_and_the_end(app):
    encoder = CODEC.encoder(app.open())
    out = encoder.encode([ev.Start(id="r"), *text("Hel")[:2]])
    out += encoder.encode([ev.Error(UpstreamFailed("it broke")), *answer(text("late"))])
    lines = app.parse(out)
    assert lines[-1] == {"error": "it broke"} and not any(line.get("done") for line in lines)
    assert encoder.encode(text("later")) == b"" and encoder.heartbeat() == b""


# ---- lines ----------------------------------------------------------------------------------------------------------


def test_a_line_of_text(app):
    assert app.lines(answer(text("hi")))[0] == {
        "model": "gpt-5.5",
        "created_at": CREATED,
        "message": {"role": "assistant", "content": "hi"},
        "done": False,
    }


def test_a_line_of_a_generated_text(app):
    lines = app.lines(answer(thought("hm"), text("hi", index=1)), GENERATE)
    head = {"model": "gpt-5.5", "created_at": CREATED}
    assert lines[:2] == [
        {**head, "response": "", "thinking": "hm", "done": False},
        {**head, "response": "hi", "done": False},
    ]
    assert lines[2] == {
        **head,
        "response": "",
        "done": True,
        "done_reason": "stop",
        "context": [],
        "prompt_eval_count": 10,
        "eval_count": 6,
    }


def test_the_model_is_shown_as_it_was_written(app):
    assert {line["model"] for line in app.lines(answer(text("hi")), model="gpt-5.5:latest")} == {"gpt-5.5:latest"}
    assert app.collect(answer(text("hi")), model="gpt-5.5:latest")["model"] == "gpt-5.5:latest"


def test_thinking_paragraphs_are_apart(app):
    lines = app.lines(answer(thought("one", "two"), text("x", index=1)))
    assert "".join(line["message"].get("thinking", "") for line in lines) == "one\n\ntwo"


def test_thinking_that_was_switched_off_is_not_shown(app):
    events = answer(thought("one"), text("x", index=1))
    assert all("thinking" not in line["message"] for line in app.lines(events, think=False))
    assert "thinking" not in app.collect(events, think=False)["message"]


def test_a_call_is_sent_whole_before_the_last_line(app):
    lines = app.lines(answer(call('{"a"', ":1}"), stop=ev.Stop(finish_reason="tool_calls")))
    assert len(lines) == 2
    assert lines[0]["done"] is False and lines[0]["message"] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_0", "function": {"index": 0, "name": "add", "arguments": {"a": 1}}}],
    }
    assert lines[1]["done_reason"] == "stop" and "tool_calls" not in lines[1]["message"]


def test_interleaved_calls_leave_in_the_order_they_were_opened(app):
    one, two = call('{"a":1}', index=0), call('{"a":2}', index=1)
    events = [ev.Start(id="r"), one[0], two[0], two[1], two[2], one[1], one[2], STOP]
    calls = [line["message"]["tool_calls"][0]["function"] for line in app.lines(events)[:-1]]
    assert [(c["index"], c["arguments"]["a"]) for c in calls] == [(0, 1), (1, 2)]


def test_a_call_without_arguments_has_an_empty_object(app):
    assert app.lines(answer(call()))[0]["message"]["tool_calls"][0]["function"]["arguments"] == {}


def test_a_call_that_was_cut_off_is_left_out(app):
    events = answer(call('{"a": '), stop=ev.Stop(finish_reason="length"))
    (last,) = app.lines(events)
    assert last["done_reason"] == "length"
    assert "tool_calls" not in app.collect(events)["message"]


@pytest.mark.parametrize(
    ("reason", "word"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "stop"), ("content_filter", "stop"), ("refusal", "stop")],
)
def test_reasons_are_ollamas_words(app, reason: Any, word):
    events = answer(text("x"), stop=ev.Stop(finish_reason=reason))
    assert app.lines(events)[-1]["done_reason"] == word == app.collect(events)["done_reason"]


def test_a_refusal_is_what_the_model_said(app):
    events = answer([ev.BlockStart(index=0, kind="refusal"), ev.RefusalDelta(0, "no"), ev.BlockStop(index=0)])
    assert app.lines(events)[0]["message"]["content"] == "no" == app.collect(events)["message"]["content"]


def test_a_picture_is_shown_by_generate_and_told_by_chat_which_has_no_place_for_it(app):
    block = [
        ev.BlockStart(index=0, kind="image"),
        ev.ImageDelta(0, "cGFydA==", partial=True),
        ev.ImageDelta(0, "d2hvbGU="),
        ev.BlockStop(index=0),
    ]
    message = app.lines(answer(block))[0]["message"]
    assert "made a picture (image/png)" in message["content"] and "images" not in message
    assert app.collect(answer(block))["message"] == message
    assert app.lines(answer(block), GENERATE)[0]["image"] == "d2hvbGU="


def test_usage_may_come_before_the_end(app):
    events = [ev.Start(id="r"), ev.UsageUpdate(USAGE), *text("x"), ev.Stop(finish_reason="stop")]
    assert app.lines(events)[-1]["eval_count"] == 6 == app.collect(events)["eval_count"]


def test_counts_nobody_gave_are_not_made_up(app):
    events = answer(text("x"), stop=ev.Stop(finish_reason="stop"))
    assert not {"eval_count", "prompt_eval_count", "total_duration"} & set(app.lines(events)[-1])


def test_durations_are_what_the_clock_says(app):
    last = app.parse(app.stream(answer(text("x")), clock=Clock()))[-1]
    assert (last["total_duration"], last["prompt_eval_duration"], last["eval_duration"]) == (2 * 10**9, 10**9, 10**9)
    assert "load_duration" not in last
    whole = app.collect(answer(text("x")), clock=Clock())
    assert whole["total_duration"] == whole["eval_duration"] == 10**9 and "prompt_eval_duration" not in whole


def test_durations_are_never_zero(app):
    for events in (answer(text("x")), answer()):
        last = app.lines(events, clock=lambda: 1_763_900_000.75)[-1]
        assert all(value > 0 for name, value in last.items() if name.endswith("_duration"))


def test_a_heartbeat_is_an_empty_line_of_the_dialect(app):
    (line,) = app.parse(CODEC.encoder(app.open()).heartbeat())
    assert line["message"]["content"] == "" and line["done"] is False
    (line,) = app.parse(CODEC.encoder(app.open(GENERATE)).heartbeat())
    assert line["response"] == "" and line["done"] is False


def test_a_lone_surrogate_passes(app):
    assert b'"\\ud83d"' in app.stream(answer(text("\ud83d")))


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_an_error_is_one_sentence():
    error = CODEC.encode_error(RateLimited("Wait a little.", retry_after_s=1.2))
    assert (error.status, error.body) == (429, b'{"error":"Wait a little."}')
    assert error.headers["retry-after"] == "2"
    assert CODEC.encode_error(ModelNotFound("model 'x' not found")).status == 404


def test_text_that_clients_take_for_a_line_end_is_escaped(app):
    """The ollama package reads lines as httpx cuts them: at U+0085, U+2028 and U+2029, too."""
    events = answer(text("a\u2028b\u2029c\u0085d"))
    data = app.stream(events)
    assert len(data.decode().splitlines()) == len(data.split(b"\n")) - 1
    assert app.parse(data)[0]["message"]["content"] == "a\u2028b\u2029c\u0085d"
    call = [
        ev.BlockStart(index=0, kind="tool_call", call_id="call_1", name="f"),
        ev.ToolCallDelta(0, '{"a":"\u2028"}'),
        ev.BlockStop(index=0),
    ]
    assert len(app.stream(answer(call)).decode().splitlines()) == 2
