"""A codec may give an answer in place of an error its client does not act on: Cursor and a full context (row 81)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.gateway.playbook import CREATED, Play, failed
from translation.protocols.openai_chat.cursor import OVERFLOW_TOKENS

CURSOR = {"user-agent": "Cursor/1.7"}
TOO_LONG = {"error": {"code": "context_length_exceeded", "message": "Your input exceeds the context window."}}
ON = {"chat.cursor_overflow_answer": "true"}


def usage_of(body: bytes, *, stream: bool) -> Any:
    if not stream:
        return orjson.loads(body)["usage"]
    chunks = [orjson.loads(line[6:]) for line in body.split(b"\n\n") if line.startswith(b"data: {")]
    return next(chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage"))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("in_stream", [True, False])
async def test_row_081_cursor_gets_an_answer_that_makes_it_compact(*, stream: bool, in_stream: bool) -> None:
    play = Play("chat", codec_options=ON)
    if in_stream:
        play.upstream.answers().sends(CREATED).sends(failed("context_length_exceeded")).closes()
    else:
        play.upstream.answers(400, TOO_LONG)
    client = await play.ask(stream=stream, headers=CURSOR, stream_options={"include_usage": True})
    assert client.status == 200
    assert usage_of(client.body, stream=stream)["prompt_tokens"] == OVERFLOW_TOKENS
    assert play.record().error_code == "context_length_exceeded"


async def test_row_081_after_a_silence_that_was_filled_the_answer_follows_in_the_stream() -> None:
    play = Play("chat", codec_options=ON)
    play.upstream.answers().sends(CREATED).pauses(60).sends(failed("context_length_exceeded")).closes()
    client = await play.ask(headers=CURSOR, stream_options={"include_usage": True})
    assert client.body.startswith(b":") and client.body.endswith(b"data: [DONE]\n\n")
    assert usage_of(client.body, stream=True)["prompt_tokens"] == OVERFLOW_TOKENS


@pytest.mark.parametrize(("options", "headers"), [({}, CURSOR), (ON, {"user-agent": "aider"}), (ON, {})])
async def test_row_081_everybody_else_is_told_the_error(options: dict[str, str], headers: dict[str, str]) -> None:
    play = Play("chat", codec_options=options)
    play.upstream.answers(400, TOO_LONG)
    client = await play.ask(headers=headers)
    assert (client.status, orjson.loads(client.body)["error"]["code"]) == (400, "context_length_exceeded")


async def test_row_081_other_errors_stay_errors_for_cursor() -> None:
    play = Play("chat", codec_options=ON)
    play.upstream.answers(400, {"error": {"code": "cyber_policy", "message": "flagged"}})
    client = await play.ask(headers=CURSOR)
    assert client.status == 400
