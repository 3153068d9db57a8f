"""A lean ASGI door for the protocol routes: the same Ninja operations, without Django's per-request thread.

Django's own handler opens a thread-sensitive context, fires sync signal receivers and closes responses in a thread:
two thirds of the cost of a streamed request (ADR-0003). None of it is needed where no sync ORM work runs, which is
the hot path's rule; everything else goes on to Django. A client that leaves cancels its request at once.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import zstandard
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from msgspec.structs import replace

from codexproxy.api.wire import WireApi, WireReply
from codexproxy.gateway.tasks import spawn
from codexproxy.gateway.types import ClientRequest
from translation.codec import Codec
from translation.errors import GatewayError, InvalidRequest, RequestTooLarge
from translation.wire.ids import Ids

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_QUERY_FIELDS = 50
ZSTD_PIECE_BYTES = 1024
"""zstd expands at most some 30,000-fold: one piece too many is 30 MB."""


class WireRequest(HttpRequest):
    """A Django request without its body: what Ninja and the operations touch, and nothing else.

    The body is read after authentication, so that a stranger cannot make the gateway take in 64 MiB.
    """

    def __init__(self, scope: Scope, codec: Codec, head: ClientRequest) -> None:
        super().__init__()
        self.wire_codec = codec
        self.wire_head = head
        self.method = head.method
        self.path = self.path_info = head.path
        self.META = {"REQUEST_METHOD": head.method}


class LeanDoor:
    """ASGI app: protocol routes to their operation, everything else to `django_app`."""

    def __init__(self, api: WireApi, django_app: ASGIApp, max_body_bytes: Callable[[], int]) -> None:
        self._api = api
        self._django_app = django_app
        self._max_body_bytes = max_body_bytes
        self._ids = Ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        found = self._api.find(scope["method"], scope["path"])
        if found is None:
            await self._django_app(scope, receive, send)
            return
        route, params = found
        client = AsgiClient(send)
        peer = scope.get("client")
        head = ClientRequest(
            method=scope["method"],
            path=scope["path"],
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            params=params,
            peer=peer[0] if peer else "",
            request_id=self._ids.mint("req_"),
        )
        codec = self._api.dialect(route, head.headers)
        try:
            head = replace(head, query=_query(scope["query_string"])) if scope["query_string"] else head
            response = await route.operation.run(WireRequest(scope, codec, head), **params)
            if not isinstance(response, WireReply):
                await _send_response(client, response)
                return
            body = await _read_body(receive, head.headers, self._max_body_bytes())
        except GatewayError as error:
            await _refuse(codec, client, error, head)
            return
        except ClientLeft:
            return
        await self._generate(response, replace(head, body=body), receive, client)

    async def _generate(
        self, response: WireReply, request: ClientRequest, receive: Receive, client: AsgiClient
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # ASGI servers run every request in a task
        watcher = spawn(_cancel_when_gone(receive, task, client), "client watcher")
        try:
            await response.run(request, client)
        except asyncio.CancelledError:
            if not client.is_gone:
                raise  # the server shuts down
            task.uncancel()
        finally:
            watcher.cancel()


class ClientLeft(Exception):
    """The client went away before its body was complete."""


class AsgiClient:
    """Implements `gateway.types.ClientStream` over ASGI messages."""

    __slots__ = ("_send", "is_ended", "is_gone", "is_writing", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.is_writing = False
        self.is_ended = False
        self.is_gone = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """See `ClientStream.start`."""
        self.started = True
        encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    def write(self, data: bytes) -> Awaitable[None]:
        """See `ClientStream.write`; the server's own flow control is the back-pressure.

        Hands on the server's awaitable instead of awaiting it in a coroutine of its own: this is for every chunk.
        """
        return self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes) -> None:
        """See `ClientStream.end`."""
        await self._finish(data)

    async def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """See `ClientStream.reply`."""
        await self.start(status, {**headers, "content-length": str(len(body))})
        await self._finish(body)

    async def _finish(self, data: bytes) -> None:
        self.is_writing = self.is_ended = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": False})
        finally:
            self.is_writing = False


async def _cancel_when_gone(receive: Receive, task: asyncio.Task[Any], client: AsgiClient) -> None:
    """Wait for the client to leave; then cancel its request, which frees the lease and the upstream.

    Servers say disconnect also when the answer is complete; what is left to do then (reading the upstream to its end,
    so that its connection can be used again) may go on.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    if client.is_ended and not client.is_writing:
        return
    client.is_gone = True
    task.cancel()


def _query(query_string: bytes) -> dict[str, str]:
    """Return the query's fields. Raises: InvalidRequest when there are too many; it never repeats them."""
    try:
        return dict(parse_qsl(query_string.decode("latin-1"), max_num_fields=MAX_QUERY_FIELDS))
    except ValueError:
        raise InvalidRequest(f"The query has more than {MAX_QUERY_FIELDS} fields.") from None


async def _read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the whole body, decompressed.

    Raises: RequestTooLarge, InvalidRequest (broken compression), ClientLeft.
    """
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        if piece:
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
        if not message.get("more_body"):
            break
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    encoding = headers.get("content-encoding")
    return _decompress(body, encoding.strip().lower(), limit) if encoding else body


def _decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo gzip, deflate or zstd (Codex CLI compresses with zstd), never beyond `limit` bytes."""
    try:
        if encoding == "identity":
            return body
        if encoding == "zstd":
            decoder = zstandard.ZstdDecompressor().decompressobj(read_across_frames=False)
            plain = _inflate(decoder.decompress, body, limit)
        elif encoding in ("gzip", "deflate"):
            decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
            plain = decoder.decompress(body, limit + 1)
        else:
            raise InvalidRequest(
                f"The content encoding '{encoding[:40]}' is not supported; use zstd or gzip.", status=415
            )
    except (zstandard.ZstdError, zlib.error, gzip.BadGzipFile, EOFError):
        raise InvalidRequest(f"The request body is not valid {encoding}.", code="invalid_encoding") from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not decoder.eof:
        raise InvalidRequest(f"The request body is not valid {encoding}: its end is missing.", code="invalid_encoding")
    return plain


def _inflate(decompress: Callable[[bytes], bytes], body: bytes, limit: int) -> bytes:
    """Feed small pieces, so that a bomb is noticed after at most one piece too many."""
    pieces: list[bytes] = []
    size = 0
    for start in range(0, len(body), ZSTD_PIECE_BYTES):
        piece = decompress(body[start : start + ZSTD_PIECE_BYTES])
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            break
    return b"".join(pieces)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is larger than {limit // (1024 * 1024)} MiB, the limit of this gateway.")


async def _refuse(codec: Codec, client: AsgiClient, error: GatewayError, head: ClientRequest) -> None:
    error.request_id = head.request_id
    answer = codec.encode_error(error)
    headers = {"content-type": "application/json", **head.id_headers, "connection": "close", **answer.headers}
    await client.reply(answer.status, headers, answer.body)


async def _send_response(client: AsgiClient, response: HttpResponseBase) -> None:
    """Send an ordinary response of an operation."""
    headers = {name.lower(): value for name, value in response.items()}
    headers.pop("content-length", None)
    await client.reply(response.status_code, headers, getattr(response, "content", b""))
