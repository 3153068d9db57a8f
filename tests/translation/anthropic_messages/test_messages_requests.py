"""Requests, by the rows of spec/translation.md §15.3: what a client sends and what the backend gets of it."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import orjson
import pytest

from translation.codec import WireContext
from translation.errors import InvalidRequest, UnsupportedFeature
from translation.ir.request import Message, Reasoning, TextPart, ToolCall, ToolResult
from translation.protocols.anthropic_messages import CODEC

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="
CLAUDE_SIGNATURE = "EqQBCkYIARgCKkB" + "x" * 60
TOOL = {"name": "get", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


def codex_proof(ciphertext_bytes: int = 32) -> str:
    """Return a blob of the shape of the backend's encrypted reasoning."""
    body = b"\x80" + bytes(8) + bytes(16) + bytes(ciphertext_bytes) + bytes(32)
    return base64.urlsafe_b64encode(body).decode()


def call(call_id: str = "toolu_1", name: str = "get", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def result(content: Any, call_id: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(data: str = PNG) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


ASKED = user(text("q"))


# ---- content --------------------------------------------------------------------------------------------------------


def test_row_083_a_tool_result_stands_before_the_text_that_follows_it(messages):
    body = messages.upstream(messages=[ASKED, assistant(call()), user(result("r"), text("and now"))], tools=[TOOL])
    assert [item["type"] for item in body["input"]] == ["message", "function_call", "function_call_output", "message"]


def test_row_084_text_call_text_keeps_its_order(messages):
    items = messages.decode(messages=[ASKED, assistant(text("a"), call(), text("b"))]).items
    assert [type(item) for item in items] == [Message, Message, ToolCall, Message]
    assert items[1].parts == (TextPart("a"),) and items[3].parts == (TextPart("b"),)


def test_row_085_parallel_results_with_images_are_adjacent_outputs(messages):
    turn = user(result([text("one"), image()], "t1"), result([image()], "t2"))
    body = messages.upstream(messages=[ASKED, assistant(call("t1"), call("t2")), turn], tools=[TOOL])
    first, second = body["input"][-2:]
    assert (first["call_id"], second["call_id"]) == ("t1", "t2")
    assert [part["type"] for part in first["output"]] == ["input_text", "input_image"]
    assert second["output"] == [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]


def test_row_086_an_image_by_address_is_kept(messages):
    block = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    (item,) = messages.upstream(messages=[user(block)])["input"]
    assert item["content"] == [{"type": "input_image", "image_url": "https://example.com/a.png"}]


def test_row_087_a_pdf_becomes_a_file(messages):
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    (item,) = messages.upstream(messages=[user({"type": "document", "source": source})])["input"]
    assert item["content"] == [
        {"type": "input_file", "filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    ]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "words"}, "Title\n\nwords"),
        ({"type": "content", "content": "words"}, "Title\n\nwords"),
        ({"type": "content", "content": [{"type": "text", "text": "words"}]}, "Title\n\nwords"),
    ],
)
def test_documents_of_text_become_text_with_their_title(messages, source, part):
    (item,) = messages.decode(messages=[user({"type": "document", "title": "Title", "source": source})]).items
    assert item.parts == (TextPart(part),)


def test_search_results_become_text(messages):
    block = {"type": "search_result", "title": "T", "source": "https://a", "content": [text("words")]}
    (item,) = messages.decode(messages=[user(block)]).items
    assert item.parts == (TextPart("T\nhttps://a\nwords"),)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {"type": "container_upload", "file_id": "f"},
    ],
)
def test_content_by_file_id_is_refused_by_name(messages, block):
    with pytest.raises(UnsupportedFeature, match="no file store") as caught:
        messages.decode(messages=[user(text("a"), block)])
    assert caught.value.param.startswith("messages[0].content[1].")


def test_row_088_thinking_with_our_proof_stands_before_the_call(messages):
    proof = codex_proof()
    thought = {"type": "thinking", "thinking": "hm", "signature": proof}
    body = messages.upstream(messages=[ASKED, assistant(thought, call()), user(result("r"))], tools=[TOOL])
    assert body["input"][1] == {"type": "reasoning", "summary": [], "encrypted_content": proof}
    assert body["input"][2]["type"] == "function_call"


@pytest.mark.parametrize("signature", [CLAUDE_SIGNATURE, "", None, "gAAAA", "gAAAA!!"])
def test_row_089_thinking_with_a_foreign_signature_is_dropped(messages, signature):
    thought = {"type": "thinking", "thinking": "hm", "signature": signature}
    items = messages.decode(messages=[ASKED, assistant(thought, text("a"))]).items
    assert not any(isinstance(item, Reasoning) for item in items)


