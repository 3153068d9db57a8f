"""The first-event gate, patience, heartbeats and timeouts, in virtual time."""

from __future__ import annotations

import asyncio

from tests.gateway.playbook import (
    CREATED,
    HELLO,
    ITEM,
    Client,
    Play,
    completed,
    failed,
    text,
)


async def test_headers_wait_for_the_first_output(play: Play) -> None:
    client = Client()
    seen: list[bool] = []
    play.upstream.answers().sends(CREATED).pauses(5).does(lambda: seen.append(client.started)).sends(
        ITEM + text("Hi")
    ).does(lambda: seen.append(client.started)).sends(completed("Hi"))
    await play.generate(client, stream=True)
    assert seen == [False, True]
    assert client.text == "Hi"


async def test_after_some_patience_the_answer_starts_and_a_failure_is_told_inside(play: Play) -> None:
    play.upstream.answers().sends(CREATED).pauses(30).sends(failed("invalid_prompt", "No."))
    client = await play.ask()
    assert (client.status, client.text) == (200, "")
    assert client.error is not None and client.error["message"] == "No."
    assert len(play.upstream.requests) == 1


async def test_an_early_start_does_not_end_the_right_to_retry(play: Play) -> None:
    play.upstream.answers().sends(CREATED).pauses(30).sends(failed("server_is_overloaded"))
    play.upstream.answers().sends(HELLO)
    client = await play.ask()
    assert (client.status, client.text, client.error) == (200, "Hello", None)
    assert play.upstream.tokens == ["token-a", "token-b"]
    if play.dialect == "responses":
        assert client.body.count(b"event: response.created") == 1


async def test_a_client_that_wants_one_body_hears_nothing_early(play: Play) -> None:
    play.upstream.answers().sends(CREATED).pauses(100).sends(failed("invalid_prompt", "No."))
    client = await play.ask(stream=False)
    assert client.status == 400
    assert len(client.writes) == 1


async def test_silence_in_the_middle_is_filled_with_heartbeats(play: Play) -> None:
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).pauses(65).sends(text("lo") + completed("Hello"))
    client = await play.ask()
    assert (client.text, client.error) == ("Hello", None)
    assert 3 <= client.heartbeats <= 4
    assert client.times == sorted(client.times)


async def test_no_heartbeat_while_the_upstream_talks(play: Play) -> None:
    answer = play.upstream.answers().sends(CREATED + ITEM)
    for _ in range(20):
        answer.pauses(9).sends(text("x"))
    answer.sends(completed("x" * 20))
    client = await play.ask()
    assert client.text == "x" * 20
    assert client.heartbeats == 0


async def test_no_heartbeat_after_the_end_even_when_the_upstream_stays_open(dialect: str) -> None:
    play = Play(dialect, heartbeat_s=0.1, gate_patience_s=0.1)
    play.upstream.answers().sends(HELLO).hangs()
    client = await play.ask()
    assert client.heartbeats == 0
    await asyncio.sleep(60)
    assert client.heartbeats == 0


async def test_silence_before_the_first_event_is_a_timeout(dialect: str) -> None:
    play = Play(dialect, first_event_timeout_s=8, gate_patience_s=10)
    play.upstream.answers().hangs()
    client = await play.ask()
    record = play.record()
    assert (client.status, record.error_code, record.outcome) == (504, "upstream_timeout", "upstream_error")


async def test_an_upstream_that_never_sends_headers_is_a_timeout(dialect: str) -> None:
    play = Play(dialect, first_event_timeout_s=8, gate_patience_s=10)
    play.upstream.never_answers()
    client = await play.ask()
    assert (client.status, play.record().error_code) == (504, "upstream_timeout")


async def test_a_collected_answer_that_never_comes_is_a_timeout(dialect: str) -> None:
    play = Play(dialect, first_event_timeout_s=8)
    play.upstream.answers().sends(CREATED).hangs()
    client = await play.ask(stream=False)
    assert (client.status, play.record().error_code) == (504, "upstream_timeout")


async def test_silence_in_the_middle_ends_the_stream_with_an_error(dialect: str) -> None:
    play = Play(dialect, idle_timeout_s=60)
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).hangs()
    client = await play.ask()
    assert (client.status, client.text) == (200, "Hel")
    assert client.error is not None and "silent for 60 s" in client.error["message"]
    assert play.record().outcome == "upstream_error"


async def test_silence_after_an_early_start_is_told_in_the_stream(dialect: str) -> None:
    play = Play(dialect, first_event_timeout_s=100, idle_timeout_s=100)
    play.upstream.answers().sends(CREATED).hangs()
    client = await play.ask()
    assert client.status == 200
    assert client.error is not None


async def test_a_long_answer_has_no_total_limit(play: Play) -> None:
    answer = play.upstream.answers().sends(CREATED + ITEM)
    for _ in range(100):
        answer.pauses(200).sends(text("x"))
    answer.sends(completed("x" * 100))
    client = await play.ask()
    assert (client.text, client.error) == ("x" * 100, None)


async def test_the_upstreams_silence_is_not_counted_while_the_client_reads_slowly(dialect: str) -> None:
    play = Play(dialect, idle_timeout_s=60)
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).sends(text("lo") + completed("Hello"))

    class SlowClient(Client):
        async def write(self, data: bytes) -> None:
            await asyncio.sleep(500)
            await super().write(data)

    client = SlowClient()
    await asyncio.create_task(play.generate(client, stream=True))
    assert (client.text, client.error) == ("Hello", None)
