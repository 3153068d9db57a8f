"""Ollama's routes on the main port: the same keys, the dialect's own errors, no upstream where none is needed."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
import pytest

from tests.api.asgi import Reply
from tests.api.test_lean_door import AUTHORIZED, Server
from tests.gateway.playbook import HELLO
from translation.codec import ModelInfo


@pytest.fixture
def server() -> Server:
    found = Server()
    found.play.change(models={"gpt-5.5": ModelInfo(id="gpt-5.5"), "gpt-5.4": ModelInfo(id="gpt-5.4")})
    return found


async def ask(server: Server, method: str, path: str, body: Any = None, **options: Any) -> Reply:
    raw = b"" if body is None else orjson.dumps(body)
    return await server.call(method, path, body=raw, headers=options.get("headers", AUTHORIZED))


def chat(**body: Any) -> dict[str, Any]:
    return {"model": "gpt-5.5:latest", "messages": [{"role": "user", "content": "hi"}], **body}


async def test_a_chat_streams_lines(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await ask(server, "POST", "/api/chat", chat())
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    lines = [orjson.loads(line) for line in reply.body.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "Hello"
    assert lines[-1]["done"] is True and lines[-1]["total_duration"] > 0
    assert {line["model"] for line in lines} == {"gpt-5.5:latest"}


@pytest.mark.parametrize(
    ("path", "body"), [("/api/chat", chat()), ("/api/generate", {"model": "gpt-5.5", "prompt": "hi"})]
)
async def test_a_collected_answer_is_one_object(server: Server, path: str, body: dict[str, Any]) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await ask(server, "POST", path, {**body, "stream": False})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    said = reply.json.get("response") or reply.json["message"]["content"]
    assert said == "Hello" and reply.json["done"] is True


async def test_legacy_completions_are_served(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await ask(server, "POST", "/v1/completions", {"model": "gpt-5.5", "prompt": "hi"})
    assert reply.status == 200 and reply.json["choices"][0]["text"] == "Hello"


@pytest.mark.parametrize("stream", [True, False])
async def test_row_218_loading_a_model_asks_no_upstream(server: Server, stream: bool) -> None:
    reply = await ask(server, "POST", "/api/chat", {"model": "gpt-5.5", "messages": [], "stream": stream})
    assert reply.status == 200 and orjson.loads(reply.body)["done_reason"] == "load"
    assert reply.headers["content-type"] == ("application/x-ndjson" if stream else "application/json")
    assert server.play.upstream.requests == []
    await server.play.check_nothing_is_left()


async def test_loading_an_unknown_model_is_a_404(server: Server) -> None:
    reply = await ask(server, "POST", "/api/generate", {"model": "llama3"})
    assert reply.status == 404 and isinstance(reply.json["error"], str)


async def test_row_215_showing_an_unknown_model_is_a_404(server: Server) -> None:
    reply = await ask(server, "POST", "/api/show", {"model": "llama3"})
    assert (reply.status, reply.json) == (404, {"error": "model 'llama3' not found"})


async def test_models_and_version_are_told(server: Server) -> None:
    assert [m["name"] for m in (await ask(server, "GET", "/api/tags")).json["models"]] == ["gpt-5.5", "gpt-5.4"]
    assert (await ask(server, "GET", "/api/version")).json["version"]
    assert (await ask(server, "GET", "/api/ps")).json == {"models": []}
    shown = await ask(server, "POST", "/api/show", {"name": "gpt-5.5:latest"})
    assert shown.json["model_info"]["general.architecture"] == "gpt"
    pulled = await ask(server, "POST", "/api/pull", {"model": "gpt-5.5"})
    assert pulled.body.endswith(b'{"status":"success"}\n')


async def test_the_operator_chooses_the_version(server: Server) -> None:
    settings = msgspec.structs.replace(server.play.store.current.settings, codec_options={"ollama.version": "9.9.9"})
    server.play.change(settings=settings)
    assert (await ask(server, "GET", "/api/version")).json == {"version": "9.9.9"}


async def test_a_key_sees_and_shows_only_its_models(server: Server) -> None:
    from accounts.keys import digest
    from tests.gateway.playbook import KEY

    key = msgspec.structs.replace(server.play.key, allowed_models=("gpt-5.4",))
    server.play.change(keys={digest(KEY): key})
    assert [m["name"] for m in (await ask(server, "GET", "/api/tags")).json["models"]] == ["gpt-5.4"]
    assert (await ask(server, "POST", "/api/show", {"model": "gpt-5.5"})).status == 404
    assert (await ask(server, "POST", "/api/generate", {"model": "gpt-5.5"})).status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/chat"),
        ("GET", "/api/tags"),
        ("GET", "/api/version"),
        ("POST", "/api/show"),
        ("POST", "/api/embed"),
    ],
)
async def test_every_route_needs_a_key(server: Server, method: str, path: str) -> None:
    reply = await ask(server, method, path, {}, headers={})
    assert reply.status == 401 and isinstance(reply.json["error"], str)


async def test_what_a_gateway_cannot_do_is_a_501(server: Server) -> None:
    reply = await ask(server, "DELETE", "/api/delete", {"model": "gpt-5.5"})
    assert reply.status == 501 and "gateway" in reply.json["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b""])
async def test_a_broken_body_is_a_400_in_the_dialect(server: Server, body: bytes) -> None:
    for path in ("/api/chat", "/api/show"):
        reply = await server.call("POST", path, body=body, headers=AUTHORIZED)
        assert reply.status == 400 and isinstance(reply.json["error"], str)


async def test_a_wrong_method_is_a_405_in_the_dialect(server: Server) -> None:
    reply = await ask(server, "GET", "/api/chat")
    assert reply.status == 405 and isinstance(reply.json["error"], str) and server.django_calls == []


async def test_other_paths_below_api_belong_to_the_operators(server: Server) -> None:
    assert (await ask(server, "GET", "/api/proxies")).status == 299
