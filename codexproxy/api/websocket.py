"""Responses over WebSocket for clients: the same flow as over HTTP, one request at a time, turn after turn.

A plain ASGI handler and no Channels consumer: a consumer's dispatch ends in `close_old_connections`, a hop to a
thread for every socket, and handles one message after the other, so that a client's leaving would wait for its answer.
Facts: spec/wire.md §1.3, spec/clients.md §1.4. Next: `turns.py` for the way in, `frames.py` for the way back.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from msgspec.structs import replace

from accounts.values import ApiKeyView
from codexproxy.api.frames import FrameClient, FrameSender, error_frame
from codexproxy.api.lean import Receive, Scope, Send
from codexproxy.api.turns import TURN_STATE, StickyState, Turn, read_frame, read_turn
from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.tasks import spawn
from codexproxy.gateway.types import ClientRequest
from translation import registry
from translation.codec import Codec, WireContext
from translation.errors import (
    GatewayError,
    InvalidRequest,
    KeyLimited,
    RouteNotFound,
    ShuttingDown,
    UpstreamUnreachable,
)
from translation.ir import events as ev
from translation.ir.usage import NO_USAGE
from translation.protocols.openai_responses.names import is_codex_client
from translation.wire.ids import Ids

IDLE_S = 1800.0
"""A socket on which nothing was asked for so long is closed; clients open a new one without a word."""
LIFETIME_S = 3600.0
"""The upstream's own bound (spec/wire.md §1.3.5), so clients know what to do when it is reached."""
SETTLE_S = 0.1
"""A new turn waits this long for the one before to give its slot back; the client already has all of its answer."""
MAX_QUERY_CHARS = 2000
MAX_SOCKETS_PER_KEY = 200
"""Of one process. A Codex CLI has one, and one for each of its sub-agents."""
IGNORED = ("response.append", "response.processed")
RESTART, POLICY, UNSUPPORTED, GOING_AWAY, NORMAL = 1012, 1008, 1003, 1001, 1000


