"""One request, from bytes to bytes; reads top to bottom, the numbers are those of the architecture's flow.

Everything it needs is in the snapshot or the shared state; it asks no database. Whatever happens, at every await, the
lease is released, the upstream is closed and one usage record is queued. Steps 1 to 5 and the loop of attempts are
here. Read next: `attempt.py` (steps 6 to 10), `retry.py` (what follows a failure), `exchange.py` (what clients see).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from msgspec.structs import replace

from accounts import keys
from accounts.lease import Lease
from accounts.pool import AccountPool
from accounts.roster import Wish
from accounts.values import AccountReport, AccountView, ApiKeyView
from codexproxy.gateway import admission, attempt, lane, retry, seals, verify
from codexproxy.gateway.exchange import Exchange, Plan
from codexproxy.gateway.journal import Journal, Story
from codexproxy.gateway.lessons import Lessons
from codexproxy.gateway.record import RequestRecord
from codexproxy.gateway.snapshot import SnapshotStore
from codexproxy.gateway.speaker import speaker_of
from codexproxy.gateway.state.contract import Grant, SharedState
from codexproxy.gateway.tokenizer import Tokenizer
from codexproxy.gateway.types import ClientRequest, ClientStream, Refresher
from providers import routing
from providers.contract import Provider, Target, Transport
from stats.meter import UsageQueue
from translation import errors, registry
from translation.codec import Codec, OpenedRequest, SealingTap, WireContext
from translation.wire.ids import Ids

log = logging.getLogger(__name__)

COMPACT_PATIENCE = 2
"""A compaction says nothing before its end: twice the usual silence is the 20 minutes that clients wait for it
(spec/wire.md §1.4)."""


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
        self.refresher = refresher
        self.journal = journal
        self.clock = clock
        self.ids = ids or Ids()
        self.tokenizer = Tokenizer()
        self.lessons = Lessons(pool, on_report, clock)
        self.is_draining = False

    def authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> ApiKeyView:
        """Step 1: the api key's view. Raises: Unauthenticated."""
        return keys.authenticate(self.snapshots.current.keys, keys.presented_key(headers, query), self.clock())

    async def generate(self, codec: Codec, key: ApiKeyView, request: ClientRequest, client: ClientStream) -> None:
        """Answer one request for a generation; every failure becomes an answer in the client's dialect."""
        record = RequestRecord(request, key, codec.name, now=self.clock(), clock=time.perf_counter)
        exchange = Exchange(codec, key, request, client, record, self.snapshots.current)
        try:
            await _Flow(self, exchange).run()
        except asyncio.CancelledError:
            record.left = not record.status  # after the last byte, leaving is no loss
            raise
        except errors.GatewayError as error:
            record.error = error
            await exchange.answer_error(error)
        except Exception:
            log.exception("request %s failed inside the gateway", request.request_id)
            record.error = errors.GatewayBug(
                f"The gateway failed while answering. Tell your operator the request id {request.request_id}."
            )
            await exchange.answer_error(record.error)
        finally:
            exchange.pulse.stop()
            record.finish(self.usage)


