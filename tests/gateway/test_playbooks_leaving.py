"""Clients that leave, at every single await: no slot, no open upstream, exactly one usage record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest

from accounts.values import ApiKeyView
from codexproxy.gateway.lane import SILENT
from tests.gateway.playbook import (
    CHALLENGE,
    CREATED,
    EXPIRED,
    HELLO,
    ITEM,
    LIMIT,
    NO_MODEL,
    Client,
    Play,
    completed,
    failed,
    text,
)
from translation.ir import events as ev


class CancelledAt:
    """Awaits a coroutine and cancels its task at the `number`-th suspension; `fired` tells whether it came that far."""

    def __init__(self, coroutine: Any, number: int) -> None:
        self._coroutine = coroutine
        self._number = number
        self.fired = False

    def __await__(self) -> Generator[Any, Any, Any]:
        step = self._coroutine.__await__()
        suspensions = 0
        try:
            waiting_on = next(step)
            while True:
                suspensions += 1
                if suspensions == self._number:
                    self.fired = True
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()
                try:
                    sent = yield waiting_on
                except BaseException as interruption:
                    waiting_on = step.throw(interruption)
                else:
                    waiting_on = step.send(sent)
        except StopIteration as end:
            return end.value


def _success(play: Play) -> None:
    play.upstream.answers().sends(CREATED).sends(ITEM + text("Hel")).sends(text("lo")).sends(completed("Hello")).hangs()


def _rotation(play: Play) -> None:
    play.upstream.answers(429, LIMIT)
    play.upstream.answers(403, CHALLENGE)
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).breaks()


def _renewal(play: Play) -> None:
    play.refresh = play.renew
    play.upstream.answers(401, EXPIRED)
    play.upstream.answers(400, NO_MODEL)
    play.upstream.answers(500, b"")
    play.upstream.answers(500, b"")


def _patience(play: Play) -> None:
    play.upstream.answers().sends(CREATED).pauses(40).sends(failed("invalid_prompt"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script", [_success, _rotation, _renewal, _patience])
async def test_a_client_may_leave_at_every_single_await(
    dialect: str, script: Callable[[Play], None], stream: bool
) -> None:
    number = 0
    while True:
        number += 1
        play = Play(dialect)
        script(play)
        key = ApiKeyView(id=7, user_id=3, name="k", prefix="cpx-", max_concurrency=1)
        client = Client()
        leaving = CancelledAt(play.generate(client, stream=stream, key=key, prompt_cache_key="talk"), number)
        task = asyncio.create_task(_await(leaving))
        await asyncio.wait([task])
        await play.check_nothing_is_left(requests=1)
        record = play.record()
        if not leaving.fired:
            assert not task.cancelled()
            break
        assert task.cancelled(), f"the cancellation at await {number} was swallowed"
        assert record.outcome == "client_gone" or client.started
        await asyncio.sleep(100)
        assert not client.heartbeats or script is _patience
    assert number > 6


async def _await(awaitable: CancelledAt) -> None:
    await awaitable


async def test_leaving_after_the_last_byte_is_no_leaving(play: Play) -> None:
    play.upstream.answers().sends(HELLO).hangs()
    client = Client()
    task = asyncio.create_task(play.generate(client, stream=True))
    while not client.ended:
        await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    assert not task.done()  # it waits for the upstream's end of file
    task.cancel()
    await asyncio.wait([task])
    await play.check_nothing_is_left()
    record = play.record()
    assert (record.outcome, record.output_tokens) == ("ok", 20)


async def test_tokens_known_when_the_client_left_are_counted(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).hangs()
    client = Client()
    task = asyncio.create_task(play.generate(client, stream=True))
    while not client.writes:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await play.check_nothing_is_left()
    record = play.record()
    assert (record.outcome, record.account_id, record.error_code) == ("client_gone", "a", "")
    assert play.penalties == []


def test_the_silent_events_are_exactly_those_that_say_nothing_yet() -> None:
    assert {ev.Start, ev.Ping, ev.UsageUpdate, ev.Opaque, ev.Stop, ev.Error} == SILENT
