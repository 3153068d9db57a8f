"""What an Ollama server tells about itself and its models, made from our own catalogue.

Names are listed exactly as they are served: clients compare them, and `x:latest` is not `x` to all of them. Sizes and
quantization do not exist here and say so. Facts: spec/translation.md §9, spec/operations.md §10.1, spec/clients.md
§1.8 (Codex CLI refuses versions that are too old).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from translation.codec import ModelInfo, WireContext
from translation.errors import ModelNotFound
from translation.protocols.ollama.names import day, plain_model
from translation.shared import efforts
from translation.wire.jsonio import dumps

VERSION = "0.30.0"
"""VS Code wants 0.6.4 or newer, Codex CLI refuses 0.12.0; the operator may say another one."""
VERSION_OPTION = "ollama.version"
DISABLE_VISION_OPTION = "ollama.disable_vision"
DEFAULT_CONTEXT_TOKENS = 131_072
"""For models whose window nobody told us."""
_SUFFIXES = re.compile(rf"(?:-(?:fast|flex|{'|'.join(efforts.ORDER)})){{1,2}}$")
"""What a model's name may end with (§2.1); only tried on names that are no model's own."""


def version(context: WireContext) -> bytes:
    """Write the version that clients check."""
    return dumps({"version": context.options.get(VERSION_OPTION) or VERSION})


def tags(models: Sequence[ModelInfo]) -> bytes:
    """Write the list of models."""
    return dumps({"models": [_entry(model) for model in models if not model.is_hidden]})


def show(model: ModelInfo, context: WireContext) -> bytes:
    """Write all there is to know about one model."""
    window = model.context_window or DEFAULT_CONTEXT_TOKENS
    family = _family(model)
    parameters = [f"num_ctx {window}"]
    if model.default_effort:
        parameters.append(f"reasoning {model.default_effort}")
    return dumps(
        {
            "modelfile": f"# {model.display_name or model.id}, served by a gateway\nFROM {model.id}\n",
            "parameters": "\n".join(parameters),
            "template": "{{ .Prompt }}",
            "license": "",
            "capabilities": _capabilities(model, context),
            "modified_at": day(model.created),
            "details": _details(model),
            "model_info": {
                "general.architecture": family,
                "general.basename": model.id,
                f"{family}.context_length": window,
            },
        }
    )


def find(name: str, models: Sequence[ModelInfo]) -> ModelInfo:
    """Return the model called `name`, also with suffixes for effort and tier (`gpt-5.5-high-fast`).

    Raises: ModelNotFound, in Ollama's own words.
    """
    known = {model.id: model for model in models}
    wanted = plain_model(name)
    for candidate in (wanted, _SUFFIXES.sub("", wanted)):
        if candidate in known:
            return known[candidate]
    raise ModelNotFound(f"model '{name[:100]}' not found", param="model")


def _entry(model: ModelInfo) -> dict[str, Any]:
    return {
        "name": model.id,
        "model": model.id,
        "modified_at": day(model.created),
        "size": 0,
        "digest": hashlib.sha256(model.id.encode()).hexdigest(),
        "details": _details(model),
    }


def _details(model: ModelInfo) -> dict[str, Any]:
    family = _family(model)
    return {
        "parent_model": "",
        "format": "codex-proxy",
        "family": family,
        "families": [family],
        "parameter_size": "unknown",
        "quantization_level": "unknown",
    }


def _family(model: ModelInfo) -> str:
    return model.id.rpartition("/")[2].partition("-")[0] or "model"


def _capabilities(model: ModelInfo, context: WireContext) -> list[str]:
    found = ["completion", "tools"]
    if "image" in model.input_modalities and context.options.get(DISABLE_VISION_OPTION) != "true":
        found.append("vision")
    if model.efforts:
        found.append("thinking")
    return found
