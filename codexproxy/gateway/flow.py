"""One request, from bytes to bytes; reads top to bottom, the numbers are those of the architecture's flow.

Everything it needs is in the snapshot or the shared state; it asks no database. Whatever happens, at every await, the
lease is released, the upstream is closed and one usage record is queued.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from accounts import keys
from accounts.cookie_board import CookieBoard
from accounts.pool import AccountPool, Lease
from accounts.roster import Wish
from accounts.values import AccountReport, AccountView, ApiKeyView
from codexproxy.gateway import lane, pump, retry, seals, verify
from codexproxy.gateway.journal import Journal, Story
from codexproxy.gateway.record import RequestRecord
from codexproxy.gateway.snapshot import Snapshot, SnapshotStore
from codexproxy.gateway.state.contract import Candidate, Grant, SharedState
from codexproxy.gateway.tasks import run_apart
from codexproxy.gateway.tokenizer import Tokenizer
from codexproxy.gateway.types import ClientRequest, ClientStream, Refresher
from providers import routing
from providers.adapters.codex import conversation_key
from providers.contract import Conversation, Provider, RateLimits, Target, Transport
from stats.meter import UsageQueue
from translation import errors, registry
from translation.codec import Codec, ContinuingCodec, OpenedRequest, RelayTarget, SealingTap, WireContext
from translation.wire.ids import Ids

log = logging.getLogger(__name__)

MAX_ERROR_BODY_BYTES = 1024 * 1024
COMPACT_PATIENCE = 2
"""A compaction says nothing before its end: twice the usual silence is the 20 minutes that clients wait for it
(spec/wire.md §1.4)."""
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Gateway:
    """The flow and what it is made of. One per process."""

    def __init__(
        self,
        *,
        snapshots: SnapshotStore,
        state: SharedState,
        pool: AccountPool,
        providers: Mapping[str, Provider],
        transport: Transport,
        usage: UsageQueue,
        on_report: Callable[[AccountReport], None],
        refresher: Refresher,
        journal: Journal,
        clock: Callable[[], float] = time.time,
        ids: Ids | None = None,
    ) -> None:
        self.snapshots = snapshots
        self.state = state
        self.pool = pool
        self.providers = providers
        self.transport = transport
        self.usage = usage
        self.on_report = on_report
        self.refresher = refresher
        self.journal = journal
        self.clock = clock
        self.ids = ids or Ids()
        self.tokenizer = Tokenizer()
        self.cookies = CookieBoard()
        self.is_draining = False

    def authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> ApiKeyView:
        """Step 1: the api key's view. Raises: Unauthenticated."""
        return keys.authenticate(self.snapshots.current.keys, keys.presented_key(headers, query), self.clock())

    async def generate(self, codec: Codec, key: ApiKeyView, request: ClientRequest, client: ClientStream) -> None:
        """Answer one request for a generation; every failure becomes an answer in the client's dialect."""
        record = RequestRecord(request, key, codec.name, now=self.clock(), clock=time.perf_counter)
        call = _GenerateCall(self, codec, key, request, client, record)
        try:
            await call.run()
        except asyncio.CancelledError:
            record.left = not record.status  # after the last byte, leaving is no loss
            raise
        except errors.GatewayError as error:
            record.error = error
            await call.answer_error(error)
        except Exception:
            log.exception("request %s failed inside the gateway", request.request_id)
            record.error = errors.GatewayBug(
                f"The gateway failed while answering. Tell your operator the request id {request.request_id}."
            )
            await call.answer_error(record.error)
        finally:
            call.pulse.stop()
            record.finish(self.usage)


