"""T26: an account that is open only by our own clock is asked about before a request is spent on it."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import quota
from accounts.quota import Quota
from codexproxy.gateway.verify import MAX_VERIFICATIONS
from tests.gateway.playbook import HELLO, NOW, Play, account

HOUR = 3600.0
OVER: Quota = quota.lock(Quota(), "codex", NOW - 1, NOW - HOUR)
"""Was shut until a second ago."""


def usage(*, used: float, allowed: bool) -> dict[str, Any]:
    window = {"used_percent": used, "limit_window_seconds": 18_000, "reset_at": NOW + 2 * HOUR}
    return {"rate_limit": {"allowed": allowed, "limit_reached": not allowed, "primary_window": window}}


def paths(play: Play) -> list[str]:
    return [request.url.rpartition("/")[2] for request in play.upstream.requests]


async def test_an_account_that_the_upstream_opened_again_serves(dialect: str) -> None:
    play = Play(dialect, accounts=(account("a", quota=OVER),))
    play.upstream.answers(200, usage(used=0, allowed=True))
    play.upstream.answers().sends(HELLO)
    assert (await play.ask()).text == "Hello"
    assert paths(play) == ["usage", "responses"]
    assert play.record().attempts == 1
    play.upstream.answers().sends(HELLO)
    await play.ask()
    assert paths(play)[2:] == ["responses"], "it was settled for everybody"


async def test_one_that_is_still_shut_is_left_alone_until_its_new_reset(dialect: str) -> None:
    play = Play(dialect, accounts=(account("a", quota=OVER),))
    play.upstream.answers(200, usage(used=100, allowed=False))
    client = await play.ask()
    assert (client.status, client.headers["retry-after"]) == (429, str(int(2 * HOUR)))
    assert paths(play) == ["usage"]


async def test_another_account_answers_instead_of_one_that_is_still_shut(dialect: str) -> None:
    play = Play(dialect, accounts=(account("a", quota=OVER), account("b", request_count=9)))
    play.upstream.answers(200, usage(used=100, allowed=False))
    play.upstream.answers().sends(HELLO)
    assert (await play.ask()).text == "Hello"
    assert play.upstream.tokens == ["token-a", "token-b"]


@pytest.mark.parametrize(("status", "body"), [(500, b""), (401, {"detail": "x"}), (200, b"<html>"), (200, {"a": 1})])
async def test_when_the_question_fails_the_request_finds_out_itself(status: int, body: Any) -> None:
    play = Play("chat", accounts=(account("a", quota=OVER),))
    play.upstream.answers(status, body)
    play.upstream.answers().sends(HELLO)
    assert (await play.ask()).text == "Hello"
    assert paths(play) == ["usage", "responses"]


async def test_a_question_without_an_answer_holds_the_request_up_for_seconds_only() -> None:
    play = Play("chat", accounts=(account("a", quota=OVER),))
    play.upstream.never_answers()
    play.upstream.answers().sends(HELLO)
    assert (await play.ask()).text == "Hello"


async def test_t26_no_more_than_five_accounts_are_asked_about_for_one_request() -> None:
    accounts = tuple(account(f"a{number}", quota=OVER, request_count=number) for number in range(8))
    play = Play("chat", accounts=accounts)
    for _ in range(MAX_VERIFICATIONS):
        play.upstream.answers(200, usage(used=100, allowed=False))
    play.upstream.answers().sends(HELLO)
    assert (await play.ask()).text == "Hello"
    assert paths(play) == ["usage"] * 5 + ["responses"]


async def test_an_account_that_was_never_shut_is_not_asked_about(play: Play) -> None:
    play.upstream.answers().sends(HELLO)
    await play.ask()
    assert paths(play) == ["responses"]
