"""Client bodies: what is refused, what is cleaned, and that both lanes send the same keys. Rows: translation §15.6."""

from __future__ import annotations

from itertools import pairwise

import orjson
import pytest

from translation.codec import Quirks, RelayTarget
from translation.protocols.openai_responses import CODEC
from translation.protocols.openai_responses.options import KEY_ORDER

FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True}
FULL = {
    "instructions": "Be brief.",
    "tools": [FUNCTION],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "high", "summary": "auto"},
    "include": ["web_search_call.action.sources"],
    "service_tier": "fast",
    "prompt_cache_key": "client key",
    "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}},
    "client_metadata": {"a": "b", "n": 1, "x": None},
}
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}


@pytest.fixture(params=["relay", "translate"])
def send(request, responses):
    """Both lanes."""
    return getattr(responses, request.param)


# ---- input ---------------------------------------------------------------------------------------------------------


def test_row_178_a_string_input_becomes_one_user_message(send):
    assert send(input="hi")["input"] == [USER]


def test_one_object_is_one_item(send):
    assert send(input={"role": "user", "content": [{"type": "input_text", "text": "hi"}]})["input"] == [USER]


def test_messages_are_an_alias_of_input_and_chat_parts_are_accepted(send):
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://e.x/a.png"}}]
    sent = send(messages=[{"role": "user", "content": content}])
    assert sent["input"][0]["content"] == [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "https://e.x/a.png"},
    ]


def test_row_179_without_stream_the_answer_is_collected(responses):
    assert responses.open().stream is False
    assert responses.open(stream=None).stream is False
    assert responses.open(stream=True).stream is True


def test_row_189_system_items_become_developer_items(send):
    sent = send(input=[{"role": "system", "content": "Be nice."}, USER])
    assert [item["role"] for item in sent["input"]] == ["developer", "user"]


def test_row_190_additional_tools_pass_untouched(send):
    lite = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [{"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec", "z": None}]}],
        "unknown_key": {"kept": True},
    }
    sent = send(input=[lite, USER], tool_choice="auto")
    assert orjson.dumps(sent["input"][0]) == orjson.dumps(lite)
    assert "tools" not in sent
    assert sent["tool_choice"] == "auto"


def test_system_items_stay_in_the_responses_lite_form(responses):
    sent = responses.relay(input=[{"type": "additional_tools", "tools": []}, {"role": "system", "content": "s"}])
    assert sent["input"][1]["role"] == "system"


def test_unknown_item_types_pass_untouched(send):
    item = {"type": "tool_search_call", "call_id": "c", "status": "completed", "arguments": {"q": None}}
    assert send(input=[item, USER])["input"][0] == item


def test_row_192_prompt_cache_breakpoints_are_stripped(send):
    part = {"type": "input_text", "text": "hi", "prompt_cache_breakpoint": {"a": 1}}
    other = {"type": "computer_screenshot", "prompt_cache_breakpoint": True, "x": 1}
    sent = send(input=[{"role": "user", "content": [part, other]}])
    assert sent["input"][0]["content"] == [
        {"type": "input_text", "text": "hi"},
        {"type": "computer_screenshot", "x": 1},
    ]


def test_row_197_reasoning_without_id_or_summary_is_accepted(send):
    sent = send(input=[{"type": "reasoning", "encrypted_content": "gAAAAA"}, USER])
    assert sent["input"][0] == {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAA"}


def test_reasoning_keeps_only_what_the_backend_knows(responses):
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "s", "x": 1}, {"type": "other", "text": "no"}],
        "content": None,
        "encrypted_content": "gAAAAA",
        "status": None,
        "reasoning_details": [],
    }
    assert responses.relay(input=[item, USER])["input"][0] == {
        "type": "reasoning",
        "encrypted_content": "gAAAAA",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "s"}],
    }


def test_reasoning_that_is_only_an_id_is_dropped(send):
    assert send(input=[{"type": "reasoning", "id": "rs_1", "summary": []}, USER])["input"] == [USER]


def test_reasoning_of_another_vendor_never_goes_upstream(send):
    item = {"type": "reasoning", "summary": [], "encrypted_content": "cpx1.anthropic-messages.sig"}
    assert send(input=[item, USER])["input"] == [USER]


