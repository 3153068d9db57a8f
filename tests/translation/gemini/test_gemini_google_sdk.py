"""Google's SDK as oracle: it reads what we encode, and what it sends back is understood. No network, no gateway."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pydantic
import pytest
from google import genai
from google.genai import types
from google.genai.errors import ClientError, ServerError

from translation.codec import ModelInfo, WireContext
from translation.errors import GatewayError, RateLimited, UpstreamFailed
from translation.ir import events as ev
from translation.ir.request import Reasoning, ToolCall, ToolResult
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.gemini import CODEC

pytestmark = pytest.mark.oracle

MODEL = "gpt-5.5"
Answers = Callable[[Any], Sequence[ev.Event]]


class Gateway:
    """Answers the SDK's calls with events; keeps the requests as the codec understood them."""

    def __init__(self, *answers: Sequence[ev.Event]) -> None:
        self._answers = list(answers)
        self.requests: list[Any] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        context = WireContext(
            headers=dict(request.headers),
            path=path,
            params={"model": path.partition("/models/")[2].rpartition(":")[0]},
            query=dict(request.url.params),
        )
        try:
            opened = CODEC.open_request(request.content, context)
            if path.endswith(":countTokens"):
                return httpx.Response(200, content=CODEC.encode_count(CODEC.countable(opened).estimate()))  # type: ignore[attr-defined]
            self.requests.append(CODEC.decode_request(opened))
            return self._answer(opened, self._answers.pop(0))
        except GatewayError as error:
            return refusal(error)

    def _answer(self, opened: Any, events: Sequence[ev.Event]) -> httpx.Response:
        if opened.stream:
            assert opened.media_type is None  # the SDK always asks for events
            return httpx.Response(
                200,
                headers={"content-type": CODEC.stream_media_type},
                content=beaten(CODEC.encoder(opened), events),
            )
        fold = Fold()
        fold.feed(events)
        return httpx.Response(200, content=CODEC.encode_response(fold.result(), opened))


def beaten(encoder: Any, events: Sequence[ev.Event]) -> bytes:
    """A stream with heartbeats everywhere."""
    return b"".join(encoder.heartbeat() + encoder.encode([event]) for event in events)


def refusal(error: GatewayError) -> httpx.Response:
    written = CODEC.encode_error(error)
    return httpx.Response(written.status, headers=written.headers, content=written.body)


def client(handle: Callable[[httpx.Request], httpx.Response]) -> genai.Client:
    transport = httpx.Client(transport=httpx.MockTransport(handle))
    return genai.Client(
        api_key="k", http_options=types.HttpOptions(base_url="http://127.0.0.1:9", httpx_client=transport)
    )


def text(words: str, index: int = 0) -> list[ev.Event]:
    return [
        ev.BlockStart(index=index, kind="text"), ev.TextDelta(index, words[:3]), ev.TextDelta(index, words[3:]),
        ev.BlockStop(index=index),
    ]  # fmt: skip


def called(index: int, name: str, arguments: str) -> list[ev.Event]:
    return [
        ev.BlockStart(index=index, kind="tool_call", call_id=f"call_{index}", name=name),
        ev.ToolCallDelta(index, arguments),
        ev.BlockStop(index=index),
    ]


def thinking(proof: str) -> list[ev.Event]:
    return [
        ev.BlockStart(index=0, kind="reasoning"), ev.ReasoningDelta(0, "hm"),
        ev.BlockStop(index=0, proof=ev.Proof("openai-responses", proof)),
    ]  # fmt: skip


def answer(*blocks: list[ev.Event], reason: Any = "stop") -> list[ev.Event]:
    usage = Usage(input_tokens=10, output_tokens=7, reasoning_tokens=5, total_tokens=17)
    end = ev.Stop(finish_reason=reason, usage=usage)
    return [ev.Start(id="r"), *(event for block in blocks for event in block), end]


def test_the_sdk_reads_a_collected_answer():
    response = client(Gateway(answer(text("Hello")))).models.generate_content(model=MODEL, contents="hi")
    assert response.text == "Hello" and response.model_version == MODEL and response.response_id
    assert response.candidates and response.candidates[0].finish_reason == types.FinishReason.STOP
    usage = response.usage_metadata
    assert usage and (usage.thoughts_token_count, usage.candidates_token_count, usage.total_token_count) == (5, 2, 17)


def test_the_sdk_streams():
    chunks = list(client(Gateway(answer(text("Hello")))).models.generate_content_stream(model=MODEL, contents="hi"))
    assert "".join(chunk.text or "" for chunk in chunks) == "Hello" and len(chunks) == 3
    assert chunks[-1].candidates and chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


async def test_the_asynchronous_sdk_streams():
    gateway = Gateway(answer(text("Hello")))
    transport = httpx.AsyncClient(transport=httpx.MockTransport(gateway))
    options = types.HttpOptions(base_url="http://127.0.0.1:9", httpx_async_client=transport)
    sdk = genai.Client(api_key="k", http_options=options).aio
    stream = await sdk.models.generate_content_stream(model=MODEL, contents="hi")
    assert "".join([chunk.text or "" async for chunk in stream]) == "Hello"
    await transport.aclose()


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_chat_keeps_every_turn(is_streamed):
    gateway = Gateway(answer(text("first")), answer(text("second")))
    chat = client(gateway).chats.create(model=MODEL)
    for words in ("one", "two"):
        if is_streamed:
            list(chat.send_message_stream(words))
        else:
            chat.send_message(words)
    said = [(item.role, "".join(part.text for part in item.parts)) for item in gateway.requests[-1].items]
    assert said == [("user", "one"), ("assistant", "first"), ("user", "two")]


