"""Which models a key may see. Pure; the codec renders them."""

from __future__ import annotations

from typing import Any

from accounts.values import ApiKeyView
from codexproxy.gateway.snapshot import Snapshot
from translation.codec import ModelInfo
from translation.errors import ModelNotFound


def visible_models(snapshot: Snapshot, key: ApiKeyView) -> list[ModelInfo]:
    """Return the models `key` may use, hidden ones left out."""
    return [model for model in snapshot.models.values() if not model.is_hidden and _may_use(key, model.id)]


def visible_model(snapshot: Snapshot, key: ApiKeyView, name: str) -> ModelInfo:
    """Return one model by id or alias. Raises: ModelNotFound, also when the key may not use it."""
    model = snapshot.models.get(snapshot.aliases.get(name, name))
    if model is None or not _may_use(key, model.id):
        raise ModelNotFound(f"The model '{name[:100]}' does not exist here.", param="model")
    return model


def catalog_entry(snapshot: Snapshot, model: ModelInfo) -> dict[str, Any]:
    """Return a model as the catalogue routes show it (spec/operations.md §6.5)."""
    return {
        "id": model.id,
        "displayName": model.display_name or model.id,
        "description": model.description,
        "isDefault": model.id == snapshot.settings.default_model,
        "supportedReasoningEfforts": [{"reasoningEffort": effort, "description": effort} for effort in model.efforts],
        "defaultReasoningEffort": model.default_effort,
        "inputModalities": list(model.input_modalities),
        "outputModalities": ["text"],
        "supportsPersonality": False,
        "upgrade": None,
        "contextWindow": model.context_window,
        "maxContextWindow": model.max_context_window,
        "maxOutputTokens": model.max_output_tokens,
        "serviceTiers": list(model.service_tiers),
        "availableInPlans": list(model.plans),
        "source": "static",
    }


def _may_use(key: ApiKeyView, model: str) -> bool:
    return not key.allowed_models or model in key.allowed_models
