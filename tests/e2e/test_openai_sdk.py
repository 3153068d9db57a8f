"""The official OpenAI SDK through the demo: Chat and Responses, streamed and collected, tools, structured output."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.e2e.conftest import Demo

MODEL = "gpt-5.5"
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CALL_WEATHER = 'How is the weather? [[TOOL:get_weather {"city": "Oslo"}]]'


@pytest.fixture(scope="module")
def client(demo: Demo) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{demo.url}/v1", api_key=demo.key, max_retries=0, timeout=30) as connected:
        yield connected


class Event(BaseModel):
    """What structured output is parsed into."""

    name: str
    day: str


# ---- Chat ----------------------------------------------------------------------------------------------------------


def test_chat_collected(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "[[SAY:Hello there]]"}])
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.usage is not None and answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0


def test_chat_streamed_equals_collected(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "[[SAY:Hello there, ünïcode 👋]]"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Hello there, ünïcode 👋"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_chat_calls_a_tool_and_takes_its_result(client: OpenAI) -> None:
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER_SCHEMA}}]
    messages: list = [{"role": "user", "content": CALL_WEATHER}]
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls or []
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Oslo"}
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "12 °C"}]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert second.choices[0].finish_reason == "stop" and second.choices[0].message.content


def test_chat_streams_tool_calls_that_the_sdk_accumulates(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": CALL_WEATHER}],
        tools=[{"type": "function", "function": {"name": "get_weather", "strict": True, "parameters": WEATHER_SCHEMA}}],
    ) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments) == {"city": "Oslo"}


def test_chat_parses_structured_output(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "When is the party?"}], response_format=Event
    )
    assert isinstance(answer.choices[0].message.parsed, Event)


def test_chat_shows_reasoning(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        reasoning_effort="high",
        messages=[{"role": "user", "content": "[[REASON:Let me think]] [[SAY:Done]]"}],
    )
    assert answer.choices[0].message.content == "Done"
    assert "Let me think" in answer.choices[0].message.model_extra["reasoning_content"]


# ---- Responses -----------------------------------------------------------------------------------------------------


def test_responses_collected(client: OpenAI) -> None:
    answer = client.responses.create(model=MODEL, input="[[SAY:Hello there]]")
    assert answer.output_text == "Hello there"
    assert answer.status == "completed" and answer.model == MODEL
    assert answer.usage is not None and answer.usage.total_tokens > 0


def test_responses_streamed_equals_collected(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="[[SAY:Hello there, ünïcode 👋]]") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == "Hello there, ünïcode 👋"
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert kinds.count("response.completed") == 1


def test_responses_calls_a_tool_and_takes_its_result(client: OpenAI) -> None:
    tools: list = [{"type": "function", "name": "get_weather", "strict": True, "parameters": WEATHER_SCHEMA}]
    first = client.responses.create(model=MODEL, input=CALL_WEATHER, tools=tools)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Oslo"}
    second = client.responses.create(
        model=MODEL,
        tools=tools,
        input=[
            {"role": "user", "content": CALL_WEATHER},
            call.model_dump(exclude_none=True, include={"type", "call_id", "name", "arguments"}),
            {"type": "function_call_output", "call_id": call.call_id, "output": "12 °C"},
        ],
    )
    assert second.output_text


def test_responses_parses_structured_output(client: OpenAI) -> None:
    answer = client.responses.parse(model=MODEL, input="When is the party?", text_format=Event)
    assert isinstance(answer.output_parsed, Event)


# ---- around Responses ----------------------------------------------------------------------------------------------


def test_responses_compact_a_conversation_that_goes_on(client: OpenAI) -> None:
    history: list = [{"role": "user", "content": "Remember the number 42."}]
    compacted = client.responses.compact(model=MODEL, input=history, prompt_cache_key="compacted")
    assert compacted.object == "response.compaction" and compacted.output[-1].type == "compaction"
    assert compacted.usage.total_tokens > 0
    items: list = [item.to_dict(warnings=False) for item in compacted.output]
    items.append({"role": "user", "content": "[[SAY:still here]]"})
    # named, so that it stays on the account that can read what it compacted
    answer = client.responses.create(model=MODEL, input=items, prompt_cache_key="compacted")
    assert answer.output_text == "still here"


def test_responses_input_tokens_are_counted(client: OpenAI) -> None:
    assert client.responses.input_tokens.count(model=MODEL, input="Hello there").input_tokens > 0


def test_responses_cannot_be_fetched(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_1")


@pytest.mark.parametrize("streams", [True, False])
def test_responses_go_on_from_a_previous_response_id(client: OpenAI, streams: bool) -> None:
    tool: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER_SCHEMA, "strict": True}

    def respond(given: Any, previous: str | None = None) -> Any:
        more: Any = {"previous_response_id": previous} if previous else {}
        if not streams:
            return client.responses.create(model=MODEL, input=given, tools=[tool], **more)
        with client.responses.stream(model=MODEL, input=given, tools=[tool], **more) as stream:
            return stream.get_final_response()

    first = respond(CALL_WEATHER)
    [call] = [item for item in first.output if item.type == "function_call"]
    second = respond([{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}], first.id)
    assert second.status == "completed" and second.output_text
    third = respond("And now? [[SAY:still here]]", second.id)
    assert third.output_text == "still here"
    inputs = [each.usage.input_tokens for each in (first, second, third)]
    assert inputs[0] < inputs[1] < inputs[2], "the upstream got the whole conversation each time"


def test_an_unknown_previous_response_id_keeps_the_upstreams_code(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as failure:
        client.responses.create(model=MODEL, input="hi", previous_response_id="resp_unknown")
    assert failure.value.code == "previous_response_not_found"


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")  # the SDK's own use of websockets
def test_responses_over_a_websocket(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        connection.response.create(model=MODEL, input="[[SAY:first]]")
        previous = _websocket_answer(connection, "first")
        connection.response.create(model=MODEL, input="[[SAY:second]]", previous_response_id=previous)
        previous = _websocket_answer(connection, "second")
    third = client.responses.create(model=MODEL, input="[[SAY:third]]", previous_response_id=previous)
    assert third.output_text == "third", "the response outlives its socket"


def _websocket_answer(connection: Any, expected: str) -> str:
    said = ""
    for event in connection:
        if event.type == "response.output_text.delta":
            said += event.delta
        if event.type == "response.completed":
            assert said == expected
            return event.response.id
        assert event.type not in ("response.failed", "error"), event
    raise AssertionError("the socket ended before the answer")


# ---- images --------------------------------------------------------------------------------------------------------


def test_a_picture_is_generated(client: OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-2", prompt="A cat. [[IMAGE:64x32]]", size="1024x1024")
    (picture,) = answer.data or []
    assert base64.b64decode(picture.b64_json or "").startswith(b"\x89PNG")
    assert answer.output_format == "png"


def test_a_picture_is_streamed(client: OpenAI) -> None:
    stream = client.images.generate(prompt="A cat. [[IMAGE:64x32]]", stream=True, partial_images=1)
    events = list(stream)
    assert [event.type for event in events][-1] == "image_generation.completed"
    assert base64.b64decode(events[-1].b64_json).startswith(b"\x89PNG")


def test_a_picture_is_edited_from_an_upload(client: OpenAI) -> None:
    first = client.images.generate(prompt="A cat. [[IMAGE:64x32]]")
    source = base64.b64decode((first.data or [])[0].b64_json or "")
    answer = client.images.edit(image=("cat.png", source, "image/png"), prompt="A dog. [[IMAGE:32x32]]")
    assert base64.b64decode((answer.data or [])[0].b64_json or "").startswith(b"\x89PNG")


# ---- errors and models ---------------------------------------------------------------------------------------------


def test_an_unknown_model_is_a_not_found_error(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "model_not_found"


def test_a_wrong_key_is_an_authentication_error(demo: Demo) -> None:
    url = f"{demo.url}/v1"
    with (
        OpenAI(base_url=url, api_key="cpx-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.responses.create(model=MODEL, input="hi")


def test_an_upstream_refusal_keeps_its_code(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=MODEL, input="[[FAULT:F8 variant=context_length]]", stream=True)
    assert caught.value.code == "context_length_exceeded"


def test_models_are_listed_and_shown(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert MODEL in ids
    assert client.models.retrieve(MODEL).id == MODEL
