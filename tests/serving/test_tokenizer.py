"""The tokenizer's process: exact, fast, apart, and dispensable. Real processes, so no virtual time."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator

import pytest
import uvloop

from codexproxy.gateway.tokenizer import MAX_CHARS, Tokenizer
from translation.shared.token_count import estimate_text

PROSE = "The gateway answers from a pool of accounts, and the operator runs all of it from one page. " * 100
CODE = "def count(self, texts):\n    if not texts:\n        return 0\n    return sum(map(len, texts))\n\n" * 100
JSON = '{"type":"object","properties":{"path":{"type":"string","description":"Where it is."}},"required":["path"]}' * 90
CHINESE = "网关从运营者自己的账号池回答所有客户端的请求，并在一个页面上管理它们。" * 100


@pytest.fixture
async def tokenizer() -> AsyncIterator[Tokenizer]:
    tokenizer = Tokenizer(patience_s=30.0)
    yield tokenizer
    await tokenizer.close()


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [
        (["hello world"], 2),
        (["hello", " world"], 2),
        ([], 0),
        ([""], 0),
        (["速い茶色の狐が飛ぶ"], 9),
        (["<|endoftext|>"], 7),
        (["a\ud800b"], 3),
        (["one\ntwo\u2028three"], 5),
    ],
)
async def test_it_counts_as_o200k_base_does(tokenizer: Tokenizer, texts: list[str], tokens: int) -> None:
    assert await tokenizer.count(texts) == tokens


@pytest.mark.parametrize("text", [PROSE, CODE, JSON, CHINESE], ids=["prose", "code", "json", "chinese"])
async def test_the_estimate_is_within_a_quarter_of_the_count(tokenizer: Tokenizer, text: str) -> None:
    counted = await tokenizer.count([text])
    assert counted is not None
    assert abs(estimate_text(text) - counted) < counted / 4


async def test_the_loop_stays_free_while_the_vocabulary_is_loaded(tokenizer: Tokenizer) -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            cpu_before = time.process_time()
            await asyncio.sleep(0.001)
            if (
                time.perf_counter() - before > 0.02
            ):  # a busy machine also takes us off the core: only our own work counts
                longest = max(longest, time.process_time() - cpu_before)

    watcher = asyncio.create_task(watch())
    await tokenizer.count([PROSE] * 30)
    watcher.cancel()
    assert longest < 0.05


async def test_many_counts_at_once_get_each_their_own_answer(tokenizer: Tokenizer) -> None:
    counts = await asyncio.gather(*(tokenizer.count(["hello world"] * many) for many in range(20)))
    assert counts == [2 * many for many in range(20)]


async def test_a_client_that_leaves_does_not_shift_the_answers(tokenizer: Tokenizer) -> None:
    await tokenizer.count(["warm"])
    leaving = asyncio.create_task(tokenizer.count([PROSE] * 400))
    await asyncio.sleep(0.002)
    leaving.cancel()
    assert await tokenizer.count(["hello world"]) == 2


async def test_an_idle_child_ends_and_the_next_count_starts_another(tokenizer: Tokenizer) -> None:
    brief = Tokenizer(patience_s=30.0, idle_s=0.05)
    assert await brief.count(["hello"]) == 1
    assert brief.is_running
    await asyncio.sleep(0.2)
    assert not brief.is_running
    assert await brief.count(["hello world"]) == 2
    await brief.close()


@pytest.mark.parametrize(
    "command",
    [
        ("/nonexistent",),
        (sys.executable, "-c", "raise SystemExit(1)"),
        (sys.executable, "-c", "print('what?')"),
        (sys.executable, "-c", "import time; time.sleep(60)"),
    ],
)
async def test_without_a_child_nobody_waits_twice(command: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    broken = Tokenizer(command, patience_s=0.5)
    assert await broken.count(["hello"]) is None
    began = time.perf_counter()
    assert await broken.count(["hello"]) is None
    assert time.perf_counter() - began < 0.05
    assert not broken.is_running
    await broken.close()
    assert "Tokens are estimated" in caplog.text


async def test_texts_larger_than_any_context_are_not_sent(tokenizer: Tokenizer) -> None:
    assert await tokenizer.count(["x" * (MAX_CHARS + 1)]) is None
    assert not tokenizer.is_running


async def test_the_child_has_none_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "a secret")
    spy = Tokenizer((sys.executable, "-c", "import os; input(); print(int('SECRET_KEY' in os.environ))"))
    assert "SECRET_KEY" in os.environ
    assert await spy.count(["hello"]) == 0
    await spy.close()


def test_it_works_on_the_loop_that_serves() -> None:
    async def count() -> int | None:
        tokenizer = Tokenizer(patience_s=30.0)
        counted = await tokenizer.count(["hello world"])
        await tokenizer.close()
        return counted

    assert uvloop.run(count()) == 2
