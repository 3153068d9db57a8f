"""Legal events → the full Responses event ladder for a client (created … added … deltas … done … completed).

Used when a Responses client is answered by another wire, or when a pass must touch the answer. Streamed and collected
answers come from the same state: `encode_response` replays the folded blocks through this class.
Facts: spec/translation.md §8.2-8.3, spec/wire.md §4; what SDKs need: spec/clients.md §6, §10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from translation.codec import OpenedRequest
from translation.errors import GatewayError
from translation.ir import events as ev
from translation.ir.response import GenerateResponse
from translation.ir.usage import Usage
from translation.protocols.openai_responses import ladder
from translation.protocols.openai_responses.errors import stream_error_object
from translation.protocols.openai_responses.names import ORIGIN, is_codex_client
from translation.protocols.openai_responses.usage import tool_usage_to_wire, usage_to_wire
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_object
from translation.wire.sse import COMMENT_PING

Json = dict[str, Any]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_INCOMPLETE_RAW = frozenset({"incomplete", "interrupted"})


class ResponsesEncoder:
    """One answer. Invariant: sequence numbers count from 0 without a gap; items open before their parts."""

    def __init__(self, opened: OpenedRequest) -> None:
        self.final: Json | None = None
        self.error: GatewayError | None = None
        self.usage: Usage | None = None
        self.finish_reason: ev.FinishReason | None = None
        self.response_id = ""
        self._opened = opened
        self._writer = ladder.Writer(opened.context.ids)
        self._base: Json = {}
        self._is_open = False
        self._is_done = False

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """Return the frames of `events`."""
        writer, handlers = self._writer, self._HANDLERS
        for event in events:
            if self._is_done:
                break
            handlers[type(event)](self, event)
        return writer.take()

    def heartbeat(self) -> bytes:
        """Return a comment while the stream lasts; no SDK counts one as an event, so it may precede created."""
        return b"" if self._is_done else COMMENT_PING

    # ---- events ------------------------------------------------------------------------------------------------

    def _start(self, event: ev.Start) -> None:
        context = self._opened.context
        self.response_id = event.id if event.id.startswith("resp_") else context.ids.mint("resp_")
        self._base = _response_base(self._opened, self.response_id, event.created or int(context.now_s))
        self._is_open = True
        for name in ("response.created", "response.in_progress"):
            self._writer.frame(name, {"response": {**self._base, "status": "in_progress"}})

    def _delta(self, event: ev.TextDelta | ev.RefusalDelta | ev.ReasoningDelta | ev.ToolCallDelta) -> None:
        self._writer.entry(event.index).delta(event)

    def _detail(self, event: ev.Citation | ev.ImageDelta | ev.SearchResult) -> None:
        self._writer.entry(event.index).detail(event)

    def _block_start(self, event: ev.BlockStart) -> None:
        self._writer.open(event)

    def _block_stop(self, event: ev.BlockStop) -> None:
        self._writer.close(event)

    def _usage(self, event: ev.UsageUpdate) -> None:
        self.usage = event.usage

    def _opaque(self, event: ev.Opaque) -> None:
        if event.origin == ORIGIN and is_codex_client(self._opened.context.headers):
            self._writer.raw(event.name, event.data)

    def _nothing(self, event: ev.Event) -> None:
        pass

    def _stop(self, event: ev.Stop) -> None:
        self._writer.finish()
        self.usage = event.usage or self.usage
        self.finish_reason = event.finish_reason
        reason = _INCOMPLETE.get(event.finish_reason)
        if reason is None and event.raw_reason in _INCOMPLETE_RAW:
            reason = event.raw_reason
        response = {**self._base, "status": "incomplete" if reason else "completed"}
        response["incomplete_details"] = {"reason": reason} if reason else None
        response["service_tier"] = event.service_tier or response.get("service_tier")
        self._end(response)

    def _fail(self, event: ev.Error) -> None:
        if not self._is_open:
            self._start(ev.Start(id=""))
        self.error = event.error
        self._end({**self._base, "status": "failed", "error": stream_error_object(event.error)})

    def _end(self, response: Json) -> None:
        response["output"] = self._writer.output()
        if self.usage is not None:
            response["usage"] = usage_to_wire(self.usage)
            tools = tool_usage_to_wire(self.usage)
            if tools is not None:
                response["tool_usage"] = tools
        self._is_done = True
        self.final = response
        self._writer.frame(f"response.{response['status']}", {"response": response})

    _HANDLERS: ClassVar[dict[type, Callable[[ResponsesEncoder, Any], None]]] = {
        ev.Start: _start,
        ev.BlockStart: _block_start,
        ev.TextDelta: _delta,
        ev.RefusalDelta: _delta,
        ev.ReasoningDelta: _delta,
        ev.ToolCallDelta: _delta,
        ev.Citation: _detail,
        ev.ImageDelta: _detail,
        ev.SearchResult: _detail,
        ev.BlockStop: _block_stop,
        ev.UsageUpdate: _usage,
        ev.Ping: _nothing,
        ev.Opaque: _opaque,
        ev.Stop: _stop,
        ev.Error: _fail,
    }


def encode_response(response: GenerateResponse, opened: OpenedRequest) -> bytes:
    """Write a collected answer: the terminal `response` object that the stream would have ended with."""
    encoder = ResponsesEncoder(opened)
    encoder.encode(list(ladder.replay(response)))
    return dumps(encoder.final)


def _response_base(opened: OpenedRequest, response_id: str, created: int) -> Json:
    """The fields that stay the same from created to completed; the client's own settings are echoed."""
    body = opened.body
    text = body.get("text")
    reasoning = body.get("reasoning")
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body.get("model") or opened.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": reasoning if is_object(reasoning) else {"effort": None, "summary": None},
        "service_tier": body.get("service_tier") or "auto",
        "store": False,
        "temperature": body.get("temperature"),
        "text": text if is_object(text) else {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p"),
        "truncation": body.get("truncation") or "disabled",
        "usage": None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }
