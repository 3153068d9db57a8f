"""The probes: what they say of a process, and what they keep to themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from codexproxy.api.health import HealthDoor
from tests.api.asgi import Reply
from tests.gateway.playbook import Play


class FakeRuntime:
    """As much of a runtime as the probes look at."""

    def __init__(self, problem: str = "") -> None:
        play = Play()
        self.snapshots = play.store
        self.usage = play.usage
        self.why_not_ready = problem


async def probe(path: str, runtime: Any) -> Reply:
    reply = Reply()

    async def receive() -> dict[str, Any]:
        raise AssertionError("a probe has no body to read")

    await HealthDoor(lambda: runtime)({"type": "http", "method": "GET", "path": path}, receive, reply)
    return reply


@pytest.fixture(params=["/health", "/health/", "/health/ready"])
def ready_path(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


async def test_a_ready_process_says_ok(ready_path: str) -> None:
    reply = await probe(ready_path, FakeRuntime())
    assert (reply.status, reply.json["status"]) == (200, "ok")
    assert reply.headers["cache-control"] == "no-store"


async def test_an_unready_process_says_why(ready_path: str) -> None:
    reply = await probe(ready_path, FakeRuntime("The process is shutting down."))
    assert (reply.status, reply.json["reason"]) == (503, "The process is shutting down.")


@pytest.mark.parametrize("runtime", [None, FakeRuntime("not now")])
async def test_a_process_is_alive_whatever_it_cannot_do(runtime: Any) -> None:
    assert (await probe("/health/live", runtime)).status == 200


async def test_a_starting_process_is_not_ready(ready_path: str) -> None:
    assert (await probe(ready_path, None)).status == 503


async def test_the_summary_counts_accounts_and_names_none() -> None:
    reply = await probe("/health", FakeRuntime())
    assert reply.json["accounts"] == {"total": 3, "ready": 3}
    assert b"token-" not in reply.body and b"ws-" not in reply.body


async def test_an_unknown_probe_is_a_json_404() -> None:
    reply = await probe("/health/nothing", FakeRuntime())
    assert reply.status == 404 and reply.json["error"]
