"""Ollama's own API, for apps that know no other. Client side only: no upstream of ours speaks it.

`request.py` and what it names read a body, `encoder.py` writes lines, `response.py` the collected answer from the same
events, `answers.py` what needs no upstream. The listener without keys is not the codec's affair. Facts:
spec/translation.md §9. Reference: https://github.com/ollama/ollama/blob/main/docs/api.md (checked 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Sequence

from translation.codec import (
    Codec,
    ModelInfo,
    OpenedRequest,
    Route,
    WireAnswer,
    WireContext,
    WireError,
)
from translation.errors import GatewayError
from translation.ir.request import GenerateRequest
from translation.ir.response import GenerateResponse
from translation.protocols.ollama import catalogue
from translation.protocols.ollama.answers import NDJSON, answer_static
from translation.protocols.ollama.encoder import OllamaStreamEncoder
from translation.protocols.ollama.errors import encode_ollama_error
from translation.protocols.ollama.request import decode_ollama_request, open_ollama_request
from translation.protocols.ollama.response import encode_ollama_response


class Ollama:
    """The `Codec` of Ollama's API."""

    name = "ollama"
    stream_media_type = NDJSON
    listing_header: str | None = None
    routes = (
        Route("POST", "/api/chat"),
        Route("POST", "/api/generate"),
        Route("GET", "/api/tags", "models"),
        Route("GET", "/api/version", "static"),
        Route("GET", "/api/ps", "static"),
        Route("POST", "/api/show", "static"),
        Route("POST", "/api/pull", "static"),
        Route("POST", "/api/push", "static"),
        Route("POST", "/api/create", "static"),
        Route("POST", "/api/copy", "static"),
        Route("DELETE", "/api/delete", "static"),
        Route("POST", "/api/embed", "static"),
        Route("POST", "/api/embeddings", "static"),
    )

    def open_request(self, body: bytes, context: WireContext) -> OpenedRequest:
        """Parse a body and read what routing needs. Raises: InvalidRequest."""
        return open_ollama_request(body, context)

    def decode_request(self, opened: OpenedRequest) -> GenerateRequest:
        """Build the IR. Raises: InvalidRequest, UnsupportedFeature."""
        return decode_ollama_request(opened)

    def encoder(self, opened: OpenedRequest) -> OllamaStreamEncoder:
        """Return the encoder of one stream."""
        return OllamaStreamEncoder(opened)

    def encode_response(self, response: GenerateResponse, opened: OpenedRequest) -> bytes:
        """Write a collected answer."""
        return encode_ollama_response(response, opened)

    def encode_error(self, error: GatewayError) -> WireError:
        """Write an error as Ollama does."""
        return encode_ollama_error(error)

    def encode_models(self, models: Sequence[ModelInfo], context: WireContext) -> bytes:
        """Write the list of /api/tags."""
        return catalogue.tags(models)

    def encode_model(self, model: ModelInfo, context: WireContext) -> bytes:
        """Write one model as /api/show does."""
        return catalogue.show(model, context)

    def answer(self, body: bytes, context: WireContext, models: Sequence[ModelInfo]) -> WireAnswer:
        """Answer a static route. Raises: GatewayError."""
        return answer_static(body, context, models)


CODEC: Codec = Ollama()
