"""The rest of reading a Chat body: what is refused with which path, what is dropped, identity, reasoning carriers."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from translation.codec import WireContext
from translation.errors import ClientError, InvalidRequest
from translation.ir.events import Proof
from translation.ir.request import (
    FunctionTool,
    HostedTool,
    Identity,
    Message,
    OutputFormat,
    Reasoning,
    Sampling,
    TextPart,
    ToolCall,
    ToolChoice,
)
from translation.protocols.openai_chat import CODEC

USER = {"role": "user", "content": "hi"}


def fernet(ciphertext_bytes: int = 32) -> str:
    """A blob with the shape of the backend's encrypted reasoning."""
    return base64.urlsafe_b64encode(b"\x80" + bytes(24) + b"\x07" * ciphertext_bytes + bytes(32)).decode()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [USER, "x"]}, "messages[1]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": 5}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "blob"}]}]}, None),
        ({"messages": [{"role": "user", "content": [{"x": 1}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": {}}, USER], "n": 1}, None),
        ({"messages": [{"role": "assistant", "tool_calls": "x"}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [5]}]}, "messages[0].tool_calls[0]"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}]},
            "messages[0].tool_calls[0].function.name",
        ),
        ({"input": [{"type": "function_call"}]}, "input[0].name"),
        ({"input": [{}]}, "input[0].role"),
        ({"input": 5}, "input"),
        ({"tools": "x"}, "tools"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 5]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"model": 5}, "model"),
        ({"model": " "}, "model"),
    ],
)
def test_a_wrong_essential_is_a_400_with_the_clients_path(chat, body: dict[str, Any], param: str | None):
    if param is None:
        chat.decode(**body)
        return
    with pytest.raises(ClientError) as caught:
        chat.decode(**body)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert param in caught.value.message


def test_a_body_without_a_model_is_refused():
    with pytest.raises(InvalidRequest) as caught:
        CODEC.open_request(b'{"messages":[]}', WireContext())
    assert caught.value.param == "model"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_malformed_json_is_invalid_json(body):
    with pytest.raises(InvalidRequest) as caught:
        CODEC.open_request(body, WireContext())
    assert caught.value.code == "invalid_json"


def test_knobs_of_a_wrong_type_are_ignored(chat):
    odd = {"temperature": "hot", "top_p": True, "seed": "x", "max_tokens": "many", "verbosity": 3, "user": 7}
    assert chat.decode(**odd, reasoning_effort=4, reasoning=5, thinking="x", text=[], service_tier=1) == chat.decode()


def test_knobs_are_read(chat):
    request = chat.decode(temperature=0.5, top_p=1, seed=3, frequency_penalty=0.1, presence_penalty=0, stop="END")
    assert request.sampling == Sampling(
        temperature=0.5, top_p=1, seed=3, frequency_penalty=0.1, presence_penalty=0, stop=("END",)
    )
    assert chat.decode(stop=["a", "", "b"]).sampling.stop == ("a", "b")


def test_what_the_ir_cannot_hold_is_listed(chat):
    request = chat.decode(logit_bias={"1": 2}, metadata={"a": "b"}, store=True, logprobs=None, prediction={})
    assert request.dropped == ("logit_bias", "metadata", "prediction", "store")


def test_unknown_top_level_fields_are_ignored(chat):
    assert chat.decode(frobnicate={"a": 1}) == chat.decode()


def test_identity_comes_from_the_body_and_the_headers(chat):
    assert chat.open({"session_id": "s"}, prompt_cache_key="k", user="u").identity == Identity(
        prompt_cache_key="k", session="s", user="u"
    )
    assert chat.open(promptCacheKey="k").identity.prompt_cache_key == "k"
    for header in ("x-session-id", "session-id", "conversation_id", "thread-id", "x-session-affinity"):
        assert chat.decode({header: "s"}).identity.session == "s"


def test_reasoning_summaries_are_always_asked_for(chat):
    assert chat.decode().reasoning.summary == "auto"
    assert chat.decode().reasoning.effort is None
    assert chat.decode(reasoning={"summary": "detailed"}).reasoning.summary == "detailed"
    assert chat.decode(reasoning={"exclude": True}).reasoning.summary is None


