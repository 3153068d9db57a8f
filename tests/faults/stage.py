"""A gateway of its own for every case, on real connections to one simulator that all cases of a test share.

The simulator counts what reached it, so a test can say not only what a client got, but whom the gateway asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from accounts.crypto import KeyRing
from accounts.keys import digest
from accounts.pool import AccountPool
from accounts.values import AccountReport, AccountView, ApiKeyView
from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.journal import Journal
from codexproxy.gateway.snapshot import GatewaySettings, Snapshot, SnapshotStore
from codexproxy.gateway.state.contract import Candidate
from codexproxy.gateway.state.memory import MemoryState
from providers.adapters.codex import CodexProvider
from providers.catalog import bundled_models
from providers.contract import Credential, Secret
from providers.simulator.server import Fault, Simulator
from providers.transport.pyreqwest_transport import PyreqwestTransport
from stats.meter import UsageQueue
from tests.dialects import DIALECTS
from tests.gateway.playbook import Client
from translation import registry

KEY = ApiKeyView(id=1, user_id=1, name="laptop", prefix="cpx-")
PATIENT = GatewaySettings()
IMPATIENT = GatewaySettings(first_event_timeout_s=1.5, idle_timeout_s=1.5, heartbeat_s=5, gate_patience_s=5)
"""For silence only: on a busy machine anything else may take longer."""


@dataclass
class World:
    """One gateway with accounts, shared state and usage of its own."""

    simulator: Simulator
    transport: PyreqwestTransport
    name: str
    size: int = 3
    settings: GatewaySettings = PATIENT
    max_concurrency: int = 3
    behind_proxy: Iterable[int] = ()
    """Accounts, by position, that call through the simulator as their egress."""
    state: MemoryState = field(default_factory=MemoryState)
    usage: UsageQueue = field(default_factory=UsageQueue)
    reports: list[AccountReport] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = [self.simulator.add_account(id=f"{self.name}-{number:02d}") for number in range(self.size)]
        self.views = tuple(
            AccountView(
                id=each.id, provider="codex", max_concurrency=self.max_concurrency,
                egress=self.simulator.base_url if number in self.behind_proxy else None,
                credential=Credential(
                    token=Secret(each.access_token), scope=each.id, upstream_account_id=each.chatgpt_account_id
                ),
            )
            for number, each in enumerate(self.known)
        )  # fmt: skip
        self.gateway = Gateway(
            snapshots=SnapshotStore(
                Snapshot(keys={digest("k"): KEY}, accounts=self.views, models=bundled_models(), settings=self.settings)
            ),
            state=self.state, usage=self.usage, transport=self.transport,
            pool=AccountPool(self.state, Candidate, lambda *_: None, lease_ttl_s=900),
            providers={"codex": CodexProvider(self.simulator.codex_base_url)},
            on_report=self.reports.append, refresher=_no_refresh, journal=Journal(self.state, KeyRing(["0" * 32])),
        )  # fmt: skip

    def fails(self, code: str, *, accounts: Iterable[int], **fields: Any) -> None:
        """Switch a fault on for these accounts, by position."""
        for position in accounts:
            self.simulator.faults.add(Fault(code, account=self.known[position].id, **fields))

    async def ask(
        self, dialect: str, prompt: str, *, stream: bool, client: Client | None = None, request_id: str = "req_test"
    ) -> Client:
        """Make one request and return what the client saw."""
        client = client or Client()
        spoken = DIALECTS[dialect]
        request = spoken.request(prompt, stream=stream, request_id=request_id)
        await self.gateway.generate(registry.get(spoken.codec), KEY, request, client)
        return client

    async def leases(self) -> int:
        """How many slots are taken."""
        return sum([await self.state.slots_taken(view.id, now=0) for view in self.views])

    def asked(self) -> list[int]:
        """How many model calls of each account reached the simulator."""
        return [self.simulator.counters[f"account.{each.id}.responses"] for each in self.known]


async def _no_refresh(account_id: str) -> bool:
    return False


async def together(*coroutines: Any) -> list[Any]:
    """Run everything side by side, and not for long."""
    async with asyncio.timeout(45):
        return await asyncio.gather(*coroutines)
