"""The ollama package reads what we write: an oracle that outranks our opinion (spec/clients.md §6)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import ollama
import pytest

from tests.translation.ollama.conftest import MODELS
from translation.codec import WireContext
from translation.errors import GatewayError, RateLimited, UpstreamFailed
from translation.ir import events as ev
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.ollama import CODEC, Ollama

pytestmark = pytest.mark.oracle

USAGE = Usage(input_tokens=10, output_tokens=6)
STOP = ev.Stop(finish_reason="stop", usage=USAGE)
USER = [{"role": "user", "content": "hi"}]
TEXT: list[ev.Event] = [
    ev.Start(id="r"),
    ev.BlockStart(index=0, kind="reasoning"),
    ev.ReasoningDelta(0, "hm"),
    ev.BlockStop(index=0),
    ev.BlockStart(index=1, kind="text"),
    ev.TextDelta(1, "Hel"),
    ev.TextDelta(1, "lo"),
    ev.BlockStop(index=1),
    STOP,
]
CALL: list[ev.Event] = [
    ev.Start(id="r"),
    ev.BlockStart(index=0, kind="tool_call", call_id="call_1", name="add"),
    ev.ToolCallDelta(0, '{"a":1}'),
    ev.BlockStop(index=0),
    STOP,
]


class Gateway:
    """A server that decodes the package's requests for real and answers with `events`."""

    def __init__(self) -> None:
        self.events: Sequence[ev.Event] = TEXT
        self.failure: GatewayError | None = None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        context = WireContext(path=path, now_s=1_763_900_000, clock=lambda: 1_763_900_002.0)
        try:
            if self.failure is not None:
                raise self.failure
            return 200, *self._answer(method, path, body, context)
        except GatewayError as error:
            refusal = CODEC.encode_error(error)
            return refusal.status, refusal.headers["content-type"], refusal.body

    def _answer(self, method: str, path: str, body: bytes, context: WireContext) -> tuple[str, bytes]:
        assert isinstance(CODEC, Ollama)
        (route,) = [route for route in CODEC.routes if (route.method, route.path) == (method, path)]
        if route.operation == "models":
            return "application/json", CODEC.encode_models(MODELS, context)
        if route.operation == "static":
            answer = CODEC.answer(body, context, MODELS)
            return answer.headers["content-type"], answer.body
        opened = CODEC.open_request(body, context)
        if opened.answer is not None:
            return "application/json", opened.answer
        CODEC.decode_request(opened)
        if opened.stream:
            encoder = CODEC.encoder(opened)
            return CODEC.stream_media_type, encoder.heartbeat() + encoder.encode(self.events)
        fold = Fold()
        fold.feed(self.events)
        return "application/json", CODEC.encode_response(fold.result(), opened)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[ollama.Client]:
    class Handler(BaseHTTPRequestHandler):
        def _run(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, kind, answer = gateway.answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = _run  # noqa: N815 -- the names are the base class's

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with ollama.Client(host=f"http://127.0.0.1:{server.server_port}", trust_env=False) as connected:
        yield connected
    server.shutdown()
    thread.join()
    server.server_close()


def test_chat_collected(client):
    answer = client.chat("gpt-5.5", USER, think=True)
    assert answer.message.content == "Hello" and answer.message.thinking == "hm"
    assert answer.done and answer.done_reason == "stop"
    assert answer.eval_count == 6 and answer.prompt_eval_count == 10
    assert answer.eval_count / answer.eval_duration > 0


def test_chat_streamed(client):
    parts = list(client.chat("gpt-5.5", USER, stream=True))
    assert "".join(part.message.content for part in parts) == "Hello"
    assert "".join(part.message.thinking or "" for part in parts) == "hm"
    assert [part.done for part in parts] == [*[False] * (len(parts) - 1), True]
    assert parts[-1].eval_duration > 0 and parts[-1].total_duration == 2 * 10**9


def test_generate_collected_and_streamed(client):
    assert client.generate("gpt-5.5", "hi").response == "Hello"
    parts = list(client.generate("gpt-5.5", "hi", stream=True))
    assert "".join(part.response for part in parts) == "Hello" and parts[-1].context == []


def test_tools_go_round(client, gateway):
    def add(a: int) -> int:
        """Add one.

        Args:
            a: the number
        """
        return a + 1

    gateway.events = CALL
    streamed = list(client.chat("gpt-5.5", USER, tools=[add], stream=True))
    for answer in (client.chat("gpt-5.5", USER, tools=[add]), streamed[1]):
        (call,) = answer.message.tool_calls
        assert (call.function.name, call.function.arguments) == ("add", {"a": 1})
    whole = client.chat("gpt-5.5", USER, tools=[add])
    again = [*USER, whole.message, {"role": "tool", "tool_name": "add", "content": "2"}]
    gateway.events = TEXT
    assert client.chat("gpt-5.5", again, tools=[add]).message.content == "Hello"


def test_pictures_and_schemas_are_understood(client):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    message = ollama.Message(role="user", content="see", images=[ollama.Image(value=b"\xff\xd8\xff\xe0abcdef")])
    assert client.chat("gpt-5.5", [message], format=schema, options={"stop": ["X"], "num_ctx": 1}).done


def test_an_empty_chat_loads(client):
    assert client.chat("gpt-5.5").done_reason == "load"
    assert client.generate("gpt-5.5").done_reason == "load"


def test_a_failure_has_its_sentence_and_status(client, gateway):
    gateway.failure = RateLimited("Wait a little.")
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat("gpt-5.5", USER)
    assert (caught.value.error, caught.value.status_code) == ("Wait a little.", 429)
    with pytest.raises(ollama.ResponseError, match="Wait a little"):
        list(client.chat("gpt-5.5", USER, stream=True))


def test_a_failure_in_the_middle_raises(client, gateway):
    gateway.events = [*TEXT[:-2], ev.Error(UpstreamFailed("it broke"))]
    with pytest.raises(ollama.ResponseError, match="it broke"):
        list(client.chat("gpt-5.5", USER, stream=True))


def test_models(client):
    assert [model.model for model in client.list().models] == ["gpt-5.5", "gpt-5.3-codex-spark"]
    shown = client.show("gpt-5.5")
    assert "vision" in shown.capabilities and shown.modelinfo["gpt.context_length"] == 272_000
    assert client.ps().models == []
    with pytest.raises(ollama.ResponseError) as caught:
        client.show("llama3")
    assert caught.value.status_code == 404


def test_pulling_and_what_is_refused(client):
    assert client.pull("gpt-5.5").status == "success"
    assert [step.status for step in client.pull("gpt-5.5", stream=True)][-1] == "success"
    refused = (
        lambda: client.embed("gpt-5.5", "x"),
        lambda: client.copy("gpt-5.5", "x"),
        lambda: client.delete("gpt-5.5"),
        lambda: client.create("x", from_="gpt-5.5"),
        lambda: client.push("gpt-5.5"),
    )
    for ask in refused:
        with pytest.raises(ollama.ResponseError) as caught:
            ask()
        assert caught.value.status_code in (400, 501), httpx.codes(caught.value.status_code)
