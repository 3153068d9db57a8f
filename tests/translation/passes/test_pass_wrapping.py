"""Answers that are no object: wrapped for the upstream, unwrapped for the client."""

from __future__ import annotations

from typing import Any

import pytest

from translation.errors import UpstreamFailed
from translation.ir import events as ev
from translation.ir.request import GenerateRequest, OutputFormat
from translation.passes.wrapping import wrap


def asked(kind: Any, schema: dict[str, Any]) -> GenerateRequest:
    return GenerateRequest(model="m", items=(), output_format=OutputFormat(kind=kind, schema=schema, strict=True))


def block(*pieces: str) -> list[ev.Event]:
    deltas = [ev.TextDelta(0, piece) for piece in pieces]
    return [ev.BlockStart(index=0, kind="text"), *deltas, ev.BlockStop(index=0), ev.Stop(finish_reason="stop")]


def unwrapped(kind: Any, *pieces: str) -> str:
    inverse = wrap(asked(kind, {"type": "string"}))[1]
    assert inverse is not None
    events = [event for single in block(*pieces) for event in inverse.inbound([single])]
    return "".join(event.text for event in events if isinstance(event, ev.TextDelta))


@pytest.mark.parametrize("kind", ["json_schema", "json_object"])
def test_an_object_stays_as_it_is(kind):
    request = asked(kind, {"type": "object"})
    assert wrap(request) == (request, None)
    plain = GenerateRequest(model="m", items=())
    assert wrap(plain) == (plain, None)


def test_the_schema_becomes_the_property_of_an_object_and_definitions_stay_at_the_root():
    schema = {"type": "array", "items": {"$ref": "#/$defs/P"}, "$defs": {"P": {"type": "string"}}}
    wrapped, _ = wrap(asked("json_value", schema))
    assert wrapped.output_format is not None and wrapped.output_format.kind == "json_schema"
    assert wrapped.output_format.schema == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"$ref": "#/$defs/P"}}},
        "required": ["value"],
        "additionalProperties": False,
        "$defs": {"P": {"type": "string"}},
    }
    assert wrap(wrapped) == (wrapped, None)


@pytest.mark.parametrize(
    ("kind", "said", "text"),
    [
        ("json_value", '{"value": [1, "é"]}', '[1,"é"]'),
        ("json_value", '{"value": 123456789012345678901234567890}', "123456789012345678901234567890"),
        ("json_value", '{"value":"yes"}', '"yes"'),
        ("word", '{"value":"yes"}', "yes"),
        ("word", '{"value":"ye', '{"value":"ye'),
        ("word", '{"other":"yes"}', '{"other":"yes"}'),
        ("word", "", ""),
    ],
)
def test_the_object_is_taken_away_again_and_broken_text_is_said_as_it_came(kind, said, text):
    assert unwrapped(kind, said) == text
    assert unwrapped(kind, *said) == text


def test_a_cut_answer_still_says_what_was_said():
    inverse = wrap(asked("word", {"type": "string"}))[1]
    assert inverse is not None
    events = inverse.inbound([*block('{"val')[:2], ev.Error(UpstreamFailed("gone"))])
    assert [type(event) for event in events] == [ev.BlockStart, ev.TextDelta, ev.Error]


def test_other_blocks_pass():
    inverse = wrap(asked("word", {"type": "string"}))[1]
    assert inverse is not None
    call = [ev.BlockStart(index=0, kind="tool_call", name="f"), ev.ToolCallDelta(0, "{}"), ev.BlockStop(index=0)]
    assert inverse.inbound(call) == call and not inverse.is_finished
