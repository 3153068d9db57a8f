"""The demo: a simulated upstream beside the gateway, and data of its own. Imports nothing heavy."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path

DEMO_ACCOUNTS = 3


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def simulator_command(port: int) -> list[str]:
    """Return the command line of the simulated upstream."""
    return [
        sys.executable,
        "-m",
        "providers.simulator",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--accounts",
        str(DEMO_ACCOUNTS),
    ]


def environment(base: Mapping[str, str], port: int) -> dict[str, str]:
    """Return `base`, changed so that all uses the simulator at `port` and a data folder of the demo's own."""
    upstream = f"http://127.0.0.1:{port}"
    root = Path(__file__).resolve().parent.parent.parent
    data = Path(base.get("CODEXPROXY_DATA_DIR") or root / "data").expanduser()
    # The demo is one machine with nothing around it, whatever the environment says about databases.
    kept = {name: value for name, value in base.items() if name not in _NOT_FOR_DEMOS}
    return kept | {
        "CODEXPROXY_DATA_DIR": str(data / "demo"),
        "CODEXPROXY_DEMO_UPSTREAM": upstream,
        "CODEX_BASE_URL": f"{upstream}/backend-api",
        "OPENAI_AUTH_URL": upstream,
        "IP_ECHO_URL": f"{upstream}/ip",
        "CLIENT_FEED_URL": f"{upstream}/appcast.xml",
    }


_NOT_FOR_DEMOS = frozenset({"DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE"})