@pytest.mark.parametrize(
    "body", [{"reasoning_effort": "High"}, {"reasoning": {"effort": "high"}}, {"reasoningEffort": "high"}]
)
def test_spellings_of_the_effort(chat, body):
    assert chat.decode(**body).reasoning.effort == "high"


def assistant_with(details: Any, **more: Any) -> list[dict[str, Any]]:
    return [USER, {"role": "assistant", "content": "a", "reasoning_details": details, **more}, USER]


def test_a_proof_in_history_stands_before_what_it_proves(chat):
    proof = fernet()
    details = [{"type": "reasoning.encrypted", "id": "rs_1", "data": proof, "format": "openai-responses-v1"}]
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    items = chat.decode(messages=assistant_with(details, tool_calls=calls)).items
    assert items[1] == Reasoning(proof=Proof("openai-responses", proof), id="rs_1")
    assert [type(item) for item in items[1:4]] == [Reasoning, Message, ToolCall]


@pytest.mark.parametrize(
    "details",
    [
        [{"type": "reasoning.encrypted", "data": "Eq4BCkYIBxgC"}],
        [{"type": "reasoning.encrypted", "data": fernet()[:-6]}],
        [{"type": "reasoning.encrypted", "data": fernet(30)}],
        [{"type": "reasoning.encrypted", "data": fernet().replace("B", "!")}],
        [{"type": "reasoning.encrypted", "data": None}],
        [{"type": "reasoning.text", "text": "x"}],
        ["x"],
        "x",
        {},
    ],
)
def test_what_is_no_proof_of_ours_is_left_out(chat, details):
    items = chat.decode(messages=assistant_with(details, reasoning_content="thoughts")).items
    assert [type(item) for item in items] == [Message, Message, Message]


def test_ids_that_the_upstream_did_not_make_are_not_sent_back(chat):
    details = [{"type": "reasoning.encrypted", "id": "mine", "data": fernet()}]
    assert chat.decode(messages=assistant_with(details)).items[1].id is None


def test_thinking_parts_that_clients_echo_are_left_out(chat):
    content = [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "a"}]
    assert chat.decode(messages=[USER, {"role": "assistant", "content": content}]).items[1].parts == (TextPart("a"),)


def test_an_image_in_an_assistant_message_is_refused(chat):
    content = [{"type": "image_url", "image_url": "https://x/y.png"}]
    with pytest.raises(ClientError) as caught:
        chat.decode(messages=[{"role": "assistant", "content": content}])
    assert caught.value.param == "messages[0].content[0]"


def test_an_empty_user_message_counts_only_when_it_is_all_there_is(chat):
    assert chat.decode(messages=[{"role": "user", "content": ""}]).items == (Message("user", (TextPart(""),)),)
    assert chat.decode(messages=[{"role": "user", "content": ""}, USER]).items == chat.decode().items
    assert chat.decode(messages=[{"role": "system", "content": "s"}]).items == (Message("user", (TextPart(""),)),)


def test_parts_are_kept_apart_and_empty_ones_left_out(chat):
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": ""}, "b", {"text": "c"}]
    parts = chat.decode(messages=[{"role": "user", "content": content}]).items[0].parts
    assert parts == (TextPart("a"), TextPart("b"), TextPart("c"))


def test_a_trailing_assistant_message_is_kept(chat):
    assert chat.decode(messages=[USER, {"role": "assistant", "content": "pre"}]).items[-1].role == "assistant"


def test_claude_codes_billing_block_is_left_out(chat):
    system = {"role": "system", "content": [{"type": "text", "text": " x-anthropic-billing-header: cch=1"}, "rules"]}
    assert chat.decode(messages=[system, USER]).instructions == ("rules",)


