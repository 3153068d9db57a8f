"""Asks the upstream about an account that is open only by our own clock, before a request is spent on it.

After a limit's reset time the upstream may still refuse (spec/operations.md §2.6). One cheap call settles it for
everybody: at most five a request, one a while for each account. When it fails, the request finds out itself.
"""

from __future__ import annotations

import asyncio

from accounts import quota
from accounts.pool import AccountPool
from accounts.values import AccountView
from codexproxy.gateway import pump
from codexproxy.gateway.state.contract import SharedState
from providers.contract import KnowsLimits, Provider, RateLimits, Transport
from translation.errors import GatewayError

MAX_VERIFICATIONS = 5
"""For one request."""
ASKED_TTL_S = 60.0
"""So long others go on without asking again."""
TIMEOUT_S = 5.0
MAX_BODY_BYTES = 1024 * 1024


async def settle(
    account: AccountView,
    model: str,
    *,
    provider: Provider,
    transport: Transport,
    pool: AccountPool,
    state: SharedState,
    now: float,
) -> RateLimits | None:
    """Return what the upstream says of an account whose limit for `model` is over by our clock; None: no need, no word.

    What it says is not learned here; the caller does, as with every answer.
    """
    if not isinstance(provider, KnowsLimits) or not quota.was_exhausted(pool.quotas.of(account), model, now):
        return None
    key = f"verified:{account.id}"
    if await state.recall(key, now=now) is not None:
        return None
    await state.remember(key, "1", ttl_s=ASKED_TTL_S, now=now)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _ask(account, provider, transport, now)
    except (GatewayError, TimeoutError):
        return None


async def _ask(account: AccountView, provider: KnowsLimits, transport: Transport, now: float) -> RateLimits | None:
    upstream = await transport.open(provider.limits_request(account.credential), account.egress)
    try:
        body = await pump.read_error_body(upstream, MAX_BODY_BYTES)
        return provider.limits_answer(body, now) if upstream.status == 200 else None
    finally:
        await upstream.close()
