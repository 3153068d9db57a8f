"""OpenAI Chat Completions, the dialect most clients and most providers speak; both directions.

`request.py` and what it names read a body, `encoder.py` writes a stream, `response.py` the collected answer from the
same events. Towards providers: `upstream_request.py`, `upstream_decoder.py`, and `tap.py` for the relay; what they
share is in `upstream.py`. Facts: spec/translation.md §5, §11.2, spec/clients.md §6. Reference:
https://platform.openai.com/docs/api-reference/chat (checked 2026-11-20).
"""

from __future__ import annotations

from collections.abc import Sequence

from translation.codec import (
    ModelInfo,
    OpenedRequest,
    Quirks,
    RelayTarget,
    Route,
    UpstreamCodec,
    WireContext,
    WireError,
)
from translation.errors import GatewayError
from translation.ir.events import Event
from translation.ir.request import GenerateRequest
from translation.ir.response import GenerateResponse
from translation.protocols.openai_chat import upstream as _upstream
from translation.protocols.openai_chat import upstream_request as _upstream_request
from translation.protocols.openai_chat.cursor import overflow_events
from translation.protocols.openai_chat.encoder import ChatStreamEncoder
from translation.protocols.openai_chat.request import decode_chat_request, open_chat_request
from translation.protocols.openai_chat.response import encode_chat_response
from translation.protocols.openai_chat.tap import ChatBodyTap, ChatTap
from translation.protocols.openai_chat.upstream_decoder import ChatDecoder
from translation.shared.openai_errors import encode_openai_error
from translation.shared.openai_models import encode_openai_model, encode_openai_models


class OpenAIChat:
    """The `UpstreamCodec` of Chat Completions."""

    name = "openai-chat"
    stream_media_type = "text/event-stream; charset=utf-8"
    listing_header = None
    routes = (
        Route("POST", "/v1/chat/completions"),
        Route("POST", "/chat/completions"),
        Route("GET", "/v1/models", "models"),
        Route("GET", "/v1/models/{model_id}", "model"),
    )

    def open_request(self, body: bytes, context: WireContext) -> OpenedRequest:
        """Parse a body and read what routing needs. Raises: InvalidRequest."""
        return open_chat_request(body, context)

    def decode_request(self, opened: OpenedRequest) -> GenerateRequest:
        """Build the IR. Raises: InvalidRequest, UnsupportedFeature."""
        return decode_chat_request(opened)

    def encoder(self, opened: OpenedRequest) -> ChatStreamEncoder:
        """Return the encoder of one stream."""
        return ChatStreamEncoder(opened)

    def encode_response(self, response: GenerateResponse, opened: OpenedRequest) -> bytes:
        """Write a collected answer."""
        return encode_chat_response(response, opened)

    def encode_error(self, error: GatewayError) -> WireError:
        """Write an error in OpenAI's envelope."""
        return encode_openai_error(error)

    def instead_of(self, error: GatewayError, opened: OpenedRequest) -> list[Event] | None:
        """Return what Cursor is told of a full context, where the operator wants that."""
        return overflow_events(error, opened)

    def encode_models(self, models: Sequence[ModelInfo], context: WireContext) -> bytes:
        """Write the model list."""
        return encode_openai_models(models, context)

    def encode_model(self, model: ModelInfo, context: WireContext) -> bytes:
        """Write one model."""
        return encode_openai_model(model)

    def encode_request(self, request: GenerateRequest, target: RelayTarget) -> bytes:
        """Write a provider's body of an IR request. Raises: UnsupportedFeature."""
        return _upstream_request.encode_request(request, target)

    def decoder(self) -> ChatDecoder:
        """Return the decoder of one provider stream."""
        return ChatDecoder()

    def needs_translation(self, opened: OpenedRequest, quirks: Quirks) -> str | None:
        """Return why the body cannot be relayed, or None."""
        return _upstream.needs_translation(opened)

    def relay_request(self, opened: OpenedRequest, target: RelayTarget) -> bytes:
        """Write a provider's body of a relayed request."""
        return _upstream.relay_request(opened, target)

    def tap(self, opened: OpenedRequest) -> ChatTap | ChatBodyTap:
        """Return the tap of one relayed answer."""
        return ChatTap(opened) if opened.stream else ChatBodyTap(opened)


CODEC: UpstreamCodec = OpenAIChat()
