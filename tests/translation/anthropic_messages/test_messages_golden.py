"""Real bodies of Claude Code and what they mean."""

from __future__ import annotations

from pathlib import Path

import msgspec

from translation.codec import WireContext
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
