"""A client of the simulated upstream for its own tests: plain httpx and websockets, nothing of the gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from providers.simulator.accounts import SimAccount
from providers.simulator.server import Simulator

CAPTURES = Path(__file__).parent / "captures"


def user(text: str) -> dict[str, Any]:
    """A user message."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def call_body(text: str | list[dict[str, Any]] = "hi", /, **fields: Any) -> dict[str, Any]:
    """The smallest body the backend takes."""
    items = [user(text)] if isinstance(text, str) else text
    return {"model": "gpt-5.5", "instructions": "", "input": items, "store": False, "stream": True, **fields}


def parse_sse(raw: str) -> list[dict[str, Any]]:
    """The events of a well-formed stream."""
    events = []
    for block in raw.replace("\r\n", "\n").split("\n\n"):
        lines = [line.removeprefix("data:").strip() for line in block.split("\n") if line.startswith("data:")]
        if lines and lines != ["[DONE]"]:
            events.append(json.loads("\n".join(lines)))
    return events


def text_of(events: list[dict[str, Any]]) -> str:
    """The text a stream says."""
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def items_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The finished items of a stream."""
    return [event["item"] for event in events if event["type"] == "response.output_item.done"]


@dataclass
class Client:
    """Talks to one simulator as one account."""

    sim: Simulator
    account: SimAccount
    http: httpx.AsyncClient
    extra: dict[str, str] = field(default_factory=dict)

    def headers(self, account: SimAccount | None = None) -> dict[str, str]:
        who = account or self.account
        return {
            "authorization": f"Bearer {who.access_token}",
            "chatgpt-account-id": who.chatgpt_account_id,
            **self.extra,
        }

    async def post(self, body: Any, *, account: SimAccount | None = None, **headers: str) -> httpx.Response:
        url = f"{self.sim.codex_base_url}/codex/responses"
        return await self.http.post(url, json=body, headers=self.headers(account) | headers)

    async def events(self, text: str | list[dict[str, Any]] = "hi", /, **fields: Any) -> list[dict[str, Any]]:
        reply = await self.post(call_body(text, **fields))
        assert reply.status_code == 200, reply.text
        return parse_sse(reply.text)

    async def broken(self, text: str = "hi", /, **fields: Any) -> tuple[bytes, Exception | None]:
        """What arrived before the stream broke, and how it broke."""
        received = bytearray()
        url = f"{self.sim.codex_base_url}/codex/responses"
        try:
            async with self.http.stream("POST", url, json=call_body(text, **fields), headers=self.headers()) as reply:
                async for part in reply.aiter_raw():
                    received += part
        except httpx.HTTPError as problem:
            return bytes(received), problem
        return bytes(received), None

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(self.sim.origin + path, headers=self.headers() | headers)

    @asynccontextmanager
    async def socket(self, **settings: Any) -> AsyncIterator[Any]:
        url = f"ws://127.0.0.1:{self.sim.port}/backend-api/codex/responses"
        headers = self.headers() | {"openai-beta": "responses_websockets=2026-02-06"} | settings.pop("headers", {})
        async with websockets.connect(
            url, additional_headers=headers, max_size=None, proxy=None, **settings
        ) as connection:
            yield connection

    async def turn(
        self, connection: Any, text: str | list[dict[str, Any]] = "hi", /, **fields: Any
    ) -> list[dict[str, Any]]:
        """Send one `response.create` and return all frames up to the terminal one."""
        await connection.send(json.dumps({"type": "response.create", **call_body(text, **fields)}))
        frames = []
        while True:
            frames.append(json.loads(await connection.recv()))
            if frames[-1]["type"] in ("response.completed", "response.incomplete", "response.failed", "error"):
                return frames


@asynccontextmanager
async def _client(**settings: Any) -> AsyncIterator[Client]:
    settings.setdefault("reply", "PONG-42 all done.")
    settings.setdefault("accounts", 2)
    async with Simulator(**settings) as sim, httpx.AsyncClient(trust_env=False, timeout=10, verify=False) as http:
        first = next(iter(sim.accounts), None) or sim.add_account()
        yield Client(sim, first, http)
        assert sim.errors == []


@pytest.fixture
def client() -> Callable[..., Any]:
    """`async with client() as c` runs a simulator and a client of it, and finds no error inside the simulator."""
    return _client


@pytest.fixture
def capture() -> Callable[[str], Any]:
    """Load a body that a real client sent (texts shortened)."""
    return lambda name: json.loads((CAPTURES / f"{name}.json").read_text())


@pytest.fixture
def say() -> Any:
    """The helpers above, for test modules that cannot import a conftest."""

    class Helpers:
        pass

    for helper in (user, call_body, parse_sse, text_of, items_of):
        setattr(Helpers, helper.__name__, staticmethod(helper))
    return Helpers
