"""A fake Codex upstream that only answers, as fast as Python can: Responses over SSE, HTTP/1.1 with keep-alive.

Started as a process of its own (`python -m tests.perf.upstream`); prints the port it took. It checks nothing: for
behavior there is `providers/simulator`, which is too careful to be measured against. Shapes: `shape.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import signal
import sys
from functools import cache
from typing import Any

import uvloop

from tests.perf.shape import STAMP_PLACE, Shape, find_shape, now_us

MODEL = "gpt-5.4"
RESPONSE_ID = "resp_" + "0" * 40
MESSAGE_ID = "msg_" + "0" * 40
WRITE_BUFFER_BYTES = 64 * 1024 * 1024
"""Far above what any row leaves unread: the upstream must never be the one that waits."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

ANSWER_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\nx-request-id: req_perf\r\n"
    b"x-codex-plan-type: pro\r\nx-codex-primary-used-percent: 2\r\nx-codex-primary-window-minutes: 300\r\n"
    b"x-codex-primary-reset-at: 4102444800\r\nx-codex-secondary-used-percent: 1\r\n"
    b"x-codex-secondary-window-minutes: 10080\r\nx-codex-secondary-reset-at: 4102444800\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def _chunk(kind: str, number: int, fields: dict[str, Any]) -> bytes:
    """Return one event as one chunk of the body, written the way the real upstream writes it."""
    data = json.dumps({"type": kind, "sequence_number": number, **fields}, separators=(",", ":"))
    event = f"event: {kind}\ndata: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(event), event)


def _response(status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": RESPONSE_ID, "object": "response", "created_at": 1_790_000_000, "status": status, "background": False,
        "error": None, "incomplete_details": None, "instructions": "You are a careful assistant. " * 12,
        "max_output_tokens": None, "max_tool_calls": None, "model": MODEL, "output": output,
        "parallel_tool_calls": True, "previous_response_id": None, "prompt_cache_key": "perf",
        "reasoning": {"effort": "medium", "summary": "auto"}, "service_tier": "auto", "store": False,
        "temperature": 1.0, "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": "auto",
        "tools": [], "top_p": 1.0, "truncation": "disabled", "usage": usage, "user": None, "metadata": {},
    }  # fmt: skip


