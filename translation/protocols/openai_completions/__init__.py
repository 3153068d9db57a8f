"""OpenAI's legacy completions (`POST /v1/completions`), for tools that never learned to chat. Client side only.

`request.py` reads a body, `encoder.py` writes both kinds of answer. Facts: spec/translation.md §5.6. Reference:
https://platform.openai.com/docs/api-reference/completions (checked 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Sequence

from translation.codec import Codec, ModelInfo, OpenedRequest, Route, WireContext, WireError
from translation.errors import GatewayError
from translation.ir.request import GenerateRequest
from translation.ir.response import GenerateResponse
from translation.protocols.openai_completions.encoder import CompletionStreamEncoder, encode_completion
from translation.protocols.openai_completions.request import decode_completion_request, open_completion_request
from translation.shared.openai_errors import encode_openai_error
from translation.shared.openai_models import encode_openai_model, encode_openai_models


class OpenAICompletions:
    """The `Codec` of legacy completions."""

    name = "openai-completions"
    stream_media_type = "text/event-stream; charset=utf-8"
    listing_header: str | None = None
    routes = (Route("POST", "/v1/completions"),)

    def open_request(self, body: bytes, context: WireContext) -> OpenedRequest:
        """Parse a body and read what routing needs. Raises: InvalidRequest."""
        return open_completion_request(body, context)

    def decode_request(self, opened: OpenedRequest) -> GenerateRequest:
        """Build the IR. Raises: InvalidRequest, UnsupportedFeature."""
        return decode_completion_request(opened)

    def encoder(self, opened: OpenedRequest) -> CompletionStreamEncoder:
        """Return the encoder of one stream."""
        return CompletionStreamEncoder(opened)

    def encode_response(self, response: GenerateResponse, opened: OpenedRequest) -> bytes:
        """Write a collected answer."""
        return encode_completion(response, opened)

    def encode_error(self, error: GatewayError) -> WireError:
        """Write an error in OpenAI's envelope."""
        return encode_openai_error(error)

    def encode_models(self, models: Sequence[ModelInfo], context: WireContext) -> bytes:
        """Write the model list."""
        return encode_openai_models(models, context)

    def encode_model(self, model: ModelInfo, context: WireContext) -> bytes:
        """Write one model."""
        return encode_openai_model(model)


CODEC: Codec = OpenAICompletions()
