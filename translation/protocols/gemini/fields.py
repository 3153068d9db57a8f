"""Tolerant readers for Gemini JSON: every key in camelCase and snake_case, null is absent, Google's odd scalars.

`Misread` (translation/shared/fields.py) carries what is essential. Facts: spec/translation.md §7.1, row 150.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from translation.errors import UnsupportedFeature
from translation.shared.fields import Misread
from translation.wire.jsontypes import is_array, is_object

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def unsupported(problem: str, path: str) -> Misread:
    """Return a Misread for content that is well-formed, but cannot be carried upstream."""
    return Misread(problem, path, kind=UnsupportedFeature)


@cache
def snake(name: str) -> str:
    """Return the other spelling of a camelCase key."""
    return _HUMP.sub(lambda hump: "_" + hump[1].lower(), name)


def get(source: dict[str, Any], name: str) -> Any:
    """Return the value of a camelCase key, also under its snake_case spelling; None when missing or null."""
    value = source.get(name)
    return source.get(snake(name)) if value is None else value


def word(source: dict[str, Any], name: str) -> str | None:
    """Return a non-blank string; anything else counts as absent."""
    value = get(source, name)
    return value.strip() if isinstance(value, str) and value.strip() else None


def number(source: dict[str, Any], name: str) -> float | None:
    """Return a number; anything else counts as absent, because knobs never fail a request."""
    value = get(source, name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(source: dict[str, Any], name: str) -> int | None:
    """Return a whole number, also one written as a string, as Google writes 64-bit integers."""
    value = get(source, name)
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def nested(source: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object, or an empty one."""
    value = get(source, name)
    return value if is_object(value) else {}


def listed(value: Any) -> list[Any]:
    """Return a list: repeated fields may be written as one value; null is none."""
    if is_array(value):
        return value
    return [] if value is None else [value]


def words(value: Any) -> tuple[str, ...]:
    """Return the non-empty strings of a repeated field."""
    return tuple(entry for entry in listed(value) if isinstance(entry, str) and entry)
