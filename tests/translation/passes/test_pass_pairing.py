"""Calls and results in pairs, whatever the client sent (spec/translation.md §3.5, rows 16-22 and 228)."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from translation.ir.request import GenerateRequest, Item, Message, OpaqueItem, Reasoning, TextPart, ToolCall, ToolResult
from translation.passes.pairing import INTERRUPTED, repair

USER = Message("user", (TextPart("hi"),))
SAID = Message("assistant", (TextPart("hm"),))


def call(call_id: str, name: str = "f", kind: Any = "function") -> ToolCall:
    return ToolCall(call_id=call_id, name=name, arguments="{}", kind=kind)


def result(call_id: str, text: str = "ok", **more: Any) -> ToolResult:
    return ToolResult(call_id=call_id, parts=(TextPart(text),), **more)


def interrupted(call_id: str, kind: Any = "function") -> ToolResult:
    return result(call_id, INTERRUPTED, kind=kind)


def repaired(*items: Item, previous: str | None = None) -> list[Item]:
    request = GenerateRequest(model="m", items=items, previous_response_id=previous)
    return list(repair(request).items)


def test_it_returns_the_same_object_when_nothing_is_wrong():
    request = GenerateRequest(model="m", items=(USER, call("a"), call("b"), result("b"), result("a"), SAID, USER))
    assert repair(request) is request


def test_row_018_results_without_id_answer_the_oldest_open_calls():
    assert repaired(call("a"), call("b"), result(""), result("")) == [call("a"), call("b"), result("a"), result("b")]


def test_a_result_with_a_name_answers_the_oldest_open_call_of_that_name():
    items = repaired(call("a", "f"), call("b", "g"), result("", "2", name="g"), result("", "1", name="f"))
    assert [(item.call_id, item.parts[0].text) for item in items[2:]] == [("b", "2"), ("a", "1")]  # type: ignore[union-attr]


def test_row_019_an_orphan_becomes_a_user_message_and_an_empty_one_goes():
    assert repaired(USER, result("lost", "42", name="f")) == [
        USER,
        Message("user", (TextPart("[tool result: f]\n42"),)),
    ]
    assert repaired(USER, result("lost", "")) == [USER]


def test_an_orphan_stays_when_the_request_continues_a_stored_response():
    assert repaired(result("a"), USER, previous="resp_1") == [result("a"), USER]


def test_row_020_an_ambiguous_id_drops_both_calls_and_the_results():
    items = repaired(USER, call("x"), call("a"), call("a"), result("a"), result("a"), result("x"))
    assert items == [USER, call("x"), result("x")]
    assert repaired(call("a"), call("a"), call("a"), result("a"), USER) == [USER]


def test_row_021_an_id_reused_in_a_later_turn_is_paired_per_turn():
    items = [call("a"), result("a", "1"), SAID, USER, call("a"), result("a", "2")]
    assert repaired(*items) == items


def test_row_022_a_missing_id_is_made_from_the_position():
    items = repaired(USER, call(""), call(""), result(""), result(""))
    ids = [item.call_id for item in items[1:3]]  # type: ignore[union-attr]
    assert ids == ["call_missing_1_0", "call_missing_2_1"]
    assert [item.call_id for item in items[3:]] == ids  # type: ignore[union-attr]


def test_a_second_result_for_one_call_goes():
    assert repaired(call("a"), result("a", "1"), result("a", "2"), SAID) == [call("a"), result("a", "1"), SAID]


def test_row_228_an_interrupted_call_is_answered_before_the_user_speaks():
    assert repaired(call("a"), USER) == [call("a"), interrupted("a"), USER]
    assert repaired(call("a", kind="custom"), SAID) == [call("a", kind="custom"), SAID, interrupted("a", "custom")]


def test_only_the_unanswered_one_of_parallel_calls_is_answered():
    assert repaired(call("a"), call("b"), result("a"), USER) == [
        call("a"),
        call("b"),
        result("a"),
        interrupted("b"),
        USER,
    ]


def test_pending_calls_at_the_very_end_are_left_to_the_client():
    assert repaired(USER, call("a"), call("b")) == [USER, call("a"), call("b")]


def test_a_result_behind_the_users_words_moves_to_its_call():
    assert repaired(call("a"), USER, result("a")) == [call("a"), result("a"), USER]


def test_a_result_that_comes_a_turn_too_late_is_kept_as_words():
    items = repaired(call("a"), USER, SAID, USER, result("a", "late"))
    assert items[:5] == [call("a"), interrupted("a"), USER, SAID, USER]
    assert items[5] == Message("user", (TextPart("[tool result: f]\nlate"),))


def test_the_kind_of_a_result_is_the_kind_of_its_call():
    assert repaired(call("a", kind="custom"), result("a")) == [call("a", kind="custom"), result("a", kind="custom")]


def test_opaque_items_are_neutral():
    web = OpaqueItem("openai-responses", {"type": "web_search_call"})
    assert repaired(call("a"), web, result("a"), web) == [call("a"), web, result("a"), web]


IDS = st.sampled_from(["", "a", "b", "c"])
ITEMS = st.one_of(
    st.just(USER),
    st.just(SAID),
    st.just(Reasoning()),
    st.builds(call, IDS),
    st.builds(result, IDS, st.sampled_from(["", "x"])),
)
TURNS = st.lists(
    st.tuples(
        st.lists(st.one_of(st.just(SAID), st.builds(call, IDS)), min_size=1, max_size=4),
        st.lists(st.one_of(st.just(USER), st.builds(result, IDS)), min_size=1, max_size=4),
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ITEMS, max_size=14))
def test_it_is_idempotent(items: list[Item]):
    once = repaired(*items)
    assert repaired(*once) == once


@settings(max_examples=300, deadline=None)
@given(st.lists(ITEMS, max_size=14))
def test_every_result_has_its_call_and_every_call_its_result(items: list[Item]):
    out = repaired(*items)
    waiting: list[str] = []
    for item in out:
        if isinstance(item, ToolCall):
            assert item.call_id and item.call_id not in waiting
            waiting.append(item.call_id)
        elif isinstance(item, ToolResult):
            waiting.remove(item.call_id)
    assert not waiting or isinstance(out[-1], ToolCall)


@settings(max_examples=300, deadline=None)
@given(TURNS)
def test_a_later_turn_never_changes_an_earlier_one(turns: list[tuple[list[Item], list[Item]]]):
    items: list[Item] = [USER]
    before = repaired(*items)
    for speech, answers in turns:
        items += [*speech, *answers]
        after = repaired(*items)
        assert after[: len(before)] == before
        before = after


def test_an_orphan_picture_is_told_with_a_label():
    from translation.ir.request import ImagePart

    picture = ImagePart(url="https://x/y.png")
    assert repaired(ToolResult(call_id="lost", parts=(picture,))) == [
        Message("user", (TextPart("[tool result]"), picture))
    ]
