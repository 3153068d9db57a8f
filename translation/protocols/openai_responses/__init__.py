"""OpenAI Responses, both directions; also the wire of the Codex backend.

Reference: https://platform.openai.com/docs/api-reference/responses (checked 2026-11-20); facts: spec/translation.md
§1, §8, spec/wire.md §3-4. Requests: `request.py` → `items.py` → `relay.py` or `reading.py`/`upstream.py`; answers:
`decoder.py` → `assembly.py`, `encoder.py` → `ladder.py`, `tap.py` → `recovery.py`. Beside them: `compact.py`,
`native.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from translation.codec import (
    ModelInfo,
    OpenedRequest,
    Quirks,
    RelayTarget,
    Route,
    Tap,
    WireAnswer,
    WireContext,
    WireError,
)
from translation.errors import GatewayError
from translation.ir.request import GenerateRequest
from translation.ir.response import GenerateResponse
from translation.protocols.openai_responses import compact as _compact
from translation.protocols.openai_responses import continuation as _continuation
from translation.protocols.openai_responses import encoder as _encoder
from translation.protocols.openai_responses import errors as _errors
from translation.protocols.openai_responses import models as _models
from translation.protocols.openai_responses import native as _native
from translation.protocols.openai_responses import relay as _relay
from translation.protocols.openai_responses import request as _request
from translation.protocols.openai_responses import upstream as _upstream
from translation.protocols.openai_responses.decoder import ResponsesDecoder
from translation.protocols.openai_responses.encoder import ResponsesEncoder
from translation.protocols.openai_responses.names import ORIGIN
from translation.protocols.openai_responses.tap import ResponsesTap
from translation.shared.token_count import Countable, countable
from translation.wire.jsonio import dumps

_BASES = ("/v1", "", "/backend-api/codex")
"""OpenAI's base path, the one of clients that leave it out, and the Codex backend's own (spec/clients.md §1.5)."""


class ResponsesCodec:
    """Implements `translation.codec.Codec`; stateless, every method hands over to the module that knows."""

    name = ORIGIN
    routes = (
        Route("POST", "/v1/responses"),
        Route("POST", "/responses"),
        Route("POST", "/backend-api/codex/responses"),
        *(Route("POST", f"{base}/responses/compact") for base in _BASES),
        *(Route("POST", f"{base}/responses/review") for base in _BASES),
        Route("POST", "/v1/responses/input_tokens", "count_tokens"),
        Route("GET", "/backend-api/codex/models", "models"),
        *(Route("GET", path, "static") for path in _native.PATHS),
    )
    stream_media_type = "text/event-stream; charset=utf-8"
    listing_header = None

    def open_request(self, body: bytes, context: WireContext) -> OpenedRequest:
        """Parse and validate a client's body. Raises: InvalidRequest, UnsupportedFeature."""
        return _request.open_request(body, context)

    def decode_request(self, opened: OpenedRequest) -> GenerateRequest:
        """Build the IR. Raises: InvalidRequest, UnsupportedFeature."""
        return _request.decode_request(opened)

    def expand(self, opened: OpenedRequest, history: Sequence[Any]) -> OpenedRequest:
        """Put the conversation before a request that only named its last answer."""
        return _continuation.expand(opened, history)

    def exchange(
        self, opened: OpenedRequest, answer: Mapping[str, Any], *, is_whole: bool, drops_reasoning: bool
    ) -> list[Any]:
        """Return the items that a later request continues from."""
        return _continuation.exchange(opened, answer, is_whole=is_whole, drops_reasoning=drops_reasoning)

    def encoder(self, opened: OpenedRequest) -> ResponsesEncoder:
        """Return the encoder of one streamed answer."""
        return ResponsesEncoder(opened)

    def encode_response(self, response: GenerateResponse, opened: OpenedRequest) -> bytes:
        """Write a collected answer."""
        return _encoder.encode_response(response, opened)

    def encode_error(self, error: GatewayError) -> WireError:
        """Write an error in OpenAI's envelope."""
        return _errors.encode_error(error)

    def encode_models(self, models: Sequence[ModelInfo], context: WireContext) -> bytes:
        """Write a model listing."""
        return _models.encode_models(models, context)

    def encode_model(self, model: ModelInfo, context: WireContext) -> bytes:
        """Write one model."""
        return _models.encode_model(model, context)

    def encode_request(self, request: GenerateRequest, target: RelayTarget) -> bytes:
        """Write the upstream body of an IR request."""
        return _upstream.encode_request(request, target)

    def decoder(self) -> ResponsesDecoder:
        """Return the decoder of one upstream stream."""
        return ResponsesDecoder()

    def needs_translation(self, opened: OpenedRequest, quirks: Quirks) -> str | None:
        """Return why the body cannot be relayed, or None."""
        return None if opened.operation == "compact" else _relay.needs_translation(opened, quirks)

    def relay_request(self, opened: OpenedRequest, target: RelayTarget) -> bytes:
        """Write the upstream body of a relayed request."""
        lane = _compact if opened.operation == "compact" else _relay
        return lane.relay_request(opened, target)

    def tap(self, opened: OpenedRequest) -> Tap:
        """Return the tap of one relayed answer."""
        return _compact.CompactTap(opened) if opened.operation == "compact" else ResponsesTap(opened)

    def countable(self, opened: OpenedRequest) -> Countable:
        """Return what counts. Raises: InvalidRequest, UnsupportedFeature."""
        return countable(self.decode_request(opened))

    def encode_count(self, tokens: int) -> bytes:
        """Answer `/responses/input_tokens`."""
        return dumps({"object": "response.input_tokens", "input_tokens": tokens})

    def answer(self, body: bytes, context: WireContext, models: Sequence[ModelInfo]) -> WireAnswer:
        """Answer what Codex asks its backend for besides models."""
        return _native.answer(context)


CODEC = ResponsesCodec()
