"""Minting of response, item and call ids from an injected source, so that tests can pin them."""

from __future__ import annotations

import random
from collections.abc import Callable

_RANDOM = random.Random()  # seeded by the system; ids are names, not secrets, and a system call each would show


def _random_hex32() -> str:
    return f"{_RANDOM.getrandbits(128):032x}"


class Ids:
    """`mint("chatcmpl-")` returns the prefix and 32 hex characters."""

    __slots__ = ("_hex32",)

    def __init__(self, hex32: Callable[[], str] | None = None) -> None:
        self._hex32 = hex32 or _random_hex32

    def mint(self, prefix: str) -> str:
        """Return a new id."""
        return prefix + self._hex32()


def counting_ids() -> Ids:
    """Ids that count from 0; for tests and golden files."""
    state = iter(range(10**9))
    return Ids(lambda: f"{next(state):032x}")