def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_sdk_calls_functions_by_itself(is_streamed, proof):
    calls = answer(
        thinking(proof), called(1, "get_weather", '{"city":"Oslo"}'), called(2, "get_weather", '{"city":"Rome"}'),
        reason="tool_calls",
    )  # fmt: skip
    gateway = Gateway(calls, answer(text("It rains.")))
    chat = client(gateway).chats.create(model=MODEL, config=types.GenerateContentConfig(tools=[get_weather]))
    if is_streamed:
        said = "".join(part.text or "" for chunk in chat.send_message_stream("weather?") for part in parts_of(chunk))
    else:
        said = chat.send_message("weather?").text or ""
    assert said == "It rains."
    items = gateway.requests[-1].items
    assert [type(item) for item in items[1:]] == [Reasoning, ToolCall, ToolCall, ToolResult, ToolResult]
    assert items[1].proof.value == proof
    assert [item.call_id for item in items[2:]] == ["call_1", "call_2", "call_1", "call_2"]
    assert [item.parts[0].text for item in items[4:]] == ["rain in Oslo", "rain in Rome"]
    (tool,) = gateway.requests[0].tools
    assert tool.parameters["properties"]["city"]["type"] == "string"


def parts_of(chunk: types.GenerateContentResponse) -> list[types.Part]:
    candidates = chunk.candidates or []
    return (candidates[0].content.parts or []) if candidates and candidates[0].content else []


def test_the_sdk_shows_thoughts(proof):
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    gateway = Gateway(answer(thinking(proof), text("Done", 1)))
    response = client(gateway).models.generate_content(model=MODEL, contents="hi", config=config)
    assert [(part.text, part.thought) for part in parts_of(response)] == [("hm", True), ("Done", None)]
    assert response.text == "Done" and gateway.requests[0].reasoning.summary == "auto"


class Point(pydantic.BaseModel):
    x: int
    label: str


def test_the_sdk_parses_structured_output():
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Point)
    gateway = Gateway(answer(text('{"x": 1, "label": "p"}')))
    response = client(gateway).models.generate_content(model=MODEL, contents="hi", config=config)
    assert response.parsed == Point(x=1, label="p")
    output = gateway.requests[0].output_format
    assert (output.kind, output.strict) == ("json_schema", True)
    assert output.schema["properties"]["x"]["type"] == "integer"


def test_the_sdk_asks_for_lists_and_enums():
    class Mood(enum.Enum):
        GOOD = "good"
        BAD = "bad"

    gateway = Gateway(answer(text('[{"x":1,"label":"p"}]')), answer(text("good")))
    listed = types.GenerateContentConfig(response_mime_type="application/json", response_schema=list[Point])
    assert client(gateway).models.generate_content(model=MODEL, contents="hi", config=listed).parsed == [
        Point(x=1, label="p")
    ]
    chosen = types.GenerateContentConfig(response_mime_type="text/x.enum", response_schema=Mood)
    assert client(gateway).models.generate_content(model=MODEL, contents="hi", config=chosen).parsed == Mood.GOOD
    assert [request.output_format.kind for request in gateway.requests] == ["json_value", "word"]


def test_the_sdk_reads_pictures_and_sources():
    picture: list[ev.Event] = [
        ev.BlockStart(index=0, kind="image"), ev.ImageDelta(0, "AAEC", "image/jpeg"), ev.BlockStop(index=0),
    ]  # fmt: skip
    cite = ev.Citation(1, {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 3})
    block = [*text("abcdef", 1)[:-1], cite, ev.BlockStop(index=1)]
    config = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    response = client(Gateway(answer(picture, block))).models.generate_content(
        model=MODEL, contents="hi", config=config
    )
    blob = parts_of(response)[0].inline_data
    assert blob and (blob.mime_type, blob.data) == ("image/jpeg", b"\x00\x01\x02")
    assert response.candidates and response.candidates[0].grounding_metadata
    (support,) = response.candidates[0].grounding_metadata.grounding_supports or []
    assert support.segment and support.segment.text == "abc"


def test_the_sdk_counts_tokens():
    assert (client(Gateway()).models.count_tokens(model=MODEL, contents="hello " * 50).total_tokens or 0) > 20


def test_the_sdk_raises_on_errors_before_and_in_the_stream():
    half = [*answer(text("half"))[:-1], ev.Error(UpstreamFailed("The upstream failed."))]
    with pytest.raises(ServerError) as broken:
        list(client(Gateway(half)).models.generate_content_stream(model=MODEL, contents="hi"))
    assert broken.value.status == "INTERNAL" and "upstream failed" in (broken.value.message or "")
    limited = client(lambda request: refusal(RateLimited("Slow down.", retry_after_s=1)))
    with pytest.raises(ClientError) as caught:
        limited.models.generate_content(model=MODEL, contents="hi")
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "retryDelay" in json.dumps(caught.value.details)


def test_the_sdk_reads_models():
    def handle(request: httpx.Request) -> httpx.Response:
        models = [ModelInfo(id=f"m{number}", context_window=1000, efforts=("low",)) for number in range(3)]
        if request.url.path.endswith("/models"):
            return httpx.Response(200, content=CODEC.encode_models(models, WireContext(query=dict(request.url.params))))
        return httpx.Response(200, content=CODEC.encode_model(models[0], WireContext()))

    sdk = client(handle)
    assert [model.name for model in sdk.models.list(config={"page_size": 2})] == [f"models/m{n}" for n in range(3)]
    model = sdk.models.get(model="m0")
    assert model.input_token_limit == 1000 and "countTokens" in (model.supported_actions or [])
