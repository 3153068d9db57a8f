"""Type guards for parsed JSON; `isinstance(value, dict)` cannot tell a type checker that keys are strings."""

from __future__ import annotations

from typing import Any, TypeGuard


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Say whether `value` is a JSON object."""
    return type(value) is dict


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Say whether `value` is a JSON array."""
    return type(value) is list
