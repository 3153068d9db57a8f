"""What the backend refuses, in its own words; and everything the official client sends, accepted."""

from __future__ import annotations

import base64
import time

import pytest

from providers.simulator.accounts import Registry
from providers.simulator.failures import Refused
from providers.simulator.sealed import is_owned_by, is_well_formed, seal
from providers.simulator.validation import check_history, check_request

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()


@pytest.fixture
def account():
    return Registry(time.time).add()


def user(content):
    return {"type": "message", "role": "user", "content": content}


def part(text="hi"):
    return [{"type": "input_text", "text": text}]


def call(call_id="call_1", **fields):
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"} | fields


def result(call_id="call_1", **fields):
    return {"type": "function_call_output", "call_id": call_id, "output": "ok"} | fields


def refusal(account, surface="http", version=None, **fields):
    body = {"model": "gpt-5.5", "input": [user(part())], "store": False, "stream": True} | fields
    try:
        check_request(body, account, surface=surface, version=version)
        check_history(body["input"], account)
    except Refused as refused:
        failure = refused.failure
        assert failure.status == 400
        return failure.body.get("detail") or failure.body["error"]
    return None


@pytest.mark.parametrize(
    "name",
    ["http_tool_and_resume", "lite_after_exec", "lite_compaction_trigger", "lite_after_compaction", "local_compaction"],
)
def test_every_body_of_the_official_client_is_accepted(account, capture, name):
    body = capture(name)
    for number, item in enumerate(body["input"]):
        if item.get("encrypted_content"):  # the recorder's blobs were no Fernet tokens
            item["encrypted_content"] = seal(account.chatgpt_account_id, now=1, nonce=number)
    check_request(body, account, version="0.169.0")
    check_history(body["input"], account)


@pytest.mark.parametrize("name", ["ws_prewarm", "ws_turn"])
def test_every_frame_of_the_official_client_is_accepted(account, capture, name):
    body = capture(name)
    check_request(body, account, surface="websocket")


@pytest.mark.parametrize(
    "name",
    [
        "max_output_tokens",
        "temperature",
        "top_p",
        "metadata",
        "user",
        "truncation",
        "safety_identifier",
        "seed",
        "stop",
        "previous_response_id",
        "generate",
        "prompt_cache_retention",
        "logprobs",
        "made_up",
    ],
)
def test_parameters_outside_the_allow_list_are_named(account, name):
    assert refusal(account, **{name: 1}) == f"Unsupported parameter: {name}"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"store": True}, "Store must be set to false"),
        ({"stream": False}, "Stream must be set to true"),
        ({"input": "hi"}, "Input must be a list"),
        ({"model": "gpt-4o"}, "The 'gpt-4o' model is not supported when using Codex with a ChatGPT account."),
        ({"instructions": 7}, "Instructions are not valid"),
        ({"service_tier": "fast"}, "Unsupported service_tier: fast"),
        ({"stream_options": {"include_usage": True}}, "Unsupported parameter: stream_options"),
        ({"tools": [{"type": "file_search"}]}, "Unsupported tool type: file_search"),
        ({"tools": [{"type": "web_search_preview"}]}, "Unsupported tool type: web_search_preview"),
        ({"input": [{"role": "system", "content": "x"}]}, "System messages are not allowed"),
    ],
)
def test_plain_refusals_are_details(account, fields, words):
    assert refusal(account, **fields) == words


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": []}, "missing_required_parameter", "input"),
        ({"input": [user(part()) | {"cache_control": {}}]}, "unknown_parameter", "input[0].cache_control"),
        ({"input": [user(part()) | {"name": "bob"}]}, "unknown_parameter", "input[0].name"),
        ({"input": [user([{"type": "text", "text": "x"}])]}, "invalid_value", "input[0].content[0].type"),
        ({"input": [user([{"type": "output_text", "text": "x"}])]}, "invalid_value", "input[0].content[0].type"),
        ({"input": [user(part()) | {"role": "assistant"}]}, "invalid_value", "input[0].content[0].type"),
        (
            {"input": [user([{"type": "input_text", "text": "x", "prompt_cache_breakpoint": 1}])]},
            "unknown_parameter",
            "input[0].content[0].prompt_cache_breakpoint",
        ),
        ({"input": [user(part()) | {"id": "msg_" + "x" * 61}]}, "string_above_max_length", "input[0].id"),
        ({"input": [user(part()) | {"id": "abc"}]}, "invalid_value", "input[0].id"),
        ({"input": [call("c" * 65), result("c" * 65)]}, "string_above_max_length", "input[0].call_id"),
        ({"input": [call(arguments={}), result()]}, "invalid_type", "input[0].arguments"),
        ({"input": [{"type": "reasoning", "id": "rs_1"}]}, "missing_required_parameter", "input[0].summary"),
        ({"input": [{"type": "hologram"}]}, "invalid_value", "input[0].type"),
        ({"input": [{"type": "compaction_trigger"}, user(part())]}, "invalid_value", "input[0]"),
        ({"reasoning": {"effort": "ultra"}}, "invalid_value", "reasoning.effort"),
        ({"reasoning": {"generate_summary": "auto"}}, "unknown_parameter", "reasoning.generate_summary"),
        ({"include": ["everything"]}, "invalid_value", "include"),
        ({"text": {"verbosity": "chatty"}}, "invalid_value", "text.verbosity"),
        ({"client_metadata": {"a": 1}}, "invalid_type", "client_metadata"),
        ({"prompt_cache_key": "k" * 65}, "string_above_max_length", "prompt_cache_key"),
        ({"tools": [{"type": "function", "name": "bad name"}]}, "invalid_value", "tools[0].name"),
        ({"tools": [{"type": "function", "name": "n" * 65}]}, "invalid_value", "tools[0].name"),
        (
            {"tools": [{"type": "function", "function": {"name": "nested"}}]},
            "missing_required_parameter",
            "tools[0].name",
        ),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]},
            "invalid_function_parameters",
            "tools[0].parameters",
        ),
        (
            {
                "tools": [
                    {
                        "type": "function",
                        "name": "f",
                        "strict": True,
                        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
                    }
                ]
            },
            "invalid_function_parameters",
            "tools[0].parameters",
        ),
        ({"tool_choice": {"type": "function", "name": "nope"}}, None, "tool_choice"),
        ({"tool_choice": "required"}, None, "tool_choice"),
        ({"text": {"format": {"type": "json_object"}}}, None, "input"),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "x",
                        "strict": True,
                        "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    }
                }
            },
            "invalid_json_schema",
            "text.format.schema",
        ),
        (
            {
                "text": {
                    "format": {
                        "type": "json_schema",
                        "name": "x",
                        "strict": True,
                        "schema": {
                            "type": "object",
                            "properties": {"a": {"type": "string"}},
                            "required": [],
                            "additionalProperties": False,
                        },
                    }
                }
            },
            "invalid_json_schema",
            "text.format.schema",
        ),
    ],
)
def test_structured_refusals_name_code_and_parameter(account, fields, code, param):
    error = refusal(account, **fields)
    assert (error["code"], error["param"]) == (code, param)