class _GenerateCall:
    """The state of one request on its way through the steps."""

    def __init__(
        self,
        gateway: Gateway,
        codec: Codec,
        key: ApiKeyView,
        request: ClientRequest,
        client: ClientStream,
        record: RequestRecord,
    ) -> None:
        self.gateway = gateway
        self.codec = codec
        self.key = key
        self.request = request
        self.client = client
        self.record = record
        self.snapshot: Snapshot = gateway.snapshots.current
        self.pulse = pump.Pulse(self.snapshot.settings, client)
        self.has_output = False
        self.drops_reasoning = False
        self.verifications = 0
        self.driver: lane.Tap | None = None
        self.opened: OpenedRequest | None = None
        self.story: Story | None = None
        self.slot: Grant | None = None

    async def run(self) -> None:
        """Steps 2 to 4, then attempts until one succeeds or the retry table says to stop."""
        gateway, snapshot = self.gateway, self.snapshot
        if gateway.is_draining:
            raise errors.ShuttingDown("The gateway is restarting. Try again in a moment.", retry_after_s=2)
        # 2 decode
        opened = self.codec.open_request(
            self.request.body,
            WireContext(
                headers=self.request.headers, path=self.request.path, params=self.request.params,
                query=self.request.query, now_s=gateway.clock(), ids=gateway.ids, clock=gateway.clock,
                options=snapshot.settings.codec_options,
            ),
        )  # fmt: skip
        self.opened = opened
        self.record.model, self.record.is_stream = opened.model, opened.stream
        if opened.previous_response_id is not None:
            opened, self.story = await gateway.journal.expand(self.key.id, self.codec, opened)
        # 3 resolve
        (target, *_) = routing.resolve(
            opened.model, models=snapshot.models, aliases=snapshot.aliases,
            default_model=snapshot.settings.default_model,
        )  # fmt: skip
        if opened.operation != target.operation:
            target = replace(target, operation=opened.operation)
            self.pulse.patience = COMPACT_PATIENCE
        self.record.upstream_model = target.model
        if self.key.allowed_models and target.model not in self.key.allowed_models:
            raise errors.PermissionDenied(f"This API key may not use the model '{target.model}'.", param="model")
        if opened.answer is not None:
            await self._answer_alone(opened, opened.answer)
            return
        # 4 admit
        self.slot = await self._key_slot()
        try:
            await self._attempts(opened, target)
        finally:
            if self.slot is not None:
                gateway.state.release(self.slot)

    async def _answer_alone(self, opened: OpenedRequest, answer: bytes) -> None:
        """Send what the codec said without an upstream: some requests only ask whether a model is there."""
        self.record.status = 200
        if self.client.started:  # silence was filled already
            await self.client.end(answer)
            return
        kind = self.codec.stream_media_type if opened.stream else "application/json"
        await self.client.reply(200, {"content-type": kind, **self.request.id_headers}, answer)

    async def _key_slot(self) -> Grant | None:
        if self.key.max_concurrency is None:
            return None
        grant = await self.gateway.state.acquire(
            [Candidate(f"key:{self.key.id}", self.key.max_concurrency)],
            spread=False, ttl_s=self.snapshot.settings.lease_ttl_s, now=self.gateway.clock(),
        )  # fmt: skip
        if grant is None:
            raise errors.KeyLimited(
                f"This API key may run {self.key.max_concurrency} requests at once; wait until one ends.",
                code="concurrency_limit_exceeded", retry_after_s=1,
            )  # fmt: skip
        return grant

    # ---- attempts ----------------------------------------------------------------------------------------------

    async def _attempts(self, opened: OpenedRequest, target: Target) -> None:
        gateway, budget = self.gateway, retry.Budget(attempts=self.snapshot.settings.max_attempts)
        chosen_lane = lane.choose(self.codec, registry.get_upstream(target.codec), opened, target)
        self.record.lane, self.record.decision.lane = chosen_lane.name, chosen_lane.reason
        conversation = self._conversation(opened)
        speaker = f"{conversation}#{self._agent(opened, conversation)}"
        owner = await seals.owner_of(gateway.state, self.key.id, opened.seals, now=gateway.clock())
        if owner is not None:
            await gateway.pool.prefer(speaker, owner, now=gateway.clock())
        wish = Wish(
            provider=target.provider, model=target.model, api_key=self.key.id, pool=self.key.pool,
            conversation=speaker,
        )  # fmt: skip
        exclude: set[str] = set()
        seen: Counter[object] = Counter()
        spent = retry.Spent()
        failure: errors.GatewayError | None = None
        while True:
            try:
                lease = await gateway.pool.lease(
                    self.snapshot, wish, exclude, self.record.decision, now=gateway.clock(),
                    look=lambda: gateway.snapshots.current, on_wait=lambda: self._wait(opened, target, chosen_lane),
                )  # fmt: skip
            except errors.NoCapacity as none_left:
                raise _last_word(failure, none_left, gateway.clock()) from None
            try:
                await self._verify(lease.account, target.model)
                self.record.begin_attempt(lease)
                _refuse_stale_token(lease.account, gateway.clock())
                await self._attempt(opened, target, chosen_lane, lease, conversation)
                self.record.end_attempt()
                await gateway.pool.report_success(lease.account)
                made = self.driver.seals() if isinstance(self.driver, SealingTap) else ()
                await seals.remember_owner(gateway.state, self.key.id, made, lease.account.id, now=gateway.clock())
                return
            except errors.GatewayError as error:
                failure = error
                # a refused login is the account's own: each account gets its one refresh
                what = lease.account.id if isinstance(error, errors.AccountRejected) else type(error)
                seen[what] += 1
                output_seen = self.driver is not None and self.driver.has_output
                step = retry.next_step(
                    error, seen=seen[what], is_committed=self.has_output, has_output=output_seen,
                    spent=spent.after(error, self.record.attempts, asyncio.get_running_loop().time()), budget=budget,
                )  # fmt: skip
                self.record.end_attempt(error, step.action.value)
                if step.action is not retry.Action.REFRESH:
                    await gateway.pool.report(lease.account, error, now=gateway.clock(), model=target.model)
                if isinstance(error, errors.UpstreamBlocked) and error.reason == "path block":
                    self._forget_cookies(lease.account)
                if isinstance(error, errors.ModelUnsupported):
                    await gateway.pool.mark_unsupported(lease.account, target.model, now=gateway.clock())
            finally:
                self.pulse.rest()
                lease.release()
            await self._follow(step, failure, lease, exclude)

    async def _verify(self, account: AccountView, model: str) -> None:
        """Let an account go that only our clock thinks is open. Raises: RateLimited."""
        gateway, now = self.gateway, self.gateway.clock()
        if self.verifications >= verify.MAX_VERIFICATIONS:
            return
        limits = await verify.settle(
            account, model, provider=gateway.providers[account.provider], transport=gateway.transport,
            pool=gateway.pool, state=gateway.state, now=now,
        )  # fmt: skip
        if limits is None:
            return
        self.verifications += 1
        self._learn(account, limits)
        until = gateway.pool.quotas.exhausted_until(account, model, now)
        if until is not None:
            raise errors.RateLimited("The usage limit of the account is still reached.", until=until)

    async def _follow(self, step: retry.Step, failure: errors.GatewayError, lease: Lease, exclude: set[str]) -> None:
        """Prepare the next attempt as the retry table said, or raise the failure."""
        if step.action is retry.Action.FAIL:
            raise failure
        if step.action is retry.Action.OTHER_ACCOUNT:
            exclude.add(lease.account.id)
        elif step.action is retry.Action.WITHOUT_REASONING:
            self.drops_reasoning = True
        elif step.action is retry.Action.REFRESH:
            if await self.gateway.refresher(lease.account.id):
                self.snapshot = self.gateway.snapshots.current
            else:
                await self.gateway.pool.report(lease.account, failure, now=self.gateway.clock())
                exclude.add(lease.account.id)
        if step.delay_s:
            await asyncio.sleep(step.delay_s)

    def _wait(self, opened: OpenedRequest, target: Target, chosen_lane: lane.Lane) -> None:
        """A wait for a free slot begins: keep the client company, as soon as its dialect allows."""
        if self.driver is None and opened.stream:
            self.driver = lane.prepare(
                self.codec, registry.get_upstream(target.codec), opened,
                RelayTarget(
                    model=target.model, prompt_cache_key="", effort=target.effort, service_tier=target.service_tier,
                    quirks=target.quirks,
                ),
                chosen_lane,
            ).driver  # fmt: skip
            self.pulse.watch(begin=lambda: self._stream_headers(opened), beat=self.driver.heartbeat, keep=_nothing)
            self.pulse.rest()

    def _stream_headers(self, opened: OpenedRequest) -> dict[str, str]:
        kind = opened.media_type or self.codec.stream_media_type
        return {"content-type": kind, **STREAM_HEADERS, **self.request.id_headers}

    async def _attempt(
        self, opened: OpenedRequest, target: Target, chosen_lane: lane.Lane, lease: Lease, conversation: str
    ) -> None:
        """Steps 6 to 10 on one account.

        Raises: GatewayError; whether it may be tried again depends on `self.has_output`.
        """
        gateway, account = self.gateway, lease.account
        upstream_codec = registry.get_upstream(target.codec)
        provider = gateway.providers[target.provider]
        key = conversation_key(account.credential.scope, conversation)
        # 6 lane and 7 encode
        call = lane.prepare(
            self.codec, upstream_codec, opened,
            RelayTarget(
                model=target.model, prompt_cache_key=key, effort=target.effort, service_tier=target.service_tier,
                quirks=target.quirks, drops_reasoning=self._drops_reasoning(account),
            ),
            chosen_lane,
        )  # fmt: skip
        self.driver = call.driver
        # 8 build
        upstream_request = provider.build(
            call.body,
            account.credential,
            target,
            Conversation(
                key=key,
                headers=opened.context.headers,
                keeps_account=lease.keeps_account,
                may_use_socket=self.snapshot.settings.sockets.enabled,
            ),
        )
        cookie = gateway.cookies.header(account, upstream_request.url, gateway.clock())
        if cookie:
            upstream_request = replace(upstream_request, headers=(*upstream_request.headers, ("cookie", cookie)))
        relayed: Mapping[str, str] = {}

        def response_headers() -> Mapping[str, str]:
            return {**self._stream_headers(opened), **relayed}

        def keep_lease() -> None:
            self._keep_slots(lease)

        self.pulse.watch(begin=response_headers if opened.stream else None, beat=call.driver.heartbeat, keep=keep_lease)
        upstream = None
        try:
            # 9 open
            upstream = await gateway.transport.open(upstream_request, account.egress)
            self.pulse.has_heard = True
            self._learn(account, provider.limits(upstream.headers, gateway.clock()))
            self._keep_cookies(account, upstream_request.url, upstream.headers)
            if upstream.status != 200:
                body = await pump.read_error_body(upstream, MAX_ERROR_BODY_BYTES)
                raise provider.classify(upstream.status, upstream.headers, body, gateway.clock())
            if chosen_lane.name == "relay":
                relayed = provider.relayed_headers(upstream.headers)
            # 10 first event, then the rest
            if call.collected is None:
                # A task of its own: what wakes it for every chunk then climbs three frames instead of a dozen.
                await run_apart(
                    pump.stream(upstream, call.driver, self.client, self.pulse, response_headers, self._on_output),
                    "stream",
                )
                self.record.status = 200
            else:
                collected = await pump.collect(upstream, call.driver, call.collected, self.pulse)
                self._on_output()
                self.record.status = 200
                await self.client.reply(200, {**response_headers(), "content-type": "application/json"}, collected)
            self.record.usage = call.driver.usage
            self._keep(opened, account, conversation)
            await pump.drain(upstream)
        except asyncio.CancelledError:
            if not self.pulse.timed_out:
                raise
            self.pulse.timed_out = False
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            raise pump.timeout_error(self.snapshot.settings, was_started=self.has_output) from None
        finally:
            self.record.usage = call.driver.usage
            self._learn(account, provider.told_limits(call.driver.asides, gateway.clock()))
            if upstream is not None:
                await upstream.close()

    def _learn(self, account: AccountView, limits: RateLimits | None) -> None:
        """Take note of what the upstream said about the account's limits, here and for the row."""
        if limits is not None:
            now = self.gateway.clock()
            self.gateway.pool.learn(account, limits, now=now)
            self.gateway.on_report(AccountReport(account_id=account.id, limits=limits, limits_at=now))

    def _keep_cookies(self, account: AccountView, url: str, headers: Mapping[str, str]) -> None:
        set_cookie = headers.get("set-cookie")
        changed = self.gateway.cookies.learn(account, url, set_cookie, self.gateway.clock()) if set_cookie else ()
        if changed:
            self.gateway.on_report(AccountReport(account_id=account.id, cookies=changed))

    def _forget_cookies(self, account: AccountView) -> None:
        if self.gateway.cookies.forget(account):
            self.gateway.on_report(AccountReport(account_id=account.id, forgets_cookies=True))

    def _keep_slots(self, lease: Lease) -> None:
        """Say that the request still lives, so that neither its account's slot nor its key's lapses."""
        ttl_s, now = self.snapshot.settings.lease_ttl_s, self.gateway.clock()
        lease.prolong(ttl_s=ttl_s, now=now)
        if self.slot is not None:
            self.gateway.state.prolong(self.slot, ttl_s=ttl_s, now=now)

    def _on_output(self) -> None:
        if not self.has_output:
            self.has_output = True
            self.record.mark_output()

    def _drops_reasoning(self, account: AccountView) -> bool:
        """Only the account that made a proof can read it; the journal knows which that was."""
        return self.drops_reasoning or (self.story is not None and self.story.was_with_other(account.id))

    def _keep(self, opened: OpenedRequest, account: AccountView, conversation: str) -> None:
        """Let the client name this answer in a later request."""
        answer = self.driver.answer if opened.is_kept and self.driver is not None else None
        if answer is not None and isinstance(self.codec, ContinuingCodec):
            self.gateway.journal.write(
                self.key.id, self.codec, opened, answer, story=self.story, account=account.id,
                conversation=conversation, agent=self._agent(opened, conversation),
                drops_reasoning=self._drops_reasoning(account),
            )  # fmt: skip

    def _agent(self, opened: OpenedRequest, conversation: str) -> str:
        """Who speaks in a conversation that several share; one that moves does not take the others along."""
        if self.story is not None and self.story.conversation == conversation:
            return self.story.agent
        return opened.agent

    def _conversation(self, opened: OpenedRequest) -> str:
        """The client's conversation, apart for every api key; a request without one is its own."""
        identity = opened.identity
        named = identity.prompt_cache_key or identity.session
        if named is None and self.story is not None and self.story.conversation:
            return self.story.conversation  # other instructions than last time make no other conversation
        if named is None and identity.anchor is not None:
            named = f"{identity.user or ''}:{identity.anchor}"  # `user` alone may be one constant of an application
        return f"{self.key.id}:{named or self.request.request_id}"

    # ---- failure -----------------------------------------------------------------------------------------------

    async def answer_error(self, error: errors.GatewayError) -> None:
        """Say `error`: as a status when nothing was sent, in the stream when something was."""
        self.pulse.stop()
        error.request_id = self.request.request_id
        if self.opened is not None and not self.has_output:
            instead = lane.instead_of(self.codec, error, self.opened)
            if instead is not None:
                await self._answer_alone(self.opened, instead)
                return
        if not self.client.started:
            answer = self.codec.encode_error(error)
            self.record.status = answer.status
            headers = {"content-type": "application/json", **self.request.id_headers, **answer.headers}
            await self.client.reply(answer.status, headers, answer.body)
            return
        self.record.status = 200
        was_said = self.driver is not None and self.driver.done and self.has_output
        await self.client.end(b"" if was_said or self.driver is None else self.driver.fail(error))


def _nothing() -> None:
    """No lease is held that could be prolonged."""


def _refuse_stale_token(account: AccountView, now: float) -> None:
    """A token known to have expired is renewed before it is sent, by the same row of the retry table as a 401."""
    if account.has_refresh_token and account.token_expires_at is not None and account.token_expires_at <= now:
        raise errors.AccountRejected("No available accounts: the token has expired.", reason="expired")


def _last_word(failure: errors.GatewayError | None, none_left: errors.NoCapacity, now: float) -> errors.GatewayError:
    """When no account is left, the last failure says more than "none left"; the wait is the pool's to know."""
    if failure is None:
        return none_left
    if isinstance(failure, errors.RateLimited):
        failure.message = f"All accounts exhausted ({none_left.tally}). {failure.message}"
        if none_left.retry_after_s is not None:
            wait_s = failure.retry_after_s = none_left.retry_after_s
            if failure.error_type == "usage_limit_reached":
                # What clients render is the soonest account's reset, not the last one's.
                failure.extra |= {"resets_at": int(now + wait_s), "resets_in_seconds": math.ceil(wait_s)}
    return failure
