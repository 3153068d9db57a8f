"""`serve --workers`, a Redis that goes and comes back, the one scheduler: real processes on PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from codexproxy.serving.demo import free_port
from tests.e2e.fleet import DATABASE_URL, REDIS_URL, Fleet, Member
from tests.gateway.redis_server import OwnRedis, needs_redis_server

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not (DATABASE_URL and REDIS_URL), reason="TEST_DATABASE_URL and TEST_REDIS_URL name no servers"),
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    found = Fleet(tmp_path_factory.mktemp("fleet"), accounts=1, slots=4, simulator=("--first-event-ms", "300"))
    try:
        found.prepare()
        yield found
        found.no_tracebacks()
    finally:
        found.close()


async def ask_many(url: str, key: str, count: int) -> Counter[int]:
    """Make many requests at once, each on a connection of its own; return the statuses."""
    body = {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": "hello"}]}

    async def ask() -> int:
        async with httpx.AsyncClient(timeout=30) as client:
            headers = {"authorization": f"Bearer {key}"}
            return (await client.post(f"{url}/v1/chat/completions", json=body, headers=headers)).status_code

    return Counter(await asyncio.gather(*(ask() for _ in range(count))))


def until(is_so: Callable[[], bool], what: str, patience_s: float = 20.0) -> None:
    """Wait for something that happens soon."""
    ends_at = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < ends_at, f"never: {what}"
        time.sleep(0.05)


def test_several_gateway_processes_share_a_port_and_survive_each_other(fleet: Fleet) -> None:
    key = fleet.key()
    ollama = free_port()
    member = fleet.serve(
        "--workers", "3", OLLAMA_BRIDGE_ENABLED="1", OLLAMA_BRIDGE_PORT=str(ollama), OLLAMA_BRIDGE_HOST="127.0.0.1"
    )
    member.wait_until_ready()
    until(lambda: len(member.gateways()) == 3, "three gateway processes")

    statuses = asyncio.run(ask_many(member.url, key, 24))
    assert statuses[200] >= 4 and set(statuses) <= {200, 429}
    assert [count for name, count in fleet.look("counters").items() if name.startswith("peak")] == [4]

    until(lambda: _listens(ollama), "a listener for Ollama apps")
    assert "cannot listen" not in member.log.read_text(), "one process has it, the others do not try"

    os.kill(member.gateways()[-1], signal.SIGKILL)
    assert asyncio.run(ask_many(member.url, key, 3)) == {200: 3}
    until(lambda: len(member.gateways()) == 3, "the killed process is started again")
    assert member.stop() == 0


def _listens(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/version", timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


@needs_redis_server
def test_a_redis_that_goes_turns_readiness_red_and_all_works_again_when_it_is_back(
    fleet: Fleet, tmp_path: Path
) -> None:
    redis = OwnRedis(tmp_path)
    redis.start()
    key = fleet.key()
    try:
        member = fleet.serve(REDIS_URL=redis.url)
        member.wait_until_ready()
        assert asyncio.run(ask_many(member.url, key, 2)) == {200: 2}

        redis.stop()
        began = time.monotonic()
        assert asyncio.run(ask_many(member.url, key, 5)) == {503: 5}
        assert time.monotonic() - began < 5
        status, words = member.readiness()
        assert status == 503 and "Redis does not answer" in words
        assert httpx.get(f"{member.url}/health/live").status_code == 200

        redis.start()
        until(lambda: member.readiness()[0] == 200, "ready again")
        assert asyncio.run(ask_many(member.url, key, 2)) == {200: 2}
        assert member.stop() == 0
    finally:
        redis.stop()


def test_the_scheduler_of_one_machine_is_awake_and_another_takes_over(fleet: Fleet) -> None:
    members = [fleet.serve(), fleet.serve()]
    for member in members:
        member.wait_until_ready()

    def who() -> Member | None:
        token = fleet.redis.get(f"{{{fleet.prefix}}}:beat")
        return next((one for one in members if token and int(token.split(b":")[1]) in one.children()), None)

    until(lambda: who() is not None, "one scheduler awake", 60)
    first = who()
    time.sleep(3)
    assert who() is first, "the other one rests"
    assert first is not None and first.stop() == 0
    until(lambda: who() not in (None, first), "the other one takes over", 60)
