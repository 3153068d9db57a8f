"""The world as one request sees it: one frozen object, taken once, replaced whole.

`SnapshotStore.current` is a plain attribute; swapping it is atomic under asyncio. Loading from rows is done by
`codexproxy/wiring.py`; a failed load keeps the old snapshot and its age shows in `/health/ready`.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from accounts.values import AccountView, ApiKeyView, PoolRules
from providers.contract import Secret
from providers.routing import SHIPPED_ALIASES
from translation.codec import ModelInfo


class OllamaBridgeSettings(Struct, frozen=True, kw_only=True):
    """The second listener, for apps that know Ollama's address and no key. `key` is what it presents for them."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = 11434
    key: Secret = Secret("")


class SocketSettings(Struct, frozen=True, kw_only=True):
    """Whether conversations may leave over upstream WebSockets, and how many of them (`providers/transport`)."""

    enabled: bool = False
    max_age_s: float = 3300.0
    max_per_account: int = 8


class GatewaySettings(Struct, frozen=True, kw_only=True):
    """Tunables of the gateway, in seconds and bytes as named. Defaults are good; rows may override them live."""

    pool: PoolRules = PoolRules()
    skip_exhausted: bool = True
    max_concurrent_per_account: int = 3
    max_body_bytes: int = 64 * 1024 * 1024
    first_event_timeout_s: float = 600.0
    idle_timeout_s: float = 600.0
    heartbeat_s: float = 15.0
    gate_patience_s: float = 10.0
    max_attempts: int = 60
    lease_ttl_s: float = 120.0
    """How long the slots of a process that was killed stay taken; one that lives prolongs them every few seconds."""
    default_model: str = "gpt-5.5"
    aliases: Mapping[str, str] = {}
    """The operator's own; `Snapshot.aliases` has those we ship as well."""
    codec_options: Mapping[str, str] = {}
    """What dialects show of the operator's choice, by dotted key: `WireContext.options`."""
    ollama: OllamaBridgeSettings = OllamaBridgeSettings()
    sockets: SocketSettings = SocketSettings()


class Snapshot(Struct, frozen=True, kw_only=True):
    """Everything steps 1 to 10 of the flow read. `version` grows with every change an operator makes."""

    version: int = 0
    loaded_at: float = 0.0
    keys: Mapping[bytes, ApiKeyView] = {}
    accounts: tuple[AccountView, ...] = ()
    models: Mapping[str, ModelInfo] = {}
    aliases: Mapping[str, str] = SHIPPED_ALIASES
    settings: GatewaySettings = GatewaySettings()


class SnapshotStore:
    """Holds the current snapshot."""

    __slots__ = ("current",)

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self.current = snapshot or Snapshot()
