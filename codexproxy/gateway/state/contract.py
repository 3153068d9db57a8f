"""The interface of the shared state. Every operation is atomic, so that it can be one script on a server.

Keys are opaque strings; times are unix seconds given by the caller, so that tests need no clock. What has a lifetime
says so; nothing here grows without bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

MAX_LINKS = 64
"""No value stands on more ancestors than this; who writes starts anew before."""
MAX_LINK_BYTES = 128 * 1024 * 1024
"""Of all linked values together, each with `LINK_OVERHEAD_BYTES` for its keys."""
LINK_OVERHEAD_BYTES = 300


class Candidate(Struct, frozen=True):
    """A slot holder that may be chosen, in the caller's order of preference. A lower `rank` comes first."""

    id: str
    capacity: int
    rank: float = 0.0


class Grant(Struct, frozen=True):
    """One slot of `holder`, until it is released or `expires_at` passes without renewal."""

    holder: str
    lease_id: str
    expires_at: float


class Cooldown(Struct, frozen=True):
    """Why and until when something rests."""

    until: float
    reason: str


class SharedState(Protocol):
    """Slots, cooldowns, counters, short memory."""

    async def acquire(self, candidates: Sequence[Candidate], *, spread: bool, ttl_s: float, now: float) -> Grant | None:
        """Take one slot of the first candidate with a free one that is not cooling; None when there is none.

        With `spread`, the candidate with the fewest slots taken comes first, then the lowest rank, then the one that
        was not chosen for longest, then the given order: one request after the other also moves on.
        """
        ...

    def release(self, grant: Grant) -> None:
        """Give a slot back. Synchronous, idempotent, safe after expiry."""
        ...

    def prolong(self, grant: Grant, *, ttl_s: float, now: float) -> None:
        """Keep a slot that is still held until `now + ttl_s`. Synchronous: a shared implementation batches it."""
        ...

    async def slots_taken(self, holder: str, *, now: float) -> int:
        """Return how many slots of `holder` are taken."""
        ...

    async def cool(self, key: str, *, until: float, reason: str) -> None:
        """Let `key` rest; never shortens a longer rest."""
        ...

    async def warm(self, key: str) -> None:
        """End a rest early."""
        ...

    async def cooldowns(self, keys: Sequence[str], *, now: float) -> dict[str, Cooldown]:
        """Return the rests in force among `keys`."""
        ...

    async def count(self, key: str, *, ttl_s: float, now: float) -> int:
        """Add one to a counter that forgets itself `ttl_s` after its last change; return the new value."""
        ...

    async def remember(self, key: str, value: str, *, ttl_s: float, now: float) -> None:
        """Keep a small value for a while; the oldest go first when there are too many."""
        ...

    async def recall(self, key: str, *, now: float) -> str | None:
        """Return a remembered value."""
        ...

    async def forget(self, key: str) -> None:
        """Drop a remembered value or a counter."""
        ...

    # ---- links: large values that stand on one another ---------------------------------------------------------

    async def keep_link(self, key: str, value: bytes, *, parent: str | None, ttl_s: float, now: float) -> None:
        """Keep `value` behind the one of `parent`, for `ttl_s`. `MAX_LINK_BYTES` bounds all: the oldest go first."""
        ...

    async def read_links(self, key: str, *, ttl_s: float, now: float) -> list[bytes]:
        """Return the values from the first ancestor to `key`, and let all of them live for another `ttl_s`.

        Empty when any of them is lost, or when there are more than `MAX_LINKS`.
        """
        ...
