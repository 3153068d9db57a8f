"""Whatever the upstream does, every client protocol keeps its grammar, loses nothing and ends exactly once.

Legal orders are read by the vendors' SDKs and must say the same streamed and collected. Wild orders (missing, doubled,
misplaced events) must still say everything. Nonsense and cut streams must end, as a failure or as an answer.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.translation.matrix.contract import Column, Delivered, Reading, Refused, pieces
from tests.translation.matrix.grid import COLUMNS
from tests.translation.matrix.lanes import deliver
from tests.translation.matrix.stories import Story, encoded, legal_stories, wild_stories
from translation.protocols.openai_responses.decoder import ResponsesDecoder

pytestmark = pytest.mark.oracle

every_column = pytest.mark.parametrize("column", COLUMNS, ids=repr)
SEEDS = st.integers(0, 99).map(str)


def calm(examples: int) -> settings:
    """Examples per column; without shrinking, which takes minutes here: stories are short, and printed in full."""
    return settings(
        deadline=None, max_examples=examples, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate]
    )


def read(column: Column, delivered: Delivered, *, is_streamed: bool) -> Reading:
    column.wire.answers(delivered.status, delivered.headers, delivered.data)
    return column.ask(is_streamed=is_streamed)


@every_column
@calm(25)
@given(story=legal_stories(), seed=SEEDS)
def test_a_legal_answer_is_read_whole_and_the_same_in_both_modes(column: Column, story: Story, seed: str) -> None:
    streamed = deliver(column, pieces(story.data, seed), is_streamed=True)
    collected = deliver(column, [story.data], is_streamed=False)
    if column.refuses(story.truth):
        assert collected.status >= 400
        return
    column.check(streamed.data)
    assert column.ending(streamed.data) == "finish"
    first, second = read(column, streamed, is_streamed=True), read(column, collected, is_streamed=False)
    assert first.whole == second.whole
    assert first.said == column.expect(story.truth)


@every_column
@calm(25)
@given(story=wild_stories(), seed=SEEDS)
def test_in_any_order_nothing_is_lost_and_the_end_comes_once(column: Column, story: Story, seed: str) -> None:
    streamed = deliver(column, pieces(story.data, seed), is_streamed=True)
    collected = deliver(column, [story.data], is_streamed=False)
    if column.refuses(story.truth) or streamed.status != 200:
        assert collected.status >= 400
        return
    column.check(streamed.data)
    assert column.ending(streamed.data) == "finish"
    readings = [read(column, collected, is_streamed=False)]
    if not column.is_relayed:  # the relay keeps the upstream's order, in which the SDK may find nothing
        readings.append(read(column, streamed, is_streamed=True))
    expected = column.expect(story.truth)
    if column.is_relayed and not all(item.is_finished for item in story.items):
        return  # it passed on all there was, and collects finished items
    for reading in readings:
        said = reading.said
        assert sorted(map(repr, said.calls)) == sorted(map(repr, expected.calls))
        assert sorted(said.images) == sorted(expected.images)
        assert sorted(said.proofs) == sorted(expected.proofs)
        assert (said.end, said.usage) == (expected.end, expected.usage)
        for index in range(len(story.items)):
            marks = rf"<{index}:\w>"
            assert re.findall(marks, said.text) == re.findall(marks, expected.text)
            assert re.findall(marks, said.reasoning) == re.findall(marks, expected.reasoning)


@every_column
@calm(25)
@given(story=wild_stories(), at=st.integers(0, 100_000), seed=SEEDS)
def test_a_cut_answer_never_looks_complete(column: Column, story: Story, at: int, seed: str) -> None:
    data = story.data[: at % (len(story.data) - 3)]
    streamed = deliver(column, pieces(data, seed), is_streamed=True)
    assert deliver(column, [data], is_streamed=False).status >= 400
    if streamed.status == 200:
        column.check(streamed.data)
        assert column.ending(streamed.data) == "error"
        if column.is_relayed:
            return
    with pytest.raises(Refused):
        read(column, streamed, is_streamed=True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "msg_1", "message", "function_call", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "id", "text"]), inner),
    max_leaves=4,
)
PART_KEYS = ("item_id", "output_index", "content_index", "summary_index", "delta", "text", "part", "annotation", "name")
OTHER_KEYS = ("item", "arguments", "input", "response", "error", "code", "message", "refusal", "partial_image_b64")
NAMES = st.sampled_from(sorted([*ResponsesDecoder.EVENTS, "codex.rate_limits", "other"]))
ITEM_KINDS = ["message", "reasoning", "function_call", "custom_tool_call", "image_generation_call", "web_search_call"]
ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(ITEM_KINDS)},
    optional=dict.fromkeys(("id", "call_id", "name", "content", "summary", "arguments", "result", "action"), VALUES),
)
FIELDS = st.dictionaries(st.sampled_from(PART_KEYS + OTHER_KEYS), VALUES | ITEMS, max_size=5)
NONSENSE = st.lists(st.tuples(NAMES, FIELDS | st.fixed_dictionaries({"item": ITEMS})), max_size=10)


@every_column
@calm(25)
@given(events=NONSENSE, seed=SEEDS)
def test_nonsense_keeps_the_grammar_and_ends_the_same_in_both_modes(column: Column, events: Any, seed: str) -> None:
    data = encoded(events)
    streamed = deliver(column, pieces(data, seed), is_streamed=True)
    collected = deliver(column, [data], is_streamed=False)
    if streamed.status == 200 and streamed.data:
        column.check(streamed.data)
        is_failure = column.ending(streamed.data) == "error"
    else:
        is_failure = True
    assert is_failure == (collected.status >= 400)