def test_row_198_compaction_needs_its_content(send):
    kept = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAAA"}
    sent = send(input=[kept, {"type": "compaction", "id": "cmp_2"}, USER])
    assert [item["type"] for item in sent["input"]] == ["compaction", "message"]
    assert sent["input"][0]["id"] == "cmp_1"


def test_row_203_assistant_input_text_becomes_output_text(send):
    sent = send(input=[USER, {"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}, USER])
    assert sent["input"][1]["content"] == [{"type": "output_text", "text": "a"}]


def test_row_204_chat_style_keys_are_removed_from_items(send):
    item = {
        "role": "assistant",
        "content": "a",
        "name": "bob",
        "reasoning_content": "t",
        "reasoning_details": [],
        "cache_control": {"type": "ephemeral"},
        "function_call": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    sent = send(input=[USER, item, call, output])
    assert [entry["type"] for entry in sent["input"]] == ["message", "message", "function_call", "function_call_output"]
    assert set(sent["input"][1]) == {"type", "role", "content"}


def test_chat_style_calls_and_results_become_items(send):
    sent = send(
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        ]
    )
    assert sent["input"][1:] == [
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "1"},
    ]


def test_row_208_several_compaction_triggers_become_one_at_the_end(send):
    trigger = {"type": "compaction_trigger"}
    assert send(input=[trigger, USER, trigger, USER])["input"] == [USER, USER, trigger]


def test_row_209_the_namespace_of_a_replayed_call_is_removed_unless_declared(send):
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "clock"}
    output = {"type": "function_call_output", "call_id": "c", "output": ""}
    assert "namespace" not in send(input=[call, output])["input"][0]
    declared = send(input=[call, output], tools=[{"type": "namespace", "name": "clock", "tools": []}])
    assert declared["input"][0]["namespace"] == "clock"


def test_item_ids_are_kept_only_when_the_upstream_may_have_minted_them(responses):
    items = [
        {"type": "message", "id": "msg_1", "role": "user", "content": "a"},
        {"type": "message", "id": "mine", "role": "user", "content": "a"},
        {"type": "message", "id": "msg_" + "x" * 70, "role": "user", "content": "a"},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "c", "output": ""},
    ]
    sent = responses.relay(input=items)["input"]
    assert [item.get("id") for item in sent] == ["msg_1", None, None, "fc_1", "fco_1"]


def test_codex_keeps_its_own_item_fields(responses):
    item = {**USER, "internal_chat_message_metadata_passthrough": {"a": 1}, "end_turn": True, "name": "x"}
    plain = responses.relay(input=[item])["input"][0]
    codex = responses.relay({"originator": "codex_exec"}, input=[item])["input"][0]
    assert set(plain) == {"type", "role", "content", "internal_chat_message_metadata_passthrough"}
    assert set(codex) == {*plain, "end_turn"}


def test_long_call_ids_are_shortened_alike_on_call_and_output(send):
    long = "call_" + "x" * 80
    sent = send(
        input=[
            {"type": "function_call", "call_id": long, "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": long, "output": "1"},
        ]
    )
    ids = {item["call_id"] for item in sent["input"]}
    assert len(ids) == 1
    assert len(ids.pop()) == 64


def test_tool_outputs_may_be_lists_of_parts(send):
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:image/png;base64,AA=="}]
    sent = send(
        input=[
            {"type": "custom_tool_call", "call_id": "c", "name": "exec", "input": "ls"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": parts},
        ]
    )
    assert sent["input"][1]["output"] == parts


def test_arguments_that_are_no_string_become_json_text(send):
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}}
    assert send(input=[call])["input"][0]["arguments"] == '{"a":1}'


def test_an_empty_input_becomes_one_empty_user_message(responses):
    assert responses.relay(input=[])["input"] == [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": ""}]}
    ]


def test_an_unknown_role_is_somebody_who_talks(send):
    (item,) = send(input=[{"role": "narrator", "content": "x"}])["input"]
    assert (item["role"], item["type"]) == ("user", "message")


def test_nulls_inside_tools_and_formats_are_absent(send):
    custom = {"type": "custom", "name": "p", "format": {"type": "text", "syntax": None}, "defer_loading": None}
    schema = {"type": "json_schema", "name": "x", "schema": {"type": "object"}}
    sent = send(tools=[custom], text={"format": {**schema, "description": None}})
    assert sent["tools"] == [{"type": "custom", "name": "p", "format": {"type": "text"}}]
    assert "description" not in sent["text"]["format"]


