"""The door for protocol routes, as an ASGI server sees it: bad input, keys, disconnects, threads. No database."""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import zstandard

from accounts.keys import digest
from accounts.values import ApiKeyView
from codexproxy.api.lean import LeanDoor
from codexproxy.api.wire import WireApi
from tests.api.asgi import Reply
from tests.dialects import DIALECTS
from tests.gateway.playbook import CREATED, HELLO, ITEM, KEY, NOW, Play, completed, text

REVOKED, EXPIRED = "cpx-revoked-revoked-revoked-revoked-00", "cpx-expired-expired-expired-expired-00"
MIB = 1024 * 1024
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


class Server:
    """Drives the door the way uvicorn does: after the answer, or when the client is gone, `receive` says disconnect."""

    def __init__(self, dialect: str = "chat", **settings: Any) -> None:
        self.play = Play(dialect, **settings)
        self.path = DIALECTS[dialect].path
        keys = {
            digest(KEY): self.play.key,
            digest(REVOKED): ApiKeyView(
                id=8, user_id=3, name="r", prefix="cpx-", is_active=False, inactive_reason="revoked"
            ),
            digest(EXPIRED): ApiKeyView(id=9, user_id=3, name="e", prefix="cpx-", expires_at=NOW - 1),
        }
        self.play.change(keys=keys)
        self.django_calls: list[str] = []
        self.wire = WireApi(self.play.gateway)
        self.door = LeanDoor(self.wire, self._django, lambda: self.play.store.current.settings.max_body_bytes)
        self.gone = asyncio.Event()

    async def _django(self, scope: Any, receive: Any, send: Any) -> None:
        self.django_calls.append(scope["path"])
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def call(
        self, method: str = "POST", path: str | None = None, *, body: bytes | None = None, query: str = "",
        headers: Mapping[str, str] = AUTHORIZED, pieces: list[bytes] | None = None, stream: bool = True,
    ) -> Reply:  # fmt: skip
        if body is None:
            body = self.play.body(stream=stream)
        reply = Reply()
        sent = iter(pieces if pieces is not None else [body])
        upcoming = next(sent, None)

        async def receive() -> dict[str, Any]:
            nonlocal upcoming
            if upcoming is None:
                while not (reply.is_complete or self.gone.is_set()):
                    await asyncio.sleep(0.001)
                return {"type": "http.disconnect"}
            piece, upcoming = upcoming, next(sent, None)
            return {"type": "http.request", "body": piece, "more_body": upcoming is not None}

        scope = {
            "type": "http", "method": method, "path": path or self.path, "query_string": query.encode("latin-1"),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 5),
        }  # fmt: skip
        await self.door(scope, receive, reply)
        return reply


@pytest.fixture(params=["chat", "responses"])
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


async def call(server: Server, **kwargs: Any) -> Reply:
    return await asyncio.create_task(server.call(**kwargs))


# ---- the good path --------------------------------------------------------------------------------------------------


