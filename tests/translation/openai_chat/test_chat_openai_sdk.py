"""The openai SDK reads what we write: an oracle that outranks our opinion (spec/clients.md §6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import openai
import pydantic
import pytest

from translation.codec import ModelInfo, WireContext
from translation.errors import RateLimited, UpstreamFailed
from translation.ir import events as ev
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.openai_chat import CODEC
from translation.wire.ids import counting_ids

pytestmark = pytest.mark.oracle

USAGE = Usage(input_tokens=10, cached_tokens=4, output_tokens=6, reasoning_tokens=2, total_tokens=16)
USER: list[Any] = [{"role": "user", "content": "hi"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "add",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    },
}


def gateway(events: Sequence[ev.Event]) -> Callable[[httpx.Request], httpx.Response]:
    """A server that decodes the SDK's request for real and answers with `events`."""

    def handle(request: httpx.Request) -> httpx.Response:
        context = WireContext(headers=dict(request.headers), now_s=1_763_900_000, ids=counting_ids())
        opened = CODEC.open_request(request.content, context)
        CODEC.decode_request(opened)
        if opened.stream:
            return httpx.Response(
                200,
                headers={"content-type": CODEC.stream_media_type},
                content=CODEC.encoder(opened).heartbeat() + CODEC.encoder(opened).encode(events),
            )
        fold = Fold()
        fold.feed(events)
        return httpx.Response(200, content=CODEC.encode_response(fold.result(), opened))

    return handle


def client(handler: Callable[[httpx.Request], httpx.Response]) -> openai.OpenAI:
    return openai.OpenAI(
        api_key="k",
        base_url="http://gateway.invalid/v1",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(handler)),
    )


def answer(*blocks: list[ev.Event], reason: Any = "stop") -> list[ev.Event]:
    return [
        ev.Start(id="r"),
        *(event for block in blocks for event in block),
        ev.Stop(finish_reason=reason, usage=USAGE),
    ]


def text(*pieces: str, index: int = 0) -> list[ev.Event]:
    deltas = [ev.TextDelta(index, piece) for piece in pieces]
    return [ev.BlockStart(index=index, kind="text"), *deltas, ev.BlockStop(index=index)]


def call(*pieces: str, index: int, call_id: str) -> list[ev.Event]:
    start = ev.BlockStart(index=index, kind="tool_call", call_id=call_id, name="add")
    return [start, *(ev.ToolCallDelta(index, piece) for piece in pieces), ev.BlockStop(index=index)]


def reasoning(index: int) -> list[ev.Event]:
    return [
        ev.BlockStart(index=index, kind="reasoning", item_id=f"rs_{index}"),
        ev.ReasoningDelta(index, "hm"),
        ev.BlockStop(index=index, proof=ev.Proof("openai-responses", f"gAAAA{index}")),
    ]


RICH = answer(
    reasoning(0),
    reasoning(1),
    [ev.BlockStart(index=2, kind="image"), ev.ImageDelta(2, "QUJD"), ev.ImageDelta(2, "QkJC"), ev.BlockStop(index=2)],
    text("Hel", "lo", index=3),
    call('{"a"', ":1}", index=4, call_id="c1"),
    call('{"a":2}', index=5, call_id="c2"),
    reason="tool_calls",
)


def test_the_sdk_reads_a_collected_answer():
    completion = client(gateway(RICH)).chat.completions.create(model="gpt-5.5", messages=USER)
    choice = completion.choices[0]
    assert choice.message.content == "Hello" and choice.finish_reason == "tool_calls"
    assert [c.function.arguments for c in choice.message.tool_calls or [] if c.type == "function"] == [
        '{"a":1}',
        '{"a":2}',
    ]
    assert completion.usage and completion.usage.prompt_tokens_details
    assert completion.usage.prompt_tokens_details.cached_tokens == 4


def test_the_sdk_reads_a_stream():
    stream = client(gateway(RICH)).chat.completions.create(
        model="gpt-5.5", messages=USER, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[-1].usage and chunks[-1].usage.total_tokens == 16 and chunks[-1].choices == []
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)


