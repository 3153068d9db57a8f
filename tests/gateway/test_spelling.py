"""The model's name comes back as the client wrote it, in every dialect, streamed and whole (translation.md §2.1)."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from codexproxy.gateway.types import ClientRequest
from providers.routing import SHIPPED_ALIASES
from tests.gateway.playbook import HELLO, Client, Play
from translation import registry

ASKED = [{"role": "user", "content": "hi"}]
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
DIALECTS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai-chat": ("/v1/chat/completions", {"messages": ASKED}),
    "openai-responses": ("/v1/responses", {"input": "hi"}),
    "openai-completions": ("/v1/completions", {"prompt": "hi"}),
    "anthropic-messages": ("/v1/messages", {"messages": ASKED, "max_tokens": 9}),
    "gemini": ("/v1beta/models/{model}:{verb}", {"contents": CONTENTS}),
    "ollama": ("/api/chat", {"messages": ASKED}),
}
SPELLINGS = {
    "smart": ("gpt-5.5", None, None),
    "smart-xhigh-fast": ("gpt-5.5", "xhigh", "priority"),
    "gpt-5.4-flex-low": ("gpt-5.4", "low", "flex"),
    "gpt-5.6-sol-ultra": ("gpt-5.6-sol", "max", None),
    "claude-opus-4-1-20250805": ("gpt-5.5", None, None),
    "gemini-2.5-pro-high": ("gpt-5.5", "high", None),
}


def names_in(value: Any) -> set[str]:
    """Return what every `model`, `modelVersion` in an answer says."""
    found: set[str] = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= {inner} if key in ("model", "modelVersion") else names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            found |= names_in(inner)
    return found


def values_in(body: bytes) -> list[Any]:
    """Return the JSON values of a body: whole, lines, an array, or the data of events."""
    try:
        return [orjson.loads(body)]
    except orjson.JSONDecodeError:
        lines = (line.removeprefix(b"data: ") for line in body.splitlines())
        return [orjson.loads(line) for line in lines if line.startswith(b"{")]


async def ask(dialect: str, model: str, *, stream: bool, **more: Any) -> tuple[Play, Client]:
    play = Play("chat")
    play.change(aliases={**SHIPPED_ALIASES, "smart": "gpt-5.5"})
    named = HELLO.replace(b'"object":"response"', b'"object":"response","model":"gpt-5.5-2026-10-01"')
    play.upstream.answers().sends(named).closes()
    path, fields = DIALECTS[dialect]
    fields = {**fields, **more}
    path = path.format(model=model, verb="streamGenerateContent" if stream else "generateContent")
    if dialect != "gemini":
        fields = {"model": model, "stream": stream, **fields}
    request = ClientRequest(
        method="POST", path=path, params={"model": model}, headers={}, body=orjson.dumps(fields), request_id="r"
    )
    client = Client()
    await asyncio.create_task(play.gateway.generate(registry.get(dialect), replace(play.key), request, client))
    return play, client


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", list(SPELLINGS))
@pytest.mark.parametrize("dialect", list(DIALECTS))
async def test_the_client_reads_its_own_spelling_and_the_upstream_what_it_means(
    dialect: str, model: str, *, stream: bool
) -> None:
    play, client = await ask(dialect, model, stream=stream)
    assert client.status == 200, client.body
    assert names_in(values_in(client.body)) == {model}
    upstream_model, effort, tier = SPELLINGS[model]
    (sent,) = play.upstream.bodies
    assert sent["model"] == upstream_model
    assert sent.get("reasoning", {}).get("effort") == effort
    assert sent.get("service_tier") == tier


@pytest.mark.parametrize(
    ("dialect", "said", "sent"),
    [
        ("openai-chat", {"reasoning_effort": "ultra"}, "max"),
        ("openai-responses", {"reasoning": {"effort": "ultra"}}, "max"),
        ("anthropic-messages", {"output_config": {"effort": "max"}}, "max"),
        ("gemini", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "MEDIUM"}}}, "medium"),
        ("ollama", {"think": "medium"}, "medium"),
    ],
)
async def test_an_effort_in_the_body_wins_over_the_names(dialect: str, said: dict[str, Any], sent: str) -> None:
    play, client = await ask(dialect, "gpt-5.6-sol-low", stream=True, **said)
    assert client.status == 200
    assert play.upstream.bodies[0]["reasoning"]["effort"] == sent
