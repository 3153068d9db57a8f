"""Puts the gateway together: the only module that knows both the rows' loaders and the hot path.

`Runtime` belongs to one web process: `start` loads the first snapshot and begins the background work, `stop` drains
and flushes. Reading rows always happens in a thread of its own, never on the path of a request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from django.conf import settings
from django.db import close_old_connections

from accounts import changes
from accounts.fields import key_ring
from accounts.health import Penalty
from accounts.loader import load_accounts, load_keys
from accounts.pool import AccountPool
from accounts.refresh import lease_owner, refresh_account, wait_for_refresh
from accounts.reporting import accounts_report
from accounts.values import AccountReport
from codexproxy.api.lean import LeanDoor
from codexproxy.api.ollama_door import OllamaDoor
from codexproxy.api.wire import WireApi
from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.journal import Journal
from codexproxy.gateway.snapshot import GatewaySettings, OllamaBridgeSettings, Snapshot, SnapshotStore
from codexproxy.gateway.state.contract import Candidate, SharedState
from codexproxy.gateway.state.memory import MemoryState
from codexproxy.gateway.tasks import spawn
from codexproxy.live_settings import load_settings
from codexproxy.serving.ollama_listener import OllamaListener
from providers.adapters.codex import CodexProvider
from providers.catalog import bundled_models
from providers.contract import Secret
from providers.oauth.client import OAuthClient
from providers.routing import SHIPPED_ALIASES
from providers.transport.pyreqwest_transport import PyreqwestTransport
from providers.transport.socket_pool import SocketLimits, SocketTransport
from stats.meter import UsageQueue
from stats.writer import UsageWriter

log = logging.getLogger(__name__)

POLL_S = 2.0
"""How stale a snapshot may be when the change was made by another process."""
MAX_REPORTS = 10_000
MAX_REFRESHES = 4
"""At once. Apart from the threads that load snapshots: waiting for an auth server must not keep a revoked key alive."""
OTHER_REFRESH_PATIENCE_S = 20.0
"""How long a request waits while another process renews the token it needs."""
STALE_AFTER_S = 60.0
"""Without a successful check for this long the process calls itself unready."""


class Runtime:
    """Everything one web process runs besides its requests."""

    def __init__(self) -> None:
        self.snapshots = SnapshotStore()
        self.state = open_state()
        self.usage = UsageQueue()
        self._http = PyreqwestTransport()
        self.transport = SocketTransport(self._http, self._socket_limits)
        self.checked_at = 0.0
        self._reports: deque[AccountReport] = deque(maxlen=MAX_REPORTS)
        self._refreshes: dict[str, asyncio.Task[bool]] = {}
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="rows")
        self._refreshers = ThreadPoolExecutor(max_workers=MAX_REFRESHES, thread_name_prefix="refresh")
        pool = AccountPool(self.state, Candidate, self._on_penalty, GatewaySettings().lease_ttl_s)
        self.gateway = Gateway(
            snapshots=self.snapshots,
            state=self.state,
            pool=pool,
            providers={"codex": CodexProvider(settings.CODEX_BASE_URL)},
            transport=self.transport,
            usage=self.usage,
            on_report=self._reports.append,
            refresher=self.refresh,
            journal=Journal(self.state, key_ring()),
        )
        self.wire = WireApi(self.gateway)
        self.ollama = OllamaListener(OllamaDoor(self._second_door(), self._ollama_settings))
        self._has_listener = settings.GATEWAY_NUMBER == 0
        self._writer: UsageWriter | None = None
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    # ---- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the first snapshot and begin the background work. Raises: what loading raises."""
        self.state.on_change(self._wake.set)
        await self.state.start()
        await self._reload(await self._in_thread(changes.current_version))
        loop = asyncio.get_running_loop()
        self._unsubscribe = changes.subscribe(lambda _: loop.call_soon_threadsafe(self._wake.set))
        self._writer = UsageWriter(self.usage)
        spawn(self._writer.run(), "usage writer")
        spawn(self._follow_changes(), "snapshot")
        spawn(self._persist_reports(), "account reports")
        if self._has_listener:
            await self.ollama.apply(self._ollama_settings())

    async def stop(self) -> None:
        """Flush what is queued and close connections; requests have ended by now."""
        self._stopping.set()
        self._wake.set()
        self._unsubscribe()
        await self.ollama.stop()
        if self._writer is not None:
            await self._writer.flush()
        await self._write_reports()
        await self.gateway.journal.flush()
        await self.transport.close()
        await self._http.close()
        await self.gateway.tokenizer.close()
        await self.state.close()
        self._threads.shutdown(wait=False)
        self._refreshers.shutdown(wait=False)

    def start_drain(self) -> None:
        """Take no new requests; those that run may finish."""
        self.gateway.is_draining = True

    @property
    def why_not_ready(self) -> str:
        """Say why the process should get no requests now; empty when it should."""
        if self.gateway.is_draining:
            return "The process is shutting down."
        if not self.checked_at:
            return "The first snapshot has not been loaded yet."
        if self.state.problem:
            return self.state.problem
        age_s = time.monotonic() - self.checked_at
        if age_s > STALE_AFTER_S:
            return f"The database has not answered for {age_s:.0f} s; requests run on what was last known."
        return ""

    # ---- snapshot ----------------------------------------------------------------------------------------------

    async def _follow_changes(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            except TimeoutError:
                pass
            self._wake.clear()
            if self._stopping.is_set():
                return
            try:
                version = await self._in_thread(changes.current_version)
                if version != self.snapshots.current.version:
                    await self._reload(version)
                self.checked_at = time.monotonic()
                self._follow_listener()
            except Exception:
                log.exception("the snapshot could not be reloaded; the old one stays in use")

    async def _reload(self, version: int) -> None:
        self.snapshots.current = await self._in_thread(partial(_load_snapshot, version))
        self.checked_at = time.monotonic()

    # ---- the listener for Ollama apps --------------------------------------------------------------------------

    def _follow_listener(self) -> None:
        """Apart from the snapshot's loop: closing waits for answers that run."""
        settings = self._ollama_settings()
        if self._has_listener and not self.ollama.agrees_with(settings):
            spawn(self.ollama.apply(settings), "ollama listener settings")

    def _ollama_settings(self) -> OllamaBridgeSettings:
        return self.snapshots.current.settings.ollama

    def _socket_limits(self) -> SocketLimits:
        sockets = self.snapshots.current.settings.sockets
        return SocketLimits(sockets.max_age_s, sockets.max_per_account)

    def _second_door(self) -> LeanDoor:
        return LeanDoor(self.wire, _nothing_else, lambda: self.snapshots.current.settings.max_body_bytes)

    # ---- facts flowing up --------------------------------------------------------------------------------------

    def _on_penalty(self, account_id: str, penalty: Penalty) -> None:
        self._reports.append(
            AccountReport(
                account_id=account_id, cooling_until=penalty.cool_until, cooling_reason=penalty.reason,
                rejection=penalty.rejection, message=penalty.reason if penalty.rejection else "",
                bucket=penalty.bucket, is_guess=penalty.is_guess,
            )
        )  # fmt: skip

    async def _persist_reports(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), 1.0)
            except TimeoutError:
                pass
            await self._write_reports()

    async def _write_reports(self) -> None:
        if not self._reports:
            return
        reports = list(self._reports)
        self._reports.clear()
        try:
            await self._in_thread(partial(accounts_report, reports))
        except Exception:
            log.exception("%d reports about accounts could not be written", len(reports))

    # ---- tokens ------------------------------------------------------------------------------------------------

    async def refresh(self, account_id: str) -> bool:
        """Renew an account's token now, once for all requests that ask; true when the snapshot holds a fresh one."""
        running = self._refreshes.get(account_id)
        if running is None:
            running = self._refreshes[account_id] = spawn(self._refresh(account_id), "token refresh")
            running.add_done_callback(lambda _: self._refreshes.pop(account_id, None))
        return await asyncio.shield(running)

    async def _refresh(self, account_id: str) -> bool:
        seen = next((a.credential.token for a in self.snapshots.current.accounts if a.id == account_id), None)
        renewed = await self._in_thread(partial(_renew_token, account_id, seen), self._refreshers)
        await self._reload(await self._in_thread(changes.current_version))
        return bool(renewed)

    async def _in_thread(self, work: Any, threads: ThreadPoolExecutor | None = None) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads or self._threads, _with_fresh_connection, work)


