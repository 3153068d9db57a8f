"""Real bodies of Claude Code and what they mean; and every Responses transcript as a Messages client sees it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from translation import registry
from translation.codec import WireContext
from translation.errors import GatewayError
from translation.ir import grammar
from translation.ir.response import Fold
from translation.protocols.anthropic_messages import CODEC
from translation.wire.ids import counting_ids

GOLDEN = Path(__file__).parents[2] / "golden"


def open_case(case: str):
    body = (GOLDEN / "anthropic-messages" / case / "request.json").read_bytes()
    return CODEC.open_request(body, WireContext(ids=counting_ids()))


def test_a_real_body_means_what_it_meant(golden, anthropic_messages_case):
    request = CODEC.decode_request(open_case(anthropic_messages_case))
    text = msgspec.json.format(msgspec.json.encode(request), indent=1).decode() + "\n"
    golden("anthropic-messages", anthropic_messages_case).expect("request.ir.json", text)


def test_a_real_body_becomes_a_body_of_known_keys(messages, anthropic_messages_case):
    opened = open_case(anthropic_messages_case)
    sent = messages.upstream_of(opened)
    assert opened.identity.session and opened.stream
    assert "x-anthropic-billing-header" not in sent["instructions"]
    assert sent["store"] is False and sent["reasoning"] == {"effort": "xhigh", "summary": "auto"}
    assert not {"max_tokens", "messages", "system", "thinking", "metadata"} & set(sent)
    assert all(set(tool) <= {"type", "name", "description", "parameters", "strict"} for tool in sent["tools"])
    (read,) = [tool for tool in sent["tools"] if tool["name"] == "Read"]
    assert "never send an empty string" in read["parameters"]["properties"]["pages"]["description"]


def test_every_transcript_streams_and_collects_to_the_same_answer(messages, added_up, cuts, openai_responses_case):
    data = (GOLDEN / "openai-responses" / openai_responses_case / "stream.sse").read_bytes()
    body = {
        "thinking": {"type": "adaptive"},
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    }
    for pieces in cuts(data):
        decoder = registry.get_upstream("openai-responses").decoder()
        events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()
        grammar.check(events)
        frames = messages.frames(events, **body)
        fold = Fold()
        fold.feed(events)
        if fold.error is not None:
            assert frames[-1]["type"] == "error"
            with pytest.raises(GatewayError):
                fold.result()
            continue
        assert added_up(frames) | {"id": ""} == messages.collect(events, **body) | {"id": ""}