async def test_a_stream_goes_through_with_the_right_headers(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await call(server)
    assert (reply.status, reply.is_complete) == (200, True)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-request-id"].startswith("req_")
    assert not {"content-length", "connection", "transfer-encoding", "server", "set-cookie"} & set(reply.headers)
    assert b"Hel" in reply.body


async def test_a_collected_answer_has_a_length_and_is_json(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    reply = await call(server, stream=False)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert b"Hello" in reply.body


async def test_a_whole_answer_is_ok_even_when_the_server_says_disconnect_before_the_upstream_ends(
    server: Server,
) -> None:
    server.play.upstream.answers().sends(HELLO).pauses(0.05).sends(b": late\n\n")
    reply = await call(server)
    assert reply.is_complete
    assert server.play.record().outcome == "ok"
    [stream] = server.play.upstream.streams
    assert stream.is_at_end, "the upstream was not read to its end, so its connection is lost"


async def test_the_body_may_come_in_pieces(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    body = server.play.body(stream=True)
    reply = await call(server, pieces=[body[:5], b"", body[5:20], body[20:]])
    assert reply.status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-5.5"])
async def test_models_are_listed(server: Server, path: str) -> None:
    reply = await call(server, method="GET", path=path, body=b"")
    assert reply.status == 200
    assert b"gpt-5.5" in reply.body
    assert reply.headers["content-type"] == "application/json"


async def test_a_key_sees_only_its_models(server: Server) -> None:
    limited = ApiKeyView(id=7, user_id=3, name="k", prefix="cpx-", allowed_models=("gpt-5.4",))
    server.play.change(keys={digest(KEY): limited})
    assert [each["id"] for each in (await call(server, method="GET", path="/v1/models", body=b"")).json["data"]] == [
        "gpt-5.4"
    ]
    assert (await call(server, method="GET", path="/v1/models/gpt-5.5", body=b"")).status == 404


@pytest.mark.parametrize("path", ["/", "/admin/", "/v1", "/healthz", "/static/x.css", "/v1beta"])
async def test_other_paths_belong_to_django(server: Server, path: str) -> None:
    assert (await call(server, path=path)).status == 299
    assert server.django_calls == [path]


# ---- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": f"Bearer {KEY}"}, ""),
        ({"x-api-key": KEY}, ""),
        ({"x-goog-api-key": KEY}, ""),
        ({}, f"key={KEY}"),
        ({}, f"alt=sse&key={KEY}"),
    ],
)
async def test_a_key_opens_the_door_from_each_of_its_places(
    server: Server, headers: dict[str, str], query: str
) -> None:
    server.play.upstream.answers().sends(HELLO)
    assert (await call(server, headers=headers, query=query)).status == 200


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "missing_api_key"), ("cpx-wrong", "invalid_api_key"), (REVOKED, "invalid_api_key"),
        (EXPIRED, "expired_api_key"), ("é" * 50, "invalid_api_key"), ("x" * 100_000, "invalid_api_key"),
    ],
)  # fmt: skip
async def test_without_a_good_key_nothing_happens(server: Server, key: str | None, code: str) -> None:
    reply = await call(server, headers={} if key is None else {"authorization": f"Bearer {key}"})
    assert (reply.status, reply.code) == (401, code)
    assert reply.headers["x-request-id"]
    assert server.play.upstream.requests == []
    assert key is None or key.encode() not in reply.body


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-5.5"])
async def test_listings_need_a_key_too(server: Server, path: str) -> None:
    assert (await call(server, method="GET", path=path, body=b"", headers={})).status == 401


def test_every_route_has_an_authentication() -> None:
    routes = WireApi(Play().gateway).routes
    assert len(routes) >= 6
    for mounted in routes:
        assert mounted.operation.auth_callbacks, f"{mounted.route} is open to everyone"


@pytest.mark.parametrize("broken", ["key", "model", "json", "path", "upstream", "many"])
async def test_a_key_in_the_query_never_shows_in_an_answer_or_a_log(
    server: Server, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "cpx-canary-canary-canary-canary-canary" if broken == "key" else KEY
    server.play.upstream.answers().open_error = RuntimeError("boom")
    body = {"json": b"{", "model": server.play.body(stream=True, model="nope")}.get(broken)
    query = f"key={canary}" + ("&a=b" * 100 if broken == "many" else "")
    reply = await call(
        server, headers={}, query=query, body=body, path="/v1/nothing-here" if broken == "path" else None
    )
    assert reply.status >= 400
    assert canary.encode() not in reply.body + repr(reply.headers).encode()
    assert canary not in caplog.text


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"null", b"[]", b'"text"', b"1", b"{}", b'{"model":null}', b'{"model":{}}', b"\xff\xfe\x00",
        b'{"model":"gpt-5.5","messages":"\xff","input":"\xff"}', b'{"model":"gpt-5.5","messages":3,"input":3}',
        b'{"model":"gpt-5.5","messages":[3],"input":[3]}',
        b'{"model":"gpt-5.5","messages":[{"role":7}],"input":[{"type":7,"role":7}]}',
        b'{"model":"gpt-5.5","stream":"yes","messages":[],"input":NaN}',
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000, b"[" * 1_000_000,
        b'{"model":"gpt-5.5","x":' + b'{"a":' * 300 + b"1" + b"}" * 301,
    ],
    ids=lambda body: repr(body[:40]),
)  # fmt: skip
async def test_a_malformed_body_is_a_clear_400_in_the_clients_dialect(server: Server, body: bytes) -> None:
    reply = await call(server, body=body)
    assert reply.status == 400, reply.body
    error = reply.json["error"]
    assert error["type"] == "invalid_request_error"
    assert 10 < len(error["message"]) < 600
    assert server.play.upstream.requests == []