def open_state() -> SharedState:
    """Return the state that gateway processes share: on Redis if there is one, else in this process."""
    if not settings.REDIS_URL:
        return MemoryState()
    from codexproxy.gateway.state.redis_state import RedisState

    return RedisState(settings.REDIS_URL, prefix=settings.REDIS_PREFIX)


def _with_fresh_connection(work: Any) -> Any:
    close_old_connections()
    return work()


def _renew_token(account_id: str, seen: Secret | None) -> bool:
    """Renew, or wait for the process that is at it; true when the row holds another token than `seen`."""
    with OAuthClient() as send:
        result = refresh_account(account_id, http_send=send, owner=lease_owner(), reason="rejected", seen=seen)
    if result.outcome == "busy" and seen is not None:
        return wait_for_refresh(account_id, seen, OTHER_REFRESH_PATIENCE_S)
    return result.outcome in ("refreshed", "adopted")


def _load_snapshot(version: int) -> Snapshot:
    live = load_settings()
    return Snapshot(
        version=version,
        loaded_at=time.time(),
        keys=load_keys(),
        accounts=load_accounts(max_concurrency=live.max_concurrent_per_account),
        models=bundled_models(),
        aliases={**SHIPPED_ALIASES, **live.aliases},
        settings=live,
    )


async def _nothing_else(*_call: Any) -> None:
    """Django has no place behind the listener for Ollama apps; its door lets only model routes through."""
    raise AssertionError("a path that is no model route passed the door")
