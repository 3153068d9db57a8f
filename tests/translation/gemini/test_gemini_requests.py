"""Rows 150-169 of spec/translation.md §15.5: what a Gemini body means, and what the upstream gets of it."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from translation.codec import WireContext
from translation.errors import GatewayError, InvalidRequest, RouteNotFound, UnsupportedFeature
from translation.ir.request import FilePart, HostedTool, ImagePart, Message, Reasoning, TextPart, ToolCall, ToolResult
from translation.protocols.gemini import CODEC

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="


def said(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def call(name: str, **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {"n": name}, **fields}}


def answer(name: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": {"result": value}, **fields}}


def results(request: Any) -> list[tuple[str, str]]:
    """Pairs of (name of the call, text of its result)."""
    names = {item.call_id: item.name for item in request.items if isinstance(item, ToolCall)}
    return [(names[i.call_id], i.parts[0].text) for i in request.items if isinstance(i, ToolResult)]


# ---- the call ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt-5.5", "models/gpt-5.5", "models%2Fgpt-5.5", "gpt%2D5.5"])
def test_the_model_is_in_the_path_however_it_is_written(gemini, name):
    assert gemini.open(model=name).model == "gpt-5.5"


def test_a_model_name_may_hold_colons_and_slashes():
    (route,) = [r for r in CODEC.routes if r.path == "/v1beta/models/{model}:generateContent"]
    assert route.operation == "generate"
    context = WireContext(path="/v1beta/models/a/b:c:streamGenerateContent", params={"model": "a/b:c"})
    opened = CODEC.open_request(b'{"contents":"hi"}', context)
    assert (opened.model, opened.stream) == ("a/b:c", True)


def test_a_call_without_a_model_is_refused():
    with pytest.raises(InvalidRequest, match="model"):
        CODEC.open_request(b'{"contents":"hi"}', WireContext(path=":generateContent"))


def test_another_verb_is_not_found(gemini):
    with pytest.raises(RouteNotFound, match="embedContent"):
        gemini.open("embedContent")


def test_only_the_stream_verb_streams_whatever_alt_says(gemini):
    assert gemini.open("streamGenerateContent").stream
    assert not gemini.open("generateContent", {"alt": "sse"}).stream


def test_the_media_type_follows_alt(gemini):
    assert gemini.open("streamGenerateContent", {"alt": "sse"}).media_type is None
    assert gemini.open("streamGenerateContent").media_type == "application/json; charset=utf-8"


def test_a_conversation_is_named_by_a_header_or_recognized_by_its_beginning(gemini):
    assert gemini.open(headers={"x-session-id": "s"}).identity.session == "s"
    assert gemini.open(promptCacheKey="k").identity.prompt_cache_key == "k"
    first = gemini.open(contents=[said({"text": "hi"})], systemInstruction="be")
    grown = gemini.open(
        contents=[said({"text": "hi"}), said({"text": "yes"}, role="model"), said({"text": "more"})],
        systemInstruction={"parts": [{"text": "be"}]},
    )
    assert first.identity.anchor == grown.identity.anchor
    assert first.identity.anchor != gemini.open(contents="other").identity.anchor


@pytest.mark.parametrize("contents", [None, [], "", {}])
def test_missing_contents_are_refused(gemini, contents):
    with pytest.raises(InvalidRequest) as caught:
        gemini.decode(contents=contents)
    assert caught.value.param == "contents"


@pytest.mark.parametrize(
    "contents", ["hi", {"parts": [{"text": "hi"}]}, {"parts": "hi"}, ["hi"], [{"text": "hi"}], [said({"text": "hi"})]]
)
def test_contents_may_be_a_list_an_object_a_string_or_bare_parts(gemini, contents):
    assert gemini.decode(contents=contents).items == (Message("user", (TextPart("hi"),)),)


def test_nulls_and_unknown_fields_are_absent(gemini):
    request = gemini.decode(
        tools=None, toolConfig=None, generationConfig={"temperature": None, "whatever": 1}, somethingNew={"a": 1}
    )
    assert request.tools is None and request.sampling.temperature is None


@pytest.mark.parametrize(
    ("contents", "param"),
    [
        ([5], "contents[0]"),
        ([said(5)], "contents[0].parts[0]"),
        ([said({"text": 5})], "contents[0].parts[0].text"),
        ([said({"functionCall": {}}, role="model")], "contents[0].parts[0].functionCall.name"),
        ([said({"inlineData": {"mimeType": "image/png"}})], "contents[0].parts[0].inlineData.data"),
        ([said({"fileData": {}})], "contents[0].parts[0].fileData.fileUri"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_path(gemini, contents, param):
    with pytest.raises(InvalidRequest) as caught:
        gemini.decode(contents=contents)
    assert caught.value.param == param


def test_unknown_parts_are_left_out_and_listed(gemini):
    request = gemini.decode(contents=[said({"text": "hi"}, {"hologram": {"x": 1}, "thought": False})])
    assert request.items == (Message("user", (TextPart("hi"),)),)
    assert request.dropped == ("hologram",)


# ---- content -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["system_instruction", "systemInstruction"])
@pytest.mark.parametrize("value", ["be", {"parts": [{"text": "be"}]}, {"parts": {"text": "be"}}, [{"text": "be"}]])
def test_row_150_system_instruction_in_both_spellings(gemini, key, value):
    assert gemini.decode(**{key: value}).instructions == ("be",)


def test_thought_parts_of_a_system_instruction_are_left_out(gemini):
    parts = [{"text": "hm", "thought": True}, {"text": "be"}]
    assert gemini.decode(systemInstruction={"role": "system", "parts": parts}).instructions == ("be",)


def test_a_system_instruction_with_a_picture_is_refused(gemini):
    with pytest.raises(UnsupportedFeature):
        gemini.decode(systemInstruction={"parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]})


def test_row_151_inline_data_and_file_data_in_both_spellings(gemini):
    inline = {"mime_type": "image/png", "data": PNG}
    file = {"mime_type": "image/jpeg", "file_uri": "https://example.com/cat"}
    snake = gemini.decode(contents=[said({"inline_data": inline}, {"file_data": file})])
    camel = gemini.decode(
        contents=[
            said(
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
                {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/cat"}},
            )
        ]
    )
    pictures = (ImagePart(url=f"data:image/png;base64,{PNG}"), ImagePart(url="https://example.com/cat"))
    assert snake.items == camel.items == (Message("user", pictures),)


def test_row_152_inline_pdf_is_a_file(gemini):
    request = gemini.decode(contents=[said({"inlineData": {"mimeType": "application/pdf", "data": PDF}})])
    (part,) = request.items[0].parts
    assert part == FilePart(data=f"data:application/pdf;base64,{PDF}", filename="document.pdf")


@pytest.mark.parametrize("kind", ["audio/wav", "video/mp4"])
def test_row_153_inline_audio_is_refused_by_name(gemini, kind):
    with pytest.raises(UnsupportedFeature, match=kind.split("/")[0]) as caught:
        gemini.decode(contents=[said({"inlineData": {"mimeType": kind, "data": "AAAA"}})])
    assert caught.value.param == "contents[0].parts[0].inlineData.mimeType"


@pytest.mark.parametrize(
    "uri", ["gs://bucket/a.pdf", "https://generativelanguage.googleapis.com/v1beta/files/abc", "files/abc"]
)
def test_files_in_googles_store_are_refused(gemini, uri):
    with pytest.raises(UnsupportedFeature):
        gemini.decode(contents=[said({"fileData": {"mimeType": "application/pdf", "fileUri": uri}})])


def test_url_safe_base64_is_repaired(gemini):
    raw = base64.urlsafe_b64encode(b"\x89PNG\xff\xfe\xfd").decode().rstrip("=")
    request = gemini.decode(contents=[said({"inlineData": {"mimeType": "image/png", "data": raw}})])
    (part,) = request.items[0].parts
    assert part.url == "data:image/png;base64," + base64.b64encode(b"\x89PNG\xff\xfe\xfd").decode()


@pytest.mark.parametrize("role", ["function", "tool", "user", None, "narrator"])
def test_row_154_every_role_but_model_is_the_user(gemini, role):
    content = {"parts": [{"text": "hi"}]} | ({"role": role} if role else {})
    assert gemini.decode(contents=[content]).items[0].role == "user"


def test_a_leading_system_content_is_an_instruction_and_a_later_one_stays_in_place(gemini):
    request = gemini.decode(
        contents=[said({"text": "be"}, role="system"), said({"text": "hi"}), said({"text": "now"}, role="system")]
    )
    assert request.instructions == ("be",)
    assert [item.role for item in request.items] == ["user", "developer"]


def test_chunks_of_one_answer_are_one_message_again(gemini):
    chunks = [said({"text": word}, role="model") for word in ("Hel", "lo", "")]
    request = gemini.decode(contents=[said({"text": "hi"}), *chunks, said({"text": "a"}), said({"text": "b"})])
    assert request.items == (
        Message("user", (TextPart("hi"),)),
        Message("assistant", (TextPart("Hello"),)),
        Message("user", (TextPart("a"),)),
        Message("user", (TextPart("b"),)),
    )


def test_code_and_its_result_are_fenced_text(gemini):
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
    ]
    (message,) = gemini.decode(contents=[said(*parts, role="model")]).items
    assert message.parts[0].text == "```python\nprint(1)\n```" + "```\n1\n```"


def test_a_picture_the_model_drew_is_shown_by_the_user(gemini):
    drawn = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    request = gemini.decode(contents=[said({"text": "here"}, drawn, role="model")])
    assert [item.role for item in request.items] == ["assistant", "user"]


# ---- calls and results ---------------------------------------------------------------------------------------------


def test_row_155_results_find_their_calls_by_name(gemini):
    request = gemini.decode(
        contents=[said(call("a"), call("b"), role="model"), said(answer("b", "B"), answer("a", "A"))]
    )
    assert results(request) == [("b", "B"), ("a", "A")]


def test_row_156_calls_of_one_name_are_answered_in_order(gemini):
    request = gemini.decode(
        contents=[said(call("a"), call("a"), role="model"), said(answer("a", "1"), answer("a", "2"))]
    )
    ids = [item.call_id for item in request.items if isinstance(item, ToolCall)]
    assert [item.call_id for item in request.items if isinstance(item, ToolResult)] == ids


def test_row_157_a_given_id_is_kept(gemini):
    request = gemini.decode(
        contents=[
            said(call("a", id="x1"), call("a", id="x2"), role="model"),
            said(answer("a", "2", id="x2"), answer("a", "1", id="x1")),
        ]
    )
    assert [item.call_id for item in request.items] == ["x1", "x2", "x2", "x1"]


def test_a_result_with_an_id_the_client_made_up_is_paired_by_name(gemini):
    request = gemini.decode(
        contents=[
            said(call("a"), call("b"), role="model"),
            said(answer("b", "B", id="b-17"), answer("a", "A", id="a-17")),
        ]
    )
    assert results(request) == [("b", "B"), ("a", "A")]


def test_row_158_159_ids_are_the_same_each_time_and_unique_across_turns(gemini):
    contents = [said(call("a"), role="model"), said(answer("a", "1")), said(call("a"), role="model")]
    first, second = (gemini.decode(contents=contents) for _ in range(2))
    assert first.items == second.items
    ids = [item.call_id for item in first.items if isinstance(item, ToolCall)]
    assert ids == ["call_gemini_0000000000000000", "call_gemini_0000000000000001"]


def test_a_call_nobody_answered_never_takes_a_later_result(gemini):
    request = gemini.decode(
        contents=[
            said(call("a"), role="model"),
            said({"text": "never mind"}),
            said(call("a"), role="model"),
            said(answer("a", "2")),
        ]
    )
    assert request.items[-1].call_id == "call_gemini_0000000000000001"


def test_a_result_without_a_call_is_told_as_text(gemini):
    (item,) = gemini.upstream(contents=[said(answer("a", "lost"))])["input"]
    assert item["role"] == "user" and "lost" in item["content"][0]["text"]


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ({"result": "plain"}, "plain"),
        ({"output": "plain"}, "plain"),
        ({"result": {"a": 1}}, '{"result":{"a":1}}'),
        ({"a": 1}, '{"a":1}'),
        ({"result": "x", "more": 1}, '{"result":"x","more":1}'),
        ({"error": "boom"}, "Error: boom"),
        ({"output": "half", "error": "boom"}, '{"output":"half","error":"boom"}'),
        ("bare", "bare"),
        (None, ""),
    ],
)
def test_row_160_a_string_result_is_that_string(gemini, response, text):
    part = {"functionResponse": {"name": "a", "response": response}}
    request = gemini.decode(contents=[said(call("a"), role="model"), said(part)])
    assert request.items[-1].parts == (TextPart(text),)
    assert request.items[-1].is_error == (isinstance(response, dict) and "error" in response)


def test_a_result_may_hold_pictures(gemini):
    shown = answer("a", "see", parts=[{"inlineData": {"mimeType": "image/png", "data": PNG}}])
    request = gemini.decode(contents=[said(call("a"), role="model"), said(shown)])
    assert [type(part) for part in request.items[-1].parts] == [TextPart, ImagePart]


# ---- thoughts ------------------------------------------------------------------------------------------------------


def test_row_169_thoughts_of_the_history_are_not_sent_as_text(gemini):
    contents = [said({"text": "hm", "thought": True}, {"text": "yes"}, role="model"), said({"text": "more"})]
    assert "hm" not in orjson.dumps(gemini.upstream(contents=contents)).decode()


def test_our_signature_becomes_the_reasoning_before_its_part(gemini, proof, other_proof):
    signature = base64.b64encode(f"{proof} {other_proof}".encode()).decode()
    parts = [{"text": "hm", "thought": True}, {**call("a"), "thoughtSignature": signature}]
    request = gemini.decode(contents=[said(*parts, role="model"), said(answer("a", "1"))])
    assert [type(item) for item in request.items] == [Reasoning, Reasoning, ToolCall, ToolResult]
    sent = gemini.upstream(contents=[said(*parts, role="model"), said(answer("a", "1"))])["input"]
    assert [item.get("encrypted_content") for item in sent[:2]] == [proof, other_proof]


@pytest.mark.parametrize("wrap", [str, lambda p: base64.urlsafe_b64encode(base64.b64encode(p.encode())).decode()])
def test_a_signature_survives_sdks_that_encode_it_differently(gemini, proof, wrap):
    parts = [{"text": "yes", "thought_signature": wrap(proof)}]
    (reasoning, message) = gemini.decode(contents=[said(*parts, role="model")]).items
    assert reasoning.proof.value == proof and message.parts == (TextPart("yes"),)


@pytest.mark.parametrize("signature", ["skip_thought_signature_validator", "CpYDAVSoXO5xyz==", "", 7, "gAAAA"])
def test_foreign_signatures_are_never_forwarded(gemini, signature):
    parts = [{**call("a"), "thoughtSignature": signature}]
    request = gemini.decode(contents=[said(*parts, role="model")])
    assert [type(item) for item in request.items] == [ToolCall]


def test_a_proof_that_led_to_nothing_is_left_out(gemini, proof):
    lonely = {"text": "", "thoughtSignature": base64.b64encode(proof.encode()).decode()}
    request = gemini.decode(contents=[said(lonely, role="model"), said({"text": "go on"})])
    assert [type(item) for item in request.items] == [Message]


# ---- tools ---------------------------------------------------------------------------------------------------------


def test_row_161_upper_case_types_are_lowered(gemini):
    schema = {
        "type": "OBJECT",
        "properties": {"type": {"type": "STRING", "nullable": True}, "n": {"type": "ARRAY", "minItems": "2"}},
        "propertyOrdering": ["n", "type"],
        "required": ["type"],
    }
    sent = gemini.upstream(tools=[{"function_declarations": [{"name": "f", "description": "d", "parameters": schema}]}])
    assert sent["tools"] == [
        {
            "type": "function",
            "name": "f",
            "description": "d",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {
                    "n": {"type": "array", "minItems": 2, "items": {}},
                    "type": {"type": ["string", "null"]},
                },
                "required": ["type"],
            },
        }
    ]


@pytest.mark.parametrize("key", ["parametersJsonSchema", "parameters_json_schema"])
def test_row_162_parameters_as_json_schema(gemini, key):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    (tool,) = gemini.decode(tools=[{"functionDeclarations": [{"name": "f", key: schema}]}]).tools
    assert tool.parameters == schema and tool.strict is False


def test_a_function_without_parameters_takes_an_empty_object(gemini):
    (tool,) = gemini.upstream(tools=[{"functionDeclarations": [{"name": "f"}]}])["tools"]
    assert tool["parameters"] == {"type": "object", "properties": {}}


def test_searches_are_hosted_and_tools_without_equivalent_are_listed(gemini):
    request = gemini.decode(tools=[{"googleSearch": {}}, {"google_search_retrieval": {}}, {"urlContext": {}}])
    assert request.tools == (HostedTool("web_search", {}),)
    assert request.dropped == ("tools[2].urlContext",)


def chosen(gemini: Any, mode: str | None, *names: str) -> Any:
    tools = [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]
    config = {"mode": mode, "allowedFunctionNames": list(names) or None}
    return gemini.upstream(tools=tools, toolConfig={"functionCallingConfig": config}).get("tool_choice")


def test_row_165_any_with_one_name_is_that_function(gemini):
    assert chosen(gemini, "ANY", "f") == {"type": "function", "name": "f"}
    assert chosen(gemini, "ANY", "f", "g")["mode"] == "required"


def test_row_166_tool_config_modes(gemini):
    modes = {mode: chosen(gemini, mode) for mode in ("VALIDATED", "AUTO", "ANY", "NONE", "any", "MODE_UNSPECIFIED")}
    assert modes == {
        "VALIDATED": "auto", "AUTO": "auto", "ANY": "required", "NONE": "none", "any": "required",
        "MODE_UNSPECIFIED": None,
    }  # fmt: skip
    assert gemini.upstream(toolConfig={"functionCallingConfig": {"mode": "ANY"}}).get("tool_choice") is None


# ---- generationConfig ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["responseJsonSchema", "response_json_schema", "responseSchema", "response_schema"])
def test_row_163_response_schemas_in_every_spelling(gemini, key):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    sent = gemini.upstream(generation_config={"response_mime_type": "application/json", key: schema})
    assert sent["text"]["format"] == {
        "type": "json_schema", "name": "gemini_schema", "strict": True,
        "schema": {**schema, "additionalProperties": False},
    }  # fmt: skip


def test_row_164_a_schema_with_optional_properties_is_not_strict(gemini):
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}}, "required": ["a"]}
    sent = gemini.upstream(generationConfig={"responseMimeType": "application/json", "responseSchema": schema})
    assert sent["text"]["format"]["strict"] is False
    assert "additionalProperties" not in sent["text"]["format"]["schema"]


def test_json_without_a_schema_is_json_object_and_the_input_says_so(gemini):
    sent = gemini.upstream(generationConfig={"responseMimeType": "application/json"})
    assert sent["text"]["format"] == {"type": "json_object"}
    assert "JSON" in orjson.dumps(sent["input"]).decode()


@pytest.mark.parametrize(
    ("config", "effort"),
    [
        ({"thinkingConfig": {"thinkingLevel": "LOW"}}, "low"),
        ({"thinking_config": {"thinking_level": "high"}}, "high"),
        ({"thinkingLevel": "MEDIUM"}, "medium"),
        ({"thinking_config": {"thinking_budget": 8192}}, "high"),
        ({"thinkingConfig": {"thinkingBudget": 0}}, "low"),
        ({"thinkingConfig": {"thinkingBudget": -1}}, None),
        ({"thinkingConfig": {"thinkingBudget": "3000"}}, "medium"),
        ({"thinkingConfig": {"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}}, None),
        ({}, None),
    ],
)
def test_row_167_levels_and_budgets_become_efforts(gemini, config, effort):
    assert (gemini.upstream(generationConfig=config).get("reasoning") or {}).get("effort") == effort


def test_knobs_are_read_and_the_others_listed(gemini):
    request = gemini.decode(
        generationConfig={
            "temperature": 1, "topP": 0.5, "top_k": 64, "stopSequences": ["END"], "maxOutputTokens": "9",
            "presence_penalty": 0.1, "responseLogprobs": True,
        },
        safetySettings=[{"category": "X"}], labels={"a": "b"}, service_tier="fast",
    )  # fmt: skip
    assert request.sampling.stop == ("END",) and request.sampling.top_k == 64 and request.max_output_tokens == 9
    assert request.service_tier == "priority"
    assert request.dropped == ("labels", "safetySettings", "generationConfig.responseLogprobs")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"generationConfig": {"candidateCount": 2}}, "generationConfig.candidateCount"),
        ({"generationConfig": {"responseModalities": ["AUDIO"]}}, "generationConfig.responseModalities"),
        ({"generationConfig": {"speechConfig": {}}}, "generationConfig.speechConfig"),
        ({"cachedContent": "cachedContents/x"}, "cachedContent"),
        ({"cached_content": "cachedContents/x"}, "cachedContent"),
    ],
)
def test_what_nobody_can_do_is_refused_by_name(gemini, body, param):
    with pytest.raises(UnsupportedFeature) as caught:
        gemini.decode(**body)
    assert caught.value.param == param


def test_image_among_the_modalities_is_a_tool(gemini):
    both = gemini.upstream(generationConfig={"responseModalities": ["TEXT", "IMAGE"]})
    assert both["tools"] == [{"type": "image_generation"}] and "tool_choice" not in both
    alone = gemini.upstream(generationConfig={"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "16:9"}})
    assert alone["tools"] == [{"type": "image_generation", "size": "1536x1024"}]
    assert alone["tool_choice"] == {"type": "image_generation"}


# ---- countTokens ---------------------------------------------------------------------------------------------------


def test_row_174_tokens_are_counted_for_contents_and_for_whole_requests(gemini):
    def count(**body: Any) -> int:
        return CODEC.countable(gemini.open("countTokens", **body)).estimate()

    contents = [said({"text": "word " * 100})]
    plain = count(contents=contents)
    assert plain > 50
    whole = {"model": "models/gpt-5.5", "contents": contents, "systemInstruction": "word " * 100}
    assert count(contents=None, generateContentRequest=whole) > plain


def test_counting_nothing_is_refused(gemini):
    with pytest.raises(GatewayError):
        CODEC.countable(gemini.open("countTokens", contents=None))


# ---- prompt cache --------------------------------------------------------------------------------------------------


def test_every_turn_keeps_the_items_of_the_turn_before(gemini, proof):
    signature = base64.b64encode(proof.encode()).decode()
    conversation = [
        [said({"text": "hi"})],
        [said({"text": "Hel"}, role="model"), said({"text": "lo"}, role="model"), said({"text": "run a and b"})],
        [said({**call("a"), "thoughtSignature": signature}, call("b"), role="model"),
         said(answer("b", "B"), answer("a", "A"))],
        [said(call("a"), role="model"), said({"text": "forget it"})],
        [said({"text": "ok"}, role="model"), said({"inlineData": {"mimeType": "image/png", "data": PNG}})],
    ]  # fmt: skip
    contents: list[Any] = []
    before: list[Any] = []
    for turn in conversation:
        contents += turn
        sent = gemini.upstream(contents=contents, generationConfig={"responseMimeType": "application/json"})["input"]
        assert sent[: len(before)] == before
        before = sent