def test_row_090_redacted_thinking_is_accepted(messages):
    redacted = [{"type": "redacted_thinking", "data": data} for data in ("opaque", codex_proof())]
    items = messages.decode(messages=[ASKED, assistant(*redacted, text("a"))]).items
    assert [type(item) for item in items] == [Message, Reasoning, Message]


# ---- tools ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ({"type": "none"}, "none"),  # row 91
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": "get"}, {"type": "function", "name": "get"}),
        (None, "auto"),
    ],
)
def test_row_091_tool_choices(messages, choice, sent):
    assert messages.upstream(tools=[TOOL], tool_choice=choice).get("tool_choice", "auto") == sent


def test_row_092_one_call_at_a_time(messages):
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert messages.upstream(tools=[TOOL], tool_choice=choice)["parallel_tool_calls"] is False


SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def test_row_093_choosing_a_typed_web_search(messages):
    body = messages.upstream(tools=[SEARCH, TOOL], tool_choice={"type": "tool", "name": "web_search"})
    assert body["tool_choice"] == {"type": "web_search"}


def test_row_094_search_options_travel_and_others_are_listed(messages):
    location = {"type": "approximate", "city": "Oslo"}
    tool = {**SEARCH, "allowed_domains": ["a.org"], "user_location": location, "max_uses": 3}
    assert messages.upstream(tools=[tool])["tools"] == [
        {"type": "web_search", "filters": {"allowed_domains": ["a.org"]}, "user_location": location}
    ]
    assert messages.decode(tools=[tool]).dropped == ("tools.max_uses",)


def test_row_095_a_custom_tool_named_web_search_stays_a_function(messages):
    tool = {**TOOL, "name": "web_search"}
    (sent,) = messages.upstream(tools=[tool])["tools"]
    assert (sent["type"], sent["name"]) == ("function", "web_search")


@pytest.mark.parametrize(
    ("kind", "name", "property_name"),
    [
        ("bash_20250124", "bash", "command"),
        ("text_editor_20250728", "str_replace_based_edit_tool", "old_str"),
        ("text_editor_20250124", "str_replace_editor", "view_range"),
        ("memory_20250818", "memory", "old_path"),
        ("computer_20250124", "computer", "coordinate"),
    ],
)
def test_row_096_typed_tools_get_their_documented_schema(messages, kind, name, property_name):
    declared = {"type": kind, "name": name, "display_width_px": 10, "display_height_px": 20}
    (sent,) = messages.upstream(tools=[declared])["tools"]
    assert (sent["type"], sent["name"], sent["strict"]) == ("function", name, False)
    assert property_name in sent["parameters"]["properties"]


def test_only_old_editors_can_undo(messages):
    def commands(kind: str) -> list[str]:
        (tool,) = messages.decode(tools=[{"type": kind, "name": "e"}]).tools
        return tool.parameters["properties"]["command"]["enum"]

    assert "undo_edit" in commands("text_editor_20250124") and "undo_edit" not in commands("text_editor_20250728")


def test_tools_of_anthropics_servers_are_left_out_and_listed(messages):
    fetch = {"type": "web_fetch_20250910", "name": "web_fetch"}
    request = messages.decode(tools=[fetch, TOOL])
    assert [tool.name for tool in request.tools] == ["get"]
    assert "tools.web_fetch_20250910" in request.dropped
    with pytest.raises(UnsupportedFeature, match="web_fetch"):
        messages.decode(tools=[fetch, TOOL], tool_choice={"type": "tool", "name": "web_fetch"})


def test_row_097_098_a_missing_schema_is_an_empty_object_and_never_strict(messages):
    (sent,) = messages.upstream(tools=[{"name": "f"}])["tools"]
    assert sent == {
        "type": "function",
        "name": "f",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }


def test_row_099_keys_of_anthropic_alone_never_leave(messages):
    tool = {**TOOL, "cache_control": {"type": "ephemeral"}, "defer_loading": True, "eager_input_streaming": True}
    (sent,) = messages.upstream(tools=[tool])["tools"]
    assert set(sent) == {"type", "name", "description", "parameters", "strict"}


def test_row_100_a_long_call_id_is_shortened_alike_on_both_sides(messages):
    long = "toolu_" + "x" * 90
    body = messages.upstream(messages=[ASKED, assistant(call(long)), user(result("r", long))], tools=[TOOL])
    _, asked, answered = body["input"]
    assert asked["call_id"] == answered["call_id"] and len(asked["call_id"]) <= 64


# ---- system and roles -----------------------------------------------------------------------------------------------


