"""The normalizer's own rules, apart from any protocol."""

from __future__ import annotations

from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.normalizer import Normalizer


def test_row_128_a_call_that_is_never_named_never_was() -> None:
    normalizer = Normalizer()
    normalizer.start("resp_1")
    call = normalizer.open("tool_call", "item_1", call_id="call_1")
    normalizer.delta(call, "{}")
    normalizer.close(call)
    assert not normalizer.has_shown("tool_call")
    normalizer.stop("stop")
    grammar.check(normalizer.out)
    assert [type(event) for event in normalizer.out] == [ev.Start, ev.Stop]
    assert normalizer.repairs == 1


def test_a_call_named_late_is_shown_with_what_came_before_its_name() -> None:
    normalizer = Normalizer()
    call = normalizer.open("tool_call", "item_1", call_id="call_1")
    normalizer.delta(call, '{"a"')
    normalizer.open("tool_call", "item_1", name="f")
    normalizer.delta(call, ":1}")
    normalizer.stop("tool_calls")
    grammar.check(normalizer.out)
    assert "".join(event.text for event in normalizer.out if isinstance(event, ev.ToolCallDelta)) == '{"a":1}'
