"""Anthropic's model listing, for clients that send `anthropic-version`. Hidden models are served, but not listed.

Facts: spec/translation.md §6.7, row 149. Reference: https://platform.claude.com/docs/en/api/models/list.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from translation.codec import ModelInfo
from translation.wire.jsonio import dumps


def encode_models(models: Sequence[ModelInfo]) -> bytes:
    """Write the listing, always as one page."""
    entries = [_entry(model) for model in models if not model.is_hidden]
    return dumps(
        {
            "data": entries,
            "has_more": False,
            "first_id": entries[0]["id"] if entries else None,
            "last_id": entries[-1]["id"] if entries else None,
        }
    )


def encode_model(model: ModelInfo) -> bytes:
    """Write one model object."""
    return dumps(_entry(model))


def _entry(model: ModelInfo) -> dict[str, Any]:
    created = datetime.fromtimestamp(max(0, model.created), UTC)
    entry: dict[str, Any] = {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name or model.id,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    hints = {"max_input_tokens": model.context_window, "max_tokens": model.max_output_tokens}
    entry.update((key, value) for key, value in hints.items() if value is not None)
    return entry
