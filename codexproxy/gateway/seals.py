"""Who can read a compaction: only the account that made it. Kept as digests in the shared state's short memory.

A conversation that names itself returns to its account anyway; one that does not has, after a compaction, nothing in
common with what it was but the sealed item itself (spec/wire.md §2.6). Losing this memory costs affinity, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from codexproxy.gateway.state.contract import SharedState

TTL_S = 7 * 86_400.0
"""People come back to a conversation after days; its digest is 60 bytes."""


async def remember_owner(state: SharedState, key_id: int, seals: Sequence[str], account_id: str, *, now: float) -> None:
    """Keep that `account_id` made what `seals` are digests of, for the api key `key_id`."""
    for seal in seals:
        await state.remember(_name(key_id, seal), account_id, ttl_s=TTL_S, now=now)


async def owner_of(state: SharedState, key_id: int, seals: Sequence[str], *, now: float) -> str | None:
    """Return the account that made the latest of `seals`; None when nobody remembers."""
    return await state.recall(_name(key_id, seals[-1]), now=now) if seals else None


def _name(key_id: int, seal: str) -> str:
    return f"seal:{key_id}:{seal}"
