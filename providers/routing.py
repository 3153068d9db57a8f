"""From the model name a client wrote to where it goes. Pure.

Order (spec/translation.md §2.1, §2.3): alias or exact catalogue id; then one tier suffix and one effort suffix, in
either order; then names of clients' hard-coded vendors fall to the default; anything else is not found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from providers.contract import Target
from translation.codec import ModelInfo, Quirks
from translation.errors import ModelNotFound

TIERS = ("fast", "flex")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
"""Lowest first. Which of them a model knows is the catalogue's word."""
CODEX_FAMILY = re.compile(r"^(gpt|o\d|codex)[\w.:-]*$")
BORROWED_FAMILIES = ("claude-", "gemini-", "models/gemini-")
"""Clients of other vendors hard-code such names; they get the operator's default model."""
MAX_ALIAS_HOPS = 20


def resolve(
    name: str, *, models: Mapping[str, ModelInfo], aliases: Mapping[str, str], default_model: str
) -> tuple[Target, ...]:
    """Return the targets for `name`, best first.

    Raises: ModelNotFound.
    """
    written = name.strip()
    model, effort, tier = _settle(written, models, aliases)
    if model not in models and model.startswith(BORROWED_FAMILIES):
        model, default_effort, default_tier = _settle(default_model, models, aliases)
        effort, tier = effort or default_effort, tier or default_tier
    info = models.get(model)
    if info is None and not CODEX_FAMILY.match(model):
        raise ModelNotFound(
            f"The model '{written[:100]}' does not exist here. GET /v1/models lists the models you may use.",
            param="model",
        )
    return (_codex_target(model, info, effort, tier),)


def _codex_target(model: str, info: ModelInfo | None, effort: str | None, tier: str | None) -> Target:
    efforts = info.efforts if info is not None else ()
    quirks = Quirks(subset=True, efforts=tuple(e for e in efforts if e != "ultra"))
    return Target(
        provider="codex",
        codec="openai-responses",
        model=model,
        quirks=quirks,
        effort="max" if effort == "ultra" else effort,
        service_tier="priority" if tier == "fast" else tier,
    )


def _settle(
    name: str, models: Mapping[str, ModelInfo], aliases: Mapping[str, str]
) -> tuple[str, str | None, str | None]:
    """Take suffixes off `name` and follow its alias, whose target may carry suffixes of its own; the name's win."""
    base, effort, tier = _split(name, models, aliases)
    model = _follow(base, aliases)
    if model != base and model not in models:
        model, more_effort, more_tier = _split(model, models, {})
        effort, tier = effort or more_effort, tier or more_tier
    return model, effort, tier


def _split(
    name: str, models: Mapping[str, ModelInfo], aliases: Mapping[str, str]
) -> tuple[str, str | None, str | None]:
    """Strip at most one effort and one tier from the end, stopping as soon as what is left is known."""
    effort: str | None = None
    tier: str | None = None
    base = name
    for _ in range(2):
        if base in models or base in aliases:
            break
        stem, dash, suffix = base.rpartition("-")
        if not dash or not stem:
            break
        if tier is None and suffix in TIERS:
            tier, base = suffix, stem
        elif effort is None and suffix in EFFORTS and (suffix not in ("max", "ultra") or stem in models):
            effort, base = suffix, stem
        else:
            break
    return base, effort, tier


def _follow(name: str, aliases: Mapping[str, str]) -> str:
    """Follow aliases; a cycle gives the name back, which then is not found unless it is a model."""
    seen = {name}
    current = name
    for _ in range(MAX_ALIAS_HOPS):
        target = aliases.get(current)
        if target is None:
            return current
        if target in seen:
            return name
        seen.add(target)
        current = target
    return name
