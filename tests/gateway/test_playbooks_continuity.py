"""Affinity through the flow: who keeps an account, and who does not take it from others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from accounts.values import ApiKeyView
from tests.gateway.playbook import CREATED, HELLO, ITEM, NOW, Client, Play, account, completed, text


@pytest.fixture(params=["chat", "responses", "messages"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Those whose clients name a session in the body."""
    return request.param


def used(play: Play) -> list[str]:
    """The accounts that were asked, in order."""
    return [dict(request.headers)["authorization"].removeprefix("Bearer token-") for request in play.upstream.requests]


def body(play: Play, agent: str, session: str | None = "shared") -> dict[str, Any]:
    """A request of one agent of a session; without a session it is known by what it says."""
    if play.dialect == "chat":
        said: dict[str, Any] = {"messages": [{"role": "system", "content": agent}, {"role": "user", "content": "hi"}]}
    elif play.dialect == "messages":
        said = {"system": agent, "messages": [{"role": "user", "content": "hi"}]}
    else:
        said = {"instructions": agent, "input": "hi"}
    return {**said, "prompt_cache_key": session} if session else said


async def ask(play: Play, agent: str, session: str | None = "shared") -> None:
    play.upstream.answers().sends(HELLO)
    assert (await play.ask(**body(play, agent, session))).status == 200


@pytest.mark.parametrize("session", ["shared", None])
async def test_a_conversation_keeps_its_account(play: Play, session: str | None) -> None:
    for _ in range(4):
        await ask(play, "main", session)
    assert len(set(used(play))) == 1


async def test_a_sub_agent_that_found_its_account_full_does_not_take_the_others_along(dialect: str) -> None:
    play = Play(dialect, accounts=(account("a", max_concurrency=1), account("b", max_concurrency=1)))
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).pauses(5).sends(text("lo") + completed("Hello"))
    main = Client()
    running = asyncio.create_task(play.generate(main, stream=True, **body(play, "main")))
    while not main.writes:
        await asyncio.sleep(0)
    play.upstream.answers().sends(HELLO)
    await play.generate(Client(), stream=True, **body(play, "reviewer"))
    await running
    first, second = used(play)
    assert first != second
    await ask(play, "main")
    await ask(play, "reviewer")
    assert used(play)[2:] == [first, second]


async def test_agents_of_one_session_share_the_upstreams_cache_key_on_an_account() -> None:
    play = Play("responses", accounts=(account("a"),))
    for agent in ("main", "reviewer"):
        await ask(play, agent)
    assert len({sent["prompt_cache_key"] for sent in play.upstream.bodies}) == 1


async def test_the_same_session_of_another_key_is_another_conversation() -> None:
    play = Play("responses", accounts=(account("a"),))
    await ask(play, "main")
    play.upstream.answers().sends(HELLO)
    other = ApiKeyView(id=8, user_id=4, name="phone", prefix="cpx-other")
    await play.generate(Client(), stream=True, key=other, **body(play, "main"))
    assert len({sent["prompt_cache_key"] for sent in play.upstream.bodies}) == 2


async def test_an_affinity_fades_after_four_hours() -> None:
    play = Play("responses")
    await ask(play, "main")
    [key] = [key for key in play.state._memory if key.startswith("aff:")]
    assert await play.state.recall(key, now=NOW + 4 * 3600 - 1) is not None
    assert await play.state.recall(key, now=NOW + 4 * 3600 + 1) is None
