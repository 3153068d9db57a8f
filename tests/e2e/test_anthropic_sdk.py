"""The official Anthropic SDK through the demo: collected and streamed, tools, thinking, counting, models, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import Anthropic

from tests.e2e.conftest import Demo

MODEL = "claude-of-some-kind"
"""The SDK warns of names that it knows to be retired; any name of the family is served."""
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL_WEATHER = 'How is the weather? [[TOOL:get_weather {"city": "Oslo"}]]'
THINKING: Any = {"type": "enabled", "budget_tokens": 2000}


@pytest.fixture(scope="module")
def client(demo: Demo) -> Iterator[Anthropic]:
    with Anthropic(base_url=demo.url, api_key=demo.key, max_retries=0, timeout=30) as connected:
        yield connected


def asked(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_collected_message(client: Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=100, messages=asked("[[SAY:Hello there]]"))
    assert [block.text for block in message.content if block.type == "text"] == ["Hello there"]
    assert (message.stop_reason, message.model) == ("end_turn", MODEL)
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0
    assert message._request_id


def test_a_streamed_message(client: Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=100, messages=asked("[[SAY:Hëllo 👋 there]]")) as stream:
        assert "".join(stream.text_stream) == "Hëllo 👋 there"
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn" and message.usage.output_tokens > 0


def test_a_tool_goes_round(client: Anthropic) -> None:
    turns = asked(CALL_WEATHER)
    with client.messages.stream(model=MODEL, max_tokens=100, messages=turns, tools=[WEATHER]) as stream:
        message = stream.get_final_message()
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert (call.name, call.input, message.stop_reason) == ("get_weather", {"city": "Oslo"}, "tool_use")
    turns += [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
    ]
    final = client.messages.create(model=MODEL, max_tokens=100, messages=turns, tools=[WEATHER])
    assert final.stop_reason == "end_turn" and final.content[0].type == "text"


def test_thinking_goes_round_with_its_signature(client: Anthropic) -> None:
    turns = asked("[[REASON:Let me see]] [[SAY:Done]]")
    with client.messages.stream(model=MODEL, max_tokens=4000, messages=turns, thinking=THINKING) as stream:
        message = stream.get_final_message()
    thought, text = message.content
    assert thought.type == "thinking" and "Let me see" in thought.thinking and thought.signature.startswith("gAAAA")
    assert text.type == "text" and text.text == "Done"
    turns += [{"role": "assistant", "content": message.content}, *asked("[[SAY:Again]]")]
    again = client.messages.create(model=MODEL, max_tokens=4000, messages=turns, thinking=THINKING)
    assert [block.text for block in again.content if block.type == "text"] == ["Again"]


def test_thinking_is_not_shown_to_those_who_did_not_ask(client: Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=99, messages=asked("[[REASON:Hm]] [[SAY:Done]]"))
    assert [block.type for block in message.content] == ["text"]


def test_a_stop_sequence_cuts_the_answer(client: Anthropic) -> None:
    message = client.messages.create(
        model=MODEL, max_tokens=99, messages=asked("[[SAY:one two END three]]"), stop_sequences=["END"]
    )
    assert message.content[0].type == "text" and message.content[0].text == "one two "
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")


def test_a_search_is_told(client: Anthropic) -> None:
    message = client.messages.create(
        model=MODEL, max_tokens=99, messages=asked("[[SEARCH:tea]]"),
        tools=[{"type": "web_search_20250305", "name": "web_search"}],
    )  # fmt: skip
    kinds = [block.type for block in message.content]
    assert kinds[:2] == ["server_tool_use", "web_search_tool_result"] and message.stop_reason == "end_turn"


def test_tokens_are_counted_without_an_upstream(client: Anthropic) -> None:
    few = client.messages.count_tokens(model=MODEL, messages=asked("short")).input_tokens
    many = client.messages.count_tokens(model=MODEL, messages=asked("long " * 1000), tools=[WEATHER]).input_tokens
    assert 0 < few < 50 < 1000 < many < 3000


def test_models_are_listed_and_retrieved(client: Anthropic) -> None:
    models = list(client.models.list())
    assert models and all(model.type == "model" and model.display_name for model in models)
    assert client.models.retrieve(models[0].id).id == models[0].id


def test_errors_are_the_sdks_own_classes(client: Anthropic, demo: Demo) -> None:
    with (
        Anthropic(base_url=demo.url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError) as refused,
    ):
        stranger.messages.create(model=MODEL, max_tokens=9, messages=asked("hi"))
    assert refused.value.request_id
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody-knows-it", max_tokens=9, messages=asked("hi"))
    with pytest.raises(anthropic.BadRequestError, match="file store"):
        client.messages.create(
            model=MODEL, max_tokens=9,
            messages=[{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}],  # type: ignore[list-item]
        )  # fmt: skip
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.list()


def test_probes_and_telemetry_are_answered_at_once(demo: Demo) -> None:
    assert httpx.head(demo.url).status_code == 200
    assert httpx.get(demo.url).json()["status"] == "ok"
    browser = httpx.get(demo.url, headers={"accept": "text/html,*/*"})
    assert browser.is_redirect and browser.headers["location"].startswith("/admin/")
    assert httpx.post(f"{demo.url}/api/event_logging/batch", json={"events": []}).status_code == 204
    assert httpx.post(f"{demo.url}/api/claude_code/metrics", content=b"x" * 100_000).status_code == 204
