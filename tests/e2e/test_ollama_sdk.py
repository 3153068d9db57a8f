"""The ollama package through the demo's main port: chat, generate, tools, models, errors."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import ollama
import pytest

from tests.e2e.conftest import Demo

MODEL = "gpt-5.5"
CALL_WEATHER = 'How is the weather? [[TOOL:get_weather {"city": "Oslo"}]]'
SAY = [{"role": "user", "content": "[[SAY:Hello there, ünïcode 👋]]"}]


@pytest.fixture(scope="module")
def client(demo: Demo) -> Iterator[ollama.Client]:
    with ollama.Client(host=demo.url, headers={"authorization": f"Bearer {demo.key}"}, trust_env=False) as found:
        yield found


def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where
    """
    return f"12 °C in {city}"


def test_chat_collected(client: ollama.Client) -> None:
    answer = client.chat(MODEL, SAY)
    assert answer.message.content == "Hello there, ünïcode 👋"
    assert answer.done and answer.done_reason == "stop" and answer.model == MODEL
    assert (answer.eval_count or 0) > 0 and (answer.eval_duration or 0) > 0


def test_chat_streamed_equals_collected(client: ollama.Client) -> None:
    parts = list(client.chat(MODEL, SAY, stream=True))
    assert "".join(part.message.content or "" for part in parts) == "Hello there, ünïcode 👋"
    assert parts[-1].done and not any(part.done for part in parts[:-1])
    assert parts[-1].message.content == "" and (parts[-1].total_duration or 0) > 0


def test_generate_collected_and_streamed(client: ollama.Client) -> None:
    assert client.generate(MODEL, "[[SAY:Hello]]").response == "Hello"
    assert (
        "".join(part.response or "" for part in client.generate(f"{MODEL}:latest", "[[SAY:Hello]]", stream=True))
        == "Hello"
    )


def test_a_tool_is_called_and_its_result_taken(client: ollama.Client) -> None:
    messages: list = [{"role": "user", "content": CALL_WEATHER}]
    first = client.chat(MODEL, messages, tools=[get_weather])
    (call,) = first.message.tool_calls or []
    assert call.function.name == "get_weather" and call.function.arguments == {"city": "Oslo"}
    messages += [first.message, {"role": "tool", "tool_name": "get_weather", "content": "12 °C"}]
    assert client.chat(MODEL, messages, tools=[get_weather]).message.content


def test_thinking_is_shown_when_asked_for(client: ollama.Client) -> None:
    messages = [{"role": "user", "content": "[[REASON:Let me think]] [[SAY:Done]]"}]
    answer = client.chat(MODEL, messages, think="high")
    assert answer.message.content == "Done" and "Let me think" in (answer.message.thinking or "")


def test_models_are_listed_and_shown(client: ollama.Client) -> None:
    assert MODEL in [model.model for model in client.list().models]
    shown = client.show(MODEL)
    assert "tools" in (shown.capabilities or []) and shown.modelinfo
    assert client.ps().models == []
    assert client.pull(MODEL).status == "success"


def test_loading_answers_at_once(client: ollama.Client) -> None:
    assert client.generate(MODEL).done_reason == "load"


def test_errors_have_their_status(client: ollama.Client, demo: Demo) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat("no-such-model", SAY)
    assert caught.value.status_code == 404 and "no-such-model" in caught.value.error
    with ollama.Client(host=demo.url, trust_env=False) as stranger, pytest.raises(ollama.ResponseError) as refused:
        stranger.chat(MODEL, SAY)
    assert refused.value.status_code == 401
    assert httpx.get(f"{demo.url}/api/version").status_code == 401