def test_arguments_stay_the_text_they_are(chat):
    raw = '{"n": 1.0,  "big": 123456789012345678901234567890}'
    calls = [{"id": "c", "function": {"name": "f", "arguments": raw}}, {"id": "d", "function": {"name": "f"}}]
    items = chat.decode(messages=[USER, {"role": "assistant", "tool_calls": calls}]).items
    assert [item.arguments for item in items[1:]] == [raw, "{}"]


def test_hosted_tools(chat):
    tools = [
        {"type": "web_search_preview", "search_context_size": "low", "max_uses": 3},
        {"type": "web_search"},
        {"type": "image_generation", "size": "auto"},
    ]
    request = chat.decode(tools=tools, tool_choice={"type": "web_search_preview"})
    assert request.tools == (
        HostedTool("web_search", {"search_context_size": "low"}),
        HostedTool("image_generation", {"size": "auto"}),
    )
    assert request.tool_choice == ToolChoice(mode="hosted", name="web_search")


def test_web_search_options_are_a_tool(chat):
    options = {"search_context_size": "high", "user_location": {"type": "approximate", "approximate": {"city": "Bonn"}}}
    location = {"type": "approximate", "city": "Bonn"}
    assert chat.decode(web_search_options=options).tools == (
        HostedTool("web_search", {"search_context_size": "high", "user_location": location}),
    )


def test_tools_win_over_functions_and_duplicates_go(chat):
    tool = {"type": "function", "function": {"name": "f"}}
    request = chat.decode(tools=[tool, tool], functions=[{"name": "g"}])
    assert request.tools == (FunctionTool(name="f"),)


def test_strict_is_the_clients_value_or_nothing(chat):
    tools = [
        {"type": "function", "function": {"name": name, "strict": value}}
        for name, value in zip("abc", (True, False, None), strict=True)
    ]
    assert [tool.strict for tool in chat.decode(tools=tools).tools] == [True, False, None]


def test_tool_choice_without_tools_is_dropped(chat):
    assert chat.decode(tool_choice="required").tool_choice is None
    assert chat.decode(tools=[], tool_choice="auto").tools is None


@pytest.mark.parametrize("word", ["auto", "none", "required"])
def test_tool_choice_words(chat, word):
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert chat.decode(tools=tools, tool_choice=word).tool_choice == ToolChoice(mode=word)


def test_output_formats(chat):
    schema = {"type": "object"}
    inner = {"name": "my schema!", "schema": schema, "strict": True, "description": "d"}
    expected = OutputFormat(kind="json_schema", name="my_schema_", schema=schema, strict=True, description="d")
    assert chat.decode(response_format={"type": "json_schema", "json_schema": inner}).output_format == expected
    assert chat.decode(text={"format": {"type": "json_schema", **inner}}).output_format == expected
    assert chat.decode(response_format={"type": "text"}).output_format is None
    unnamed = {"type": "json_schema", "json_schema": {"schema": schema}}
    assert chat.decode(response_format=unnamed).output_format == OutputFormat(
        kind="json_schema", name="response", schema=schema
    )


def test_previous_response_id_belongs_to_responses_payloads_only(chat):
    assert chat.open(input="x", previous_response_id="resp_1").previous_response_id == "resp_1"
    assert chat.open(previous_response_id="resp_1").previous_response_id is None


