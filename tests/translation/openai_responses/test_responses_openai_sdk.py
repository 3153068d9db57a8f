"""OpenAI's own client reads what the tap and the encoder write; its opinion outranks ours."""

from __future__ import annotations

from pathlib import Path

import httpx
import openai
import pytest

from translation.errors import RateLimited, UpstreamBusy
from translation.protocols.openai_responses import CODEC

pytestmark = pytest.mark.oracle

GOLDEN = Path(__file__).parents[2] / "golden"

CODEC_NAME = "openai-responses"
FAILING = {"error_mid_stream", "failed_first", "truncated", "json_instead_of_sse"}
"""Transcripts that end in an error; what the SDK raises for those is tested below and in the tap's tests."""
ANSWERED = sorted(
    path.parent.name for path in GOLDEN.glob(f"{CODEC_NAME}/*/stream.sse") if path.parent.name not in FAILING
)


def client_reading(body, *, status=200, content_type="text/event-stream", headers=None):
    """An SDK client whose server answers with `body`."""

    def answer(request):
        return httpx.Response(status, content=body, headers={"content-type": content_type, **(headers or {})})

    transport = httpx.MockTransport(answer)
    return openai.OpenAI(
        api_key="k", base_url="http://127.0.0.1/v1", max_retries=0, http_client=httpx.Client(transport=transport)
    )


def accumulated(body):
    """What `client.responses.stream` makes of a stream; the helper knows completed answers only."""
    with client_reading(body).responses.stream(model="my-model", input="hi") as stream:
        *_, last = stream
        return last.response if last.type == "response.incomplete" else stream.get_final_response()


@pytest.fixture(params=[f"{way}-{case}" for way in ("tap", "encoder") for case in ANSWERED])
def rendered(request, golden, responses):
    """A golden transcript that has an answer, as a client gets it, and the answer folded from its events."""
    way, _, case = request.param.partition("-")
    stream = golden(CODEC_NAME, case).stream
    events = responses.events([stream])
    if way == "tap":
        output = responses.tap([stream]).output
    else:
        output = CODEC.encoder(responses.open(stream=True)).encode(events)
    return case, output, responses.fold(events)


def test_the_sdk_accumulates_the_same_answer(rendered):
    _, output, answer = rendered
    final = accumulated(output)
    assert final.output_text == "".join(block.text for block in answer.blocks if block.kind == "text")
    calls = [item for item in final.output if item.type in ("function_call", "custom_tool_call")]
    texts = [item.arguments if item.type == "function_call" else item.input for item in calls]
    assert texts == [block.text for block in answer.blocks if block.kind == "tool_call"]
    assert final.model == "my-model"


def test_the_sdk_iterates_over_every_event(rendered):
    _, output, _ = rendered
    events = list(client_reading(output).responses.create(model="m", input="hi", stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type in ("response.completed", "response.incomplete")


def test_the_sdk_reads_collected_answers(rendered, responses):
    case, _, answer = rendered
    body = CODEC.encode_response(answer, responses.open())
    response = client_reading(body, content_type="application/json").responses.create(model="m", input="hi")
    assert response.output_text == "".join(block.text for block in answer.blocks if block.kind == "text")
    assert response.status == ("incomplete" if case in ("length_stop", "content_filter") else "completed")


def test_the_sdk_sees_a_failed_response_in_the_stream(responses, script):
    output = responses.tap([script.created().message().text("a").data]).output
    events = list(client_reading(output).responses.create(model="m", input="hi", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimited("slow down", retry_after_s=2, error_type="usage_limit_reached"), openai.RateLimitError),
        (UpstreamBusy("busy"), openai.InternalServerError),
    ],
)
def test_the_sdk_raises_the_error_of_the_envelope(error, kind):
    wire = CODEC.encode_error(error)
    client = client_reading(wire.body, status=wire.status, content_type="application/json", headers=wire.headers)
    with pytest.raises(kind) as caught:
        client.responses.create(model="m", input="hi")
    assert caught.value.body["message"] == error.message