def test_a_growing_conversation_keeps_the_earlier_input_as_its_prefix(send):
    turns = [
        {"role": "system", "content": "Be nice."},
        {"role": "user", "content": "one"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAA"},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "y"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "json please"}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"role": "user", "content": "more"},
    ]
    text = {"format": {"type": "json_object"}}
    sent = [orjson.dumps(send(input=turns[:count], text=text)["input"])[:-1] for count in range(2, len(turns) + 1)]
    for earlier, later in pairwise(sent):
        assert later.startswith(earlier)


# ---- keys ----------------------------------------------------------------------------------------------------------


def test_both_lanes_send_the_same_keys_in_the_same_order(responses):
    relayed, translated = responses.relay(**FULL), responses.translate(**FULL)
    assert list(relayed) == list(translated) == list(KEY_ORDER)
    assert relayed == translated


def test_a_minimal_body_has_the_keys_the_backend_wants(send):
    sent = send()
    assert sent == {
        "model": "gpt-5.5",
        "instructions": "",
        "input": [USER],
        "store": False,
        "stream": True,
        "prompt_cache_key": "cp_1",
    }


def test_row_191_omitted_tools_stay_omitted_and_an_empty_list_stays(send):
    assert "tools" not in send()
    assert "tools" not in send(tools=None)
    assert send(tools=[])["tools"] == []


def test_row_193_and_194_what_the_backend_refuses_is_stripped(send):
    refused = {
        "context_management": [{"type": "compaction"}],
        "user": "u",
        "truncation": "auto",
        "max_output_tokens": 10,
        "temperature": 1,
        "top_p": 0.5,
        "metadata": {"a": "b"},
        "safety_identifier": "s",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {},
        "stream_options": {"include_usage": True},
        "max_tool_calls": 3,
        "top_logprobs": 2,
        "store": True,
        "background": False,
        "generate": False,
        "previous_response_id": "resp_1",
        "anything": 1,
    }
    assert send(**refused) == send()


def test_a_full_responses_upstream_gets_the_knobs_and_no_codex_metadata(send):
    target = RelayTarget(model="o9", quirks=Quirks())
    sent = send(target=target, temperature=0.5, max_output_tokens=7, truncation="auto", client_metadata={"a": "b"})
    assert (sent["temperature"], sent["max_output_tokens"], sent["truncation"]) == (0.5, 7, "auto")
    assert "client_metadata" not in sent


def test_row_195_web_search_preview_is_renamed_in_tools_and_tool_choice(send):
    sent = send(
        tools=[{"type": "web_search_preview_2025_03_11", "search_context_size": "low"}],
        tool_choice={"type": "web_search_preview"},
    )
    assert sent["tools"] == [{"type": "web_search", "search_context_size": "low"}]
    assert sent["tool_choice"] == {"type": "web_search"}


def test_row_195_web_search_preview_is_renamed_in_allowed_tools(send):
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search_preview"}]}
    sent = send(tools=[{"type": "web_search"}], tool_choice=choice)
    assert sent["tool_choice"]["tools"] == [{"type": "web_search"}]


def test_row_196_verbosity_is_forwarded(send):
    assert send(text={"verbosity": "low", "format": None})["text"] == {"verbosity": "low"}


def test_tool_choice_without_tools_is_dropped(send):
    assert "tool_choice" not in send(tools=[], tool_choice="required")


def test_reasoning_brings_its_encrypted_content(send):
    sent = send(reasoning={"effort": "low", "summary": None, "context": "all_turns"})
    assert sent["reasoning"] == {"effort": "low", "context": "all_turns"}
    assert sent["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("asked", "default", "known", "sent"),
    [
        ("high", None, (), "high"),
        ("xhigh", None, ("low", "medium", "high"), "high"),
        ("minimal", None, ("low", "medium"), "low"),
        (None, "medium", (), "medium"),
        ("low", "high", (), "low"),
        (" ", "high", (), "high"),
        ("ultra", None, (), "max"),
        (None, None, ("low",), None),
    ],
)
def test_the_effort_is_filled_in_and_clamped(send, asked, default, known, sent):
    target = RelayTarget(model="m", effort=default, quirks=Quirks(subset=True, efforts=known))
    body = send(target=target, reasoning={"effort": asked})
    assert body.get("reasoning", {}).get("effort") == sent


@pytest.mark.parametrize(
    ("asked", "default", "sent"),
    [
        ("fast", None, "priority"),
        ("priority", None, "priority"),
        ("flex", None, "flex"),
        ("auto", None, None),
        ("default", "priority", None),
        ("scale", None, None),
        (None, "fast", "priority"),
        (None, None, None),
    ],
)
def test_the_service_tier_is_translated(send, asked, default, sent):
    target = RelayTarget(model="m", service_tier=default, quirks=Quirks(subset=True))
    assert send(target=target, service_tier=asked).get("service_tier") == sent


def test_explicit_nulls_are_absent(send):
    assert (
        send(**dict.fromkeys([*FULL, "stream", "store", "include", "conversation", "background", "prompt"])) == send()
    )


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "a", "messages": []}, "input"),
        ({"input": None}, "input"),
        ({"model": " "}, "model"),
        ({"model": 3}, "model"),
        ({"input": 3}, "input"),
        ({"input": [USER, 3]}, "input[1]"),
        ({"input": [{"content": "x"}]}, "input[0].type"),
        ({"input": [{"type": "message", "role": 3, "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 3}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"instructions": ["a"]}, "instructions"),
        ({"stream": "yes"}, "stream"),
        ({"tools": {}}, "tools"),
        ({"tools": [FUNCTION, 1]}, "tools[1]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"reasoning": "high"}, "reasoning"),
        ({"text": "json"}, "text"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"conversation": "conv_1"}, "conversation"),
    ],
)
def test_it_refuses_with_the_path_of_what_is_wrong(responses, body, param):
    error = responses.refused(**body)
    assert (error.status, error.param) == (400, param)


def test_row_201_an_unknown_include_is_refused(responses):
    assert responses.refused(include=["file_search_call.everything"]).param == "include"


def test_row_202_conversation_with_previous_response_id_is_refused(responses):
    error = responses.refused(conversation="conv_1", previous_response_id="resp_1")
    assert (error.status, error.code) == (400, "mutually_exclusive_parameters")


def test_row_200_the_previous_response_id_is_kept_for_the_flow_and_not_sent(responses):
    opened = responses.open(previous_response_id="resp_1")
    assert opened.previous_response_id == "resp_1"
    assert "previous_response_id" not in responses.relay(previous_response_id="resp_1")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model": "\xff"}'])
def test_it_refuses_what_is_no_json_object(responses, body):
    with pytest.raises(Exception, match="request body") as caught:
        CODEC.open_request(body, responses.open().context)
    assert caught.value.code == "invalid_json"


# ---- identity and lanes --------------------------------------------------------------------------------------------


def test_the_identity_prefers_the_cache_key_and_keeps_the_session(responses):
    headers = {"session-id": "s", "thread-id": "t"}
    identity = responses.open(headers, prompt_cache_key="k", user="u").identity
    assert (identity.prompt_cache_key, identity.session, identity.user) == ("k", "s", "u")


@pytest.mark.parametrize("header", ["session-id", "thread-id", "session_id", "conversation_id", "x-session-id"])
def test_session_headers_name_the_conversation(responses, header):
    assert responses.open({header: "s"}).identity.session == "s"


def test_the_window_names_the_conversation_when_no_header_does(responses):
    identity = responses.open(client_metadata={"x-codex-window-id": "w:0"}).identity
    assert identity.session == "w:0"


def test_row_188_tuple_schemas_need_translation(responses):
    schema = {"type": "object", "properties": {"pair": {"type": "array", "prefixItems": [{}, {}]}}}
    in_format = responses.open(text={"format": {"type": "json_schema", "name": "n", "schema": schema}})
    in_tool = responses.open(tools=[{"type": "function", "name": "f", "parameters": {"items": [{}]}}])
    assert CODEC.needs_translation(in_format, Quirks()) == "tuple schema in text.format.schema"
    assert CODEC.needs_translation(in_tool, Quirks()) == "tuple schema in tools[0].parameters"


@pytest.mark.parametrize("name", ["a.b", "x" * 65, "with space"])
def test_illegal_tool_names_need_translation(responses, name):
    assert CODEC.needs_translation(responses.open(tools=[{**FUNCTION, "name": name}]), Quirks())


def test_an_ordinary_body_is_relayed(responses):
    assert CODEC.needs_translation(responses.open(**FULL), Quirks()) is None
