"""What a Gemini provider receives: every row of spec/translation.md §11.5, and the client's own body on the relay."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from translation.codec import Quirks, RelayTarget, WireContext
from translation.errors import UnsupportedFeature
from translation.ir import events as ev
from translation.ir import request as ir
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.gemini import CODEC
from translation.protocols.gemini.upstream_schema import to_gemini_schema

USER = ir.Message("user", (ir.TextPart("hi"),))
PNG = "data:image/png;base64,iVBORw0KGgo="


def write(*items: ir.Item, model: str = "gemini-2.5-flash", effort: str | None = None, **fields: Any) -> dict[str, Any]:
    request = ir.GenerateRequest(model="asked", items=items or (USER,), **fields)
    return orjson.loads(CODEC.encode_request(request, RelayTarget(model=model, effort=effort)))


def call(call_id: str, name: str = "f", arguments: str = "{}") -> ir.ToolCall:
    return ir.ToolCall(call_id=call_id, name=name, arguments=arguments)


def result(call_id: str, text: str = "ok", **fields: Any) -> ir.ToolResult:
    return ir.ToolResult(call_id=call_id, parts=(ir.TextPart(text),), **fields)


def test_instructions_of_all_places_are_the_system_instruction() -> None:
    late = ir.Message("developer", (ir.TextPart("late"),))
    body = write(USER, late, instructions=("early",))
    assert body["systemInstruction"] == {"parts": [{"text": "early"}, {"text": "late"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]


def test_neighbours_of_one_role_are_one_turn_and_a_begun_answer_is_left_out() -> None:
    said = ir.Message("assistant", (ir.TextPart("a"),))
    body = write(USER, USER, said, said, USER, said)
    assert [turn["role"] for turn in body["contents"]] == ["user", "model", "user"]
    assert len(body["contents"][0]["parts"]) == len(body["contents"][1]["parts"]) == 2


def test_results_stand_in_the_order_of_their_calls_under_their_names() -> None:
    body = write(USER, call("1", "f"), call("2", "g"), result("2", "two"), result("1", '{"n": 1}'), USER)
    model, user = body["contents"][1:]
    assert [part["functionCall"]["name"] for part in model["parts"]] == ["f", "g"]
    assert user["parts"] == [
        {"functionResponse": {"id": "1", "name": "f", "response": {"n": 1}}},
        {"functionResponse": {"id": "2", "name": "g", "response": {"result": "two"}}},
        {"text": "hi"},
    ]


def test_a_failed_call_says_so() -> None:
    body = write(USER, call("1"), result("1", "no", is_error=True))
    assert body["contents"][2]["parts"][0]["functionResponse"]["response"] == {"error": "no"}


@pytest.mark.parametrize(("model", "is_inside"), [("gemini-2.5-pro", False), ("gemini-3-pro-preview", True)])
def test_pictures_of_a_result_follow_it_or_are_inside(model: str, is_inside: bool) -> None:
    shown = ir.ToolResult(call_id="1", parts=(ir.TextPart("see"), ir.ImagePart(url=PNG)))
    parts = write(USER, call("1"), shown, model=model)["contents"][2]["parts"]
    blob = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    assert (parts[0]["functionResponse"].get("parts") == [blob]) is is_inside
    assert (parts[1:] == [blob]) is not is_inside


def test_pictures_and_files_are_data_or_addresses() -> None:
    parts = (
        ir.ImagePart(url=PNG),
        ir.ImagePart(url="https://example.com/a.jpg?x=1"),
        ir.FilePart(data="data:application/pdf;base64,JVBERi0=", filename="a.pdf"),
    )
    assert write(ir.Message("user", parts))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        {"fileData": {"fileUri": "https://example.com/a.jpg?x=1", "mimeType": "image/jpeg"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
    ]


def test_a_file_of_another_store_is_refused() -> None:
    with pytest.raises(UnsupportedFeature):
        write(ir.Message("user", (ir.FilePart(file_id="file-1"),)))


def test_signatures_go_back_where_they_stood_and_foreign_proofs_never() -> None:
    ours = ir.Reasoning(proof=ir.Proof("gemini", "SIG"))
    theirs = ir.Reasoning(proof=ir.Proof("openai-responses", "gAAAA"))
    body = write(USER, ours, call("1"), call("2"), result("1"), result("2"), theirs, call("3"), result("3"))
    signed = [part.get("thoughtSignature") for turn in body["contents"] for part in turn["parts"]]
    assert signed == [None, "SIG", None, None, None, None, None]


def test_models_that_demand_signatures_get_the_word_for_none_on_the_first_call_of_a_turn() -> None:
    body = write(USER, call("1"), call("2"), result("1"), result("2"), model="gemini-3-pro-preview")
    parts = body["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["skip_thought_signature_validator", None]


def test_rejected_reasoning_is_left_out() -> None:
    request = ir.GenerateRequest(
        model="m", items=(USER, ir.Reasoning(proof=ir.Proof("gemini", "SIG")), call("1"), result("1"))
    )
    assert b"SIG" not in CODEC.encode_request(request, RelayTarget(model="gemini-2.5-pro", drops_reasoning=True))


def test_functions_are_declared_with_json_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": False, "$schema": "x"}
    tools = (
        ir.FunctionTool(name="f", description="d", parameters=schema),
        ir.FunctionTool(name="g", parameters={"type": "object", "properties": {}}),
        ir.CustomTool(name="patch"),
    )
    (declared,) = write(tools=tools)["tools"]
    f, g, patch = declared["functionDeclarations"]
    assert f["parametersJsonSchema"] == {
        "type": "object", "properties": {"a": {"enum": [1]}}, "additionalProperties": False,
    }  # fmt: skip
    assert g == {"name": "g"}
    assert patch["parametersJsonSchema"]["required"] == ["input"]


def test_search_stays_away_from_functions_where_models_cannot_do_both() -> None:
    search, function = ir.HostedTool("web_search", {}), ir.FunctionTool(name="f")
    assert write(tools=(search,))["tools"] == [{"googleSearch": {}}]
    assert len(write(tools=(search, function))["tools"]) == 1
    assert len(write(tools=(search, function), model="gemini-3-pro")["tools"]) == 2


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ir.ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ir.ToolChoice(mode="none"), {"mode": "NONE"}),
        (ir.ToolChoice(mode="required"), {"mode": "ANY"}),
        (ir.ToolChoice(mode="named", name="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            ir.ToolChoice(mode="allowed", allowed=("f",), required=True),
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
        (ir.ToolChoice(mode="allowed", allowed=("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_the_choice_of_tools_is_a_calling_mode(choice: ir.ToolChoice, config: dict[str, Any]) -> None:
    body = write(tools=(ir.FunctionTool(name="f"),), tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    assert "toolConfig" not in write(tool_choice=choice)


def test_limits_and_sampling_are_forwarded() -> None:
    sampling = ir.Sampling(temperature=0.0, top_p=0.9, top_k=5, seed=7, stop=("END",), presence_penalty=0.5)
    config = write(sampling=sampling, max_output_tokens=99)["generationConfig"]
    assert config == {
        "temperature": 0.0, "topP": 0.9, "topK": 5, "maxOutputTokens": 99, "stopSequences": ["END"], "seed": 7,
        "presencePenalty": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "asked", "thinking"),
    [
        ("gemini-2.5-flash", {"effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-flash", {"effort": "low"}, {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", {"effort": "xhigh"}, {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-pro", {"effort": "none"}, {"thinkingBudget": 128, "includeThoughts": True}),
        ("gemini-2.5-pro", {"effort": "max"}, {"thinkingBudget": 32768, "includeThoughts": True}),
        ("gemini-2.5-pro", {"budget_tokens": -1}, {"thinkingBudget": -1, "includeThoughts": True}),
        ("gemini-2.5-flash-lite", {"budget_tokens": 9}, {"thinkingBudget": 512, "includeThoughts": True}),
        ("gemini-3-pro-preview", {"effort": "minimal"}, {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-3-flash", {"effort": "minimal"}, {"thinkingLevel": "minimal", "includeThoughts": True}),
        ("gemini-3-flash", {"effort": "xhigh"}, {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-3-flash", {"budget_tokens": 1500}, {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-2.5-flash", {"summary": "auto"}, {"includeThoughts": True}),
        ("gemini-2.0-flash", {"effort": "high"}, None),
    ],
)
def test_efforts_are_budgets_or_levels_by_generation(model: str, asked: Any, thinking: Any) -> None:
    config = write(model=model, reasoning=ir.ReasoningOptions(**asked)).get("generationConfig", {})
    assert config.get("thinkingConfig") == thinking


def test_structured_output_has_a_type_and_a_schema() -> None:
    asked = ir.OutputFormat(kind="json_schema", name="n", schema={"type": "object", "properties": {"a": {}}})
    config = write(output_format=asked)["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"] == {"type": "object", "properties": {"a": {}}}
    assert write(output_format=ir.OutputFormat(kind="json_object"))["generationConfig"] == {
        "responseMimeType": "application/json"
    }


def test_schemas_keep_property_names_that_look_like_keywords() -> None:
    schema = {
        "allOf": [{"properties": {"const": {"type": "string", "pattern": "x"}}, "required": ["const"]}],
        "type": "object",
        "definitions": {"d": {"type": "null"}},
        "properties": {"r": {"$ref": "#/definitions/d"}},
    }
    assert to_gemini_schema(schema) == {
        "type": "object",
        "$defs": {"d": {"type": "null"}},
        "properties": {"const": {"type": "string"}, "r": {"$ref": "#/$defs/d"}},
        "required": ["const"],
    }


# ---- relay ---------------------------------------------------------------------------------------------------------


def test_the_relay_keeps_what_it_does_not_know(gemini: Any) -> None:
    body = {
        "contents": [{"role": "user", "parts": [{"text": "hi", "thoughtSignature": "S", "new": 1}]}],
        "safetySettings": [{"category": "C", "threshold": "OFF"}],
        "generation_config": {"newKnob": True},
        "cachedContent": "cachedContents/1",
    }
    opened = gemini.open("streamGenerateContent", promptCacheKey="k", **body)
    assert CODEC.needs_translation(opened, Quirks()) is None
    assert orjson.loads(CODEC.relay_request(opened, RelayTarget(model="gemini-2.5-pro"))) == body


def test_the_relay_writes_the_effort_of_the_models_name_only_where_the_client_named_none(gemini: Any) -> None:
    target = RelayTarget(model="gemini-2.5-pro", effort="high")
    bare = orjson.loads(CODEC.relay_request(gemini.open(generation_config={"topK": 1}), target))
    assert bare["generation_config"]["thinkingConfig"]["thinkingBudget"] == 24576
    own = {"generationConfig": {"thinkingConfig": {"thinkingBudget": 5}}}
    assert orjson.loads(CODEC.relay_request(gemini.open(**own), target))["generationConfig"] == own["generationConfig"]


# ---- there and back ------------------------------------------------------------------------------------------------

WORDS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=10)


@st.composite
def answers(draw: Any) -> list[ev.Event]:
    """Answers as Gemini can word them: no two blocks of words of one kind in a row."""
    events: list[ev.Event] = [ev.Start(id="r")]
    kind, has_calls = "", False
    for index in range(draw(st.integers(0, 5))):
        kind = draw(
            st.sampled_from([it for it in ("text", "reasoning", "tool_call") if it == "tool_call" or it != kind])
        )
        pieces = draw(st.lists(WORDS, min_size=1, max_size=3))
        if kind == "tool_call":
            has_calls = True
            arguments = orjson.dumps(dict.fromkeys(pieces, index)).decode()
            events.append(ev.BlockStart(index=index, kind="tool_call", call_id=f"call_{index}", name="f"))
            events.append(ev.ToolCallDelta(index, arguments))
        else:
            events.append(ev.BlockStart(index=index, kind=kind))
            make: Any = ev.TextDelta if kind == "text" else ev.ReasoningDelta
            events += [make(index, piece) for piece in pieces]
        events.append(ev.BlockStop(index=index))
    usage = Usage(input_tokens=9, cached_tokens=4, output_tokens=5, reasoning_tokens=2, total_tokens=14)
    reason = draw(st.sampled_from(["tool_calls" if has_calls else "stop", "length"]))
    return [*events, ev.Stop(finish_reason=reason, usage=usage)]


def folded(events: list[ev.Event]) -> Any:
    fold = Fold()
    fold.feed(events)
    response = fold.result()
    blocks = [(block.kind, block.start.call_id, block.start.name, block.text) for block in response.blocks]
    return blocks, response.finish_reason, response.usage


@given(events=answers())
@settings(max_examples=200, deadline=None)
@example(events=[ev.Start(id="r"), ev.Stop(finish_reason="length", usage=Usage(input_tokens=9, total_tokens=9))])
def test_what_the_encoder_writes_the_decoder_reads_back(events: list[ev.Event]) -> None:
    thinking = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    context = WireContext(path="/v1beta/models/m:streamGenerateContent", params={"model": "m"}, query={"alt": "sse"})
    opened = CODEC.open_request(orjson.dumps({"contents": "hi", **thinking}), context)
    decoder = CODEC.decoder()
    read = [*decoder.feed(CODEC.encoder(opened).encode(events)), *decoder.finish()]
    assert folded(read) == folded(events)


def test_a_written_request_is_read_back_as_it_was(gemini: Any) -> None:
    items = (
        USER,
        ir.Message("assistant", (ir.TextPart("I look."),)),
        call("c1", "f", '{"a":1}'),
        call("c2", "g"),
        result("c1", "one", name="f"),
        result("c2", '{"n":2}', name="g"),
        USER,
    )
    body = write(*items, instructions=("be",), sampling=ir.Sampling(temperature=0.5), max_output_tokens=3)
    read = gemini.decode(**body)
    assert (read.items, read.instructions) == (items, ("be",))
    assert (read.sampling.temperature, read.max_output_tokens) == (0.5, 3)
