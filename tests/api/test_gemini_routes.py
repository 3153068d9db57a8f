"""Gemini's paths at the door: every version and verb, the two kinds of streams, listings by header, errors."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import orjson
import pytest

from accounts.keys import digest
from tests.api.asgi import Reply
from tests.api.test_lean_door import Server
from tests.gateway.playbook import HELLO, KEY

GOOGLE = {"x-goog-api-key": KEY}
BODY = orjson.dumps({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]})
VERSIONS = ["v1beta", "v1", "v1alpha"]


@pytest.fixture
def server() -> Server:
    return Server("chat")


async def call(server: Server, path: str, body: bytes = BODY, **kwargs: Any) -> Reply:
    return await asyncio.create_task(server.call(path=path, body=body, headers=GOOGLE, **kwargs))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("model", ["gpt-5.5", "models/gpt-5.5"])
async def test_a_collected_answer(server: Server, version: str, model: str) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await call(server, f"/{version}/models/{model}:generateContent")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.json["candidates"][0]["content"]["parts"][0]["text"].startswith("Hel")
    assert reply.json["modelVersion"] == "gpt-5.5"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stream_of_events(server: Server, version: str) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await call(server, f"/{version}/models/gpt-5.5:streamGenerateContent", query="alt=sse")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert reply.body.startswith(b"data: {") and reply.body.endswith(b"\n\n") and b"[DONE]" not in reply.body


async def test_a_stream_without_alt_is_a_json_array(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await call(server, "/v1beta/models/gpt-5.5:streamGenerateContent")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert orjson.loads(reply.body)[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("version", VERSIONS)
async def test_tokens_are_counted_without_an_upstream(server: Server, version: str) -> None:
    reply = await call(server, f"/{version}/models/gpt-5.5:countTokens")
    assert reply.status == 200 and reply.json["totalTokens"] > 0


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1alpha/models", "/v1/models"])
async def test_models_are_listed_as_google_does(server: Server, path: str) -> None:
    reply = await call(server, path, method="GET")
    names = [model["name"] for model in reply.json["models"]]
    assert "models/gpt-5.5" in names
    one = await call(server, f"{path}/gpt-5.5", method="GET")
    assert one.json["name"] == "models/gpt-5.5"


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("POST", "/v1beta/models/gpt-5.5:embedContent", 404, "NOT_FOUND"),
        ("POST", "/v1beta/models/no-such-model:generateContent", 404, "NOT_FOUND"),
        ("GET", "/v1beta/models/no-such-model", 404, "NOT_FOUND"),
        ("DELETE", "/v1beta/models/gpt-5.5", 405, "UNIMPLEMENTED"),
        ("GET", "/v1beta/cachedContents", 404, "NOT_FOUND"),
    ],
)
async def test_what_is_not_there_is_said_in_googles_words(
    server: Server, method: str, path: str, status: int, word: str
) -> None:
    reply = await call(server, path, method=method)
    assert reply.status == reply.json["error"]["code"] == status
    assert reply.json["error"]["status"] == word


async def test_a_stranger_and_a_broken_body_get_googles_envelope(server: Server) -> None:
    path = "/v1beta/models/gpt-5.5:generateContent"
    stranger = await asyncio.create_task(server.call(path=path, body=BODY, headers={"x-goog-api-key": "cpx-wrong"}))
    assert (stranger.status, stranger.json["error"]["status"]) == (401, "UNAUTHENTICATED")
    broken = await call(server, path, b"{")
    assert (broken.status, broken.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_the_key_may_be_in_the_query(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await asyncio.create_task(
        server.call(path="/v1beta/models/gpt-5.5:generateContent", body=BODY, headers={}, query=f"key={KEY}")
    )
    assert reply.status == 200


async def test_row_175_a_key_that_may_not_use_the_model_is_told_so(server: Server) -> None:
    key = msgspec.structs.replace(server.play.key, allowed_models=frozenset({"other"}))
    server.play.change(keys={digest(KEY): key})
    reply = await call(server, "/v1beta/models/gpt-5.5:generateContent")
    error = reply.json["error"]
    assert (reply.status, error["code"], error["status"]) == (403, 403, "PERMISSION_DENIED")
    assert "may not use" in error["message"]
