"""Whether the listener for Ollama apps really answers, asked from outside, as an app would: any process may ask.

Our door is told from a real Ollama by its words about a path that neither has. Loopback only, and never longer than a
moment, because a page waits for it.
"""

from __future__ import annotations

import socket
from typing import Literal

from msgspec import Struct

from codexproxy.gateway.snapshot import OllamaBridgeSettings

PATIENCE_S = 0.5
MAX_ANSWER_BYTES = 4096
PROBE_PATH = "/no-such-path-here"
OUR_WORDS = f"There is nothing at {PROBE_PATH}.".encode()
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- nothing is bound here

Kind = Literal["off", "running", "silent", "taken", "keyless"]


class ListenerState(Struct, frozen=True):
    """`silent`: nothing listens there. `taken`: another program does. `keyless`: it runs, and refuses everybody."""

    kind: Kind
    address: str


def listener_state(settings: OllamaBridgeSettings) -> ListenerState:
    """Return how the listener of `settings` is."""
    host = ANY_ADDRESS.get(settings.host, settings.host)
    address = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    if not settings.enabled:
        return ListenerState("off", address)
    answer = _ask(host, settings.port)
    if answer is None:
        return ListenerState("silent", address)
    if OUR_WORDS not in answer:
        return ListenerState("taken", address)
    return ListenerState("running" if settings.key else "keyless", address)


def _ask(host: str, port: int) -> bytes | None:
    """Return the beginning of the answer to a request for `PROBE_PATH`; None when nobody listens."""
    try:
        connection = socket.create_connection((host, port), timeout=PATIENCE_S)
    except OSError:
        return None
    answer = b""
    with connection:
        try:
            connection.sendall(f"GET {PROBE_PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            while len(answer) < MAX_ANSWER_BYTES and (piece := connection.recv(MAX_ANSWER_BYTES)):
                answer += piece
        except OSError:
            pass  # whoever it is, it does not speak as we do
    return answer