async def test_an_unknown_model_is_not_found_in_the_clients_dialect(server: Server) -> None:
    reply = await call(server, body=server.play.body(stream=True, model="llama-3"))
    assert (reply.status, reply.code) == (404, "model_not_found")


async def test_a_declared_body_over_the_limit_is_refused_before_it_is_read(server: Server) -> None:
    reply = await call(server, body=b"", headers={**AUTHORIZED, "content-length": str(65 * MIB)})
    assert (reply.status, reply.code) == (413, "request_too_large")
    assert "64 MiB" in reply.json["error"]["message"]


async def test_an_undeclared_body_over_the_limit_is_refused_on_the_way(server: Server) -> None:
    reply = await call(server, pieces=[bytes(MIB)] * 65)
    assert (reply.status, reply.code) == (413, "request_too_large")


async def test_a_body_just_below_the_limit_is_read(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    body = server.play.body(stream=True)
    reply = await call(server, pieces=[body, b" " * (64 * MIB - len(body))])
    assert reply.status == 200


COMPRESSORS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "identity": lambda data: data,
    " ZSTD ": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", COMPRESSORS)
async def test_compressed_bodies_are_read(server: Server, encoding: str) -> None:
    server.play.upstream.answers().sends(HELLO)
    body = COMPRESSORS[encoding](server.play.body(stream=True))
    assert (await call(server, body=body, headers={**AUTHORIZED, "content-encoding": encoding})).status == 200


async def test_a_stream_of_zstd_without_a_declared_size_is_read(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    body = packer.compress(server.play.body(stream=True)) + packer.flush()
    assert (await call(server, body=body, headers={**AUTHORIZED, "content-encoding": "zstd"})).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "flipped"])
async def test_broken_compression_is_a_clear_400(server: Server, encoding: str, damage: str) -> None:
    whole = COMPRESSORS[encoding](server.play.body(stream=True))
    body = {
        "garbage": b"\x00garbage" * 10,
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "flipped": whole[:15] + bytes([whole[15] ^ 0xFF, whole[16] ^ 0xFF]) + whole[17:-4] + b"\0\0\0\0",
    }[damage]
    reply = await call(server, body=body, headers={**AUTHORIZED, "content-encoding": encoding})
    assert reply.status == 400, reply.body
    assert server.play.upstream.requests == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
async def test_a_cut_body_is_blamed_on_the_compression(server: Server, encoding: str) -> None:
    whole = COMPRESSORS[encoding](server.play.body(stream=True))
    reply = await call(server, body=whole[:-6], headers={**AUTHORIZED, "content-encoding": encoding})
    assert (reply.status, reply.code) == (400, "invalid_encoding")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
async def test_a_bomb_stops_at_the_limit(server: Server, encoding: str) -> None:
    bomb = COMPRESSORS[encoding](bytes(200 * MIB))
    assert len(bomb) < MIB
    reply = await call(server, body=bomb, headers={**AUTHORIZED, "content-encoding": encoding})
    assert (reply.status, reply.code) == (413, "request_too_large")


@pytest.mark.parametrize("encoding", ["br", "gzip, zstd", "x" * 500])
async def test_an_unknown_encoding_is_said_so(server: Server, encoding: str) -> None:
    reply = await call(server, headers={**AUTHORIZED, "content-encoding": encoding})
    assert reply.status == 415
    assert len(reply.body) < 500