def test_the_sdk_reads_a_stream_asynchronously():
    async def run() -> str:
        sdk = openai.AsyncOpenAI(
            api_key="k",
            base_url="http://gateway.invalid/v1",
            http_client=httpx.AsyncClient(transport=httpx.MockTransport(gateway(answer(text("a", "b"))))),
        )
        stream = await sdk.chat.completions.create(model="gpt-5.5", messages=USER, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(run()) == "ab"


def test_the_sdks_accumulator_equals_the_collected_answer():
    sdk = client(gateway(RICH))
    with sdk.chat.completions.stream(model="gpt-5.5", messages=USER, tools=[TOOL]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    collected = sdk.chat.completions.create(model="gpt-5.5", messages=USER)
    streamed, whole = final.choices[0].message.model_dump(), collected.choices[0].message.model_dump()
    for name in ("content", "role", "reasoning_content"):
        assert streamed[name] == whole[name]
    assert [(d["data"], d["id"]) for d in streamed["reasoning_details"]] == [("gAAAA0", "rs_0"), ("gAAAA1", "rs_1")]
    assert streamed["images"] == whole["images"]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in streamed["tool_calls"]] == [
        (c["id"], c["function"]["name"], c["function"]["arguments"]) for c in whole["tool_calls"]
    ]
    assert final.choices[0].message.tool_calls[0].function.parsed_arguments == {"a": 1}
    assert {"content.delta", "content.done", "tool_calls.function.arguments.done"} <= kinds


class Point(pydantic.BaseModel):
    x: int
    label: str


def test_the_sdk_parses_structured_output():
    sdk = client(gateway(answer(text('{"x": 1,', ' "label": "p"}'))))
    parsed = sdk.chat.completions.parse(model="gpt-5.5", messages=USER, response_format=Point)
    assert parsed.choices[0].message.parsed == Point(x=1, label="p")
    with sdk.chat.completions.stream(model="gpt-5.5", messages=USER, response_format=Point) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.parsed == Point(x=1, label="p")


def test_the_sdk_sees_a_refusal():
    events = answer(
        [ev.BlockStart(index=0, kind="refusal"), ev.RefusalDelta(0, "no"), ev.BlockStop(index=0)], reason="refusal"
    )
    sdk = client(gateway(events))
    assert sdk.chat.completions.create(model="gpt-5.5", messages=USER).choices[0].message.refusal == "no"
    with sdk.chat.completions.stream(model="gpt-5.5", messages=USER) as stream:
        assert [event.delta for event in stream if event.type == "refusal.delta"] == ["no"]


def test_the_sdk_raises_on_a_length_stop_when_parsing():
    sdk = client(gateway(answer(text('{"x'), reason="length")))
    with pytest.raises(openai.LengthFinishReasonError):
        sdk.chat.completions.parse(model="gpt-5.5", messages=USER, response_format=Point)


def test_the_sdk_reads_custom_calls():
    start = ev.BlockStart(index=0, kind="tool_call", call_id="c", name="patch", tool_kind="custom")
    events = answer([start, ev.ToolCallDelta(0, "raw"), ev.BlockStop(index=0)], reason="tool_calls")
    message = client(gateway(events)).chat.completions.create(model="gpt-5.5", messages=USER).choices[0].message
    assert message.tool_calls and message.tool_calls[0].type == "custom" and message.tool_calls[0].custom.input == "raw"


def test_the_sdk_reads_citations():
    cite = ev.Citation(0, {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1})
    block = [ev.BlockStart(index=0, kind="text"), ev.TextDelta(0, "ab"), cite, ev.BlockStop(index=0)]
    message = client(gateway(answer(block))).chat.completions.create(model="gpt-5.5", messages=USER).choices[0].message
    assert message.annotations and message.annotations[0].url_citation.end_index == 1


def test_the_sdk_raises_on_an_error_in_the_stream():
    events = [ev.Start(id="r"), *text("half"), ev.Error(UpstreamFailed("The upstream failed.", code="server_error"))]
    stream = client(gateway(events)).chat.completions.create(model="gpt-5.5", messages=USER, stream=True)
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "server_error" and "upstream failed" in caught.value.message.lower()


def test_the_sdk_raises_on_an_error_before_the_stream():
    def refuse(request: httpx.Request) -> httpx.Response:
        error = CODEC.encode_error(RateLimited("Slow down.", retry_after_s=1))
        return httpx.Response(error.status, headers=error.headers, content=error.body)

    with pytest.raises(openai.RateLimitError) as caught:
        client(refuse).chat.completions.create(model="gpt-5.5", messages=USER, stream=True)
    assert caught.value.code == "rate_limit_exceeded" and caught.value.response.headers["retry-after"] == "1"


def test_the_sdk_reads_models():
    def handle(request: httpx.Request) -> httpx.Response:
        model = ModelInfo(id="gpt-5.5", owned_by="openai", created=5)
        if request.url.path.endswith("/models"):
            return httpx.Response(200, content=CODEC.encode_models([model], WireContext()))
        return httpx.Response(200, content=CODEC.encode_model(model, WireContext()))

    sdk = client(handle)
    assert [model.id for model in sdk.models.list()] == ["gpt-5.5"]
    assert sdk.models.retrieve("gpt-5.5").owned_by == "openai"
