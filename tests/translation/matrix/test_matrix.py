"""Every transcript × every client protocol × both modes × every cut, judged by the vendors' own SDKs.

A cell holds when the stream keeps its protocol's grammar, the SDK adds it up to exactly what it reads from the
collected answer, that is what the transcript says (`said.json`), and failures reach the client as failures. Rows are
folders of `tests/golden/openai-responses/`, columns are files of `columns/`; neither is listed here.
"""

from __future__ import annotations

import pytest

from tests.translation.matrix.contract import Column, Delivered, Refused, pieces
from tests.translation.matrix.grid import COLUMNS, NAMES, transcript, truth
from tests.translation.matrix.lanes import deliver
from translation import registry

pytestmark = pytest.mark.oracle

CELLS = [pytest.param(column, name, id=f"{column.name}-{name}") for column in COLUMNS for name in NAMES]
every_cell = pytest.mark.parametrize(("column", "name"), CELLS)


def test_every_protocol_has_a_column() -> None:
    assert {column.codec for column in COLUMNS} == set(registry.codecs())
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)


@every_cell
def test_an_answer_does_not_depend_on_how_the_upstream_was_cut(column: Column, name: str) -> None:
    data = transcript(name)
    for is_streamed in (True, False):
        whole = deliver(column, [data], is_streamed=is_streamed)
        bytewise = [data[at : at + 1] for at in range(len(data))]
        assert deliver(column, bytewise, is_streamed=is_streamed) == whole
        assert deliver(column, pieces(data, name), is_streamed=is_streamed) == whole


@every_cell
def test_the_sdk_reads_what_was_said_the_same_in_both_modes(column: Column, name: str) -> None:
    said = truth(name)
    if column.refuses(said):
        check_failure(column, name)
        return
    streamed = deliver(column, [transcript(name)], is_streamed=True)
    collected = deliver(column, [transcript(name)], is_streamed=False)
    assert (streamed.status, collected.status) == (200, 200), collected.data
    column.check(streamed.data)
    assert column.ending(streamed.data) == "finish"
    first, second = read(column, streamed, is_streamed=True), read(column, collected, is_streamed=False)
    assert first.whole == second.whole
    expected = column.expect(said)
    if said.usage is None:  # what to show then is the protocol's own affair, the same in both modes
        expected.usage = first.said.usage
    assert first.said == expected


def check_failure(column: Column, name: str) -> None:
    """A failure is a status while nothing was said, else the end of the stream; collected it is always a status."""
    said = truth(name)
    streamed = deliver(column, [transcript(name)], is_streamed=True)
    collected = deliver(column, [transcript(name)], is_streamed=False)
    assert collected.status >= 400
    with pytest.raises(Refused) as caught:
        read(column, collected, is_streamed=False)
    assert caught.value.status == collected.status
    assert said.error in str(caught.value)
    with pytest.raises(Refused) as seen:
        read(column, streamed, is_streamed=True)
    assert said.error in str(seen.value)
    if said.is_silent:
        assert (streamed.status, streamed.data) == (collected.status, collected.data)
    else:
        assert streamed.status == 200 and seen.value.status is None
        column.check(streamed.data)
        assert column.ending(streamed.data) == "error"


def read(column: Column, delivered: Delivered, *, is_streamed: bool):
    """Let the SDK ask and read; a stream arrives in random pieces."""
    seed = column.name if is_streamed else ""
    column.wire.answers(delivered.status, delivered.headers, delivered.data, seed=seed)
    return column.ask(is_streamed=is_streamed)
