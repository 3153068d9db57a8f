"""The Codex backend's own paths on the gateway, and the routes beside `/v1/responses`: review, compact, counting."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.api.test_lean_door import AUTHORIZED, KEY, Server, call
from tests.gateway.playbook import CREATED, EXPIRED, HELLO, OVERLOADED, completed, event

LOGIN = {"authorization": "Bearer eyJhbGciOi.chatgpt.login", "chatgpt-account-id": "ws-1", "host": "gw.example:8080"}
HISTORY = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]},
    {"type": "compaction_trigger"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "again"}]},
    {"type": "compaction_trigger"},
]
COMPACTED = {
    "id": "resp_c", "object": "response.compaction", "created_at": 1, "status": "completed",
    "output": [{"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"}],
    "usage": {"input_tokens": 90, "output_tokens": 32, "total_tokens": 122},
}  # fmt: skip
COMPACT_PATHS = ["/v1/responses/compact", "/responses/compact", "/backend-api/codex/responses/compact"]


@pytest.fixture
def server() -> Server:
    return Server("responses")


def body(**fields: Any) -> bytes:
    return orjson.dumps({"model": "gpt-5.5", "input": HISTORY, **fields})


# ---- the backend's own paths ----------------------------------------------------------------------------------------


async def test_answers_are_served_below_the_backends_path(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await call(server, path="/backend-api/codex/responses")
    assert reply.status == 200 and b"response.completed" in reply.body


@pytest.mark.parametrize("query", ["", "client_version=0.169.0"])
async def test_models_below_the_backends_path_are_codexs_catalogue(server: Server, query: str) -> None:
    reply = await call(server, method="GET", path="/backend-api/codex/models", query=query, body=b"")
    assert "gpt-5.5" in [model["slug"] for model in reply.json["models"]]


async def test_the_workspace_is_where_the_client_found_us(server: Server) -> None:
    headers = {**LOGIN, "x-api-key": KEY}
    reply = await call(server, method="GET", path="/backend-api/wham/accounts/check", headers=headers, body=b"")
    assert reply.json["accounts"] == [
        {
            "id": "ws-1",
            "workspace_backend_origin": "https://gw.example:8080",
            "account_routing_override": "NO_CONSTRAINT",
        }
    ]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/backend-api/wham/usage", "rate_limit"),
        ("/backend-api/codex/usage", "rate_limit"),
        ("/backend-api/wham/rate-limit-reset-credits", "available_count"),
    ],
)
async def test_what_codex_asks_besides_has_the_shape_it_reads(server: Server, path: str, key: str) -> None:
    reply = await call(server, method="GET", path=path, body=b"")
    assert reply.status == 200 and key in reply.json


@pytest.mark.parametrize("path", ["/backend-api/wham/usage", "/backend-api/codex/models"])
async def test_a_chatgpt_login_is_no_key_of_ours(server: Server, path: str) -> None:
    reply = await call(server, method="GET", path=path, headers=LOGIN, body=b"")
    assert (reply.status, reply.code) == (401, "invalid_api_key")


async def test_our_key_may_stand_beside_a_chatgpt_login(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await call(server, path="/backend-api/codex/responses", headers={**LOGIN, "x-api-key": KEY})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/backend-api/ps/plugins/installed"),
        ("POST", "/backend-api/ps/mcp"),
        ("POST", "/backend-api/codex/analytics-events/events"),
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/moderations"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/files"),
        ("POST", "/v1/batches"),
        ("POST", "/v1/assistants"),
    ],
)
async def test_what_is_not_served_is_a_json_404(server: Server, method: str, path: str) -> None:
    reply = await call(server, method=method, path=path, body=b"{}")
    assert (reply.status, reply.code) == (404, "not_found")


# ---- review and counting --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [{}, {"x-openai-subagent": "compact"}])
async def test_row_206_the_review_path_is_labeled_as_one_upstream(server: Server, sent: dict[str, str]) -> None:
    server.play.upstream.answers().sends(HELLO)
    await call(server, path="/v1/responses/review", headers={**AUTHORIZED, **sent})
    assert dict(server.play.upstream.requests[0].headers)["x-openai-subagent"] == "review"


async def test_row_206_an_unknown_subagent_is_ignored(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    await call(server, headers={**AUTHORIZED, "x-openai-subagent": "butler"})
    assert "x-openai-subagent" not in dict(server.play.upstream.requests[0].headers)


async def test_row_205_the_turn_state_is_relayed_on_responses_only() -> None:
    for dialect, is_relayed in (("responses", True), ("chat", False)):
        server = Server(dialect)
        server.play.upstream.answers(headers={"x-codex-turn-state": "gAAAA"}).sends(HELLO)
        reply = await call(server)
        assert ("x-codex-turn-state" in reply.headers) is is_relayed


async def test_row_194_what_the_backend_refuses_is_left_out(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    sent = {"input": "hi", "user": "u", "truncation": "auto", "max_output_tokens": 5, "stream": True}
    assert (await call(server, body=body(**sent))).status == 200
    assert not {"user", "truncation", "max_output_tokens"} & set(server.play.upstream.bodies[0])


async def test_input_tokens_are_an_estimate_without_an_upstream(server: Server) -> None:
    small = await call(server, path="/v1/responses/input_tokens", body=body())
    large = await call(server, path="/v1/responses/input_tokens", body=body(instructions="word " * 1000))
    assert small.json["object"] == "response.input_tokens"
    assert 0 < small.json["input_tokens"] < large.json["input_tokens"]
    assert not server.play.upstream.requests and len(server.play.usage) == 0


# ---- compact --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", COMPACT_PATHS)
async def test_a_compaction_is_one_json_call_and_one_json_answer(server: Server, path: str) -> None:
    server.play.upstream.answers(body=COMPACTED)
    sent = body(
        stream=True, store=True, tool_choice="auto", include=[], client_metadata={"a": "b"}, max_output_tokens=5,
        reasoning={"effort": "high", "summary": "auto"}, tools=[{"type": "function", "name": "f"}],
    )  # fmt: skip
    reply = await call(server, path=path, body=sent)
    assert (reply.status, reply.headers["content-type"], reply.json) == (200, "application/json", COMPACTED)
    [request] = server.play.upstream.requests
    assert request.url == "https://upstream.example/codex/responses/compact"
    assert "accept" not in dict(request.headers)
    assert list(server.play.upstream.bodies[0]) == [
        "model", "instructions", "input", "tools", "parallel_tool_calls", "reasoning", "prompt_cache_key",
    ]  # fmt: skip
    assert server.play.upstream.bodies[0]["reasoning"] == {"effort": "high"}
    record = server.play.record()
    assert (record.outcome, record.input_tokens, record.output_tokens) == ("ok", 90, 32)


async def test_a_compaction_that_comes_as_a_stream_is_assembled(server: Server) -> None:
    [item] = COMPACTED["output"]
    server.play.upstream.answers().sends(
        CREATED + event("response.output_item.done", output_index=0, item=item) + completed()
    )
    reply = await call(server, path="/v1/responses/compact", body=body())
    assert reply.status == 200
    assert (reply.json["object"], reply.json["output"]) == ("response.compaction", [item])
    assert server.play.record().output_tokens == 20


async def test_a_compaction_goes_to_another_account_when_one_fails(server: Server) -> None:
    server.play.upstream.answers(401, EXPIRED)
    server.play.upstream.answers(503, OVERLOADED)
    server.play.upstream.answers(body=COMPACTED)
    reply = await call(server, path="/v1/responses/compact", body=body())
    assert reply.json == COMPACTED
    assert len(set(server.play.upstream.tokens)) == 3


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ({"error": {"code": "context_length_exceeded", "message": "too long"}}, 400, "context_length_exceeded"),
        (b"<html>", 502, "upstream_protocol_error"),
        (b'{"detail":"no"}', 502, "upstream_protocol_error"),
    ],
)
async def test_a_compaction_that_fails_inside_a_200_is_an_error(
    server: Server, answer: Any, status: int, code: str
) -> None:
    for _ in range(3):
        server.play.upstream.answers(body=answer)
    reply = await call(server, path="/v1/responses/compact", body=body())
    assert (reply.status, reply.code) == (status, code)


async def test_row_207_an_input_beyond_every_context_window_is_a_clear_400(server: Server) -> None:
    huge = [{"type": "message", "role": "user", "content": "word " * 900_000}]
    reply = await call(server, path="/v1/responses/compact", body=body(input=huge))
    assert (reply.status, reply.code) == (400, "responses_compact_input_too_large")
    assert not server.play.upstream.requests


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/compact"])
async def test_row_208_several_triggers_become_one_at_the_end(server: Server, path: str) -> None:
    server.play.upstream.answers().sends(HELLO)
    await call(server, path=path, body=body())
    kinds = [item["type"] for item in server.play.upstream.bodies[0]["input"]]
    assert kinds == ["message", "message", "compaction_trigger"]