def test_row_101_rotating_billing_headers_give_equal_instructions(messages):
    def instructions(suffix: str) -> str:
        billing = text(f"x-anthropic-billing-header: cc_version=2.1.197.{suffix}; cc_entrypoint=sdk-cli;")
        return messages.upstream(system=[billing, text("You are"), text("helpful")])["instructions"]

    assert instructions("abc") == instructions("def") == "You are\n\nhelpful"


def test_row_101_the_header_in_the_middle_of_a_text_stays(messages):
    said = "About x-anthropic-billing-header: nothing"
    assert messages.decode(system=said).instructions == (said,)


def test_row_102_a_system_message_is_a_developer_item_in_place(messages):
    items = messages.decode(messages=[ASKED, {"role": "system", "content": "note"}, user(text("go"))]).items
    assert [item.role for item in items] == ["user", "developer", "user"]


def test_row_112_unknown_roles_and_blocks_are_no_error(messages):
    request = messages.decode(messages=[{"role": "critic", "content": "x"}, user({"type": "hologram"}, text("a"))])
    assert [item.role for item in request.items] == ["user", "user"]
    assert "messages.content.hologram" in request.dropped


def test_row_110_a_failed_call_says_so(messages):
    def output(content: Any) -> Any:
        turns = [ASKED, assistant(call()), user(result(content, is_error=True))]
        return messages.upstream(messages=turns, tools=[TOOL])["input"][-1]["output"]

    assert output("no such file") == "Error: no such file"
    assert output([text("a"), image()])[0] == {"type": "input_text", "text": "Error: a"}


@pytest.mark.parametrize("content", ["", None, []])
def test_row_113_an_empty_result_is_an_empty_output(messages, content):
    turns = [ASKED, assistant(call()), user(result(content))]
    assert messages.upstream(messages=turns, tools=[TOOL])["input"][-1]["output"] == ""


def test_row_114_system_blocks_that_are_no_text_are_ignored(messages):
    assert messages.decode(system=[image(), text("a"), None]).instructions == ("a",)


def test_row_116_a_prefill_stays_the_last_item(messages):
    items = messages.decode(messages=[ASKED, assistant(text("{"))]).items
    assert items[-1] == Message("assistant", (TextPart("{"),))


def test_searches_of_the_upstream_in_history_are_left_to_the_text(messages):
    blocks = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        text("found"),
    ]
    items = messages.decode(messages=[ASKED, assistant(*blocks)]).items
    assert [type(item) for item in items] == [Message, Message]


def test_several_texts_of_a_result_are_one_output(messages):
    items = messages.decode(messages=[ASKED, assistant(call()), user(result([text("a"), text("b")]))]).items
    assert items[-1] == ToolResult(call_id="toolu_1", parts=(TextPart("a\nb"),))


# ---- knobs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "effort"),
    [
        ({"thinking": {"type": "enabled"}}, "medium"),  # row 103
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31999}}, "xhigh"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),  # row 105
        ({"output_config": {"effort": "max"}}, "xhigh"),
        ({"thinking": {"type": "disabled"}}, "low"),  # the lowest that this model has
        ({}, None),
    ],
)
def test_row_103_105_efforts(messages, body, effort):
    assert (messages.upstream(**body).get("reasoning") or {}).get("effort") == effort


def test_row_104_disabled_thinking_beats_the_servers_default(messages):
    request = messages.decode(thinking={"type": "disabled"}, output_config={"effort": "high"})
    assert (request.reasoning.effort, request.reasoning.summary) == ("none", None)


@pytest.mark.parametrize(
    ("thinking", "summary"),
    [
        ({"type": "enabled", "budget_tokens": 2000}, "auto"),
        ({"type": "adaptive"}, "auto"),
        ({"type": "adaptive", "display": "omitted"}, None),
        ({"type": "disabled"}, None),
        (None, None),
    ],
)
def test_thoughts_are_asked_for_when_the_client_reads_them(messages, thinking, summary):
    assert messages.decode(thinking=thinking).reasoning.summary == summary


@pytest.mark.parametrize("body", [{"speed": "fast"}, {"service_tier": "priority"}])
def test_row_106_fast_is_the_priority_tier(messages, body):
    assert messages.upstream(**body)["service_tier"] == "priority"


@pytest.mark.parametrize("tier", ["auto", "standard_only", None])
def test_ordinary_tiers_are_not_sent(messages, tier):
    assert "service_tier" not in messages.upstream(service_tier=tier)


def test_row_107_a_null_user_id_is_accepted(messages):
    assert messages.decode(metadata={"user_id": None}).identity.user is None


SESSION = "3f2b8a52-0d1c-4e5f-9a6b-7c8d9e0f1a2b"


