"""Errors as OpenAI's own client sees them; its opinion of answers is in `tests/translation/matrix/`."""

from __future__ import annotations

import httpx
import openai
import pytest

from translation.errors import RateLimited, UpstreamBusy
from translation.protocols.openai_responses import CODEC

pytestmark = pytest.mark.oracle


def client_reading(body, *, status=200, content_type="text/event-stream", headers=None):
    """An SDK client whose server answers with `body`."""

    def answer(request):
        return httpx.Response(status, content=body, headers={"content-type": content_type, **(headers or {})})

    transport = httpx.MockTransport(answer)
    return openai.OpenAI(
        api_key="k", base_url="http://127.0.0.1/v1", max_retries=0, http_client=httpx.Client(transport=transport)
    )


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