def test_a_loose_schema_and_the_word_json_are_fine(account):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert refusal(account, text={"format": {"type": "json_schema", "name": "x", "schema": schema}}) is None
    assert refusal(account, text={"format": {"type": "json_object"}}, input=[user(part("as JSON please"))]) is None


def test_calls_and_results_must_pair_both_ways(account):
    assert refusal(account, input=[user(part()), call(), result()]) is None
    orphan = refusal(account, input=[user(part()), result("call_9")])
    assert orphan["message"] == "No tool call found for function call output with call_id call_9."
    open_call = refusal(account, input=[user(part()), call("call_8")])
    assert open_call["message"] == "No tool output found for function call call_8."
    early = refusal(account, input=[result(), call()])
    assert early["message"].startswith("No tool call found")
    custom = {"type": "custom_tool_call", "call_id": "call_1", "name": "exec", "input": "x"}
    assert refusal(account, input=[custom, result()])["message"].startswith("No tool call found for function call")
    assert (
        refusal(account, input=[custom, {"type": "custom_tool_call_output", "call_id": "call_1", "output": "y"}])
        is None
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (PNG, None),
        ("https://example.com/a.png", None),
        ("data:image/png;base64,", "empty base64-encoded bytes"),
        ("data:image/png;base64,bm90IGFuIGltYWdl", "does not represent a valid image"),
        ("data:text/plain;base64,aGk=", "Expected a base64-encoded data URL with an image MIME type"),
        ({"url": PNG}, "expected a string"),
    ],
)
def test_images_must_be_images(account, url, words):
    error = refusal(account, input=[user([{"type": "input_image", "image_url": url}])])
    assert (error is None) if words is None else (words in error["message"])


def test_a_sealed_blob_is_good_only_for_its_own_account(account):
    blob = seal(account.chatgpt_account_id, now=1_787_000_000, nonce=5)
    assert blob.startswith("gAAAA")
    assert is_well_formed(blob)
    assert is_owned_by(blob, account.chatgpt_account_id)
    assert not is_owned_by(blob, "someone-else")

    def reasoning(content):
        return [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": content}, user(part())]

    assert refusal(account, input=reasoning(blob)) is None
    assert refusal(account, input=reasoning(None)) is None
    for foreign in (seal("someone-else", now=1, nonce=1), "gAAAAnonsense", blob[:-8] + "AAAAAAA="):
        assert refusal(account, input=reasoning(foreign))["code"] == "invalid_encrypted_content"


def test_the_version_header_is_a_gate_and_its_absence_is_not(account):
    assert "requires a newer version of Codex" in refusal(account, version="0.1.0")
    assert refusal(account, version="0.169.0") is None
    assert refusal(account, version="999.0.0") is None
    assert refusal(account) is None


def test_entitlements_follow_the_plan_or_the_account(account):
    account.plan = "free"
    assert "not supported" in refusal(account, model="gpt-5.4")
    account.models = frozenset({"gpt-5.4"})
    assert refusal(account, model="gpt-5.4") is None
    assert "not supported" in refusal(account, model="gpt-5.5")


def test_a_socket_takes_what_only_sockets_take(account):
    assert refusal(account, "websocket", type="response.create", generate=False, previous_response_id="resp_1") is None
    assert refusal(account, "websocket", temperature=1) == "Unsupported parameter: temperature"