@pytest.mark.parametrize(
    ("headers", "user_id"),
    [
        ({}, f"user_abc_account__session_{SESSION}"),  # row 108
        ({}, orjson.dumps({"device_id": "d", "session_id": SESSION}).decode()),
        ({"x-claude-code-session-id": SESSION}, None),
    ],
)
def test_row_108_sessions_are_found_wherever_claude_code_writes_them(messages, headers, user_id):
    identity = messages.open(headers, metadata={"user_id": user_id}).identity
    assert (identity.session, identity.anchor) == (SESSION, None)


def test_row_109_a_sub_agent_has_a_conversation_of_its_own(messages):
    def session(**more: str) -> str | None:
        return messages.open({"x-claude-code-session-id": SESSION, **more}).identity.session

    assert session() == session(**{"x-claude-code-agent-id": "main"}) != session(**{"x-claude-code-agent-id": "a1"})


def test_a_conversation_without_a_name_has_an_anchor_that_its_turns_share(messages):
    first = messages.open(system="s", messages=[ASKED]).identity.anchor
    grown = messages.open(system="s", messages=[ASKED, assistant(text("a")), user(text("b"))]).identity.anchor
    assert first == grown is not None


def test_row_115_stop_sequences_are_the_gateways(messages):
    request = messages.decode(stop_sequences=["END", ""])
    assert request.sampling.stop == ("END",)
    assert "stop" not in messages.upstream(stop_sequences=["END"])


@pytest.mark.parametrize(("optional", "strict"), [(False, True), (True, False)])
def test_structured_output_is_strict_where_the_schema_allows_it(messages, optional, strict):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": [] if optional else ["a"]}
    sent = messages.upstream(output_config={"format": {"type": "json_schema", "schema": schema}})["text"]["format"]
    assert (sent["type"], sent["strict"]) == ("json_schema", strict)


def test_nulls_are_absent(messages):
    names = (
        "system", "tools", "tool_choice", "thinking", "stop_sequences", "metadata", "stream", "temperature", "top_k",
        "output_config", "service_tier", "mcp_servers", "container", "context_management",
    )  # fmt: skip
    assert messages.upstream(**dict.fromkeys(names)) == messages.upstream()


def test_knobs_without_a_place_are_listed(messages):
    assert messages.decode(context_management={"edits": []}, inference_geo="us").dropped == (
        "context_management",
        "inference_geo",
    )


def test_mcp_servers_are_refused(messages):
    with pytest.raises(UnsupportedFeature, match="mcp_servers"):
        messages.decode(mcp_servers=[{"url": "https://a"}])


def test_missing_limits_are_tolerated(messages):
    assert messages.decode(max_tokens=None).max_output_tokens is None


def test_an_empty_conversation_is_one_empty_user_message(messages):
    assert messages.decode(messages=[]).items == (Message("user", (TextPart(""),)),)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"messages":[]}', "model"),
        (b'{"model":"m","stream":1,"messages":[]}', "stream"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":{}}', "messages"),
        (b'{"model":"m","messages":[{"content":"a"}]}', "messages[0].role"),
        (b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":1}]}]}',
         "messages[0].content[0].text"),
        (b'{"model":"m","messages":[{"role":"user","content":[{"type":"image"}]}]}', "messages[0].content[0].source"),
        (b'{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use"}]}]}',
         "messages[0].content[0].name"),
        (b'{"model":"m","messages":[],"tools":[{}]}', "tools[0].name"),
        (b'{"model":"m","messages":[],"tools":{"a":1}}', "tools"),
        (b'{"model":"m","messages":[],"stop_sequences":[1]}', "stop_sequences"),
        (b'{"model":"m","messages":[],"tools":[{"name":"f"}],"tool_choice":{"type":"x"}}', "tool_choice.type"),
    ],
)  # fmt: skip
def test_wrong_essentials_are_named_by_the_clients_own_path(body, param):
    with pytest.raises(InvalidRequest) as caught:
        CODEC.decode_request(CODEC.open_request(body, WireContext()))
    assert caught.value.param == param


def test_further_turns_keep_the_earlier_items_as_their_prefix(messages):
    thought = {"type": "thinking", "thinking": "hm", "signature": codex_proof()}
    turns = [
        user(text("q"), image()),
        assistant(thought, text("let me"), call("t1"), call("t2", a="b")),
        user(result("r1", "t1"), result([text("x"), image()], "t2", is_error=True), text("and")),
        assistant(text("done")),
        user(text("more")),
    ]
    sent = [messages.upstream(messages=turns[:count], tools=[TOOL])["input"] for count in (1, 3, 5)]
    for shorter, longer in itertools.pairwise(sent):
        assert longer[: len(shorter)] == shorter
