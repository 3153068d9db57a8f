"""The interface of the shared state. Every operation is atomic, so that it can be one script on a server.

Keys are opaque strings; times are unix seconds of the caller's clock, so that tests need none; an implementation on a
server translates them to the server's. What has a lifetime says so; nothing here grows without bound. An operation
whose answer is needed raises `translation.errors.StateUnavailable` when there is none; the others never fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

MAX_LINKS = 64
"""No value stands on more ancestors than this; who writes starts anew before."""
MAX_LINK_BYTES = 128 * 1024 * 1024
"""Of all linked values together, each with `LINK_OVERHEAD_BYTES` for its keys."""
LINK_OVERHEAD_BYTES = 300


class Candidate(Struct, frozen=True):
    """A slot holder that may be chosen, in the caller's order of preference. A lower `rank` comes first.

    It cools when `id` does, or any of `rests`: cooldown keys of parts of it, such as one metered limit or one model.
    """

    id: str
    capacity: int
    rank: float = 0.0
    rests: tuple[str, ...] = ()


class Grant(Struct, frozen=True):
    """One slot of `holder`, until it is released or `expires_at` passes without renewal.

    `start_at`: when its request may leave, so that those of one holder are paced. `resting` and `full` are the
    candidates that were looked at and passed over: what explains the choice. `is_kept`: the affinity named the holder;
    `left`: whom it named, if that was another one.
    """

    holder: str
    lease_id: str
    expires_at: float
    start_at: float = 0.0
    resting: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    is_kept: bool = False
    left: str = ""


class Cooldown(Struct, frozen=True):
    """Why and until when something rests."""

    until: float
    reason: str


class SharedState(Protocol):
    """Slots, cooldowns, counters, short memory."""

    async def start(self) -> None:
        """Begin background work; never fails for a server that does not answer: `problem` then says so."""
        ...

    async def close(self) -> None:
        """Write what is still queued, for a moment at most, and end."""
        ...

    @property
    def problem(self) -> str:
        """Say in one sentence why operations fail now; empty while they work."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever another process says that rows changed. Set before `start`."""
        ...

    async def acquire(
        self,
        candidates: Sequence[Candidate],
        *,
        spread: bool,
        ttl_s: float,
        now: float,
        pace_s: float = 0.0,
        affinity: tuple[str, float] | None = None,
    ) -> Grant | None:
        """Take one slot of the first candidate with a free one that is not cooling; None when there is none.

        With `spread`, the candidate with the fewest slots taken comes first, then the lowest rank, then the one that
        was not chosen for longest, then the given order: one request after the other also moves on.

        `affinity` is a key of the short memory and seconds: the holder remembered under it comes before all others, and
        who is chosen is remembered there for so long. One operation, so that a request needs no more than this one.

        With `pace_s`, the grant's `start_at` is `now`, or `pace_s` after the latest `start_at` among the slots of the
        holder that are still taken, whichever is later; without, it is `now`.
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
