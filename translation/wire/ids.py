"""Minting of response, item and call ids from an injected source, so that tests can pin them."""

from __future__ import annotations

import secrets
from collections.abc import Callable


class Ids:
    """`mint("chatcmpl-")` returns the prefix and 32 hex characters."""

    __slots__ = ("_hex32",)

    def __init__(self, hex32: Callable[[], str] | None = None) -> None:
        self._hex32 = hex32 or (lambda: secrets.token_hex(16))

    def mint(self, prefix: str) -> str:
        """Return a new id."""
        return prefix + self._hex32()


def counting_ids() -> Ids:
    """Ids that count from 0; for tests and golden files."""
    state = iter(range(10**9))
    return Ids(lambda: f"{next(state):032x}")
