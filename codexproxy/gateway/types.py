"""The gateway's own values: what comes in, where bytes go out, and what the flow is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct


class ClientRequest(Struct, frozen=True, kw_only=True):
    """One call of a client: lower-case header names, the whole body (decompressed), path parameters, query.

    Until the caller is authenticated the body is empty.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    params: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    peer: str = ""
    request_id: str = ""

    @property
    def id_headers(self) -> dict[str, str]:
        """The request id under the names clients look for: OpenAI's SDKs the first, Anthropic's the second."""
        return {"x-request-id": self.request_id, "request-id": self.request_id}


class ClientStream(Protocol):
    """The way back to the client. `started` turns true with the status line; after that only bytes can be said."""

    started: bool

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and headers."""
        ...

    def write(self, data: bytes) -> Awaitable[None]:
        """Send bytes; awaiting it ends when the client can take more (back-pressure)."""
        ...

    async def end(self, data: bytes) -> None:
        """Send the last bytes, if any, and finish the body."""
        ...

    async def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer at once."""
        ...


Refresher = Callable[[str], Awaitable[bool]]
"""Renew the token of the account with this id; true when the snapshot now holds a fresh one."""
