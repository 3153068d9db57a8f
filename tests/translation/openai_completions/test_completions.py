"""Legacy completions: bodies, chunks, the collected answer, and the openai SDK as judge (spec/translation.md §5.6)."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translation.codec import OpenedRequest, WireContext
from translation.errors import ClientError, UpstreamFailed
from translation.ir import events as ev
from translation.ir.request import Message, TextPart
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.openai_completions import CODEC
from translation.wire.ids import counting_ids

USAGE = Usage(input_tokens=10, cached_tokens=4, output_tokens=6, reasoning_tokens=2)
WORDS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=12)


def opened(**body: Any) -> OpenedRequest:
    body = {"model": "gpt-5.5", "prompt": "hi", **body}
    return CODEC.open_request(orjson.dumps(body), WireContext(now_s=1_763_900_000.5, ids=counting_ids()))


def answer(*pieces: str, reason: Any = "stop", usage: Usage | None = USAGE) -> list[ev.Event]:
    thought = [ev.BlockStart(index=0, kind="reasoning"), ev.ReasoningDelta(0, "hm"), ev.BlockStop(index=0)]
    said = [
        ev.BlockStart(index=1, kind="text"),
        *(ev.TextDelta(1, piece) for piece in pieces),
        ev.BlockStop(index=1),
    ]
    return [ev.Start(id="r"), *thought, *said, ev.Stop(finish_reason=reason, usage=usage)]


def chunks(events: list[ev.Event], **body: Any) -> list[Any]:
    encoder = CODEC.encoder(opened(stream=True, **body))
    data = b"".join(encoder.encode([event]) for event in events)
    assert encoder.encode(events) == b"" and encoder.heartbeat() == b""
    frames = data.split(b"\n\n")
    assert frames[-1] == b"" and frames[-2] == b"data: [DONE]" and data.count(b"[DONE]") == 1
    return [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames[:-2]]


def collected(events: list[ev.Event], **body: Any) -> dict[str, Any]:
    fold = Fold()
    fold.feed(events)
    return orjson.loads(CODEC.encode_response(fold.result(), opened(**body)))


# ---- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prompt", "parts"), [("hi", ("hi",)), (["a", "", "b"], ("a", "b")), ("", ("",)), ([], ("",))])
def test_a_prompt_is_one_user_message(prompt, parts):
    request = CODEC.decode_request(opened(prompt=prompt))
    assert request.items == (Message("user", tuple(TextPart(part) for part in parts)),)


def test_knobs_are_read_or_listed():
    request = CODEC.decode_request(
        opened(max_tokens=5, stop="X", temperature=0, echo=True, logprobs=3, suffix="end", n=1, best_of=None)
    )
    assert request.max_output_tokens == 5 and request.sampling.stop == ("X",) and request.sampling.temperature == 0
    assert request.dropped == ("echo", "logprobs") and "end" in request.instructions[0]


def test_null_is_absent():
    names = ("stream", "stop", "suffix", "n", "max_tokens", "user", "stream_options", "logprobs")
    request = CODEC.decode_request(opened(**dict.fromkeys(names)))
    assert request.stream is False and request.dropped == () and request.instructions == ()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": None}, "model"),
        ({"stream": 1}, "stream"),
        ({"prompt": None}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"n": 2}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"stop": [1]}, "stop"),
    ],
)
def test_what_cannot_be_understood_is_named(body, param):
    with pytest.raises(ClientError) as caught:
        CODEC.decode_request(opened(**body))
    assert (caught.value.status, caught.value.param) == (400, param)


# ---- answers --------------------------------------------------------------------------------------------------------


def test_a_stream_of_chunks():
    head = {
        "id": "cmpl-" + "0" * 32,
        "object": "text_completion",
        "created": 1_763_900_000,
        "model": "gpt-5.5",
    }
    piece = {"index": 0, "logprobs": None}
    assert chunks(answer("Hel", "lo")) == [
        {**head, "choices": [{**piece, "text": "Hel", "finish_reason": None}]},
        {**head, "choices": [{**piece, "text": "lo", "finish_reason": None}]},
        {**head, "choices": [{**piece, "text": "", "finish_reason": "stop"}]},
    ]


def test_usage_is_an_extra_chunk_when_asked_for():
    found = chunks(answer("x"), stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in found[:-1]] == [None, None]
    assert found[-1]["choices"] == [] and found[-1]["usage"]["total_tokens"] == 16


def test_an_error_ends_the_stream():
    found = chunks([*answer("x")[:-1], ev.Error(UpstreamFailed("gone"))])
    assert found[-1]["error"]["message"] == "gone"
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in found[:-1])


@pytest.mark.parametrize(
    ("reason", "word"), [("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "stop")]
)
def test_reasons_are_this_dialects_words(reason, word):
    assert chunks(answer("x", reason=reason))[-1]["choices"][0]["finish_reason"] == word
    assert collected(answer("x", reason=reason))["choices"][0]["finish_reason"] == word


@settings(max_examples=80, deadline=None)
@given(st.lists(WORDS), st.sampled_from(["stop", "length", "refusal"]), st.sampled_from([None, USAGE]))
def test_the_stream_adds_up_to_the_collected_answer(pieces: list[str], reason: str, usage: Usage | None):
    events = answer(*pieces, reason=reason, usage=usage)
    found = chunks(events)
    (choice,) = collected(events)["choices"]
    assert "".join(chunk["choices"][0]["text"] for chunk in found) == choice["text"] == "".join(pieces)
    assert found[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
    together = CODEC.encoder(opened(stream=True)).encode(events)
    assert together.count(b"[DONE]") == 1


@pytest.mark.oracle
def test_the_sdk_reads_both_kinds_of_answer():
    def handle(request: httpx.Request) -> httpx.Response:
        call = CODEC.open_request(request.content, WireContext(headers=dict(request.headers)))
        CODEC.decode_request(call)
        events = answer("Hel", "lo")
        if call.stream:
            headers = {"content-type": CODEC.stream_media_type}
            return httpx.Response(200, headers=headers, content=CODEC.encoder(call).encode(events))
        fold = Fold()
        fold.feed(events)
        return httpx.Response(200, content=CODEC.encode_response(fold.result(), call))

    with httpx.Client(transport=httpx.MockTransport(handle)) as http:
        client = openai.OpenAI(api_key="k", base_url="http://gateway.invalid/v1", max_retries=0, http_client=http)
        whole = client.completions.create(model="gpt-5.5", prompt="hi")
        assert whole.choices[0].text == "Hello" and whole.usage is not None and whole.usage.total_tokens == 16
        stream = client.completions.create(model="gpt-5.5", prompt="hi", stream=True)
        assert "".join(chunk.choices[0].text for chunk in stream) == "Hello"


def test_usage_that_nobody_counted_is_sent_as_zeros_like_in_a_collected_answer() -> None:
    events = answer("a", usage=None)
    last = chunks(events, stream_options={"include_usage": True})[-1]
    assert last["choices"] == [] and last["usage"] == collected(events)["usage"]
