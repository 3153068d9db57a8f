"""Identifiers in the shapes the backend uses; reproducible from a seed."""

from __future__ import annotations

import random


class Ids:
    """A source of identifiers. Invariant: never the same one twice."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def hex(self, digits: int) -> str:
        """Return hexadecimal digits; the last eight count up, so two are never equal."""
        self._count += 1
        return f"{self._random.getrandbits((digits - 8) * 4):0{digits - 8}x}{self._count:08x}"

    def item(self, prefix: str) -> str:
        """Return an item or response id, such as `msg_…`."""
        return f"{prefix}_{self.hex(48)}"

    def call(self) -> str:
        """Return a tool call id."""
        return f"call_{self.hex(24)}"

    def number(self) -> int:
        """Return a number that has not been used before."""
        self._count += 1
        return self._count

    def ray(self) -> str:
        """Return a value for `cf-ray`."""
        return f"{self.hex(16)}-SIM"

    def request(self) -> str:
        """Return a request id."""
        return f"req_{self.hex(32)}"
