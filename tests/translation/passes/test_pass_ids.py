"""Call ids within the upstream's limit (spec/translation.md §4.5)."""

from __future__ import annotations

from translation.ir.request import GenerateRequest, ToolCall, ToolResult
from translation.passes import ids
from translation.shared.call_ids import short_call_id


def request(*call_ids: str) -> GenerateRequest:
    calls = tuple(ToolCall(call_id=each, name="f", arguments="{}") for each in call_ids)
    return GenerateRequest(model="m", items=(*calls, *(ToolResult(call_id=each, parts=()) for each in call_ids)))


def test_ids_that_fit_cost_nothing():
    source = request("a" * 64)
    assert ids.shorten(source, 64) is source


def test_a_long_id_is_short_equal_on_both_sides_and_stable():
    first, second = "x" * 70 + "1", "x" * 70 + "2"
    short = ids.shorten(request(first, second), 64)
    got = [item.call_id for item in short.items]  # type: ignore[union-attr]
    assert got[0] == got[2] != got[1] == got[3]
    assert all(len(each) == 64 for each in got) and got[0].startswith("x" * 47 + "_")
    assert ids.shorten(short, 64) is short
    assert short_call_id(first) == got[0]
