"""Legal tool names out, the client's names back (spec/translation.md §4.4)."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from translation.ir import events as ev
from translation.ir.request import (
    CustomTool,
    FunctionTool,
    GenerateRequest,
    HostedTool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from translation.passes import names

LONG = "mcp__" + "s" * 60 + "__read"


def request(*tools: str, calls: tuple[str, ...] = (), choice: ToolChoice | None = None) -> GenerateRequest:
    return GenerateRequest(
        model="m",
        items=tuple(ToolCall(call_id=name, name=name, arguments="{}") for name in calls),
        tools=tuple(FunctionTool(name=name) for name in tools),
        tool_choice=choice,
    )


def test_legal_names_cost_nothing():
    plain = request("read", "write-2", "X_9", calls=("read",))
    assert names.rename(plain, 64) == (plain, None)
    assert names.rename(plain, 64)[0] is plain


def test_illegal_characters_become_underscores():
    assert names.short_name("srv.tool:read/x y") == "srv_tool_read_x_y"


def test_an_mcp_name_keeps_its_last_segment():
    assert names.short_name(LONG) == "mcp__read"
    assert names.short_name("mcp__" + "x" * 80) == ("mcp__" + "x" * 80)[:64]


def test_a_declared_legal_name_is_never_taken():
    mapping = names.short_names(["a.b", "a_b", "a:b"], 64)
    assert mapping == {"a.b": "a_b_1", "a:b": "a_b_2"}


def test_it_renames_tools_history_results_and_choices():
    source = GenerateRequest(
        model="m",
        items=(ToolCall(call_id="1", name="a.b", arguments=""), ToolResult(call_id="1", parts=(), name="a.b")),
        tools=(FunctionTool(name="a.b"), CustomTool(name="c.d"), HostedTool("web_search", {})),
        tool_choice=ToolChoice(mode="allowed", allowed=("a.b", "c.d")),
    )
    renamed, inverse = names.rename(source, 64)
    assert [item.name for item in renamed.items] == ["a_b", "a_b"]  # type: ignore[union-attr]
    assert [tool.name for tool in renamed.tools or () if not isinstance(tool, HostedTool)] == ["a_b", "c_d"]  # type: ignore[union-attr]
    assert renamed.tool_choice == ToolChoice(mode="allowed", allowed=("a_b", "c_d"))
    assert inverse is not None
    start = ev.BlockStart(index=0, kind="tool_call", call_id="1", name="c_d", tool_kind="custom")
    text = ev.TextDelta(1, "c_d")
    assert inverse.inbound([start, text]) == [
        ev.BlockStart(index=0, kind="tool_call", call_id="1", name="c.d", tool_kind="custom"),
        text,
    ]


def test_names_that_only_history_knows_are_renamed_without_an_inverse():
    renamed, inverse = names.rename(request("ok", calls=("x.y",)), 64)
    assert renamed.items[0].name == "x_y" and inverse is None  # type: ignore[union-attr]


NAMES = st.lists(st.text(alphabet="ab._", min_size=1, max_size=9), min_size=1, max_size=12, unique=True)


@given(NAMES, NAMES)
def test_renaming_is_legal_distinct_reversible_and_idempotent(tools: list[str], calls: list[str]):
    renamed, inverse = names.rename(request(*tools, calls=tuple(calls)), 6)
    short = [tool.name for tool in renamed.tools or () if isinstance(tool, FunctionTool)]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,6}", name) for name in short)
    assert len(set(short)) == len(tools)
    starts: list[ev.Event] = [
        ev.BlockStart(index=i, kind="tool_call", call_id="c", name=n) for i, n in enumerate(short)
    ]
    back = inverse.inbound(starts) if inverse else starts
    assert [event.name for event in back if isinstance(event, ev.BlockStart)] == tools
    assert names.rename(renamed, 6)[0] is renamed


@given(NAMES, NAMES, NAMES)
def test_a_growing_history_keeps_its_names(tools: list[str], calls: list[str], later: list[str]):
    short, _ = names.rename(request(*tools, calls=tuple(n for n in calls if "." in n)), 64)
    grown, _ = names.rename(
        request(*tools, calls=(*(n for n in calls if "." in n), *(n for n in later if "." in n))), 64
    )
    assert grown.items[: len(short.items)] == tuple(
        ToolCall(call_id=new.call_id, name=old.name, arguments="{}")  # type: ignore[union-attr]
        for old, new in zip(short.items, grown.items, strict=False)
    )
