"""The models we know before any upstream was asked: facts of spec/wire.md §9.2. Pure data.

The live catalogue per plan replaces this as soon as it is fetched; until then these names, limits and efforts let
clients list models and the gateway clamp efforts.
"""

from __future__ import annotations

from collections.abc import Mapping

from translation.codec import ModelInfo

PAID = ("plus", "pro", "team", "business", "enterprise", "edu")
ALL = ("free", "go", *PAID)
UP_TO_XHIGH = ("low", "medium", "high", "xhigh")
UP_TO_MAX = (*UP_TO_XHIGH, "max")
UP_TO_ULTRA = (*UP_TO_MAX, "ultra")
TEXT_AND_IMAGE = ("text", "image")
RELEASED_AT = 1_767_225_600
"""2026-01-01, the `created` of listings; the upstream gives no date."""


def _model(
    slug: str,
    name: str,
    efforts: tuple[str, ...],
    default: str,
    *,
    max_context: int = 272_000,
    context: int = 272_000,
    modalities: tuple[str, ...] = TEXT_AND_IMAGE,
    tiers: tuple[str, ...] = (),
    plans: tuple[str, ...] = ALL,
    is_hidden: bool = False,
) -> ModelInfo:
    return ModelInfo(
        id=slug,
        display_name=name,
        owned_by="openai",
        created=RELEASED_AT,
        context_window=context,
        max_context_window=max_context,
        max_output_tokens=128_000,
        efforts=efforts,
        default_effort=default,
        input_modalities=modalities,
        service_tiers=tiers,
        plans=plans,
        is_hidden=is_hidden,
    )


BUNDLED: tuple[ModelInfo, ...] = (
    _model("gpt-5.6-sol", "GPT-5.6 Sol", UP_TO_ULTRA, "low", max_context=921_000, tiers=("priority",)),
    _model("gpt-5.6-terra", "GPT-5.6 Terra", UP_TO_ULTRA, "medium", max_context=921_000, tiers=("priority",)),
    _model("gpt-5.6-luna", "GPT-5.6 Luna", UP_TO_MAX, "medium", max_context=921_000, tiers=("priority",)),
    _model("gpt-5.5", "GPT-5.5", UP_TO_XHIGH, "medium", tiers=("priority",)),
    _model("gpt-5.4", "GPT-5.4", UP_TO_XHIGH, "medium", max_context=1_000_000, tiers=("priority",), plans=PAID),
    _model("gpt-5.4-mini", "GPT-5.4 mini", UP_TO_XHIGH, "medium"),
    _model(
        "gpt-5.3-codex-spark",
        "GPT-5.3 Codex Spark",
        UP_TO_XHIGH,
        "high",
        context=128_000,
        max_context=128_000,
        modalities=("text",),
        plans=("pro",),
    ),
    _model("gpt-5.3-codex", "GPT-5.3 Codex", UP_TO_XHIGH, "medium", plans=PAID),
    _model("gpt-5.2", "GPT-5.2", UP_TO_XHIGH, "medium"),
    _model(
        "codex-auto-review",
        "Codex auto review",
        UP_TO_MAX,
        "medium",
        max_context=921_000,
        tiers=("priority",),
        plans=PAID,
        is_hidden=True,
    ),
)


def bundled_models() -> dict[str, ModelInfo]:
    """Return the bundled catalogue by id."""
    return {model.id: model for model in BUNDLED}


def plans_without(models: Mapping[str, ModelInfo], model: str) -> frozenset[str]:
    """Return the plans known to lack `model`; never a plan nothing is known of (spec/operations.md §2.1 step 5).

    A model that no plan is known to have lets everyone try: the upstream decides.
    """
    info = models.get(model)
    if info is None or not info.plans:
        return frozenset()
    known = {plan for each in models.values() for plan in each.plans}
    return frozenset(known.difference(info.plans))
