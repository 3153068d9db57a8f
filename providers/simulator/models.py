"""The model catalogue: entries, plans, version gate, ETag (wire.md §1.5, §9.1, §9.2).

The data is a table of what differs; everything else of an entry is the same for all. Pure. Next: `responses.py` asks
it whether a call's model exists, the `/models` route lists it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from providers.simulator.faults import Fault

_PAID_ONLY = frozenset({"free", "free_workspace", "k12", "guest", "go"})
_EFFORTS = ("low", "medium", "high", "xhigh", "max", "ultra")
_INSTRUCTIONS = (
    "You are a coding agent that works in the user's terminal. Read before you write, keep changes small, run the "
    "tests, and say plainly what you did. "
)
OLDEST_LISTED = "0.98.0"


@dataclass(frozen=True)
class Model:
    """One row of the table."""

    slug: str
    priority: int
    minimum: str = "0.98.0"
    efforts: str = "xhigh"
    default_effort: str = "medium"
    context: int = 272_000
    max_context: int = 272_000
    is_lite: bool = False
    is_hidden: bool = False
    is_paid_only: bool = False
    has_images: bool = True
    is_fast: bool = True
    upgrade: str | None = None

    @property
    def is_spark(self) -> bool:
        """Whether the model has its own quota bucket and no image tool."""
        return "spark" in self.slug


_ROWS = (
    Model("gpt-6.1-sol", 1, "0.160.0", "ultra", "low", max_context=872_000, is_lite=True),
    Model("gpt-6-astra", 2, "0.160.0", "ultra", "low", max_context=872_000, is_lite=True, is_paid_only=True),
    Model("gpt-6-sol", 3, "0.155.0", "ultra", max_context=872_000, is_lite=True),
    Model("gpt-6-luna", 4, "0.155.0", "max", max_context=872_000, is_lite=True),
    Model("gpt-5.6-sol", 5, "0.144.0", "ultra", "low", max_context=872_000, is_lite=True),
    Model("gpt-6.1-terra", 7, "0.160.0", "ultra", "low", context=500_000, max_context=872_000, is_lite=True),
    Model("gpt-5.6-terra", 8, "0.144.0", "ultra", max_context=872_000, is_lite=True),
    Model("gpt-5.6-luna", 9, "0.144.0", "max", max_context=872_000, is_lite=True),
    Model("gpt-daybreak-blue-latest", 11, "0.160.0", "ultra", "low", max_context=872_000, is_lite=True, is_hidden=True),
    Model(
        "gpt-daybreak-red-latest",
        12,
        "0.160.0",
        "ultra",
        context=372_000,
        max_context=372_000,
        is_lite=True,
        is_hidden=True,
    ),
    Model("gpt-5.5", 13, "0.124.0"),
    Model("gpt-5.4", 16, max_context=1_000_000, is_paid_only=True, upgrade="gpt-5.6-terra"),
    Model("gpt-5.4-mini", 23, is_fast=False, upgrade="gpt-5.6-luna"),
    Model(
        "gpt-5.3-codex-spark",
        26,
        "0.100.0",
        default_effort="high",
        context=128_000,
        max_context=128_000,
        has_images=False,
        is_fast=False,
    ),
    Model("gpt-5.3-codex", 30, is_paid_only=True, is_fast=False),
    Model("gpt-5.2", 31, "0.0.1", is_fast=False),
    Model("codex-auto-review", 43, efforts="max", max_context=872_000, is_lite=True, is_hidden=True, is_paid_only=True),
)
MODELS: dict[str, Model] = {model.slug: model for model in _ROWS}


def parse_version(text: str | None) -> tuple[int, int, int] | None:
    """Return X.Y.Z as numbers, or None when it is no version; a suffix such as `-alpha.3` is ignored."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)(?:[-+].*)?$", text or "")
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def is_too_old(model: Model, version: str | None) -> bool:
    """Whether the `version` header is below what the model asks for; no header means no gate."""
    given = parse_version(version)
    return given is not None and given < (parse_version(model.minimum) or (0, 0, 0))


