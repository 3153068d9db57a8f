"""The shared state of one process: dicts, no locks needed under one event loop. Never blocks, never awaits.

`release` may be called from any thread: it only pops from a dict, which is atomic.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct

from codexproxy.gateway.state.contract import (
    LINK_OVERHEAD_BYTES,
    MAX_LINK_BYTES,
    MAX_LINKS,
    Candidate,
    Cooldown,
    Grant,
)

MAX_REMEMBERED = 100_000


class Link(Struct):
    """A linked value; see `SharedState.keep_link`."""

    value: bytes
    parent: str | None
    expires_at: float

    @property
    def size(self) -> int:
        """What it counts for."""
        return len(self.value) + LINK_OVERHEAD_BYTES


class MemoryState:
    """Implements `contract.SharedState` for a single process."""

    def __init__(self) -> None:
        self._leases: dict[str, dict[str, Grant]] = {}
        self._chosen_at: dict[str, int] = {}
        self._cooldowns: dict[str, Cooldown] = {}
        self._counters: dict[str, tuple[int, float]] = {}
        self._memory: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._links: OrderedDict[str, Link] = OrderedDict()
        self._link_bytes = 0
        self._serial = itertools.count()

    # ---- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Nothing has to begin."""

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def problem(self) -> str:
        """Memory always answers."""
        return ""

    def on_change(self, callback: Callable[[], None]) -> None:
        """There is no other process to hear from."""

    # ---- slots -------------------------------------------------------------------------------------------------

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
        """See `SharedState.acquire`."""
        preferred = self._recall(affinity[0], now) if affinity is not None else None
        resting: list[str] = []
        full: list[str] = []
        chosen = self._only(preferred, candidates, now) if preferred is not None else None
        if chosen is None:
            chosen = self._best(candidates, resting, full, now, spread=spread)
        if chosen is None:
            return None
        held = self._leases.setdefault(chosen.id, {})
        start_at = now
        if pace_s and held:
            start_at = max(now, max(grant.start_at for grant in held.values()) + pace_s)
        serial = next(self._serial)
        self._chosen_at[chosen.id] = serial
        is_kept = chosen.id == preferred
        grant = Grant(
            chosen.id,
            f"{chosen.id}/{serial}",
            now + ttl_s,
            start_at,
            tuple(resting),
            tuple(full),
            is_kept,
            "" if is_kept or preferred is None else preferred,
        )
        held[grant.lease_id] = grant
        if affinity is not None:
            self._remember(affinity[0], chosen.id, now + affinity[1])
        return grant

    def release(self, grant: Grant) -> None:
        """See `SharedState.release`."""
        self._leases.get(grant.holder, {}).pop(grant.lease_id, None)

    def prolong(self, grant: Grant, *, ttl_s: float, now: float) -> None:
        """See `SharedState.prolong`."""
        held = self._leases.get(grant.holder, {})
        if held.pop(grant.lease_id, None) is not None:
            # back at the end: oldest first
            held[grant.lease_id] = Grant(grant.holder, grant.lease_id, now + ttl_s, grant.start_at)

    async def slots_taken(self, holder: str, *, now: float) -> int:
        """See `SharedState.slots_taken`."""
        return self._taken(holder, now)

    def _only(self, holder: str, candidates: Sequence[Candidate], now: float) -> Candidate | None:
        """Return `holder` if it is a candidate that can take one more."""
        for candidate in candidates:
            if candidate.id == holder:
                is_open = not self._is_cooling(candidate, now) and self._taken(holder, now) < candidate.capacity
                return candidate if is_open else None
        return None

    def _best(
        self, candidates: Sequence[Candidate], resting: list[str], full: list[str], now: float, *, spread: bool
    ) -> Candidate | None:
        """Return the best that can take one more; note those that cannot."""
        chosen: Candidate | None = None
        best = (0, 0.0, 0)
        for candidate in candidates:
            if self._cooldowns and self._is_cooling(candidate, now):
                resting.append(candidate.id)
                continue
            taken = self._taken(candidate.id, now)
            if taken >= candidate.capacity:
                full.append(candidate.id)
                continue
            if not spread:
                return candidate
            place = (taken, candidate.rank, self._chosen_at.get(candidate.id, -1))
            if chosen is None or place < best:
                chosen, best = candidate, place
        return chosen

    def _is_cooling(self, candidate: Candidate, now: float) -> bool:
        for key in (candidate.id, *candidate.rests):
            cooldown = self._cooldowns.get(key)
            if cooldown is not None and cooldown.until > now:
                return True
        return False

    def _taken(self, holder: str, now: float) -> int:
        held = self._leases.get(holder)
        if not held:
            return 0
        oldest = next(iter(held.values()))
        if oldest.expires_at <= now:
            for grant in [grant for grant in held.values() if grant.expires_at <= now]:
                held.pop(grant.lease_id, None)
        return len(held)

    # ---- cooldowns and counters --------------------------------------------------------------------------------

    async def cool(self, key: str, *, until: float, reason: str) -> None:
        """See `SharedState.cool`."""
        known = self._cooldowns.get(key)
        if known is None or known.until < until:
            self._cooldowns[key] = Cooldown(until, reason)
            if len(self._cooldowns) > MAX_REMEMBERED:  # keys name models, and clients may make those up
                del self._cooldowns[next(iter(self._cooldowns))]

    async def warm(self, key: str) -> None:
        """See `SharedState.warm`."""
        self._cooldowns.pop(key, None)

    async def cooldowns(self, keys: Sequence[str], *, now: float) -> dict[str, Cooldown]:
        """See `SharedState.cooldowns`."""
        found: dict[str, Cooldown] = {}
        if self._cooldowns:
            for key in keys:
                cooldown = self._cooldowns.get(key)
                if cooldown is not None:
                    if cooldown.until > now:
                        found[key] = cooldown
                    else:
                        del self._cooldowns[key]
        return found

    async def count(self, key: str, *, ttl_s: float, now: float) -> int:
        """See `SharedState.count`."""
        value, expires_at = self._counters.get(key, (0, 0.0))
        value = value + 1 if expires_at > now else 1
        self._counters[key] = (value, now + ttl_s)
        if len(self._counters) > MAX_REMEMBERED:
            self._counters = {name: entry for name, entry in self._counters.items() if entry[1] > now}
        return value

    # ---- short memory ------------------------------------------------------------------------------------------

    async def remember(self, key: str, value: str, *, ttl_s: float, now: float) -> None:
        """See `SharedState.remember`."""
        self._remember(key, value, now + ttl_s)

    async def recall(self, key: str, *, now: float) -> str | None:
        """See `SharedState.recall`."""
        return self._recall(key, now)

    def _remember(self, key: str, value: str, until: float) -> None:
        self._memory[key] = (value, until)
        self._memory.move_to_end(key)
        while len(self._memory) > MAX_REMEMBERED:
            self._memory.popitem(last=False)

    def _recall(self, key: str, now: float) -> str | None:
        entry = self._memory.get(key)
        if entry is None:
            return None
        if entry[1] <= now:
            del self._memory[key]
            return None
        return entry[0]

    async def forget(self, key: str) -> None:
        """See `SharedState.forget`."""
        self._memory.pop(key, None)
        self._counters.pop(key, None)

    # ---- links -------------------------------------------------------------------------------------------------

    async def keep_link(self, key: str, value: bytes, *, parent: str | None, ttl_s: float, now: float) -> None:
        """See `SharedState.keep_link`."""
        self._drop_link(key)
        link = self._links[key] = Link(value, parent, now + ttl_s)
        self._link_bytes += link.size
        while self._links:
            oldest = next(iter(self._links))
            if self._link_bytes <= MAX_LINK_BYTES and self._links[oldest].expires_at > now:
                break
            self._drop_link(oldest)

    async def read_links(self, key: str, *, ttl_s: float, now: float) -> list[bytes]:
        """See `SharedState.read_links`."""
        found: list[str] = []
        at: str | None = key
        while at is not None:
            link = self._links.get(at)
            if link is None or link.expires_at <= now or len(found) == MAX_LINKS:
                return []
            found.append(at)
            at = link.parent
        found.reverse()
        for name in found:
            self._links[name].expires_at = now + ttl_s
            self._links.move_to_end(name)
        return [self._links[name].value for name in found]

    def _drop_link(self, key: str) -> None:
        link = self._links.pop(key, None)
        if link is not None:
            self._link_bytes -= link.size
