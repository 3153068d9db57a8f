"""What the vendors' own SDKs raise for the gateway's errors: every family of verdicts, before and after output.

The gateway's answer to a fault of the simulator is served to the SDK as it left, status, headers and bytes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import ollama
import openai
import pytest
from google import genai
from google.genai import errors as google
from google.genai import types

from providers.simulator.server import Simulator
from providers.transport.pyreqwest_transport import PyreqwestTransport
from tests.dialects import DIALECTS
from tests.faults.stage import IMPATIENT, PATIENT, World
from tests.faults.table import verdicts
from tests.faults.test_fault_table import FIELDS, PROMPT
from tests.gateway.playbook import Client

pytestmark = [pytest.mark.oracle, pytest.mark.asyncio(loop_scope="module")]

MODEL = "gpt-5.5"
ASKED: Any = [{"role": "user", "content": "hi"}]
VERDICTS = verdicts()

FAMILIES: dict[str, tuple[str, str, dict[str, type[Exception]]]] = {
    # verdict: fault, variant, and what the SDKs of OpenAI, Anthropic, Google and Ollama raise
    "quota": ("F1", "both", {"openai": openai.RateLimitError, "messages": anthropic.RateLimitError}),
    "per_minute": ("F2", "seconds", {"openai": openai.RateLimitError, "messages": anthropic.RateLimitError}),
    "no_account": ("F4", "token_expired", {"openai": openai.InternalServerError, "messages": anthropic.APIStatusError}),
    "blocked": ("F6", "challenge", {"openai": openai.InternalServerError, "messages": anthropic.InternalServerError}),
    "not_found": ("F7", "json", {"openai": openai.NotFoundError, "messages": anthropic.NotFoundError}),
    "not_in_plan": ("F8", "model_unsupported", {"openai": openai.BadRequestError, "messages": anthropic.NotFoundError}),
    "refused": ("F8", "version_gate", {"openai": openai.BadRequestError, "messages": anthropic.BadRequestError}),
    "too_long": ("F8", "context_length", {"openai": openai.BadRequestError, "messages": anthropic.BadRequestError}),
    "too_large": ("F9", "413", {"openai": openai.APIStatusError, "messages": anthropic.APIStatusError}),
    "failed": ("F9", "500", {"openai": openai.InternalServerError, "messages": anthropic.InternalServerError}),
    "overloaded": ("F9", "503", {"openai": openai.InternalServerError, "messages": anthropic.APIStatusError}),
    "transport": ("F12", "fin", {"openai": openai.InternalServerError, "messages": anthropic.InternalServerError}),
    "silent": ("F13", "no_headers", {"openai": openai.InternalServerError, "messages": anthropic.APIStatusError}),
}


@contextmanager
def served(answer: Client, calls: list[str] | None = None) -> Iterator[str]:
    """Serve what a client got to whoever asks, over a real connection; `calls` takes the path of every call."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            if calls is not None:
                calls.append(self.path)
            self.send_response(answer.status)
            for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- how each SDK asks, streamed or collected ------------------------------------------------------------------------


def _chat(url: str, *, stream: bool) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as sdk:
        answer: Any = sdk.chat.completions.create(model=MODEL, messages=ASKED, stream=stream)
        list(answer)


def _responses(url: str, *, stream: bool) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as sdk:
        answer: Any = sdk.responses.create(model=MODEL, input="hi", stream=stream)
        for event in answer:
            if event.type == "response.failed":  # the SDK hands this event to the program
                raise openai.APIError(event.response.error.code, request=answer.response.request, body=None)


def _messages(url: str, *, stream: bool) -> None:
    with anthropic.Anthropic(base_url=url, api_key="k", max_retries=0) as sdk:
        answer: Any = sdk.messages.create(model=MODEL, max_tokens=99, messages=ASKED, stream=stream)
        list(answer)


def _gemini(url: str, *, stream: bool) -> None:
    sdk = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url))
    try:
        if stream:
            list(sdk.models.generate_content_stream(model=MODEL, contents="hi"))
        else:
            sdk.models.generate_content(model=MODEL, contents="hi")
    finally:
        sdk.close()


def _ollama(url: str, *, stream: bool) -> None:
    with ollama.Client(host=url, trust_env=False) as sdk:
        answer: Any = sdk.chat(MODEL, ASKED, stream=stream)
        list(answer)


SDKS: dict[str, Callable[..., None]] = {
    "chat": _chat, "responses": _responses, "messages": _messages, "gemini": _gemini, "ollama": _ollama
}  # fmt: skip


