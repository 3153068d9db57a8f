"""What operators may choose for Messages clients, and the vendor's typed tools version by version."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from anthropic.types import beta
from msgspec.structs import replace

from tests.gateway.playbook import CREATED, ITEM, failed, text
from tests.translation.anthropic_messages.conftest import parse_frames
from translation import registry
from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.response import Fold
from translation.protocols.anthropic_messages import CODEC
from translation.protocols.anthropic_messages.typed_tools import typed_tool

THINKING = {"type": "enabled", "budget_tokens": 2048}
PROOF = ev.Proof("openai-responses", "gAAAAsig")
PROVEN = (ev.BlockStart(index=0, kind="reasoning"), ev.BlockStop(index=0, proof=PROOF))
SAID = (ev.BlockStart(index=1, kind="text"), ev.TextDelta(1, "Hi"), ev.BlockStop(index=1))
SEARCH = {
    "name": "WebSearch",
    "description": "Search the web.",
    "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}
CLAUDE_CODE = {"x-claude-code-session-id": "s-1"}


def with_options(opened: OpenedRequest, **options: str) -> OpenedRequest:
    named = {f"anthropic.{key}": value for key, value in options.items()}
    return replace(opened, context=replace(opened.context, options=named))


def answers(opened: OpenedRequest, events: list[ev.Event]) -> tuple[list[str], list[str]]:
    """Return the kinds of the content blocks, as streamed and as collected."""
    fold = Fold()
    fold.feed(events)
    collected = orjson.loads(CODEC.encode_response(fold.result(), opened))["content"]
    frames = parse_frames(CODEC.encoder(opened).encode(events))
    streamed = [frame["content_block"]["type"] for frame in frames if frame["type"] == "content_block_start"]
    return streamed, [block["type"] for block in collected]


@pytest.mark.parametrize(
    ("option", "thinking", "kinds"),
    [
        ("", THINKING, ["thinking", "text"]),
        ("true", THINKING, ["text"]),
        ("true", {**THINKING, "display": "omitted"}, ["thinking", "text"]),
    ],
)
def test_row_123_blocks_of_a_proof_alone_can_be_left_out(messages, option: str, thinking: Any, kinds: list[str]):
    opened = with_options(messages.open(stream=True, thinking=thinking), hide_empty_thinking=option)
    events = [ev.Start(id="r", model="m"), *PROVEN, *SAID, ev.Stop(finish_reason="stop")]
    assert answers(opened, events) == (kinds, kinds)


def test_row_123_thinking_with_text_keeps_its_proof(messages):
    opened = with_options(messages.open(stream=True, thinking=THINKING), hide_empty_thinking="true")
    thought = (PROVEN[0], ev.ReasoningDelta(0, "Hm."), PROVEN[1])
    events = [ev.Start(id="r", model="m"), *thought, *SAID, ev.Stop(finish_reason="stop")]
    assert answers(opened, events) == (["thinking", "text"], ["thinking", "text"])


@pytest.mark.parametrize("code", ["cyber_policy", "bio_policy", "invalid_prompt"])
def test_row_138_a_policy_refusal_of_the_upstream_is_the_requests_fault(messages, code: str):
    decoder = registry.get_upstream("openai-responses").decoder()
    events = decoder.feed(CREATED + ITEM + text("Hel") + failed(code, "Flagged."))
    frames = parse_frames(CODEC.encoder(messages.open(stream=True)).encode(events))
    assert frames[-1]["type"] == "error"
    assert frames[-1]["error"] == {"type": "invalid_request_error", "message": "Flagged."}


# ---- Claude Code's search -------------------------------------------------------------------------------------------


def test_claude_codes_search_runs_upstream_where_the_operator_wants_it(messages):
    opened = with_options(messages.open(CLAUDE_CODE, tools=[SEARCH]), hosted_web_search="true")
    assert messages.upstream_of(opened)["tools"] == [{"type": "web_search"}]


@pytest.mark.parametrize(
    ("headers", "option", "tool"),
    [
        (CLAUDE_CODE, "", SEARCH),
        ({}, "true", SEARCH),
        (CLAUDE_CODE, "true", {**SEARCH, "name": "Search"}),
        (CLAUDE_CODE, "true", {**SEARCH, "description": "Looks into the garden."}),
        (CLAUDE_CODE, "true", {**SEARCH, "input_schema": {"type": "object", "properties": {}}}),
    ],
)
def test_any_other_search_stays_the_clients_own(messages, headers: Any, option: str, tool: Any):
    opened = with_options(messages.open(headers, tools=[tool]), hosted_web_search=option)
    (sent,) = messages.upstream_of(opened)["tools"]
    assert (sent["type"], sent["name"]) == ("function", tool["name"])


def test_choosing_claude_codes_search_chooses_the_hosted_one(messages):
    body = {"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "WebSearch"}}
    opened = with_options(messages.open(CLAUDE_CODE, **body), hosted_web_search="true")
    assert messages.upstream_of(opened)["tool_choice"] == {"type": "web_search"}


# ---- typed tools: the vendor's own types are the oracle ------------------------------------------------------------


def properties(kind: str, **fields: Any) -> dict[str, Any]:
    found = typed_tool({"type": kind, **fields})
    assert found is not None
    return found[1]["properties"]


def test_row_096_memory_takes_what_the_vendors_commands_take():
    commands = {
        "create": beta.BetaMemoryTool20250818CreateCommand,
        "delete": beta.BetaMemoryTool20250818DeleteCommand,
        "insert": beta.BetaMemoryTool20250818InsertCommand,
        "rename": beta.BetaMemoryTool20250818RenameCommand,
        "str_replace": beta.BetaMemoryTool20250818StrReplaceCommand,
        "view": beta.BetaMemoryTool20250818ViewCommand,
    }
    ours = properties("memory_20250818")
    assert set(ours["command"]["enum"]) == set(commands)
    assert set(ours) == {name for command in commands.values() for name in command.model_fields}


def test_row_096_computer_takes_what_the_vendors_actions_take():
    inputs = {
        "key": beta.BetaComputerKeyInput, "scroll": beta.BetaComputerScrollInput, "zoom": beta.BetaComputerZoomInput,
        "hold_key": beta.BetaComputerHoldKeyInput, "left_click_drag": beta.BetaComputerLeftClickDragInput,
        "wait": beta.BetaComputerWaitInput, "left_click": beta.BetaComputerLeftClickInput,
    }  # fmt: skip
    ours = properties("computer_20251124", enable_zoom=True)
    later = {"repeat"}  # of the toolset of 2026, not of the single tool
    assert set(ours) == {"action"} | {name for each in inputs.values() for name in each.model_fields} - later
    assert set(inputs) <= set(ours["action"]["enum"])
    assert (ours["coordinate"]["maxItems"], ours["region"]["maxItems"]) == (2, 4)
    assert ours["duration"]["type"] == "integer"


@pytest.mark.parametrize(
    ("kind", "inserted", "can_undo"),
    [
        ("text_editor_20241022", "new_str", True),
        ("text_editor_20250124", "new_str", True),
        ("text_editor_20250429", "new_str", False),
        ("text_editor_20250728", "insert_text", False),
    ],
)
def test_row_096_editors_insert_and_undo_as_their_version_did(kind: str, inserted: str, can_undo: bool):
    ours = properties(kind)
    assert ("insert_text" in ours) is (inserted == "insert_text")
    assert "`insert`" in ours[inserted]["description"]
    assert ("undo_edit" in ours["command"]["enum"]) is can_undo


@pytest.mark.parametrize("kind", ["computer_toolset_20260801", "browser_toolset_20260801", "advisor_20260301"])
def test_tools_of_newer_clients_are_left_out_and_told_not_refused(messages, kind: str):
    decoded = messages.decode(tools=[{"type": kind}, {"name": "own", "input_schema": {"type": "object"}}])
    assert [tool.name for tool in decoded.tools] == ["own"]
    assert f"tools.{kind}" in decoded.dropped
