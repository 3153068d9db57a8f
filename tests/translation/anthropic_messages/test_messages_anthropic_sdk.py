"""The anthropic SDK reads what we write: an oracle that outranks our opinion (spec/translation.md §6.6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anthropic
import httpx2
import pytest

from translation.codec import ModelInfo, WireContext
from translation.errors import NoCapacity, RateLimited, UpstreamFailed
from translation.ir import events as ev
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.anthropic_messages import CODEC
from translation.wire.ids import counting_ids

pytestmark = pytest.mark.oracle

USAGE = Usage(input_tokens=10, cached_tokens=4, output_tokens=6)
ASKED: list[Any] = [{"role": "user", "content": "hi"}]
SEARCH: Any = {"type": "web_search_20250305", "name": "web_search"}
MODEL = "claude-of-some-kind"


def gateway(events: Sequence[ev.Event], pieces: int = 0) -> Callable[[httpx2.Request], httpx2.Response]:
    """A server that decodes the SDK's request for real and answers with `events`; `pieces` cuts the stream."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        context = WireContext(headers=dict(request.headers), ids=counting_ids())
        if request.url.path == "/v1/models":
            return httpx2.Response(200, content=CODEC.encode_models([ModelInfo(id="m1"), ModelInfo(id="m2")], context))
        opened = CODEC.open_request(request.content, context)
        CODEC.decode_request(opened)
        if request.url.path.endswith("/count_tokens"):
            return httpx2.Response(200, content=CODEC.encode_count(CODEC.countable(opened).estimate()))  # type: ignore[attr-defined]
        if opened.stream:
            encoder = CODEC.encoder(opened)
            data = encoder.heartbeat() + encoder.encode(events[:2]) + encoder.heartbeat() + encoder.encode(events[2:])
            content = [data[at : at + pieces] for at in range(0, len(data), pieces)] if pieces else [data]
            return httpx2.Response(200, headers={"content-type": CODEC.stream_media_type}, content=iter(content))
        fold = Fold()
        fold.feed(events)
        return httpx2.Response(200, content=CODEC.encode_response(fold.result(), opened))

    return handle


def client(handler: Callable[[httpx2.Request], httpx2.Response]) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="k",
        base_url="http://gateway.invalid",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(handler)),
    )


def block(index: int, kind: Any, *deltas: ev.Event, proof: str | None = None, **more: Any) -> list[ev.Event]:
    stop = ev.BlockStop(index=index, proof=None if proof is None else ev.Proof("openai-responses", proof))
    return [ev.BlockStart(index=index, kind=kind, **more), *deltas, stop]


EVERYTHING: list[ev.Event] = [
    ev.Start(id="r"),
    *block(0, "reasoning", ev.ReasoningDelta(0, "Let"), ev.ReasoningDelta(0, "me", 1), proof="gAAAAx"),
    *block(1, "search", ev.SearchResult(1, {"query": "tea", "sources": [{"url": "https://a"}]}), item_id="ws_1"),
    *block(2, "text", ev.TextDelta(2, "Hël"), ev.TextDelta(2, "lo 👋"), ev.Citation(2, {"url": "https://a"})),
    ev.BlockStart(index=3, kind="tool_call", call_id="call_1", name="f"),
    ev.BlockStart(index=4, kind="tool_call", call_id="call_2", name="g", tool_kind="custom"),
    ev.ToolCallDelta(4, 'raw "te'),
    ev.ToolCallDelta(3, '{"a": [1'),
    ev.ToolCallDelta(4, 'xt"'),
    ev.BlockStop(index=4),
    ev.ToolCallDelta(3, "]}"),
    ev.BlockStop(index=3),
    ev.Stop(finish_reason="tool_calls", usage=USAGE),
]
BODY: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 4000,
    "messages": ASKED,
    "tools": [SEARCH],
    "thinking": {"type": "enabled", "budget_tokens": 2000},
}


@pytest.mark.parametrize("pieces", [0, 1, 7, 61])
def test_the_accumulator_gives_the_collected_message(pieces: int):
    with client(gateway(EVERYTHING, pieces)).messages.stream(**BODY) as stream:
        streamed = stream.get_final_message()
    collected = client(gateway(EVERYTHING)).messages.create(**BODY)
    assert streamed.to_dict(exclude_none=True) == collected.to_dict(exclude_none=True)
    kinds = [entry.type for entry in streamed.content]
    assert kinds == ["thinking", "server_tool_use", "web_search_tool_result", "text", "tool_use", "tool_use"]
    thinking, _, _, text, first, second = streamed.content
    assert (thinking.thinking, thinking.signature) == ("Let\n\nme", "gAAAAx")  # type: ignore[union-attr]
    assert text.text == "Hëllo 👋"  # type: ignore[union-attr]
    assert (first.input, second.input) == ({"a": [1]}, {"input": 'raw "text"'})  # type: ignore[union-attr]
    assert (streamed.stop_reason, streamed.usage.cache_read_input_tokens) == ("tool_use", 4)


def test_an_empty_answer_is_an_empty_message():
    with client(gateway([ev.Start(id="r"), ev.Stop(finish_reason="stop", usage=USAGE)])).messages.stream(
        **BODY
    ) as stream:
        message = stream.get_final_message()
    assert (message.content, message.stop_reason) == ([], "end_turn")


def test_an_error_mid_stream_is_raised():
    events = [*EVERYTHING[:4], ev.Error(UpstreamFailed("gone"))]
    with (
        pytest.raises(anthropic.APIStatusError, match="gone"),
        client(gateway(events)).messages.stream(**BODY) as stream,
    ):
        stream.get_final_message()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RateLimited("slow down", retry_after_s=7), anthropic.RateLimitError),
        (NoCapacity("nobody", retry_after_s=7), anthropic.APIStatusError),
    ],
)
def test_error_statuses_are_the_sdks_own_classes(error: Any, expected: type[anthropic.APIStatusError]):
    def handle(request: httpx2.Request) -> httpx2.Response:
        answer = CODEC.encode_error(error)
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)

    with pytest.raises(expected) as caught:
        client(handle).messages.create(**BODY)
    assert caught.value.response.headers["retry-after"] == "7"
    assert error.message in str(caught.value)


def test_tokens_are_counted_and_models_listed():
    sdk = client(gateway(EVERYTHING))
    assert sdk.messages.count_tokens(model=MODEL, messages=ASKED, tools=[SEARCH]).input_tokens > 0
    assert [model.id for model in sdk.models.list()] == ["m1", "m2"]
