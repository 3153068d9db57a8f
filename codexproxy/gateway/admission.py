"""Step 4 of the flow: what an api key may use at once, before any account is asked.

Counts in the shared state only. Whoever took something gives it back in the flow's `finally`; the state's TTL is the
reaper. Read next: `state/contract.py`.
"""

from __future__ import annotations

from accounts.values import ApiKeyView
from codexproxy.gateway.state.contract import Candidate, Grant, SharedState
from translation.errors import KeyLimited


async def take_key_slot(state: SharedState, key: ApiKeyView, *, ttl_s: float, now: float) -> Grant | None:
    """Take one of the slots of `key`; None when it has no limit. Raises: KeyLimited."""
    if key.max_concurrency is None:
        return None
    candidate = Candidate(f"key:{key.id}", key.max_concurrency)
    grant = await state.acquire([candidate], spread=False, ttl_s=ttl_s, now=now)
    if grant is None:
        raise KeyLimited(
            f"This API key may run {key.max_concurrency} requests at once; wait until one ends.",
            code="concurrency_limit_exceeded",
            retry_after_s=1,
        )
    return grant
