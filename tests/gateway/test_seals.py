"""A compaction can be read only by the account that made it: a conversation without a name returns there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.gateway.playbook import CREATED, HELLO, NOW, Client, Play, completed, event
from translation.protocols.openai_responses.seals import seals_in

SEALED = {"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAAAsealed"}
COMPACTED = CREATED + event("response.output_item.done", output_index=0, item=SEALED) + completed()
TRIGGER = {"type": "compaction_trigger"}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


async def compact(play: Play, **fields: Any) -> str:
    """Let some account compact a conversation; return the account's token."""
    play.upstream.answers().sends(COMPACTED).closes()
    client = await play.ask(input=[said("a long story"), TRIGGER], **fields)
    assert client.status == 200 and b"gAAAAsealed" in client.body
    return play.upstream.tokens[-1]


async def go_on(play: Play, text: str, item: dict[str, Any], **fields: Any) -> str:
    """Continue from a compaction, with nothing else of the conversation; return the account's token."""
    play.upstream.answers().sends(HELLO).closes()
    assert (await play.ask(input=[item, said(text)], **fields)).status == 200
    return play.upstream.tokens[-1]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_unnamed_conversation_returns_to_the_account_that_compacted_it(*, stream: bool) -> None:
    play = Play("responses")
    owner = await compact(play, stream=stream)
    others = {await go_on(play, f"another {number}", {**SEALED, "encrypted_content": "x"}) for number in range(3)}
    assert len(others) == 3  # without the memory, requests go round
    assert {await go_on(play, f"and then {number}?", SEALED) for number in range(4)} == {owner}


async def test_what_another_key_compacted_is_not_ours() -> None:
    play = Play("responses")
    await compact(play)
    (seal,) = seals_in([SEALED])
    assert await play.state.recall(f"seal:{play.key.id}:{seal}", now=NOW) is not None
    assert await play.state.recall(f"seal:{play.key.id + 1}:{seal}", now=NOW) is None


async def test_an_owner_that_is_gone_is_no_obstacle() -> None:
    play = Play("responses")
    owner = await compact(play)
    play.change(accounts=tuple(a for a in play.store.current.accounts if a.credential.token.reveal() != owner))
    assert await go_on(play, "and then?", SEALED) != owner


async def test_the_seal_counts_more_than_where_the_conversation_was_last() -> None:
    play = Play("responses")
    owner = await compact(play)
    elsewhere = await go_on(play, "hm", {**SEALED, "encrypted_content": "x"}, prompt_cache_key="mine")
    assert elsewhere != owner
    assert await go_on(play, "and then?", SEALED, prompt_cache_key="mine") == owner


async def test_the_compact_route_is_remembered_as_well() -> None:
    play = Play("responses")
    answer = {"id": "resp_c", "object": "response.compaction", "output": [SEALED]}
    play.upstream.answers().sends(orjson.dumps(answer)).closes()
    client = Client()
    await play.compact(client, input=[said("a long story")])
    assert client.status == 200
    owner = play.upstream.tokens[-1]
    assert {await go_on(play, f"and then {number}?", SEALED) for number in range(3)} == {owner}


@pytest.mark.parametrize("items", [None, "hi", [], ["x"], [TRIGGER], [{"type": "compaction"}], [{"type": "reasoning"}]])
def test_what_holds_no_compaction_has_no_seal(items: Any) -> None:
    assert seals_in(items) == ()


def test_a_seal_is_the_same_wherever_the_item_stands() -> None:
    assert seals_in([said("a"), {**SEALED, "id": "other"}]) == seals_in([SEALED])
    assert len(seals_in([SEALED, {**SEALED, "encrypted_content": "b\ud800"}])) == 2
