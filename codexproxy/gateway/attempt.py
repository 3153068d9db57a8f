"""One attempt on one account: steps 6 to 10 of the architecture's flow, from the plan to the last byte of the answer.

It raises what went wrong and decides nothing: what follows is `retry.py`'s table, taken by `flow.py`. It never leases
or releases, and always closes the upstream. Read next: `lane.py`, `pump.py`, `providers/contract.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from accounts.lease import Lease
from accounts.values import AccountView
from codexproxy.gateway import lane, pump
from codexproxy.gateway.exchange import Exchange, Plan
from codexproxy.gateway.journal import Journal
from codexproxy.gateway.lessons import Lessons
from codexproxy.gateway.tasks import run_apart
from providers.adapters.codex import conversation_key
from providers.contract import Conversation, Provider, Transport, UpstreamRequest, UpstreamStream
from translation import errors, registry
from translation.codec import Codec, ContinuingCodec, RelayTarget

MAX_ERROR_BODY_BYTES = 1024 * 1024


async def run(
    exchange: Exchange,
    plan: Plan,
    lease: Lease,
    *,
    provider: Provider,
    transport: Transport,
    lessons: Lessons,
    journal: Journal,
    keep_slots: Callable[[], None],
    clock: Callable[[], float],
) -> None:
    """Answer the client from the account of `lease`; `keep_slots` is called now and then while the answer lasts.

    Raises: GatewayError; whether it may be tried again depends on `exchange.has_output`.
    """
    account, opened, pulse = lease.account, plan.opened, exchange.pulse
    _refuse_stale_token(account, clock())
    key = conversation_key(account.credential.scope, plan.speaker.conversation)
    drops_reasoning = exchange.drops_reasoning or plan.speaker.was_with_other(account.id)
    # 6 lane and 7 encode
    call = prepare(exchange.codec, plan, prompt_cache_key=key, drops_reasoning=drops_reasoning)
    exchange.driver = call.driver
    # 8 build
    upstream_request = _build(exchange, plan, lease, call.body, key, provider, lessons)
    relayed: Mapping[str, str] = {}

    def response_headers() -> Mapping[str, str]:
        return {**exchange.stream_headers(opened), **relayed}

    pulse.watch(begin=response_headers if opened.stream else None, beat=call.driver.heartbeat, keep=keep_slots)
    upstream: UpstreamStream | None = None
    try:
        # 9 open
        upstream = await transport.open(upstream_request, account.egress)
        pulse.has_heard = True
        lessons.limits(account, provider.limits(upstream.headers, clock()))
        lessons.cookies(account, upstream_request.url, upstream.headers)
        if upstream.status != 200:
            body = await pump.read_error_body(upstream, MAX_ERROR_BODY_BYTES)
            raise provider.classify(upstream.status, upstream.headers, body, clock())
        if plan.lane.name == "relay":
            relayed = provider.relayed_headers(upstream.headers)
        # 10 first event, then the rest
        if call.collected is None:
            # A task of its own: what wakes it for every chunk then climbs three frames instead of a dozen.
            await run_apart(
                pump.stream(upstream, call.driver, exchange.client, pulse, response_headers, exchange.mark_output),
                "stream",
            )
            exchange.record.status = 200
        else:
            collected = await pump.collect(upstream, call.driver, call.collected, pulse)
            exchange.mark_output()
            exchange.record.status = 200
            await exchange.client.reply(200, {**response_headers(), "content-type": "application/json"}, collected)
        exchange.record.usage = call.driver.usage
        _keep(exchange, plan, call, account, journal, drops_reasoning=drops_reasoning)
        await pump.drain(upstream)
    except asyncio.CancelledError:
        if not pulse.timed_out:
            raise
        pulse.timed_out = False
        asyncio.current_task().uncancel()  # type: ignore[union-attr]
        raise pump.timeout_error(exchange.snapshot.settings, was_started=exchange.has_output) from None
    finally:
        exchange.record.usage = call.driver.usage
        lessons.limits(account, provider.told_limits(call.driver.asides, clock()))
        if upstream is not None:
            await upstream.close()


def prepare(codec: Codec, plan: Plan, *, prompt_cache_key: str = "", drops_reasoning: bool = False) -> lane.Call:
    """Encode the request for the plan's target, and build the driver of its answer."""
    target = plan.target
    return lane.prepare(
        codec, registry.get_upstream(target.codec), plan.opened,
        RelayTarget(
            model=target.model, prompt_cache_key=prompt_cache_key, effort=target.effort,
            service_tier=target.service_tier, quirks=target.quirks, drops_reasoning=drops_reasoning,
        ),
        plan.lane,
    )  # fmt: skip


def _refuse_stale_token(account: AccountView, now: float) -> None:
    """A token known to have expired is renewed before it is sent, by the same row of the retry table as a 401."""
    if account.has_refresh_token and account.token_expires_at is not None and account.token_expires_at <= now:
        raise errors.AccountRejected("No available accounts: the token has expired.", reason="expired")


def _build(
    exchange: Exchange, plan: Plan, lease: Lease, body: bytes, key: str, provider: Provider, lessons: Lessons
) -> UpstreamRequest:
    """Make the upstream call of the account, with the cookies it has for that address."""
    conversation = Conversation(
        key=key,
        headers=plan.opened.context.headers,
        keeps_account=lease.keeps_account,
        may_use_socket=exchange.snapshot.settings.sockets.enabled,
    )
    made = provider.build(body, lease.account.credential, plan.target, conversation)
    cookie = lessons.cookie_header(lease.account, made.url)
    return replace(made, headers=(*made.headers, ("cookie", cookie))) if cookie else made


def _keep(
    exchange: Exchange, plan: Plan, call: lane.Call, account: AccountView, journal: Journal, *, drops_reasoning: bool
) -> None:
    """Let the client name this answer in a later request."""
    codec, speaker = exchange.codec, plan.speaker
    answer = call.driver.answer if plan.opened.is_kept else None
    if answer is not None and isinstance(codec, ContinuingCodec):
        journal.write(
            exchange.key.id, codec, plan.opened, answer, story=speaker.story, account=account.id,
            conversation=speaker.conversation, agent=speaker.agent, drops_reasoning=drops_reasoning,
        )  # fmt: skip
