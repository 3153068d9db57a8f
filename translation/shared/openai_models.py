"""OpenAI's model listing, and the catalogue shape Codex CLI asks for with `?client_version=`.

Shared by the Chat and the Responses codec. Facts: spec/translation.md §10, spec/wire.md §9.1, spec/clients.md §1.5
(an OpenAI list is a decode error for Codex CLI). Hidden models are served, but not listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from translation.codec import ModelInfo, WireContext
from translation.wire.jsonio import dumps

_EFFORT_TEXT = {
    "none": "No reasoning",
    "minimal": "Barely any reasoning",
    "low": "Fast answers with light reasoning",
    "medium": "Balance of speed and depth",
    "high": "Thorough reasoning for hard tasks",
    "xhigh": "Very thorough reasoning",
    "max": "As much reasoning as the model can do",
}

_TIER_NAMES = {"priority": "Fast", "flex": "Flex"}


def encode_openai_models(models: Sequence[ModelInfo], context: WireContext) -> bytes:
    """Write the listing: `{"models": […]}` for Codex CLI, else OpenAI's list object."""
    shown = [model for model in models if not model.is_hidden]
    if "client_version" in context.query:
        return dumps({"models": [_catalogue_entry(position, model) for position, model in enumerate(shown)]})
    return dumps({"object": "list", "data": [_list_entry(model) for model in shown]})


def encode_openai_model(model: ModelInfo) -> bytes:
    """Write one model object."""
    return dumps(_list_entry(model))


def _list_entry(model: ModelInfo) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by or "system",
    }
    hints = {
        "display_name": model.display_name or None,
        "description": model.description or None,
        "context_window": model.context_window,
        "max_context_window": model.max_context_window,
        "max_output_tokens": model.max_output_tokens,
    }
    entry.update((key, value) for key, value in hints.items() if value is not None)
    return entry


def _catalogue_entry(priority: int, model: ModelInfo) -> dict[str, Any]:
    """Every key that Codex CLI's ModelInfo requires; a missing one makes it throw the whole list away."""
    return {
        "slug": model.id,
        "display_name": model.display_name or model.id,
        "description": model.description,
        "default_reasoning_level": model.default_effort or (model.efforts[0] if model.efforts else None),
        "supported_reasoning_levels": [
            {"effort": effort, "description": _EFFORT_TEXT.get(effort, effort)} for effort in model.efforts
        ],
        "shell_type": "shell_command",
        "visibility": "list",
        "minimal_client_version": "0.0.0",
        "supported_in_api": True,
        "priority": priority,
        "available_in_plans": list(model.plans),
        "availability_nux": None,
        "upgrade": None,
        "base_instructions": "",
        "supports_reasoning_summaries": bool(model.efforts),
        "default_reasoning_summary": "none",
        "support_verbosity": True,
        "default_verbosity": None,
        "apply_patch_tool_type": "freeform",
        "web_search_tool_type": "text",
        "truncation_policy": {"mode": "tokens", "limit": 10000},
        "supports_parallel_tool_calls": True,
        "context_window": model.context_window,
        "max_context_window": model.max_context_window or model.context_window,
        "auto_compact_token_limit": None,
        "effective_context_window_percent": 95,
        "experimental_supported_tools": [],
        "input_modalities": list(model.input_modalities),
        "prefer_websockets": False,
        "service_tiers": [
            {"id": tier, "name": _TIER_NAMES.get(tier, tier), "description": ""} for tier in model.service_tiers
        ],
    }
