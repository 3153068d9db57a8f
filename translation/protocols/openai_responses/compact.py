"""`POST …/responses/compact`: a history in, a shorter one out, in one JSON answer. Relayed; never builds the IR.

The backend answers JSON, on some deployments an event stream; clients always get the JSON. Facts: spec/wire.md §1.4,
spec/translation.md §8.5, rows 207-208.
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest, RelayTarget
from translation.errors import GatewayError, InvalidRequest, UpstreamDisconnected
from translation.ir.events import FinishReason
from translation.ir.request import GenerateRequest
from translation.ir.usage import Usage
from translation.protocols.openai_responses import options
from translation.protocols.openai_responses.decoder import tolerant_object
from translation.protocols.openai_responses.errors import error_from_json_body, error_from_text
from translation.protocols.openai_responses.items import clean_input, without_reasoning
from translation.protocols.openai_responses.names import is_codex_client, is_foreign_proof
from translation.protocols.openai_responses.reading import read_items
from translation.protocols.openai_responses.seals import seals_in
from translation.protocols.openai_responses.tap import ResponsesTap
from translation.protocols.openai_responses.tools import clean_tools
from translation.protocols.openai_responses.usage import usage_from_response
from translation.shared.token_count import estimate_tokens
from translation.wire.jsonio import dumps, loads
from translation.wire.jsontypes import is_array, is_object

MAX_INPUT_TOKENS = 1_000_000
"""The largest context window of any model (spec/wire.md §9.2), by our own estimate; nothing beyond it can be read."""
MAX_BODY_BYTES = 64 * 1024 * 1024
_OBJECT = "response.compaction"


def is_compact(path: str) -> bool:
    """Tell whether a call asks for a compaction."""
    return path.endswith("/responses/compact")


def relay_request(opened: OpenedRequest, target: RelayTarget) -> bytes:
    """Write the upstream body: what describes the conversation, nothing that describes an answer.

    Raises: InvalidRequest when the input is too large for any model.
    """
    body = opened.body
    items = [
        item
        for item in clean_input(body, is_codex=is_codex_client(opened.context.headers))
        if not is_foreign_proof(item.get("encrypted_content"))
    ]
    if target.drops_reasoning:
        items = without_reasoning(items)
    if estimate_tokens(GenerateRequest(model=target.model, items=read_items(items))) > MAX_INPUT_TOKENS:
        raise InvalidRequest(
            f"The input is larger than {MAX_INPUT_TOKENS} tokens; compact a shorter part of the conversation.",
            param="input",
            code="responses_compact_input_too_large",
        )
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if is_object(reasoning) else None
    effort = options.clamp_effort(effort if isinstance(effort, str) else target.effort, target.quirks)
    tier = body.get("service_tier")
    text = body.get("text")
    values: dict[str, Any] = {
        "model": target.model,
        "instructions": body.get("instructions") or "",
        "input": items,
        "tools": clean_tools(body.get("tools")),
        "parallel_tool_calls": bool(body.get("parallel_tool_calls")),
        "reasoning": {"effort": effort} if effort else None,
        "service_tier": options.wire_tier(tier if isinstance(tier, str) else None, target.service_tier, target.quirks),
        "prompt_cache_key": target.prompt_cache_key,
        "text": {key: value for key, value in text.items() if value is not None} or None if is_object(text) else None,
    }
    return dumps(options.ordered_body(values))


class CompactTap:
    """Reads one compaction. Implements `translation.codec.Tap` for a client that waits for one JSON body."""

    def __init__(self, opened: OpenedRequest) -> None:
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None
        self.error: GatewayError | None = None
        self.response_id = ""
        self.done = False
        self.has_output = False
        self.asides: dict[str, bytes] = {}
        self._stream = ResponsesTap(opened)
        self._is_stream = False
        self._pieces: list[bytes] = []
        self._size = 0
        self.answer: dict[str, Any] | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Take in a chunk; nothing leaves before the end."""
        if not self._pieces and not self._is_stream:
            self._is_stream = not chunk.lstrip().startswith((b"{", b"["))
        if self._is_stream:
            self._stream.feed(chunk)
            self._follow_stream()
            return b""
        self._pieces.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            self._fail(error_from_text("more than 64 MiB"))
        return b""

    def finish(self) -> bytes:
        """Judge the whole body."""
        if self.done:
            return b""
        if self._is_stream or not self._pieces:
            self._stream.finish()
            self._follow_stream()
            return b""
        self._read(b"".join(self._pieces))
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was said yet, so the flow answers with a status."""
        self._fail(error)
        return b""

    def heartbeat(self) -> bytes:
        """A JSON body has no heartbeat."""
        return b""

    def collected(self) -> bytes:
        """See `WholeTap.collected`."""
        if self.error is not None:
            raise self.error
        if self.answer is None:
            raise UpstreamDisconnected("The upstream closed the connection before the compaction was complete.")
        return dumps(self.answer)

    def seals(self) -> tuple[str, ...]:
        """See `SealingTap`."""
        return seals_in(self.answer.get("output")) if self.answer is not None else ()

    def _read(self, data: bytes) -> None:
        payload = tolerant_object(data)
        if payload is None:
            self._fail(error_from_text(data.decode("utf-8", "replace")))
        elif not is_array(payload.get("output")):
            self._fail(error_from_json_body(payload))
        else:
            self._done(payload)

    def _follow_stream(self) -> None:
        if not self._stream.done:
            return
        if self._stream.error is not None:
            self.usage = self._stream.usage
            self._fail(self._stream.error)
            return
        response = loads(self._stream.collected())
        kept = {key: response[key] for key in ("created_at", "status", "output", "usage") if key in response}
        self._done({"id": self._stream.response_id, "object": _OBJECT, **kept})

    def _done(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.usage = usage_from_response(answer)
        self.response_id = str(answer.get("id") or "")
        self.finish_reason = "stop"
        self.done = self.has_output = True

    def _fail(self, error: GatewayError) -> None:
        self.error = error
        self.done = True