def is_entitled(model: Model, plan: str, models: frozenset[str] | None) -> bool:
    """Whether an account may use the model."""
    if models is not None:
        return model.slug in models
    return not (model.is_paid_only and plan in _PAID_ONLY)


def entry(model: Model) -> dict[str, Any]:
    """Return the catalogue entry as the wire shows it."""
    last = _EFFORTS.index(model.efforts)
    levels = [{"effort": effort, "description": f"{effort} effort"} for effort in _EFFORTS[: last + 1]]
    plans = [
        plan
        for plan in ("free", "go", "plus", "pro", "team", "business", "enterprise", "edu", "k12")
        if not (model.is_paid_only and plan in _PAID_ONLY)
    ]
    return {
        "slug": model.slug,
        "display_name": model.slug.upper().replace("GPT-", "GPT-", 1),
        "description": f"Simulated {model.slug}.",
        "default_reasoning_level": model.default_effort,
        "supported_reasoning_levels": levels,
        "shell_type": "unified_exec",
        "visibility": "hide" if model.is_hidden else "list",
        "minimal_client_version": model.minimum,
        "supported_in_api": not model.is_spark,
        "priority": model.priority,
        "available_in_plans": plans,
        "availability_nux": None,
        "upgrade": {"model": model.upgrade, "migration_markdown": "", "retirement_at": None} if model.upgrade else None,
        "base_instructions": _INSTRUCTIONS * 110,
        "model_messages": {"instructions_template": _INSTRUCTIONS * 20, "instructions_variables": {}},
        "supports_reasoning_summaries": True,
        "supports_reasoning_summary_parameter": True,
        "default_reasoning_summary": "none",
        "reasoning_summary_format": "experimental",
        "support_verbosity": True,
        "default_verbosity": "medium" if model.slug == "gpt-5.4-mini" else "low",
        "apply_patch_tool_type": "freeform",
        "web_search_tool_type": "text_and_image",
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "supports_parallel_tool_calls": True,
        "supports_image_detail_original": True,
        "context_window": model.context,
        "max_context_window": model.max_context,
        "auto_compact_token_limit": None,
        "effective_context_window_percent": 95,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if model.has_images else ["text"],
        "supports_search_tool": True,
        "prefer_websockets": True,
        "tool_mode": "code_mode_only" if model.is_lite else None,
        "multi_agent_version": "v2" if model.is_lite else None,
        "use_responses_lite": model.is_lite,
        "comp_hash": "3000",
        "service_tiers": [{"id": "priority", "name": "Fast", "description": "1.5x speed, increased usage"}]
        if model.is_fast
        else [],
        "default_service_tier": None,
        "additional_speed_tiers": ["fast"] if model.is_fast else [],
    }


def is_listed(version: str) -> bool:
    """Whether a client of this version is shown any model at all."""
    return (parse_version(version) or (0, 0, 0)) >= (parse_version(OLDEST_LISTED) or (0, 0, 0))


def catalogue(plan: str, models: frozenset[str] | None, version: str, fault: Fault | None = None) -> dict[str, Any]:
    """Return the body of `/models`; a client that is too old gets an empty list, not an error."""
    if not is_listed(version) or (fault is not None and fault.has("empty")):
        return {"models": []}
    rows = [entry(model) for model in _ROWS if is_entitled(model, plan, models)]
    if fault is not None and fault.has("model_removed"):
        gone = fault.params.get("model", "gpt-5.5")
        rows = [row for row in rows if row["slug"] != gone]
    if fault is not None and fault.has("unknown_fields"):
        rows = [{**row, "hologram_support": {"level": 3}, "mood": None} for row in rows]
    return {"models": rows}


def etag(account_id: str, plan: str, models: frozenset[str] | None, version: str | None, salt: str = "") -> str:
    """Return the weak tag of a catalogue; `x-models-etag` carries the same."""
    listed = "all" if version is None or is_listed(version) else "none"
    key = f"{account_id}/{plan}/{sorted(models or ())}/{version or ''}/{listed}/{salt}"
    return f'W/"{hashlib.sha256(key.encode()).hexdigest()[:32]}"'
