"""Reasoning efforts: their order, clamping to what a model knows, and the table from token budgets.

Knows no protocol and no model; callers pass the efforts of the model. Facts: spec/translation.md §2.2 and §4.7.
"""

from __future__ import annotations

from collections.abc import Sequence

ORDER: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
"""Every effort we know, lowest first."""

_RANK = {effort: rank for rank, effort in enumerate(ORDER)}

_BUDGETS: tuple[tuple[int, str], ...] = (
    (0, "none"),
    (512, "minimal"),
    (2047, "low"),
    (7999, "medium"),
    (19999, "high"),
)
"""Highest budget of each effort; anything above the last is xhigh."""


def clamp(effort: str | None, known: Sequence[str]) -> str | None:
    """Return the nearest known effort that is not higher, else the lowest known one.

    An empty `known` means any effort is fine, except `ultra`: clients' word for max, which no upstream reads
    (spec/wire.md §1.2). A word outside our order that the model does not list gives None: better the model's default
    than a refusal.
    """
    if effort == "ultra" and effort not in known:
        effort = "max"
    if effort is None or not known or effort in known:
        return effort
    rank = _RANK.get(effort)
    if rank is None:
        return None
    ranked = sorted((_RANK[name], name) for name in known if name in _RANK)
    if not ranked:
        return None
    lower = [name for known_rank, name in ranked if known_rank <= rank]
    return lower[-1] if lower else ranked[0][1]


def from_budget(budget_tokens: int, known: Sequence[str] = ()) -> str | None:
    """Return the effort a thinking budget stands for, clamped to `known`; None when negative (dynamic)."""
    if budget_tokens < 0:
        return None
    for limit, effort in _BUDGETS:
        if budget_tokens <= limit:
            return _floor(effort, known)
    return clamp("xhigh", known)


def _floor(effort: str, known: Sequence[str]) -> str | None:
    """A budget of some tokens is some thinking: minimal rises to low where it is unknown, it does not fall to none."""
    if effort == "minimal" and known and "minimal" not in known and "low" in known:
        return "low"
    return clamp(effort, known)
