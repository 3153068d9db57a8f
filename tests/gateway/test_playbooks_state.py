"""What the flow asks of the shared state over a long answer, and what clients see when it does not answer."""

from __future__ import annotations

import asyncio

from accounts.values import ApiKeyView
from codexproxy.gateway.state.redis_link import unavailable
from tests.gateway.playbook import CREATED, ITEM, NOW, Client, Play, completed, text


async def test_an_answer_longer_than_a_lease_keeps_the_slots_of_its_account_and_its_key(play: Play) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    play.gateway.clock = lambda: NOW + loop.time() - began
    key = ApiKeyView(id=7, user_id=3, name="k", prefix="cpx-", max_concurrency=1)
    held: list[int] = []
    answer = play.upstream.answers().sends(CREATED + ITEM)
    for _ in range(5):
        answer.pauses(100).does(
            lambda: held.append(sum(play.state._taken(name, play.gateway.clock()) for name in ("a", "key:7")))
        ).sends(text("x"))
    answer.sends(completed("xxxxx"))
    client = Client()
    await play.generate(client, stream=True, key=key)
    assert client.text == "xxxxx"
    assert held == [2] * 5
    assert play.store.current.settings.lease_ttl_s < 500, "or this test shows nothing"


async def test_without_the_shared_state_nothing_is_sent_and_the_client_learns_to_try_again(play: Play) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise unavailable("Redis does not answer: ConnectionError.")

    play.state.acquire = fails  # type: ignore[assignment]
    for stream in (True, False):
        client = await play.ask(stream=stream)
        status = 529 if play.dialect == "messages" else 503  # Anthropic's word for "try again"
        assert (client.status, client.headers["retry-after"]) == (status, "2")
        assert client.error is not None and "share their limits" in client.error["message"]
        assert "ConnectionError" not in client.error["message"], "operators' words"
    assert play.upstream.requests == []
