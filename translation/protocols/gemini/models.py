"""Google's model listing, by pages. Hidden models are served, but not listed. Facts: spec/translation.md §7.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from translation.codec import ModelInfo, WireContext
from translation.errors import InvalidRequest
from translation.protocols.gemini.fields import snake
from translation.wire.jsonio import dumps

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
_VERBS = ["generateContent", "streamGenerateContent", "countTokens"]


def encode_gemini_models(models: Sequence[ModelInfo], context: WireContext) -> bytes:
    """Write one page. The token of the next one is the number of models before it.

    Raises: InvalidRequest for a page that cannot be.
    """
    shown = [model for model in models if not model.is_hidden]
    size = _query_number(context, "pageSize") or DEFAULT_PAGE_SIZE
    begin = _query_number(context, "pageToken") or 0
    end = begin + min(size, MAX_PAGE_SIZE)
    page: dict[str, Any] = {"models": [_entry(model) for model in shown[begin:end]]}
    if end < len(shown):
        page["nextPageToken"] = str(end)
    return dumps(page)


def encode_gemini_model(model: ModelInfo) -> bytes:
    """Write one model."""
    return dumps(_entry(model))


def _query_number(context: WireContext, name: str) -> int | None:
    value = context.query.get(name) or context.query.get(snake(name), "")
    if not value:
        return None
    if not (value.isascii() and value.isdecimal()) or len(value) > 9:
        raise InvalidRequest(f"`{name}` must be a number this listing gave out.", param=name)
    return int(value)


def _entry(model: ModelInfo) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": f"models/{model.id}",
        "baseModelId": model.id,
        "version": "001",
        "displayName": model.display_name or model.id,
        "description": model.description,
        "inputTokenLimit": model.context_window,
        "outputTokenLimit": model.max_output_tokens,
        "supportedGenerationMethods": _VERBS,
        "thinking": bool(model.efforts) or None,
    }
    return {key: value for key, value in entry.items() if value is not None}