# ---- paths and methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/", "/responses/x", "/chat/x", "/v1beta/nothing", "/v1/" + "x" * 5000]
)
async def test_an_unknown_path_of_clients_is_a_json_404(server: Server, path: str) -> None:
    reply = await call(server, path=path)
    assert (reply.status, reply.code) == (404, "not_found")
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.body) < 1000
    assert server.django_calls == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"), ("DELETE", "/v1/responses"), ("POST", "/v1/models"),
        ("HEAD", "/v1/models"), ("OPTIONS", "/v1/chat/completions"), ("PUT", "/v1/models/gpt-5.5"),
    ],
)  # fmt: skip
async def test_a_wrong_method_says_which_is_right(server: Server, method: str, path: str) -> None:
    reply = await call(server, method=method, path=path, body=b"")
    assert (reply.status, reply.code) == (405, "method_not_allowed")
    right = "GET" if "models" in path else "POST"
    assert right in reply.json["error"]["message"]
    assert right in reply.headers["allow"]


@pytest.mark.parametrize("query", ["a=b&" * 1000, "%ff%fe=%00", "&&==&", "key", "k=" + "x" * 100_000])
async def test_an_odd_query_never_breaks_the_door(server: Server, query: str) -> None:
    server.play.upstream.answers().sends(HELLO)
    assert (await call(server, query=query)).status in (200, 400)


async def test_headers_that_are_no_ascii_never_break_the_door(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    headers = {**AUTHORIZED, "user-agent": "caf\xe9\xff", "x-codex-turn-state": "\xe9", "session-id": "\xe9"}
    assert (await call(server, headers=headers)).status == 200


# ---- leaving, stopping, threads -------------------------------------------------------------------------------------


async def test_a_client_that_leaves_cancels_its_request_at_once(server: Server) -> None:
    server.play.upstream.answers().sends(CREATED + ITEM + text("Hel")).hangs()
    task = asyncio.create_task(server.call())
    while not server.play.upstream.streams:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    server.gone.set()
    async with asyncio.timeout(1):
        await task  # a client that left is no error for the server
    await server.play.check_nothing_is_left()
    assert server.play.record().outcome == "client_gone"


async def test_a_client_that_leaves_before_the_upstream_answers_frees_everything(server: Server) -> None:
    server.play.upstream.never_answers()
    task = asyncio.create_task(server.call())
    while not server.play.upstream.requests:
        await asyncio.sleep(0.001)
    server.gone.set()
    async with asyncio.timeout(1):
        await task
    await server.play.check_nothing_is_left()


async def test_a_client_that_leaves_in_the_middle_of_its_body_gets_nothing(server: Server) -> None:
    server.gone.set()
    reply = Reply()
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    scope = {
        "type": "http",
        "method": "POST",
        "path": server.path,
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {KEY}".encode())],
        "client": None,
    }
    await server.door(scope, receive, reply)
    assert reply.messages == 0
    assert len(server.play.usage) == 0


async def test_a_server_that_stops_cancels_for_real(server: Server) -> None:
    server.play.upstream.answers().sends(CREATED).hangs()
    task = asyncio.create_task(server.call())
    while not server.play.upstream.streams:
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await server.play.check_nothing_is_left()


async def test_fifty_requests_at_once_start_no_thread(server: Server) -> None:
    server.play.change(accounts=tuple(_wide(each) for each in server.play.store.current.accounts))
    for _ in range(50):
        server.play.upstream.answers().sends(CREATED + ITEM).pauses(0.02).sends(text("Hello") + completed("Hello"))
    before = threading.active_count()
    tasks = [asyncio.create_task(server.call()) for _ in range(50)]
    most = 0
    while not all(task.done() for task in tasks):
        most = max(most, threading.active_count())
        await asyncio.sleep(0.001)
    assert most <= before
    assert [task.result().status for task in tasks] == [200] * 50
    await server.play.check_nothing_is_left(requests=50)


def _wide(view: Any) -> Any:
    return msgspec.structs.replace(view, max_concurrency=100)


async def test_after_a_request_no_task_is_left_behind(server: Server) -> None:
    server.play.upstream.answers().sends(HELLO)
    before = asyncio.all_tasks()
    await call(server)
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() <= before
