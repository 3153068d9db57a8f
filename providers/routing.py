"""From the model name a client wrote to where it goes. Pure.

Order (spec/translation.md §2.1, §2.3): alias or exact catalogue id; then one tier suffix and one effort suffix, in
either order; then aliases with a `*`, of which we ship those for the names that clients of other vendors hard-code;
anything else is not found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType

from providers.contract import Target
from translation.codec import ModelInfo, Quirks
from translation.errors import ModelNotFound

TIERS = ("fast", "flex")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
"""Lowest first. Which of them a model knows is the catalogue's word."""
CODEX_FAMILY = re.compile(r"^(gpt|o\d|codex)[\w.:-]*$")
DEFAULT = "default"
"""As the target of an alias: the operator's default model."""
SHIPPED_ALIASES: Mapping[str, str] = MappingProxyType(
    {"claude-*": DEFAULT, "gemini-*": DEFAULT, "models/gemini-*": DEFAULT}
)
"""Clients of other vendors hard-code such names. Operators may point them elsewhere, or nowhere: an empty target."""
MAX_ALIAS_HOPS = 20


def resolve(
    name: str, *, models: Mapping[str, ModelInfo], aliases: Mapping[str, str], default_model: str
) -> tuple[Target, ...]:
    """Return the targets for `name`, best first.

    Raises: ModelNotFound.
    """
    written = name.strip()
    model, effort, tier = _settle(written, models, aliases, default_model)
    info = models.get(model or "")
    if not model or (info is None and not CODEX_FAMILY.match(model)):
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
    name: str, models: Mapping[str, ModelInfo], aliases: Mapping[str, str], default_model: str
) -> tuple[str | None, str | None, str | None]:
    """Take suffixes off `name` and follow its alias, whose target may carry suffixes of its own; the name's win.

    The model is None when the aliases lead nowhere.
    """
    base, effort, tier = _split(name, models, aliases)
    known = {**aliases, DEFAULT: default_model}
    model = _follow(base, models, known)
    if model is not None and model != base and model not in models:
        stem, more_effort, more_tier = _split(model, models, known)
        model = _follow(stem, models, known)
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


def _follow(name: str, models: Mapping[str, ModelInfo], aliases: Mapping[str, str]) -> str | None:
    """Follow aliases to the end. In a cycle or an endless chain a model's own name stands; others lead nowhere."""
    seen: set[str] = set()
    current = name
    while len(seen) <= MAX_ALIAS_HOPS:
        target = aliases.get(current)
        if target is None and current not in models:
            target = _by_pattern(current, aliases)
        if target is None:
            return current
        seen.add(current)
        if target in seen:
            break
        current = target
    return name if name in models else None


def _by_pattern(name: str, aliases: Mapping[str, str]) -> str | None:
    """Return the target of the longest alias with a `*` that fits."""
    fitting = [alias for alias in aliases if "*" in alias and fnmatchcase(name, alias)]
    return aliases[max(fitting, key=len)] if fitting else None
