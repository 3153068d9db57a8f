"""The shape of a simulated answer, and the tokens it is made of: what the load and the fake upstream agree on.

A request carries `shape:<deltas>x<period>ms` anywhere in its body. Period 0 is a burst: the whole answer in one write.
Otherwise every delta is a write of its own, `period` ms after the one before, and carries the time it was sent.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

MARKER = re.compile(rb"shape:(\d{1,5})x(\d{1,5})ms")
TOKEN = re.compile(rb"#(\d{5})")
TIMED_TOKEN = re.compile(rb"#(\d{5})@(\d{16})")
FIRST_TOKEN = b"#00000"
STAMP_PLACE = "9" * 16
"""Stands in a prepared delta where the time of sending goes; as long as a time, so that lengths are known before."""


@dataclass(frozen=True)
class Shape:
    """How many deltas, and how far apart."""

    deltas: int
    period_ms: int = 0

    @property
    def marker(self) -> str:
        """Return what a request says to get this shape."""
        return f"shape:{self.deltas}x{self.period_ms}ms"

    @property
    def duration_s(self) -> float:
        """Return how long the answer takes when nobody holds it up."""
        return self.deltas * self.period_ms / 1000


def find_shape(body: bytes) -> Shape:
    """Return the last shape a request names; eight deltas in a burst when it names none."""
    found = MARKER.match(body, max(0, body.rfind(b"shape:")))
    return Shape(int(found[1]), int(found[2])) if found else Shape(8)


def now_us() -> int:
    """Return microseconds of the clock that all processes of this machine share."""
    return time.monotonic_ns() // 1000