def test_a_growing_conversation_keeps_its_items_as_prefix(chat):
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "s"}, USER]
    turns = [
        [
            {"role": "assistant", "content": "x", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
        [{"role": "assistant", "content": "y"}, {"role": "system", "content": "later"}, USER],
        [{"role": "assistant", "content": None, "tool_calls": calls}, {"role": "user", "content": "never mind"}],
        [{"role": "assistant", "content": "ok"}, USER],
    ]
    before = chat.prepare(messages=messages).request.items
    for turn in turns:
        messages += turn
        items = chat.prepare(messages=messages).request.items
        assert items[: len(before)] == before
        before = items


def test_input_items_of_every_known_type(chat):
    proof = fernet()
    request = chat.decode(
        input=[
            "hello",
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": proof},
            {"type": "reasoning", "encrypted_content": "junk"},
            {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "raw"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
        ]
    )
    assert request.items[:3] == (
        Message("user", (TextPart("hello"),)),
        Reasoning(proof=Proof("openai-responses", proof), id="rs_1"),
        ToolCall(call_id="c", name="patch", arguments="raw", kind="custom"),
    )
    assert request.items[3].kind == "custom"
    with pytest.raises(ClientError) as caught:
        chat.decode(input=[5])
    assert caught.value.param == "input[0]"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"type": "text", "text": "a"}, ("a",)),
        (["a", "", {"type": "text", "text": None}], ("a",)),
        (None, ("",)),
    ],
)
def test_odd_shapes_of_content(chat, content, parts):
    items = chat.decode(messages=[{"role": "user", "content": content}]).items
    assert items[0].parts == tuple(TextPart(text) for text in parts)


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"type": "input_image", "file_id": "file-1"}, "file_id"),
        ({"type": "file", "file": {}}, "file.file_data"),
        ({"type": "input_file"}, "file_data"),
    ],
)
def test_parts_that_cannot_be_carried(chat, part, path):
    with pytest.raises(ClientError) as caught:
        chat.decode(messages=[{"role": "user", "content": [part]}])
    assert caught.value.param == f"messages[0].content[0].{path}"


def test_a_file_by_address(chat):
    part = {"type": "input_file", "file_url": "https://x/a.pdf"}
    file = chat.decode(messages=[{"role": "user", "content": [part]}]).items[0].parts[0]
    assert (file.url, file.data) == ("https://x/a.pdf", None)


def test_a_file_of_an_unknown_kind_is_told_by_its_name(chat):
    parts = [{"type": "file", "file": {"file_data": "QUJD", "filename": name}} for name in ("a.csv", "a.bin")]
    files = chat.decode(messages=[{"role": "user", "content": parts}]).items[0].parts
    assert [file.data.partition(";")[0] for file in files] == ["data:text/csv", "data:application/octet-stream"]


def test_percent_encoded_base64_is_repaired(chat):
    url = "data:image/png;base64,QUI%2BQQ%3D%3D"
    content = [{"type": "image_url", "image_url": {"url": url}}]
    assert chat.decode(messages=[{"role": "user", "content": content}]).items[0].parts[0].url.endswith(",QUI+QQ==")


def test_refusal_parts_are_read(chat):
    content = [{"type": "refusal", "refusal": "no"}, {"type": "refusal"}]
    parts = chat.decode(messages=[USER, {"role": "assistant", "content": content}]).items[1].parts
    assert [part.text for part in parts] == ["no"]


def test_flat_calls_and_object_arguments(chat):
    calls = [{"id": "c", "name": "f", "arguments": {"a": 1}}]
    items = chat.decode(messages=[USER, {"role": "assistant", "tool_calls": calls}]).items
    assert items[1] == ToolCall(call_id="c", name="f", arguments='{"a":1}')


def test_a_legacy_call_without_a_name_is_refused(chat):
    with pytest.raises(ClientError) as caught:
        chat.decode(messages=[{"role": "assistant", "function_call": {"name": ""}}])
    assert caught.value.param == "messages[0].function_call.name"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ToolChoice(mode="auto")),
        ({"type": "image_generation"}, ToolChoice(mode="hosted", name="image_generation")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="named", name="f")),
        ({"type": "custom", "custom": {"name": "p"}}, ToolChoice(mode="named", name="p", kind="custom")),
    ],
)
def test_tool_choice_objects(chat, choice, expected):
    tools = [{"type": "function", "name": "f"}, {"type": "custom", "name": "p", "format": {"type": "text"}}]
    assert chat.decode(tools=tools, tool_choice=choice).tool_choice == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"functions": [5]}, "functions[0]"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": 5}, "tool_choice"),
    ],
)
def test_more_wrong_tools(chat, body, param):
    with pytest.raises(ClientError) as caught:
        chat.decode(**body)
    assert caught.value.param == param


def test_a_whole_number_may_be_written_as_a_float(chat):
    assert chat.decode(max_tokens=5.0).max_output_tokens == 5
