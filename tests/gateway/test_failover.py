"""Many accounts of which few are good: everybody is served while one is, and nobody is asked in vain twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import orjson
import pytest

from providers.contract import UpstreamRequest
from tests.gateway.playbook import HELLO, Answer, Client, Play, ScriptedStream, Upstream, account

HOUR = 3600
NAMES = tuple(f"a{number:02}" for number in range(50))


class Crowd(Upstream):
    """An upstream that answers by the account that asks; `calls` counts them."""

    def __init__(self, answers: Callable[[str], Answer]) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._answers = answers

    async def open(self, request: UpstreamRequest, egress: str | None) -> ScriptedStream:
        name = dict(request.headers)["authorization"].removeprefix("Bearer token-")
        self.calls[name] += 1
        await asyncio.sleep(0)
        stream = ScriptedStream(self._answers(name))
        self.streams.append(stream)
        return stream


def good() -> Answer:
    return Answer(200, {}).sends(HELLO)


def refused(status: int, error: dict[str, object]) -> Answer:
    return Answer(status, {}).sends(orjson.dumps({"error": error}))


def limited(wait_s: int) -> Answer:
    return refused(429, {"type": "usage_limit_reached", "message": "Spent.", "resets_in_seconds": wait_s})


def crowd(dialect: str, answers: Callable[[str], Answer]) -> tuple[Play, Crowd]:
    play = Play(dialect, accounts=tuple(account(name) for name in NAMES))
    play.upstream = play.gateway.transport = upstream = Crowd(answers)
    return play, upstream


async def burst(play: Play, requests: int) -> list[Client]:
    """Ask one after the other, each in a conversation of its own."""
    return [await play.ask(prompt_cache_key=f"talk-{number}") for number in range(requests)]


async def test_with_one_good_account_among_fifty_every_request_is_answered_and_each_limit_is_met_once(
    dialect: str,
) -> None:
    play, upstream = crowd(dialect, lambda name: good() if name == "a37" else limited(2 * HOUR))
    clients = await burst(play, 200)
    assert {client.text for client in clients} == {"Hello"}
    assert upstream.calls["a37"] == 200
    assert all(upstream.calls[name] <= 1 for name in NAMES if name != "a37")


async def test_with_none_each_request_learns_when_the_first_is_back_and_nobody_is_asked_twice(dialect: str) -> None:
    play, upstream = crowd(dialect, lambda name: limited(HOUR + 60 * int(name[1:])))
    clients = await burst(play, 20)
    assert {(client.status, client.headers["retry-after"]) for client in clients} == {(429, str(HOUR))}
    assert upstream.calls == Counter(NAMES)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, {"code": "account_deactivated", "message": "deactivated"}), (403, {"code": "account_suspended"})],
)
async def test_a_banned_account_gets_no_further_request(dialect: str, status: int, error: dict[str, object]) -> None:
    play, upstream = crowd(dialect, lambda name: refused(status, error) if name < "a10" else good())
    clients = await burst(play, 100)
    assert {client.status for client in clients} == {200}
    assert all(upstream.calls[name] == 1 for name in NAMES[:10])


async def test_an_overload_does_not_walk_the_pool(dialect: str) -> None:
    play, upstream = crowd(dialect, lambda _: refused(503, {"code": "server_is_overloaded", "message": "overloaded"}))
    client = await play.ask()
    assert client.status == play.status(503)
    assert sum(upstream.calls.values()) == 4 and max(upstream.calls.values()) == 1
    assert play.penalties == []
