"""Each further turn of a conversation has the earlier request as its prefix, or the upstream's prompt cache is lost.

A random upstream answers, the client sends its answer back as it got it, with results of its calls and the user's next
words. What leaves for the upstream must begin with the very bytes of the turn before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.translation.matrix.contract import Column
from tests.translation.matrix.grid import COLUMNS
from tests.translation.matrix.lanes import prepare
from tests.translation.matrix.stories import Story, legal_stories

pytestmark = pytest.mark.oracle

TALKING = [
    column for column in COLUMNS if column.name not in ("openai_completions", "openai_images", "ollama_generate")
]
WORDS = st.sampled_from(["go on", "é\u2028", '{"a":1}', "<system>", "continue"])
RESULTS = st.lists(st.sampled_from(["ok", "", "Error: no such file", '{"b":[2]}', "😀"]), min_size=4, max_size=4)
TURNS = st.lists(st.tuples(legal_stories(), RESULTS, WORDS | st.just(""), st.integers(0, 4)), min_size=1, max_size=3)


def test_whoever_has_conversations_is_tested() -> None:
    assert {column.codec for column in TALKING} == {
        column.codec for column in COLUMNS if type(column).follow is not Column.follow
    }


@pytest.mark.parametrize("column", TALKING, ids=repr)
@settings(deadline=None, max_examples=25, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(turns=TURNS)
def test_each_turn_begins_with_the_turn_before(column: Column, turns: list[Any]) -> None:
    body = orjson.loads(orjson.dumps(column.opened(is_streamed=False).body))
    sent: list[dict[str, Any]] = []
    for number, (story, results, words, answered) in enumerate(turns):
        call = prepare(column, column.open(orjson.dumps(body)))
        sent.append(orjson.loads(call.body))
        call.driver.feed(renumbered(story, number))
        calls = sum(item.kind.endswith("_call") and "call_id" in item.added for item in story.items)
        # Some clients send the user's words when not every call has its result.
        given_back = results[:answered] if words else results
        assert column.follow(
            body, orjson.loads(call.driver.collected()), given_back, words if calls else words or "go on"
        )
    sent.append(orjson.loads(prepare(column, column.open(orjson.dumps(body))).body))
    for earlier, later in pairwise(sent):
        assert orjson.dumps(later["input"]).startswith(orjson.dumps(earlier["input"])[:-1])
        assert {**earlier, "input": 0} == {**later, "input": 0}


def renumbered(story: Story, number: int) -> bytes:
    """Ids of different turns differ."""
    return story.data.replace(b'"call_id": "', b'"call_id": "turn%d_' % number).replace(b"proof", b"proof%d" % number)