def _message(status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": MESSAGE_ID, "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


PLACE: dict[str, Any] = {"item_id": MESSAGE_ID, "output_index": 0, "content_index": 0}
FIRST_DELTA_NUMBER = 4


def _opening() -> bytes:
    """Return the events before the first delta."""
    begun = _response("in_progress", [], None)
    added = {"output_index": 0, "item": _message("in_progress", [])}
    return b"".join(
        (
            _chunk("response.created", 0, {"response": begun}),
            _chunk("response.in_progress", 1, {"response": begun}),
            _chunk("response.output_item.added", 2, added),
            _chunk("response.content_part.added", 3, {**PLACE, "part": _part("")}),
        )
    )


def _delta(number: int, text: str) -> bytes:
    fields = {**PLACE, "delta": text, "logprobs": [], "obfuscation": "x7Qp2LmZ"}
    return _chunk("response.output_text.delta", FIRST_DELTA_NUMBER + number, fields)


def _closing(text: str, deltas: int) -> bytes:
    """Return the events after the last delta; they repeat the whole text, as the real ones do."""
    number = FIRST_DELTA_NUMBER + deltas
    message = _message("completed", [_part(text)])
    usage = {
        "input_tokens": 1200, "input_tokens_details": {"cached_tokens": 1024}, "output_tokens": deltas,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 1200 + deltas,
    }  # fmt: skip
    return b"".join(
        (
            _chunk("response.output_text.done", number, {**PLACE, "text": text, "logprobs": []}),
            _chunk("response.content_part.done", number + 1, {**PLACE, "part": _part(text)}),
            _chunk("response.output_item.done", number + 2, {"output_index": 0, "item": message}),
            _chunk("response.completed", number + 3, {"response": _response("completed", [message], usage)}),
            LAST_CHUNK,
        )
    )


@cache
def whole_answer(deltas: int) -> bytes:
    """Return a burst answer, headers and all."""
    tokens = [f" #{number:05d}" for number in range(deltas)]
    events = (_delta(number, token) for number, token in enumerate(tokens))
    return b"".join((ANSWER_HEAD, _opening(), *events, _closing("".join(tokens), deltas)))


@cache
def prepared_deltas(deltas: int) -> list[tuple[bytes, bytes]]:
    """Return what stands before and after the time of sending, for every delta of a paced answer."""
    cut: list[tuple[bytes, bytes]] = []
    for number in range(deltas):
        before, after = _delta(number, f" #{number:05d}@{STAMP_PLACE}").split(STAMP_PLACE.encode())
        cut.append((before, after))
    return cut


class PacedAnswer:
    """One running answer. Invariant: deltas before `sent` have been written, each once, each on its own."""

    __slots__ = ("connection", "deltas", "period_s", "sent", "stamps", "started_at")

    def __init__(self, connection: Connection, shape: Shape) -> None:
        self.connection = connection
        self.deltas = prepared_deltas(shape.deltas)
        self.period_s = shape.period_ms / 1000
        self.sent = 0
        self.stamps: list[str] = []
        self.started_at = connection.loop.time()

    def tick(self) -> None:
        """Write the next delta and plan the one after it; times are counted from the start, so they do not drift."""
        transport = self.connection.transport
        if transport is None:
            return
        stamp = f"{now_us():016d}"
        self.stamps.append(stamp)
        before, after = self.deltas[self.sent]
        transport.write(before + stamp.encode() + after)
        self.sent += 1
        if self.sent < len(self.deltas):
            self.connection.loop.call_at(self.started_at + self.sent * self.period_s, self.tick)
            return
        text = "".join(f" #{number:05d}@{stamp}" for number, stamp in enumerate(self.stamps))
        transport.write(_closing(text, len(self.deltas)))
        self.connection.finish()


class Connection(asyncio.Protocol):
    """One client connection: one request at a time; pipelined ones wait in the buffer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._needed = 0
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, with room to write everything at once."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # uvloop's own class
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport; a running answer stops at its next delta."""
        self.transport = None

    def data_received(self, data: bytes) -> None:
        """Collect the request."""
        self._buffer += data
        if not self._is_busy and len(self._buffer) >= self._needed:
            self._take_request()

    def finish(self) -> None:
        """End an answer and look at what arrived meanwhile."""
        self._is_busy = False
        if self._buffer:
            self._take_request()

    def _take_request(self) -> None:
        end_of_head = self._buffer.find(b"\r\n\r\n")
        if end_of_head < 0:
            return
        head = bytes(self._buffer[:end_of_head])
        length = LENGTH.search(head)
        self._needed = end_of_head + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) < self._needed:
            return
        body = bytes(self._buffer[end_of_head + 4 : self._needed])
        del self._buffer[: self._needed]
        self._needed = 0
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self.transport is not None  # requests arrive on open connections
        method, path, _ = head.split(b" ", 2)
        if method != b"POST" or not path.endswith(b"/responses"):
            self.transport.write(NOT_FOUND)
            return
        shape = find_shape(body)
        if shape.period_ms == 0:
            self.transport.write(whole_answer(shape.deltas))
            return
        self._is_busy = True
        self.transport.write(ANSWER_HEAD + _opening_bytes())
        PacedAnswer(self, shape).tick()


@cache
def _opening_bytes() -> bytes:
    return _opening()


async def serve(port: int) -> None:
    """Answer on loopback until a signal comes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(loop), "127.0.0.1", port, backlog=4096)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stopped.wait()


def main() -> None:
    """Run the upstream."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    options = parser.parse_args()
    gc.freeze()
    uvloop.run(serve(options.port))


if __name__ == "__main__":
    main()
