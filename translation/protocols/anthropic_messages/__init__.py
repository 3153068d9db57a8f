"""Anthropic Messages, the dialect of Claude Code and Anthropic's SDKs, both directions.

Client side: `request.py` and what it names read a body, `stage.py` → `encoder.py` write a stream, `response.py` the
collected answer from the same events. Upstream side: `upstream_request.py`, `upstream_decoder.py`, `tap.py`, all after
`upstream.py`. Facts: spec/translation.md §6, §11.4, spec/clients.md §2. Reference:
https://platform.claude.com/docs/en/api/messages.
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
from translation.ir.request import GenerateRequest
from translation.ir.response import GenerateResponse
from translation.protocols.anthropic_messages import errors as _errors
from translation.protocols.anthropic_messages import models as _models
from translation.protocols.anthropic_messages import request as _request
from translation.protocols.anthropic_messages import response as _response
from translation.protocols.anthropic_messages import upstream as _upstream
from translation.protocols.anthropic_messages import upstream_request as _upstream_request
from translation.protocols.anthropic_messages.encoder import MessagesEncoder
from translation.protocols.anthropic_messages.tap import MessagesTap
from translation.protocols.anthropic_messages.upstream_decoder import UpstreamDecoder
from translation.shared.token_count import Countable, countable
from translation.wire.jsonio import dumps


class AnthropicMessages:
    """Implements `UpstreamCodec` and `TokenCounter`."""

    name = "anthropic-messages"
    stream_media_type = "text/event-stream; charset=utf-8"
    listing_header = "anthropic-version"
    routes = (
        Route("POST", "/v1/messages"),
        Route("POST", "/v1/messages/count_tokens", "count_tokens"),
    )

    def open_request(self, body: bytes, context: WireContext) -> OpenedRequest:
        """Parse a body and read what routing needs. Raises: InvalidRequest."""
        return _request.open_request(body, context)

    def decode_request(self, opened: OpenedRequest) -> GenerateRequest:
        """Build the IR. Raises: InvalidRequest, UnsupportedFeature."""
        return _request.decode_request(opened)

    def encoder(self, opened: OpenedRequest) -> MessagesEncoder:
        """Return the encoder of one stream."""
        return MessagesEncoder(opened)

    def encode_response(self, response: GenerateResponse, opened: OpenedRequest) -> bytes:
        """Write a collected answer."""
        return _response.encode_response(response, opened)

    def encode_error(self, error: GatewayError) -> WireError:
        """Write an error in Anthropic's envelope."""
        return _errors.encode_error(error)

    def encode_models(self, models: Sequence[ModelInfo], context: WireContext) -> bytes:
        """Write the model list."""
        return _models.encode_models(models)

    def encode_model(self, model: ModelInfo, context: WireContext) -> bytes:
        """Write one model."""
        return _models.encode_model(model)

    def encode_request(self, request: GenerateRequest, target: RelayTarget) -> bytes:
        """Write the upstream body of an IR request. Raises: UnsupportedFeature."""
        return _upstream_request.encode_request(request, target)

    def decoder(self) -> UpstreamDecoder:
        """Return the decoder of one upstream stream."""
        return UpstreamDecoder()

    def needs_translation(self, opened: OpenedRequest, quirks: Quirks) -> str | None:
        """Return None: an Anthropic upstream reads whatever its clients write."""
        return None

    def relay_request(self, opened: OpenedRequest, target: RelayTarget) -> bytes:
        """Write the upstream body of a relayed request."""
        return _upstream.relay_request(opened, target)

    def tap(self, opened: OpenedRequest) -> MessagesTap:
        """Return the tap of one relayed answer."""
        return MessagesTap(opened)

    def countable(self, opened: OpenedRequest) -> Countable:
        """Return what counts. Raises: InvalidRequest, UnsupportedFeature."""
        return countable(_request.decode_request(opened))

    def encode_count(self, tokens: int) -> bytes:
        """Answer `count_tokens`."""
        return dumps({"input_tokens": tokens})


CODEC: UpstreamCodec = AnthropicMessages()
