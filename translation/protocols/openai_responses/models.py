"""Model listings for Responses clients: OpenAI's list, or the catalogue Codex CLI asks for.

The shapes are shared with the Chat codec (`translation/shared/openai_models.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from translation.codec import ModelInfo, WireContext
from translation.shared.openai_models import encode_openai_model, encode_openai_models


def encode_models(models: Sequence[ModelInfo], context: WireContext) -> bytes:
    """Write the listing the caller expects; below the Codex backend's own path always Codex's catalogue."""
    if context.path.startswith("/backend-api/"):
        context = replace(context, query={"client_version": "", **context.query})
    return encode_openai_models(models, context)


def encode_model(model: ModelInfo, context: WireContext) -> bytes:
    """Write one model."""
    return encode_openai_model(model)
