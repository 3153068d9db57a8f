"""Gemini's generateContent, streamed and collected, countTokens and models; both directions.

`request.py` and what it names read a call, `encoder.py` writes a stream, `response.py` the collected answer from the
same events. Towards a provider: `upstream.py` → `upstream_request.py` write a call, `upstream_decoder.py` reads the
stream, `tap.py` relays it. Facts: spec/translation.md §7, §11.5, spec/clients.md §3, §6. Reference:
https://ai.google.dev/api/generate-content (checked 2026-11-23).
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
from translation.protocols.gemini import upstream as _upstream
from translation.protocols.gemini.encoder import GeminiStreamEncoder
from translation.protocols.gemini.errors import encode_gemini_error
from translation.protocols.gemini.models import encode_gemini_model, encode_gemini_models
from translation.protocols.gemini.request import decode_gemini_request, open_gemini_request
from translation.protocols.gemini.response import encode_gemini_response
from translation.protocols.gemini.tap import GeminiTap
from translation.protocols.gemini.upstream_decoder import GeminiDecoder
from translation.shared.token_count import Countable, countable
from translation.wire import jsonio

VERSIONS = ("v1beta", "v1", "v1alpha")
"""google-genai for Python calls v1, everybody else v1beta (spec/clients.md §6)."""


class Gemini:
    """The `UpstreamCodec` of Gemini; stateless."""

    name = "gemini"
    stream_media_type = "text/event-stream; charset=utf-8"
    """Of `?alt=sse`; other streams are one JSON array, which `open_request` says (`OpenedRequest.media_type`)."""
    listing_header = "x-goog-api-key"
    routes = (
        *(Route("POST", f"/{version}/models/{{model}}:generateContent") for version in VERSIONS),
        *(Route("POST", f"/{version}/models/{{model}}:streamGenerateContent") for version in VERSIONS),
        *(Route("POST", f"/{version}/models/{{model}}:countTokens", "count_tokens") for version in VERSIONS),
        Route("POST", "/v1beta/models/{model}"),  # any other verb: refused by `open_request`
        Route("POST", "/v1alpha/models/{model}"),
        Route("GET", "/v1beta/models", "models"),
        Route("GET", "/v1alpha/models", "models"),
        Route("GET", "/v1beta/models/{model_id}", "model"),
        Route("GET", "/v1alpha/models/{model_id}", "model"),
    )

    def open_request(self, body: bytes, context: WireContext) -> OpenedRequest:
        """Parse a body and read what routing needs. Raises: InvalidRequest."""
        return open_gemini_request(body, context)

    def decode_request(self, opened: OpenedRequest) -> GenerateRequest:
        """Build the IR. Raises: InvalidRequest, UnsupportedFeature."""
        return decode_gemini_request(opened)

    def encoder(self, opened: OpenedRequest) -> GeminiStreamEncoder:
        """Return the encoder of one stream."""
        return GeminiStreamEncoder(opened)

    def encode_response(self, response: GenerateResponse, opened: OpenedRequest) -> bytes:
        """Write a collected answer."""
        return encode_gemini_response(response, opened)

    def encode_error(self, error: GatewayError) -> WireError:
        """Write an error in Google's envelope."""
        return encode_gemini_error(error)

    def encode_models(self, models: Sequence[ModelInfo], context: WireContext) -> bytes:
        """Write one page of the model list. Raises: InvalidRequest."""
        return encode_gemini_models(models, context)

    def encode_model(self, model: ModelInfo, context: WireContext) -> bytes:
        """Write one model."""
        return encode_gemini_model(model)

    def countable(self, opened: OpenedRequest) -> Countable:
        """Return what counts. Raises: InvalidRequest, UnsupportedFeature."""
        return countable(decode_gemini_request(opened))

    def encode_count(self, tokens: int) -> bytes:
        """Answer `countTokens`."""
        return jsonio.dumps({"totalTokens": tokens})

    def encode_request(self, request: GenerateRequest, target: RelayTarget) -> bytes:
        """Write the upstream body of an IR request. Raises: UnsupportedFeature."""
        return _upstream.encode_request(request, target)

    def decoder(self) -> GeminiDecoder:
        """Return the decoder of one upstream stream."""
        return GeminiDecoder()

    def needs_translation(self, opened: OpenedRequest, quirks: Quirks) -> str | None:
        """Return why a body cannot be relayed: nothing keeps one of these from it."""
        return _upstream.needs_translation(opened, quirks)

    def relay_request(self, opened: OpenedRequest, target: RelayTarget) -> bytes:
        """Write the client's own body for the upstream."""
        return _upstream.relay_request(opened, target)

    def tap(self, opened: OpenedRequest) -> GeminiTap:
        """Return the reader of one relayed stream."""
        return GeminiTap(opened)


CODEC: UpstreamCodec = Gemini()