def raised(dialect: str, answer: Client, *, stream: bool) -> Exception:
    """Return what the dialect's SDK raises when it gets `answer`."""
    with served(answer) as url:
        try:
            SDKS[dialect](url, stream=stream)
        except Exception as error:  # whatever it is, the test looks at its class
            return error
    raise AssertionError(f"the SDK took it for an answer: {answer.body[-300:]!r}")


def expected_class(dialect: str, verdict: str) -> type[Exception]:
    """Return what an error answer is raised as."""
    _, _, classes = FAMILIES[verdict]
    if dialect == "gemini":
        return google.ClientError if VERDICTS[verdict][dialect].status < 500 else google.ServerError
    if dialect == "ollama":
        return ollama.ResponseError
    return classes[dialect if dialect == "messages" else "openai"]


def status_of(error: Any) -> int:
    """Return the status an SDK's error carries, under whichever name."""
    found = getattr(error, "status_code", None)
    return found if found is not None else error.code


@pytest.mark.parametrize("verdict", FAMILIES)
@pytest.mark.parametrize("stream", [True, False])
async def test_every_error_answer_is_the_sdks_own_class(
    simulator: Simulator, transport: PyreqwestTransport, verdict: str, stream: bool
) -> None:
    fault, variant, _ = FAMILIES[verdict]

    async def case(dialect: str) -> None:
        world = World(
            simulator, transport, f"o-{verdict}-{dialect}-{stream}", settings=IMPATIENT if fault == "F13" else PATIENT
        )
        world.fails(fault, accounts=(0, 1, 2), variant=variant, times=None, **FIELDS.get(fault, {}))
        answer = await world.ask(dialect, PROMPT, stream=stream)
        error = await asyncio.to_thread(raised, dialect, answer, stream=stream)
        assert isinstance(error, expected_class(dialect, verdict)), f"{dialect}: {error!r}"
        assert status_of(error) == VERDICTS[verdict][dialect].status
        failure = answer.failure
        assert failure is not None and failure.message in str(error)

    await asyncio.gather(*(case(dialect) for dialect in DIALECTS))


IN_STREAM: dict[str, type[Exception]] = {
    "chat": openai.APIError,
    "responses": openai.APIError,
    "messages": anthropic.APIStatusError,
    "gemini": google.APIError,
    "ollama": ollama.ResponseError,
}


@pytest.mark.parametrize(
    ("fault", "variant"),
    [("F10", "server_is_overloaded"), ("F10", "usage_limit_reached"), ("F10", "context_length_exceeded"),
     ("F12", "rst"), ("F12", "clean_end"), ("F13", "silence")],
)  # fmt: skip
async def test_an_error_in_the_stream_is_raised_by_the_sdk_after_the_text(
    simulator: Simulator, transport: PyreqwestTransport, fault: str, variant: str
) -> None:
    async def case(dialect: str) -> None:
        world = World(
            simulator, transport, f"o-{fault}-{variant}-{dialect}", settings=IMPATIENT if fault == "F13" else PATIENT
        )
        world.fails(fault, accounts=(0,), variant=variant, after="text", **FIELDS.get(fault, {}))
        answer = await world.ask(dialect, PROMPT, stream=True)
        assert answer.status == 200 and "tok00000" in answer.text
        error = await asyncio.to_thread(raised, dialect, answer, stream=True)
        assert isinstance(error, IN_STREAM[dialect]), f"{dialect}: {error!r}"

    await asyncio.gather(*(case(dialect) for dialect in DIALECTS))


@pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])
async def test_the_sdks_do_not_come_back_for_a_quota_that_is_spent_for_long(
    simulator: Simulator, transport: PyreqwestTransport, dialect: str
) -> None:
    """With their retries switched on, which by default come within seconds."""
    world = World(simulator, transport, f"o-once-{dialect}")
    world.fails("F1", accounts=(0, 1, 2), times=None)
    answer = await world.ask(dialect, PROMPT, stream=False)
    calls: list[str] = []

    def ask(url: str) -> None:
        if dialect == "messages":
            with anthropic.Anthropic(base_url=url, api_key="k", max_retries=5) as sdk:
                sdk.messages.create(model=MODEL, max_tokens=99, messages=ASKED)
        else:
            with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=5) as sdk:
                sdk.post("/x", cast_to=object)

    with served(answer, calls) as url, pytest.raises((openai.RateLimitError, anthropic.RateLimitError)):
        await asyncio.to_thread(ask, url)
    assert len(calls) == 1