class SocketDoor:
    """ASGI app for WebSocket upgrades."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._codec = registry.get("openai-responses")
        self._paths = {
            route.path for route in self._codec.routes if route.method == "POST" and route.operation == "generate"
        }
        self._ids = Ids()
        self._open: set[ResponsesSocket] = set()
        self._sockets_of: Counter[int] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from handshake to close."""
        self._loop = asyncio.get_running_loop()
        if (await receive())["type"] != "websocket.connect":
            return
        head = _head(scope, self._ids.mint("req_"))
        try:
            if scope["path"] not in self._paths:
                raise RouteNotFound(f"No WebSocket is served at {scope['path'][:200]}; use /v1/responses.")
            if self._gateway.is_draining:
                raise ShuttingDown("The gateway is restarting. Try again in a moment.", retry_after_s=2)
            key = self._gateway.authenticate(head.headers, head.query)
            if self._sockets_of[key.id] >= MAX_SOCKETS_PER_KEY:
                raise KeyLimited(
                    f"This API key has {MAX_SOCKETS_PER_KEY} WebSockets open, as many as it may. Close some, or send"
                    " requests over HTTP.",
                    code="websocket_limit_exceeded", retry_after_s=30,
                )  # fmt: skip
        except GatewayError as error:
            await _refuse(scope, send, self._codec, error, head.request_id)
            return
        self._sockets_of[key.id] += 1
        try:
            await self._serve(head, receive, FrameSender(send))
        finally:
            self._sockets_of[key.id] -= 1
            if not self._sockets_of[key.id]:
                del self._sockets_of[key.id]

    async def _serve(self, head: ClientRequest, receive: Receive, sender: FrameSender) -> None:
        await sender.message({"type": "websocket.accept", "headers": [(b"x-request-id", head.request_id.encode())]})
        socket = ResponsesSocket(self._gateway, self._codec, head, sender, self._ids)
        self._open.add(socket)
        try:
            await socket.serve(receive)
        finally:
            self._open.discard(socket)

    def start_drain(self) -> None:
        """Close idle sockets; busy ones close after their turn. May be called from a signal handler."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        for socket in tuple(self._open):
            socket.start_drain()


class ResponsesSocket:
    """One accepted socket. Invariant: at most one turn is unanswered."""

    def __init__(self, gateway: Gateway, codec: Codec, head: ClientRequest, sender: FrameSender, ids: Ids) -> None:
        self._gateway = gateway
        self._codec = codec
        self._head = head
        self._sender = sender
        self._ids = ids
        self._sticky = StickyState(head.headers.get(TURN_STATE, ""))
        self._shows_metadata = is_codex_client(head.headers)
        self._client: FrameClient | None = None
        self._task: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opened_at = asyncio.get_running_loop().time()

    @property
    def is_busy(self) -> bool:
        """A turn has not got its last frame yet."""
        return self._client is not None and not self._client.is_ended

    async def serve(self, receive: Receive) -> None:
        """Take messages until either side closes; then make sure that nothing of this socket is left running."""
        try:
            while True:
                message = await self._next(receive)
                if message is None:
                    await self.close(GOING_AWAY, "idle for too long")
                    return
                if message["type"] == "websocket.disconnect":
                    self._sender.is_gone = True
                    return
                if message.get("text") is None:
                    await self.close(UNSUPPORTED, "send text frames")
                    return
                await self._take(message["text"])
        finally:
            await self._stop_turn()

    async def close(self, code: int, reason: str) -> None:
        """Close from our side; the reader then sees the end."""
        if not self._sender.is_gone:
            await self._sender.message({"type": "websocket.close", "code": code, "reason": reason})
            self._sender.is_gone = True

    def start_drain(self) -> None:
        """Close now, or after the turn that runs."""
        if not self.is_busy:
            spawn(self.close(RESTART, "the gateway is restarting"), "websocket close")

    # ---- reading -----------------------------------------------------------------------------------------------

    async def _next(self, receive: Receive) -> Mapping[str, Any] | None:
        """Return the next message; None when the socket was idle for too long."""
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    return await receive()
            except TimeoutError:
                if not self.is_busy:
                    return None

    async def _take(self, text: str) -> None:
        try:
            message = read_frame(text)
            if message["type"] in IGNORED:
                return
            if message["type"] != "response.create":
                raise InvalidRequest(
                    f"This gateway does not know the message type '{message['type'][:80]}'; send `response.create`.",
                    param="type", code="unknown_message_type",
                )  # fmt: skip
            if self.is_busy:
                raise InvalidRequest(
                    "This socket is still answering a request; wait for its end, or open another socket.",
                    code="response_in_progress",
                )
            key = self._gateway.authenticate(self._head.headers, self._head.query)
        except GatewayError as error:
            await self._say(error)
            if error.status == 401:
                await self.close(POLICY, "the API key is not valid any more")
            return
        if asyncio.get_running_loop().time() - self._opened_at > LIFETIME_S:
            await self._say(_lifetime_over())
            await self.close(NORMAL, "lifetime over")
            return
        self._begin(message, key)

    async def _say(self, error: GatewayError) -> None:
        answer = self._codec.encode_error(error)
        await self._sender.text(error_frame(answer.status, answer.headers, answer.body))

    # ---- one turn ----------------------------------------------------------------------------------------------

    def _begin(self, message: dict[str, Any], key: ApiKeyView) -> None:
        turn = read_turn(message)
        self._client = FrameClient(
            self._sender,
            self._sticky.learn,
            shows_metadata=self._shows_metadata and not turn.is_warm_up,
            clock=self._gateway.clock,
        )
        self._task = spawn(self._run(turn, key, self._client, self._task), "websocket turn")
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)

    async def _run(self, turn: Turn, key: ApiKeyView, client: FrameClient, before: asyncio.Task[Any] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait({before}, timeout=SETTLE_S)
        request = replace(
            self._head,
            method="POST",
            headers={**_without_turn_state(self._head.headers), **self._sticky.header(turn.turn_id), **turn.headers},
            body=turn.body(),
            request_id=self._ids.mint("req_"),
        )
        try:
            if turn.is_warm_up:
                await self._warm_up(request, key, client)
            else:
                await self._gateway.generate(self._codec, key, request, client)
        finally:
            client.is_ended = True
        if self._gateway.is_draining:
            await self.close(RESTART, "the gateway is restarting")

    async def _warm_up(self, request: ClientRequest, key: ApiKeyView, client: FrameClient) -> None:
        """Answer `generate: false` here: there is nothing to warm but the journal, which later turns continue from."""
        codec, journal, now = self._codec, self._gateway.journal, self._gateway.clock()
        context = WireContext(headers=request.headers, path=request.path, now_s=now, ids=self._ids)
        story = None
        try:
            opened = codec.open_request(request.body, context)
            if opened.previous_response_id is not None:
                opened, story = await journal.expand(key.id, codec, opened)
        except GatewayError as error:
            client.is_ended = True
            await self._say(error)
            return
        encoder = codec.encoder(opened)
        start = ev.Start(id=self._ids.mint("resp_"), model=opened.model, created=int(now))
        said = encoder.encode([start, ev.Stop(finish_reason="stop", usage=NO_USAGE)])
        journal.write(
            key.id, codec, opened, encoder.final, story=story, account=story.account if story else "",
            conversation=story.conversation if story else "", agent=story.agent if story else "", drops_reasoning=False,
        )  # fmt: skip
        await client.end(said)

    async def _stop_turn(self) -> None:
        """Cancel an unanswered turn, which frees its lease and upstream, and wait for the end of every turn."""
        if self._task is not None and (self.is_busy or (self._client is not None and self._client.is_writing)):
            self._task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))


def _head(scope: Scope, request_id: str) -> ClientRequest:
    peer = scope.get("client")
    return ClientRequest(
        method="GET",
        path=scope["path"],
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        query=dict(parse_qsl((scope.get("query_string") or b"").decode("latin-1")[:MAX_QUERY_CHARS])),
        peer=peer[0] if peer else "",
        request_id=request_id,
    )


def _lifetime_over() -> GatewayError:
    return UpstreamUnreachable(
        "Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue.",
        code="websocket_connection_limit_reached", status=400, error_type="invalid_request_error",
    )  # fmt: skip


def _without_turn_state(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != TURN_STATE}


async def _refuse(scope: Scope, send: Send, codec: Codec, error: GatewayError, request_id: str) -> None:
    """Answer the handshake with a status and a body where the server can, else with a bare refusal."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": POLICY})
        return
    answer = codec.encode_error(error)
    headers = {**answer.headers, "content-length": str(len(answer.body)), "x-request-id": request_id}
    encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "websocket.http.response.body", "body": answer.body})
