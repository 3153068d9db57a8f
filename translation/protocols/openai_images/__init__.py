"""OpenAI's image routes: one hosted image tool call on a chat model. Client side only: no upstream of ours speaks it.

`request.py` (and `multipart.py` for uploads) reads a body, `answer.py` writes what came of it. Reference:
https://platform.openai.com/docs/api-reference/images (checked 2026-11-23); facts: spec/translation.md §10,
spec/wire.md §1.9, §4.7.
"""

from __future__ import annotations

from collections.abc import Sequence

from translation.codec import (
    Codec,
    ModelInfo,
    OpenedRequest,
    Route,
    WireContext,
    WireError,
)
from translation.errors import GatewayError
from translation.ir.request import GenerateRequest
from translation.ir.response import GenerateResponse
from translation.protocols.openai_images.answer import ImagesEncoder, encode_images_response
from translation.protocols.openai_images.request import decode_images_request, open_images_request
from translation.shared.openai_errors import encode_openai_error
from translation.shared.openai_models import encode_openai_model, encode_openai_models


class OpenAIImages:
    """The `Codec` of OpenAI's image routes."""

    name = "openai-images"
    stream_media_type = "text/event-stream; charset=utf-8"
    listing_header: str | None = None
    routes = (
        Route("POST", "/v1/images/generations"),
        Route("POST", "/v1/images/edits"),
        Route("POST", "/images/generations"),
        Route("POST", "/images/edits"),
    )

    def open_request(self, body: bytes, context: WireContext) -> OpenedRequest:
        """Parse and validate a body. Raises: InvalidRequest, UnsupportedFeature."""
        return open_images_request(body, context)

    def decode_request(self, opened: OpenedRequest) -> GenerateRequest:
        """Build the IR: a chat request that calls the image tool. Raises: InvalidRequest."""
        return decode_images_request(opened)

    def encoder(self, opened: OpenedRequest) -> ImagesEncoder:
        """Return the encoder of one stream."""
        return ImagesEncoder(opened)

    def encode_response(self, response: GenerateResponse, opened: OpenedRequest) -> bytes:
        """Write a collected answer. Raises: EmptyResponse when there is no picture."""
        return encode_images_response(response, opened)

    def encode_error(self, error: GatewayError) -> WireError:
        """Write an error in OpenAI's envelope."""
        return encode_openai_error(error)

    def encode_models(self, models: Sequence[ModelInfo], context: WireContext) -> bytes:
        """Write a model listing."""
        return encode_openai_models(models, context)

    def encode_model(self, model: ModelInfo, context: WireContext) -> bytes:
        """Write one model."""
        return encode_openai_model(model)


CODEC: Codec = OpenAIImages()
