"""Paths that several dialects share: who answers is the client's header; probes that need no key. No database."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from codexproxy.api.lean import LeanDoor
from codexproxy.api.probes import answer_probe
from codexproxy.api.wire import WireApi
from codexproxy.gateway.tokenizer import Tokenizer
from tests.api.asgi import Reply
from tests.gateway.playbook import KEY, Play
from translation.shared.token_count import MESSAGE_TOKENS, estimate_text

ANTHROPIC = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
OPENAI = {"authorization": f"Bearer {KEY}"}
ASKED = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "word " * 100}]}


async def call(
    method: str, path: str, headers: dict[str, str], body: bytes = b"", *, tokenizer: Tokenizer | None = None
) -> Reply:
    play = Play("chat")
    reply = Reply()

    unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        while not (unread or reply.is_complete):
            await asyncio.sleep(0.001)
        return unread.pop() if unread else {"type": "http.disconnect"}

    async def django(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a client's path came to Django")

    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "client": ("127.0.0.1", 5),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    door = LeanDoor(WireApi(play.gateway), django, lambda: 1024 * 1024)
    if tokenizer is not None:
        play.gateway.tokenizer = tokenizer
    await asyncio.create_task(door(scope, receive, reply))
    return reply


async def test_row_149_the_header_chooses_the_listing() -> None:
    anthropic = await call("GET", "/v1/models", ANTHROPIC)
    assert anthropic.json["has_more"] is False and anthropic.json["data"][0]["type"] == "model"
    assert (await call("GET", "/v1/models", OPENAI)).json["object"] == "list"


async def test_the_header_chooses_the_model_object_and_its_404() -> None:
    name = (await call("GET", "/v1/models", ANTHROPIC)).json["data"][0]["id"]
    assert (await call("GET", f"/v1/models/{name}", ANTHROPIC)).json["type"] == "model"
    missing = await call("GET", "/v1/models/nobody", ANTHROPIC)
    assert (missing.status, missing.json["error"]["type"]) == (404, "not_found_error")
    assert (await call("GET", f"/v1/models/{name}", OPENAI)).json["object"] == "model"


async def test_a_refused_key_is_told_in_the_chosen_dialect() -> None:
    refused = await call("GET", "/v1/models", {**ANTHROPIC, "x-api-key": "wrong"})
    assert (refused.status, refused.json["type"]) == (401, "error")
    assert refused.json["error"]["type"] == "authentication_error"
    assert refused.json["request_id"] == refused.headers["request-id"] == refused.headers["x-request-id"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/v1/messages/batches", "/v1/messages/batches/b_1/results"])
async def test_batches_are_a_404_in_anthropics_envelope(method: str, path: str) -> None:
    reply = await call(method, path, OPENAI)
    assert (reply.status, reply.json["error"]["type"]) == (404, "not_found_error")


async def test_the_wrong_method_is_told_in_anthropics_envelope() -> None:
    reply = await call("GET", "/v1/messages", OPENAI)
    assert (reply.status, reply.headers["allow"], reply.json["type"]) == (405, "POST", "error")


@pytest.mark.parametrize("headers", [ANTHROPIC, OPENAI])
async def test_tokens_are_counted_for_either_kind_of_key(headers: dict[str, str]) -> None:
    tokenizer = Tokenizer(patience_s=30.0)
    reply = await call("POST", "/v1/messages/count_tokens", headers, orjson.dumps(ASKED), tokenizer=tokenizer)
    await tokenizer.close()
    assert reply.status == 200 and reply.json == {"input_tokens": MESSAGE_TOKENS + 101}  # o200k_base's, exactly
    assert reply.headers["request-id"]


async def test_tokens_are_estimated_where_no_tokenizer_runs() -> None:
    reply = await call("POST", "/v1/messages/count_tokens", ANTHROPIC, orjson.dumps(ASKED))
    assert reply.json == {"input_tokens": MESSAGE_TOKENS + estimate_text("word " * 100)}


async def test_counting_needs_a_key_and_a_body_that_makes_sense() -> None:
    stranger = await call("POST", "/v1/messages/count_tokens", {}, orjson.dumps(ASKED))
    assert (stranger.status, stranger.json["error"]["type"]) == (401, "authentication_error")
    broken = await call("POST", "/v1/messages/count_tokens", ANTHROPIC, b"{")
    assert (broken.status, broken.json["error"]["type"]) == (400, "invalid_request_error")
    assert broken.json["request_id"] == broken.headers["request-id"]


async def probe(method: str, path: str, accept: str = "*/*") -> Reply | None:
    reply = Reply()
    scope = {"type": "http", "method": method, "path": path, "headers": [(b"accept", accept.encode())]}
    return reply if await answer_probe(scope, reply) else None


@pytest.mark.parametrize(("method", "accept"), [("HEAD", "*/*"), ("HEAD", "text/html"), ("GET", "application/json")])
async def test_clients_that_look_at_the_root_find_something(method: str, accept: str) -> None:
    reply = await probe(method, "/", accept)
    assert reply is not None and reply.status == 200 and (reply.body == b"") == (method == "HEAD")


@pytest.mark.parametrize("path", ["/api/event_logging/batch", "/api/claude_code/metrics"])
async def test_telemetry_is_thrown_away_without_being_read(path: str) -> None:
    reply = await probe("POST", path)
    assert reply is not None and (reply.status, reply.body) == (204, b"")


@pytest.mark.parametrize(
    ("method", "path", "accept"),
    [
        ("GET", "/", "text/html,application/xhtml+xml"),
        ("POST", "/", "*/*"),
        ("GET", "/api/claude_code/metrics", "*/*"),
        ("POST", "/api/other", "*/*"),
        ("GET", "/admin/", "*/*"),
    ],
)
async def test_everything_else_goes_on(method: str, path: str, accept: str) -> None:
    assert await probe(method, path, accept) is None
