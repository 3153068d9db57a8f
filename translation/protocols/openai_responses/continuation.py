"""`previous_response_id`: a request with the conversation put before its input, and what a later one continues from.

Items are kept as the client sent and got them, so that the expanded request is the one of a client that replays
everything, and is cleaned like any other. Facts: spec/translation.md §3.3, §8.1; who keeps the items:
`codexproxy/gateway/journal.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from translation.codec import OpenedRequest
from translation.protocols.openai_responses.items import Item, item_list, without_reasoning
from translation.protocols.openai_responses.request import identity
from translation.protocols.openai_responses.seals import seals_in
from translation.wire.jsontypes import is_array, is_object

_ASKS_ONCE = "compaction_trigger"
"""Kept, it would ask for a compaction with every turn that follows."""


def expand(opened: OpenedRequest, history: Sequence[Item]) -> OpenedRequest:
    """See `ContinuingCodec.expand`."""
    body = {key: value for key, value in opened.body.items() if key not in ("previous_response_id", "messages")}
    body["input"] = [*history, *item_list(opened.body)]
    return replace(
        opened,
        body=body,
        identity=identity(body, opened.context.headers),
        previous_response_id=None,
        history_items=len(history),
        seals=seals_in(body["input"]),
    )


def exchange(opened: OpenedRequest, answer: Mapping[str, Any], *, is_whole: bool, drops_reasoning: bool) -> list[Item]:
    """See `ContinuingCodec.exchange`."""
    given = item_list(opened.body)[0 if is_whole else opened.history_items :]
    if drops_reasoning:
        given = without_reasoning(given)
    output = answer.get("output")
    items = [*given, *(output if is_array(output) else [])]
    return [item for item in items if is_object(item) and item.get("type") != _ASKS_ONCE]
