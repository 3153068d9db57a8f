"""The relay lane's reader: frames pass as they came, what must not reach the client is edited, the outcome is learned.

Deltas are recognized by their prefix and never parsed. State: opening (nothing passed on yet) → open → ended. The
rules of what passes are in spec/translation.md §8.2-8.3, the client facts behind them in spec/clients.md §6 and §10.
Next: `recovery.py`, which rebuilds an empty `output` and writes frames the upstream did not send.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from translation.codec import OpenedRequest
from translation.errors import AccountRejected, EmptyResponse, GatewayError, ProtocolViolation, UpstreamDisconnected
from translation.ir.events import FinishReason
from translation.ir.usage import Usage
from translation.protocols.openai_responses.decoder import keep_aside, sniff_name, tolerant_object
from translation.protocols.openai_responses.encoder import ResponsesEncoder
from translation.protocols.openai_responses.errors import error_from_payload
from translation.protocols.openai_responses.names import is_codex_client
from translation.protocols.openai_responses.recovery import (
    MAX_HELD_DELTAS,
    OutputMemory,
    created_frame,
    events_of_odd_body,
    failed_frame,
    sequence_after,
    shown,
)
from translation.protocols.openai_responses.seals import seals_in
from translation.protocols.openai_responses.usage import usage_from_response
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_array, is_object
from translation.wire.sse import COMMENT_PING, MAX_FRAME_BYTES, parse_frame

Json = dict[str, Any]

_TEXT_DELTA = b"event: response.output_text.delta\n"
_DELTAS = (
    b"event: response.function_call_arguments.delta\n",
    b"event: response.reasoning_summary_text.delta\n",
    b"event: response.custom_tool_call_input.delta\n",
    b"event: response.reasoning_text.delta\n",
    b"event: response.refusal.delta\n",
)
"""Frames that pass without a look, like text deltas, which are remembered as well."""

_ALIASES = {b"response.text.delta": b"response.output_text.delta", b"response.done": b"response.completed"}


class ResponsesTap:
    """One relayed stream. Invariant: the client sees created first, one terminal frame, nothing after it."""

    def __init__(self, opened: OpenedRequest) -> None:
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None
        self.error: GatewayError | None = None
        self.response_id = ""
        self.done = False
        self.has_output = False
        self.asides: dict[str, bytes] = {}
        """Latest data of each `codex.*` event, for the account's limits; shown to Codex clients only."""
        self.answer: Json | None = None
        self._opened = opened
        self._model = opened.body.get("model") or opened.model
        self._is_codex = is_codex_client(opened.context.headers)
        self._memory = OutputMemory()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._held_cr = False
        self._is_open = False
        self._flows = False
        self._last = b""
        self._odd: list[bytes] = []

    # ---- bytes in, bytes out -----------------------------------------------------------------------------------

    def feed(self, chunk: bytes) -> bytes:
        """Return what the client gets of a network chunk: whole frames only."""
        if self.done:
            return b""
        if self._flows and chunk.startswith(_TEXT_DELTA) and self._is_one_frame(chunk):
            return self._pass(chunk)
        blocks = self._cut(chunk)
        if not blocks:
            return self._fail(self.error) if self.error is not None and not self.done else b""
        out: list[bytes] = []
        keep, flows = self._memory.keep, self._flows
        for block in blocks:
            if flows and block.startswith(_TEXT_DELTA):
                keep(block)
                out.append(block)
            elif flows and block.startswith(_DELTAS):
                out.append(block)
            else:
                self._frame(block, out)
                if self.done:
                    break
                flows = self._flows
        if not out:
            return b""
        self._last = out[-1]
        if len(self._memory.deltas) > MAX_HELD_DELTAS:
            self._memory.compact()
        out.append(b"")
        return b"\n\n".join(out)

    def _is_one_frame(self, chunk: bytes) -> bool:
        """A paced stream arrives frame by frame; such a chunk passes as it is."""
        return not self._pending and not self._held_cr and chunk.find(b"\n\n") == len(chunk) - 2

    def _pass(self, chunk: bytes) -> bytes:
        self._last = chunk
        self._memory.keep(chunk)
        if len(self._memory.deltas) > MAX_HELD_DELTAS:
            self._memory.compact()
        return chunk

    def finish(self) -> bytes:
        """Return what the end of the file brings; a failed response when the stream has not ended itself."""
        if self.done:
            return b""
        rest = b"".join(self._pending).strip(b"\n")
        self._pending.clear()
        passed = self.feed(rest + b"\n\n") if rest and not _is_cut(rest) else b""
        if self.done:
            return passed
        if not self._is_open and self._odd:
            return passed + self._odd_body()
        return passed + self._fail(
            UpstreamDisconnected("The upstream closed the stream before the answer was complete.")
        )

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with `error`, also when the upstream already ended it with a failure before any output.

        The flow keeps such failures back in the hope of another account; nothing of them has reached the client.
        """
        if self.done and self.error is None:
            return b""
        if not self.has_output:
            self._is_open = False  # whatever was passed on so far never reached the client
        return self._fail(error)

    def heartbeat(self) -> bytes:
        """Return a comment while the stream lasts; no SDK counts one as an event, so it may precede created."""
        return b"" if self.done else COMMENT_PING

    def collected(self) -> bytes:
        """Return the terminal `response` object with its output.

        Raises: the GatewayError that ended the stream.
        """
        if self.error is not None:
            raise self.error
        if self.answer is None:
            raise UpstreamDisconnected("The upstream closed the stream before the answer was complete.")
        return dumps(self.answer)

    def seals(self) -> tuple[str, ...]:
        """See `SealingTap`."""
        return seals_in(self.answer.get("output")) if self.answer is not None else ()

    def _cut(self, chunk: bytes) -> list[bytes]:
        """Cut into blocks without their blank line; a boundary is searched only where it can be new."""
        if self._held_cr or b"\r" in chunk:
            chunk = self._unify_line_ends(chunk)
        pending = self._pending
        if pending:
            if b"\n\n" not in chunk and not (chunk.startswith(b"\n") and pending[-1].endswith(b"\n")):
                self._hold(chunk)
                return []
            pending.append(chunk)
            chunk = b"".join(pending)
            pending.clear()
            self._pending_bytes = 0
        blocks = chunk.split(b"\n\n")
        self._hold(blocks.pop())
        return blocks

    def _hold(self, rest: bytes) -> None:
        if rest:
            self._pending.append(rest)
            self._pending_bytes += len(rest)
            if self._pending_bytes > MAX_FRAME_BYTES:
                self.error = ProtocolViolation("The upstream sent an event larger than 64 MiB.")

    def _unify_line_ends(self, chunk: bytes) -> bytes:
        if self._held_cr:
            chunk = b"\r" + chunk
        self._held_cr = chunk.endswith(b"\r")
        if self._held_cr:
            chunk = chunk[:-1]
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    # ---- frames ------------------------------------------------------------------------------------------------

    def _frame(self, block: bytes, out: list[bytes]) -> None:
        """Judge one frame that is not a plain delta; append what the client gets of it."""
        block = block.lstrip(b"\n").removeprefix(b"\xef\xbb\xbf")
        parsed = parse_frame(block)
        if parsed is None or parsed[1] == b"[DONE]":
            return
        name, data = parsed
        if not name:
            name = sniff_name(data) or _typed_name(data)
            if not name:
                self._odd.append(data)
                return
            block = b"event: %b\ndata: %b" % (name, data.replace(b"\n", b"\ndata: "))
        elif b"\n" in data or not block.startswith(b"event: ") or b"\ndata: " not in block:
            block = b"event: %b\ndata: %b" % (name, data.replace(b"\n", b"\ndata: "))
        if name in _ALIASES:
            name, block = _ALIASES[name], block.replace(name, _ALIASES[name])
        handler = self._FRAMES.get(name)
        if handler is not None:
            handler(self, name, data, block, out)
        elif name.startswith(b"response."):
            self._output(block, out)
        else:
            self._foreign(name, data, block, out)

    def _output(self, block: bytes, out: list[bytes]) -> None:
        self._ensure_created(out)
        self._flows = self.has_output = True
        if block.startswith(_TEXT_DELTA):
            self._memory.keep(block)
        out.append(block)

    def _foreign(self, name: bytes, data: bytes, block: bytes, out: list[bytes]) -> None:
        if name.startswith(b"codex."):
            keep_aside(self.asides, name.decode(errors="replace"), data)
        if self._is_codex:
            out.append(block)

    def _opening(self, name: bytes, data: bytes, block: bytes, out: list[bytes]) -> None:
        if self._is_open and name == b"response.created":
            return  # said once, by the upstream or by us
        payload = tolerant_object(data)
        response = payload.get("response") if payload is not None else None
        if payload is not None and is_object(response):
            self._learn_id(response)
            if shown(response, self._model, self.response_id):
                block = b"event: %b\ndata: %b" % (name, dumps(payload))
        if name != b"response.created":
            self._ensure_created(out)
        self._is_open = True
        out.append(block)

    def _metadata(self, name: bytes, data: bytes, block: bytes, out: list[bytes]) -> None:
        """Facts about the account (moderation, verification), which no SDK knows; openai-node even throws on them."""
        if self._is_codex:
            out.append(block)

    def _item_done(self, name: bytes, data: bytes, block: bytes, out: list[bytes]) -> None:
        payload = tolerant_object(data)
        if payload is not None:
            self._memory.item_done(payload)
        self._output(block, out)

    def _item_added(self, name: bytes, data: bytes, block: bytes, out: list[bytes]) -> None:
        self._memory.item_added(data)
        self._output(block, out)

    # ---- ends --------------------------------------------------------------------------------------------------

    def _success(self, name: bytes, data: bytes, block: bytes, out: list[bytes]) -> None:
        payload = tolerant_object(data)
        response = payload.get("response") if payload is not None else None
        if payload is None or not is_object(response):
            self._append_failure(ProtocolViolation("The upstream ended with an event that cannot be read."), out)
            return
        if response.get("status") == "failed":
            self._failure(b"response.failed", data, block, out)
            return
        self._learn_id(response)
        self._ensure_created(out)
        has_changed = shown(response, self._model, self.response_id)
        payload["type"] = name.decode()
        if not response.get("output"):
            response["output"] = self._memory.output()
            has_changed = has_changed or bool(response["output"])
        self.usage = usage_from_response(response)
        if not self.has_output and not response["output"] and self.usage is not None and self.usage.output_tokens > 0:
            # Tokens were spent on nothing: another account may do better, as in the other lane.
            self.done, self.error = True, EmptyResponse("The upstream completed without an answer.")
            return
        self._flows = self.has_output = self.done = True
        self.finish_reason = _finish_reason(name, response)
        self.answer = {"object": "response", "status": name.decode().partition(".")[2], **response}
        self._memory.clear()
        out.append(b"event: %b\ndata: %b" % (name, dumps(payload)) if has_changed else block)

    def _failure(self, name: bytes, data: bytes, block: bytes, out: list[bytes]) -> None:
        payload = tolerant_object(data) or {}
        self.error = error_from_payload(payload)
        response = payload.get("response")
        self.done = True
        if is_object(response):
            self.usage = usage_from_response(response)
            self._learn_id(response)
        if not self._is_open or name == b"response.error" or isinstance(self.error, AccountRejected):
            # Too early for a frame of its own: the flow answers with a status, unless it has already answered. Or a
            # name that no client knows as an end. Or what the upstream says of an account, which is the operator's
            # affair: a client would sign in again for it.
            self.done = False
            self._append_failure(self.error, out)
            return
        if is_object(response) and shown(response, self._model, self.response_id):
            block = b"event: %b\ndata: %b" % (name, dumps(payload))
        out.append(block)

    def _append_failure(self, error: GatewayError, out: list[bytes]) -> None:
        self.error = error
        self._ensure_created(out)
        sequence = sequence_after(out[-1] if out else self._last)
        out.append(failed_frame(self.response_id, self._model, error, sequence, self._opened.context))
        self.done = True
        self._memory.clear()

    def _fail(self, error: GatewayError | None) -> bytes:
        out: list[bytes] = []
        self._append_failure(error or ProtocolViolation("The upstream's stream cannot be read."), out)
        return b"\n\n".join([*out, b""])

    def _learn_id(self, response: Json) -> None:
        """Keep the first id the client was shown, or will be."""
        if not self.response_id:
            given = response.get("id")
            self.response_id = given if isinstance(given, str) and given else self._opened.context.ids.mint("resp_")

    def _ensure_created(self, out: list[bytes]) -> None:
        """SDK clients raise on anything that precedes created, so an upstream without one gets one."""
        if self._is_open:
            return
        self._is_open = True
        self.response_id = self.response_id or self._opened.context.ids.mint("resp_")
        out.append(created_frame(self.response_id, self._model, self._opened.context))

    def _odd_body(self) -> bytes:
        """The body was no event stream: one JSON answer is rendered, anything else is an error."""
        events = events_of_odd_body(self._odd)
        encoder = ResponsesEncoder(self._opened)
        rendered = encoder.encode(events)
        self.error, self.usage = encoder.error, encoder.usage
        self.finish_reason, self.response_id = encoder.finish_reason, encoder.response_id
        self.answer = encoder.final
        self.done = self._is_open = True
        self.has_output = self.error is None
        return rendered

    _FRAMES: ClassVar[dict[bytes, Callable[[ResponsesTap, bytes, bytes, bytes, list[bytes]], None]]] = {
        b"response.created": _opening,
        b"response.in_progress": _opening,
        b"response.queued": _opening,
        b"response.metadata": _metadata,
        b"response.output_item.added": _item_added,
        b"response.output_item.done": _item_done,
        b"response.completed": _success,
        b"response.incomplete": _success,
        b"response.failed": _failure,
        b"response.error": _failure,
        b"error": _failure,
    }


def _is_cut(block: bytes) -> bool:
    """Tell whether a frame broke off in the middle: clients would fail on its JSON instead of reading the failure."""
    parsed = parse_frame(block)
    return parsed is not None and bool(parsed[0] or sniff_name(parsed[1])) and tolerant_object(parsed[1]) is None


def _typed_name(data: bytes) -> bytes:
    payload = tolerant_object(data)
    kind = payload.get("type") if payload is not None else None
    return kind.encode(errors="replace") if isinstance(kind, str) else b""


def _finish_reason(name: bytes, response: Json) -> FinishReason:
    if name == b"response.incomplete" or response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if is_object(details) else None
        return {"max_output_tokens": "length", "content_filter": "content_filter"}.get(str(reason), "stop")  # pyright: ignore[reportReturnType]
    output = response.get("output")
    items = output if is_array(output) else []
    kinds = {str(item.get("type")) for item in items if is_object(item)}
    return "tool_calls" if kinds & {"function_call", "custom_tool_call"} else "stop"