class _Flow:
    """Takes one request through the steps; what it remembers from attempt to attempt."""

    def __init__(self, gateway: Gateway, exchange: Exchange) -> None:
        self.gateway = gateway
        self.exchange = exchange
        self.record = exchange.record
        self.slot: Grant | None = None
        self.exclude: set[str] = set()
        self.seen: Counter[object] = Counter()
        self.spent = retry.Spent()
        self.budget = retry.Budget(attempts=exchange.snapshot.settings.max_attempts)
        self.verifications = 0

    async def run(self) -> None:
        """Steps 2 to 4, then attempts until one succeeds or the retry table says to stop."""
        gateway, exchange = self.gateway, self.exchange
        if gateway.is_draining:
            raise errors.ShuttingDown("The gateway is restarting. Try again in a moment.", retry_after_s=2)
        # 2 decode
        opened = exchange.opened = self._decode()
        self.record.model, self.record.is_stream = opened.model, opened.stream
        story: Story | None = None
        if opened.previous_response_id is not None:
            opened, story = await gateway.journal.expand(exchange.key.id, exchange.codec, opened)
        # 3 resolve
        target = self._resolve(opened)
        if opened.answer is not None:
            await exchange.answer_alone(opened, opened.answer)
            return
        # 4 admit
        ttl_s = exchange.snapshot.settings.lease_ttl_s
        self.slot = await admission.take_key_slot(gateway.state, exchange.key, ttl_s=ttl_s, now=gateway.clock())
        try:
            await self._attempts(self._plan(opened, story, target))
        finally:
            if self.slot is not None:
                gateway.state.release(self.slot)

    def _decode(self) -> OpenedRequest:
        """Parse the body once. Raises: InvalidRequest, in the words of the client's dialect."""
        gateway, request = self.gateway, self.exchange.request
        return self.exchange.codec.open_request(
            request.body,
            WireContext(
                headers=request.headers, path=request.path, params=request.params, query=request.query,
                now_s=gateway.clock(), ids=gateway.ids, clock=gateway.clock,
                options=self.exchange.snapshot.settings.codec_options,
            ),
        )  # fmt: skip

    def _resolve(self, opened: OpenedRequest) -> Target:
        """Find what the model's name stands for. Raises: GatewayError when nothing, or when the key may not use it."""
        snapshot, allowed = self.exchange.snapshot, self.exchange.key.allowed_models
        (target, *_) = routing.resolve(
            opened.model, models=snapshot.models, aliases=snapshot.aliases,
            default_model=snapshot.settings.default_model,
        )  # fmt: skip
        if opened.operation != target.operation:
            target = replace(target, operation=opened.operation)
            self.exchange.pulse.patience = COMPACT_PATIENCE
        self.record.upstream_model = target.model
        if allowed and target.model not in allowed:
            raise errors.PermissionDenied(f"This API key may not use the model '{target.model}'.", param="model")
        return target

    def _plan(self, opened: OpenedRequest, story: Story | None, target: Target) -> Plan:
        """Settle what all attempts have in common."""
        exchange = self.exchange
        chosen = lane.choose(exchange.codec, registry.get_upstream(target.codec), opened, target)
        self.record.lane, self.record.decision.lane = chosen.name, chosen.reason
        speaker = speaker_of(opened, story, key_id=exchange.key.id, request_id=exchange.request.request_id)
        return Plan(opened, target, chosen, speaker)

    # ---- attempts ----------------------------------------------------------------------------------------------

    async def _attempts(self, plan: Plan) -> None:
        """Lease an account and try it, again and again while the retry table says so. Raises: the last failure."""
        gateway, exchange, wish = self.gateway, self.exchange, await self._wish(plan)
        failure: errors.GatewayError | None = None
        while True:
            # 5 lease
            try:
                lease = await gateway.pool.lease(
                    exchange.snapshot, wish, self.exclude, self.record.decision, now=gateway.clock(),
                    look=lambda: gateway.snapshots.current, on_wait=lambda: self._wait(plan),
                )  # fmt: skip
            except errors.NoCapacity as none_left:
                raise retry.last_word(failure, none_left, gateway.clock()) from None
            try:
                await self._verify(lease.account, plan.target.model)
                self.record.begin_attempt(lease)
                # 6 to 10
                await attempt.run(
                    exchange, plan, lease,
                    provider=gateway.providers[plan.target.provider], transport=gateway.transport,
                    lessons=gateway.lessons, journal=gateway.journal, keep_slots=partial(self._keep_slots, lease),
                    clock=gateway.clock,
                )  # fmt: skip
                self.record.end_attempt()
                await self._succeeded(lease.account)
                return
            except errors.GatewayError as error:
                failure = error
                step = await self._failed(error, lease.account, plan.target.model)
            finally:
                exchange.pulse.rest()
                lease.release()
            await self._follow(step, failure, lease)

    async def _wish(self, plan: Plan) -> Wish:
        """Say which accounts would do; who made what only its maker can read is preferred."""
        gateway, key, speaker = self.gateway, self.exchange.key, plan.speaker.name
        owner = await seals.owner_of(gateway.state, key.id, plan.opened.seals, now=gateway.clock())
        if owner is not None:
            await gateway.pool.prefer(speaker, owner, now=gateway.clock())
        return Wish(
            provider=plan.target.provider, model=plan.target.model, api_key=key.id, pool=key.pool, conversation=speaker
        )

    def _wait(self, plan: Plan) -> None:
        """A wait for a free slot begins; only a stream can say so."""
        if self.exchange.driver is None and plan.opened.stream:
            self.exchange.keep_company(plan.opened, attempt.prepare(self.exchange.codec, plan).driver)

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
        gateway.lessons.limits(account, limits)
        until = gateway.pool.quotas.exhausted_until(account, model, now)
        if until is not None:
            raise errors.RateLimited("The usage limit of the account is still reached.", until=until)

    def _keep_slots(self, lease: Lease) -> None:
        """Say that the request still lives, so that neither its account's slot nor its key's lapses."""
        ttl_s, now = self.exchange.snapshot.settings.lease_ttl_s, self.gateway.clock()
        lease.prolong(ttl_s=ttl_s, now=now)
        if self.slot is not None:
            self.gateway.state.prolong(self.slot, ttl_s=ttl_s, now=now)

    async def _succeeded(self, account: AccountView) -> None:
        """Let the account have the credit, and later requests find who made what it sealed."""
        gateway, driver = self.gateway, self.exchange.driver
        await gateway.pool.report_success(account)
        made = driver.seals() if isinstance(driver, SealingTap) else ()
        await seals.remember_owner(gateway.state, self.exchange.key.id, made, account.id, now=gateway.clock())

    async def _failed(self, error: errors.GatewayError, account: AccountView, model: str) -> retry.Step:
        """Look up what follows `error`, and let the account bear what it costs."""
        gateway, exchange = self.gateway, self.exchange
        # a refused login is the account's own: each account gets its one refresh
        what = account.id if isinstance(error, errors.AccountRejected) else type(error)
        self.seen[what] += 1
        step = retry.next_step(
            error, seen=self.seen[what], is_committed=exchange.has_output,
            has_output=exchange.driver is not None and exchange.driver.has_output,
            spent=self.spent.after(error, self.record.attempts, asyncio.get_running_loop().time()),
            budget=self.budget,
        )  # fmt: skip
        self.record.end_attempt(error, step.action.value)
        if step.action is not retry.Action.REFRESH:
            await gateway.pool.report(account, error, now=gateway.clock(), model=model)
        if isinstance(error, errors.UpstreamBlocked) and error.reason == "path block":
            gateway.lessons.forget_cookies(account)
        if isinstance(error, errors.ModelUnsupported):
            await gateway.pool.mark_unsupported(account, model, now=gateway.clock())
        return step

    async def _follow(self, step: retry.Step, failure: errors.GatewayError, lease: Lease) -> None:
        """Prepare the next attempt as the retry table said, or raise the failure."""
        if step.action is retry.Action.FAIL:
            raise failure
        if step.action is retry.Action.OTHER_ACCOUNT:
            self.exclude.add(lease.account.id)
        elif step.action is retry.Action.WITHOUT_REASONING:
            self.exchange.drops_reasoning = True
        elif step.action is retry.Action.REFRESH:
            if await self.gateway.refresher(lease.account.id):
                self.exchange.snapshot = self.gateway.snapshots.current
            else:
                await self.gateway.pool.report(lease.account, failure, now=self.gateway.clock())
                self.exclude.add(lease.account.id)
        if step.delay_s:
            await asyncio.sleep(step.delay_s)
