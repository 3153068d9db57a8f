"""Google's SDK through the demo: streamed and collected, tools, chats, structured output, counting, models, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from google import genai
from google.genai import types
from google.genai.errors import ClientError
from pydantic import BaseModel

from tests.e2e.conftest import Demo

MODEL = "gpt-5.5"
CALL_WEATHER = 'How is the weather? [[TOOL:get_weather {"city": "Oslo"}]]'
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="Tell the weather.",
            parameters=types.Schema(
                type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}, required=["city"]
            ),
        )
    ]
)


class Event(BaseModel):
    """What structured output is parsed into."""

    name: str
    day: str


def parts_of(answer: types.GenerateContentResponse) -> list[types.Part]:
    """Return what an answer or a chunk says."""
    candidates = answer.candidates or []
    return (candidates[0].content.parts or []) if candidates and candidates[0].content else []


@pytest.fixture(scope="module", params=[None, "v1beta"])
def client(demo: Demo, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=demo.url, api_version=request.param, timeout=30_000)
    connected = genai.Client(api_key=demo.key, http_options=options)
    yield connected
    connected.close()


def test_collected(client: genai.Client) -> None:
    answer = client.models.generate_content(model=MODEL, contents="[[SAY:Hello there]]")
    assert answer.text == "Hello there" and answer.model_version == MODEL
    assert answer.candidates and answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata and (answer.usage_metadata.prompt_token_count or 0) > 0


def test_streamed_equals_collected(client: genai.Client) -> None:
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="[[SAY:Hello there, ünïcode 👋]]"))
    assert "".join(chunk.text or "" for chunk in chunks) == "Hello there, ünïcode 👋"
    assert chunks[-1].candidates and chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata is not None


def test_a_borrowed_model_name_is_served(client: genai.Client) -> None:
    assert client.models.generate_content(model="gemini-2.5-pro", contents="[[SAY:Here]]").text == "Here"


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_tool_is_called_and_its_result_taken(client: genai.Client, is_streamed: bool) -> None:
    config = types.GenerateContentConfig(tools=[WEATHER])
    contents: list = [types.Content(role="user", parts=[types.Part(text=CALL_WEATHER)])]
    if is_streamed:
        chunks = list(client.models.generate_content_stream(model=MODEL, contents=contents, config=config))
    else:
        chunks = [client.models.generate_content(model=MODEL, contents=contents, config=config)]
    parts = [part for chunk in chunks for part in parts_of(chunk)]
    (call,) = [part.function_call for part in parts if part.function_call]
    assert (call.name, call.args) == ("get_weather", {"city": "Oslo"}) and call.id
    contents += [
        types.Content(role="model", parts=parts),
        types.Content(
            role="user", parts=[types.Part.from_function_response(name="get_weather", response={"result": "12 °C"})]
        ),
    ]
    assert client.models.generate_content(model=MODEL, contents=contents, config=config).text


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_sdk_calls_python_functions_by_itself(client: genai.Client, is_streamed: bool) -> None:
    cities: list[str] = []

    def get_weather(city: str) -> str:
        """Tell the weather."""
        cities.append(city)
        return "12 °C"

    chat = client.chats.create(model=MODEL, config=types.GenerateContentConfig(tools=[get_weather]))
    if is_streamed:
        said = "".join(chunk.text or "" for chunk in chat.send_message_stream(CALL_WEATHER))
    else:
        said = chat.send_message(CALL_WEATHER).text or ""
    assert said and cities == ["Oslo"]


def test_a_streamed_chat_remembers_its_turns(client: genai.Client) -> None:
    chat = client.chats.create(model=MODEL)
    list(chat.send_message_stream("[[SAY:first]]"))
    list(chat.send_message_stream("[[SAY:second]]"))
    assert [content.role for content in chat.get_history(curated=True)].count("user") == 2


def test_structured_output(client: genai.Client) -> None:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Event)
    assert isinstance(
        client.models.generate_content(model=MODEL, contents="When is the party?", config=config).parsed, Event
    )
    listed = types.GenerateContentConfig(response_mime_type="application/json", response_schema=list[Event])
    parsed = client.models.generate_content(model=MODEL, contents="Which parties?", config=listed).parsed
    assert isinstance(parsed, list) and all(isinstance(entry, Event) for entry in parsed)
    chosen = types.GenerateContentConfig(
        response_mime_type="text/x.enum", response_schema={"type": "STRING", "enum": ["good", "bad"]}
    )
    assert client.models.generate_content(model=MODEL, contents="Mood?", config=chosen).text in ("good", "bad")


def test_thoughts_are_shown(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=8192)
    )
    answer = client.models.generate_content(model=MODEL, contents="[[REASON:Let me think]] [[SAY:Done]]", config=config)
    parts = parts_of(answer)
    assert answer.text == "Done" and any(part.thought and "Let me think" in (part.text or "") for part in parts)


def test_tokens_are_counted(client: genai.Client) -> None:
    assert (client.models.count_tokens(model=MODEL, contents="hello " * 100).total_tokens or 0) > 50


def test_models_are_listed_and_shown(client: genai.Client) -> None:
    assert f"models/{MODEL}" in [model.name for model in client.models.list()]
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"


def test_errors_are_googles(client: genai.Client) -> None:
    with pytest.raises(ClientError) as missing:
        client.models.generate_content(model="no-such-model", contents="hi")
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")
    with pytest.raises(ClientError) as refused:
        client.models.generate_content(model=MODEL, contents="[[FAULT:F8 variant=context_length]]")
    assert (refused.value.code, refused.value.status) == (400, "INVALID_ARGUMENT")


def test_without_alt_a_stream_is_one_json_array(demo: Demo) -> None:
    answer = httpx.post(
        f"{demo.url}/v1beta/models/{MODEL}:streamGenerateContent",
        params={"key": demo.key},
        json={"contents": [{"parts": [{"text": "[[SAY:Hello there]]"}]}]},
    )
    assert answer.headers["content-type"].startswith("application/json")
    parts = [part for chunk in json.loads(answer.text) for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == "Hello there"
