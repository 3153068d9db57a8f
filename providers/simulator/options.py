"""The knobs of a simulator; the defaults are what the real backend was seen to do."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from providers.simulator.scenario import DEFAULT_REPLY


@dataclass
class Options:
    """How one simulator behaves."""

    reply: str = DEFAULT_REPLY
    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    pace_s: float = 0.0
    """Pause before each word of a plain answer."""
    first_event_s: float = 0.0
    """Pause before the headers of every model call."""
    strict_accounts: bool = False
    max_in_flight: int | None = None
    """Model calls one account may have under way; more get a 429."""
    websockets: bool = True
    ws_lifetime_s: float = 3_600.0
    ws_message_limit: int = 16 * 1024 * 1024
    refresh_grace_s: float = 0.0
    """How long a spent refresh token may be presented again."""
    omit_from_refresh: frozenset[str] = frozenset()
    """Fields left out of refresh replies; without `refresh_token` the old one stays good."""
    device_interval: str = "1"
    device_approve_after: int | None = 2
    """Polls after which a device login is approved by itself; None waits for `approve_device`."""
    strict_redirect: bool = True
    exit_ip: str = "203.0.113.7"
    app_version: str = "26.800.1"
    app_build: str = "6892"
    cli_version: str = "0.169.0"
    compact_as_sse: bool = False
    seed: int = 0
    extra_headers: list[tuple[str, str]] = field(default_factory=list)
