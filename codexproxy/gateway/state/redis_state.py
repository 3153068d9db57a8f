"""The shared state of many processes, on one Redis. Implements `contract.SharedState`; every operation is one script.

Times are translated to the server's clock, so that machines whose clocks differ agree. An operation whose answer is
needed costs one round trip, or a part of one: `redis_link.py` sends together what is queued together. The scripts and
the layout of keys are in `redis_scripts.py`. Every key has a lifetime.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from codexproxy.gateway.state.contract import MAX_LINK_BYTES, Candidate, Cooldown, Grant
from codexproxy.gateway.state.memory import MAX_REMEMBERED
from codexproxy.gateway.state.redis_bus import RedisBus
from codexproxy.gateway.state.redis_link import RedisLink, Words
from codexproxy.gateway.state.redis_links import RedisLinks
from codexproxy.gateway.state.redis_scripts import ACQUIRE, COOL, COUNT, PROLONG, REMEMBER, TAKE_BACK, Script

SCRIPTS = (ACQUIRE, TAKE_BACK, PROLONG, COOL, COUNT, REMEMBER)

PRECISION_S = 0.001
"""What is left of a time that went to the server and back."""

_pack = msgspec.msgpack.Encoder().encode


class RedisState:
    """Implements `contract.SharedState` for every process that is given the same `url` and `prefix`."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        clock: Callable[[], float] = time.time,
        max_remembered: int = MAX_REMEMBERED,
        max_link_bytes: int = MAX_LINK_BYTES,
    ) -> None:
        self.link = RedisLink(url, SCRIPTS, clock=clock)
        self._bus = RedisBus(url, prefix)
        self._prefix = f"{{{prefix}}}:"
        self._links = RedisLinks(url, self._prefix, clock=clock, max_bytes=max_link_bytes)
        self._max_remembered = max_remembered
        self._owner = secrets.token_hex(6)
        self._serial = itertools.count()

    # ---- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See `SharedState.start`."""
        await self.link.start()
        await self._links.connection.start()
        self._bus.start()

    async def close(self) -> None:
        """See `SharedState.close`."""
        await self._bus.close()
        await self.link.close()
        await self._links.connection.close()

    @property
    def problem(self) -> str:
        """See `SharedState.problem`."""
        return self.link.problem

    def on_change(self, callback: Callable[[], None]) -> None:
        """See `SharedState.on_change`."""
        self._bus.on_change(callback)

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
        if not candidates:
            return None
        lease = f"{self._owner}-{next(self._serial)}"
        asked = self._script(
            ACQUIRE, now, candidates=candidates, spread=spread, ttl_s=ttl_s, pace_s=pace_s, affinity=affinity,
            lease=lease, max_remembered=self._max_remembered,
        )  # fmt: skip
        answering = self.link.call(asked, ACQUIRE)
        try:
            answer = await answering
        except BaseException:
            # The client left, or the connection broke: nobody will ever know of the slot that may have been taken.
            holders = [candidate.id for candidate in candidates]
            self._post(TAKE_BACK, now, holders=holders, lease=lease)
            raise
        if answer is None:
            return None
        holder, member, start_at, is_kept, resting, full, left = answer
        wait_s = self._our_time(start_at) - now
        return Grant(
            holder.decode(),
            member.decode(),
            now + ttl_s,
            now if wait_s < PRECISION_S else now + wait_s,
            _texts(resting),
            _texts(full),
            bool(is_kept),
            left.decode(),
        )

    def release(self, grant: Grant) -> None:
        """See `SharedState.release`."""
        self.link.post(("ZREM", f"{self._prefix}slots:{grant.holder}", grant.lease_id))

    def prolong(self, grant: Grant, *, ttl_s: float, now: float) -> None:
        """See `SharedState.prolong`."""
        self._post(PROLONG, now, holder=grant.holder, lease=grant.lease_id, ttl_s=ttl_s)

    async def slots_taken(self, holder: str, *, now: float) -> int:
        """See `SharedState.slots_taken`."""
        server_now = f"({now + self.link.offset_s:.6f}"
        return int(await self.link.call(("ZCOUNT", f"{self._prefix}slots:{holder}", server_now, "+inf")))

    # ---- cooldowns and counters --------------------------------------------------------------------------------

    async def cool(self, key: str, *, until: float, reason: str) -> None:
        """See `SharedState.cool`."""
        self._post(COOL, self.link.clock(), key=key, until_=until + self.link.offset_s, reason=reason)

    async def warm(self, key: str) -> None:
        """See `SharedState.warm`."""
        self.link.post(("DEL", f"{self._prefix}rest:{key}"))

    async def cooldowns(self, keys: Sequence[str], *, now: float) -> dict[str, Cooldown]:
        """See `SharedState.cooldowns`."""
        found = await self._read("rest", keys, now)
        return {key: Cooldown(until, reason) for key, (until, reason) in found.items()}

    async def count(self, key: str, *, ttl_s: float, now: float) -> int:
        """See `SharedState.count`."""
        return int(await self.link.call(self._script(COUNT, now, key=key, ttl_s=ttl_s), COUNT))

    # ---- short memory ------------------------------------------------------------------------------------------

    async def remember(self, key: str, value: str, *, ttl_s: float, now: float) -> None:
        """See `SharedState.remember`."""
        self._post(REMEMBER, now, key=key, value=value, ttl_s=ttl_s, max_remembered=self._max_remembered)

    async def recall(self, key: str, *, now: float) -> str | None:
        """See `SharedState.recall`."""
        found = await self._read("memory", [key], now)
        return found[key][1] if key in found else None

    async def forget(self, key: str) -> None:
        """See `SharedState.forget`."""
        self.link.post(("DEL", f"{self._prefix}memory:{key}", f"{self._prefix}counter:{key}"))

    # ---- links -------------------------------------------------------------------------------------------------

    async def keep_link(self, key: str, value: bytes, *, parent: str | None, ttl_s: float, now: float) -> None:
        """See `SharedState.keep_link`."""
        await self._links.keep(key, value, parent=parent, ttl_s=ttl_s, now=now)

    async def read_links(self, key: str, *, ttl_s: float, now: float) -> list[bytes]:
        """See `SharedState.read_links`."""
        return await self._links.read(key, ttl_s=ttl_s, now=now)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _script(self, script: Script, now: float, **fields: Any) -> Words:
        fields["now"] = now + self.link.offset_s
        return ("EVALSHA", script.digest, 1, self._prefix, _pack(fields))

    def _post(self, script: Script, now: float, **fields: Any) -> None:
        self.link.post(self._script(script, now, **fields), script)

    def _our_time(self, stamp: str | bytes) -> float:
        return round(float(stamp) - self.link.offset_s, 3)

    async def _read(self, kind: str, keys: Sequence[str], now: float) -> dict[str, tuple[float, str]]:
        """Return what lives among `keys`, each with the end of its life in our time."""
        if not keys:
            return {}
        answers = await self.link.call(("MGET", *(f"{self._prefix}{kind}:{key}" for key in keys)))
        found: dict[str, tuple[float, str]] = {}
        for key, raw in zip(keys, answers, strict=True):
            if raw is not None:
                until, _, value = raw.decode().partition("|")
                ends_at = self._our_time(until)
                if ends_at > now:
                    found[key] = (ends_at, value)
        return found


def _texts(answers: list[bytes]) -> tuple[str, ...]:
    return tuple(answer.decode() for answer in answers)
