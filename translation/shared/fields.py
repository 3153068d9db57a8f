"""Tolerant readers for client JSON: null is absent, unknown is ignored, a wrong essential type is a 400 with a path.

`Misread` carries a path that grows while it travels outwards, so that the common case pays nothing for paths.
"""

from __future__ import annotations

from typing import Any, TypeVar

from translation.errors import ClientError, InvalidRequest
from translation.wire.jsontypes import is_array, is_object

_T = TypeVar("_T")


class Misread(Exception):
    """Something of the client's body cannot be understood; `path` is relative to whoever catches it."""

    def __init__(
        self,
        problem: str,
        path: str = "",
        *,
        code: str | None = None,
        kind: type[ClientError] = InvalidRequest,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path
        self.code = code
        self.kind = kind

    def under(self, prefix: str) -> Misread:
        """Put `prefix` in front of the path, and return self to be raised again."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        self.path = f"{prefix}{joint}{self.path}"
        return self

    def error(self) -> ClientError:
        """Make the error that the client sees: the path first, then what is wrong with it."""
        return self.kind(f"`{self.path}` {self.problem}", code=self.code, param=self.path or None)


def first(source: dict[str, Any], *keys: str) -> Any:
    """Return the first value that is neither missing nor null."""
    for key in keys:
        value = source.get(key)
        if value is not None:
            return value
    return None


def word(source: dict[str, Any], *keys: str) -> str | None:
    """Return the first non-blank string; anything else counts as absent."""
    for key in keys:
        value = source.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def number(source: dict[str, Any], key: str) -> float | None:
    """Return a number; anything else counts as absent, because knobs never fail a request."""
    value = source.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(source: dict[str, Any], *keys: str) -> int | None:
    """Return the first whole number; anything else counts as absent."""
    for key in keys:
        value = source.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
    return None


def flag(source: dict[str, Any], key: str) -> bool | None:
    """Return a boolean; anything else counts as absent."""
    value = source.get(key)
    return value if isinstance(value, bool) else None


def nested(source: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object, or an empty one."""
    value = source.get(key)
    return value if is_object(value) else {}


def items_of(value: Any, path: str, name: str = "a list") -> list[Any]:
    """Return `value` if it is a list. Raises: Misread."""
    if is_array(value):
        return value
    raise _wrong(value, path, name)


def members_of(value: Any, path: str) -> dict[str, Any]:
    """Return `value` if it is an object. Raises: Misread."""
    if is_object(value):
        return value
    raise _wrong(value, path, "an object")


def essential(value: Any, kind: type[_T], path: str, name: str) -> _T:
    """Return `value` if it is a `kind`.

    Raises: Misread naming what it must be.
    """
    if isinstance(value, kind):
        return value
    raise _wrong(value, path, name)


def _wrong(value: Any, path: str, name: str) -> Misread:
    return Misread("is missing." if value is None else f"must be {name}.", path)
