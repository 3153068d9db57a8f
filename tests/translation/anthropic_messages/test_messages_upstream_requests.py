"""IR → the body Anthropic gets, row by row of translation §11.4; and the relayed body."""

from __future__ import annotations

import orjson
import pytest

from translation.codec import Quirks, RelayTarget
from translation.errors import UnsupportedFeature
from translation.ir import request as ir
from translation.ir.events import Proof
from translation.protocols.anthropic_messages import CODEC
from translation.protocols.anthropic_messages.upstream_request import ANSWER_TOOL

OLD = "claude-3-7-sonnet-20250219"
BUDGETS = "claude-sonnet-4-5-20250929"
ADAPTIVE = "claude-opus-4-7"
TOOL = ir.FunctionTool(name="f", description="Does f.", parameters={"type": "object", "properties": {}})
MARK = {"type": "ephemeral"}


def user(*parts):
    return ir.Message("user", tuple(ir.TextPart(part) if isinstance(part, str) else part for part in parts))


def said(text):
    return ir.Message("assistant", (ir.TextPart(text),))


def call(call_id, arguments="{}", **more):
    return ir.ToolCall(call_id=call_id, name="f", arguments=arguments, **more)


def result(call_id, *parts, **more):
    return ir.ToolResult(
        call_id=call_id, parts=tuple(ir.TextPart(p) if isinstance(p, str) else p for p in parts), **more
    )


def sent(*items, model=BUDGETS, target=None, **request):
    wanted = ir.GenerateRequest(model="m", items=items or (user("hi"),), **request)
    return orjson.loads(CODEC.encode_request(wanted, target or RelayTarget(model=model)))


def unmarked(value):
    if isinstance(value, dict):
        return {key: unmarked(member) for key, member in value.items() if key != "cache_control"}
    return [unmarked(member) for member in value] if isinstance(value, list) else value


def turns(*items, **request):
    return [(turn["role"], unmarked(turn["content"])) for turn in sent(*items, **request)["messages"]]


def text(value):
    return {"type": "text", "text": value}


def test_a_plain_question_needs_nothing_else():
    assert sent() == {
        "model": BUDGETS, "max_tokens": 64_000, "stream": True,
        "messages": [{"role": "user", "content": [text("hi")]}],
    }  # fmt: skip


def test_neighbours_of_one_role_are_one_turn_and_the_user_begins():
    assert turns(said("a"), said("b"), user("c"), user("d")) == [
        ("user", [text("…")]), ("assistant", [text("a"), text("b")]), ("user", [text("c"), text("d")]),
    ]  # fmt: skip


def test_results_of_parallel_calls_are_one_turn_before_what_the_user_says():
    spoken = turns(
        user("go"), call("a"), call("b"), user("and?"), result("b", "2"), result("a", "1"), result("a", "again")
    )
    assert [block["type"] for block in spoken[1][1]] == ["tool_use", "tool_use"]
    assert [block.get("tool_use_id") or block["text"] for block in spoken[2][1]] == ["b", "a", "and?"]


def test_calls_stand_last_in_their_turn():
    spoken = turns(user("go"), call("a"), said("I look."), result("a", "1"))
    assert [block["type"] for block in spoken[1][1]] == ["text", "tool_use"]


def test_a_failed_call_is_flagged_and_pictures_stay_in_the_result():
    picture = ir.ImagePart(url="data:image/png;base64,aGk=")
    (block,) = turns(user("go"), call("a"), result("a", "see", picture, is_error=True))[2][1]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    assert block == {"type": "tool_result", "tool_use_id": "a", "content": [text("see"), image], "is_error": True}


def test_call_ids_are_legal_and_stay_pairs():
    spoken = turns(user("go"), call("a.b"), call("a:b"), result("a.b", "1"), result("a:b", "2"))
    ids = [block["id"] for block in spoken[1][1]]
    assert len(set(ids)) == 2 and all(identifier.replace("_", "").isalnum() for identifier in ids)
    assert [block["tool_use_id"] for block in spoken[2][1]] == ids


def test_early_instructions_are_the_system_and_later_ones_stay_in_place():
    early, late = (ir.Message("developer", (ir.TextPart(said),)) for said in ("early", "late"))
    body = sent(early, user("hi"), late, instructions=("base",))
    assert body["system"] == [text("base"), text("early")]
    assert body["messages"][0]["content"][1] == text("<system>\nlate\n</system>")


def test_images_and_documents_have_their_sources():
    parts = (
        ir.ImagePart(url="https://example.org/a.png"),
        ir.FilePart(data="data:application/pdf;base64,JVBERi0=", filename="a.pdf"),
        ir.FilePart(url="https://example.org/b.pdf"),
        ir.FilePart(data="data:text/plain;base64,aGk=", filename="n.txt"),
    )
    assert turns(user(*parts))[0][1] == [
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "document", "title": "a.pdf",
         "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/b.pdf"}},
        {"type": "document", "title": "n.txt",
         "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "part",
    [
        ir.ImagePart(file_id="file_1"),
        ir.FilePart(file_id="file_1"),
        ir.FilePart(data="data:application/zip;base64,aGk="),
        ir.FilePart(data="data:text/plain;base64,/w=="),
    ],
)
def test_content_that_cannot_be_carried_is_refused(part):
    with pytest.raises(UnsupportedFeature):
        sent(user(part))


def test_signed_thinking_goes_back_unchanged_and_foreign_thinking_does_not():
    items = (
        user("go"),
        ir.Reasoning(summary=("hm",), proof=Proof("anthropic-messages", "sig")),
        ir.Reasoning(proof=Proof("anthropic-messages", "redacted_thinking:data")),
        ir.Reasoning(summary=("no",), proof=Proof("openai-responses", "gAAAA")),
        call("a"),
        result("a", "1"),
    )
    high = ir.ReasoningOptions(effort="high")
    assert turns(*items, reasoning=high)[1][1][:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "data"},
    ]
    refused = RelayTarget(model=BUDGETS, drops_reasoning=True)
    for spoken in (turns(*items), turns(*items, reasoning=high, target=refused)):
        assert [block["type"] for block in spoken[1][1]] == ["tool_use"]


@pytest.mark.parametrize(
    ("effort", "limit", "budget", "max_tokens"),
    [
        ("low", None, 1024, 64_000),
        ("medium", 10_000, 8192, 10_000),
        ("medium", 8192, 8192, 16_384),
        ("high", 100, 24_576, 24_676),
        ("xhigh", 50_000, 32_000, 50_000),
    ],
)
def test_a_budget_leaves_room_for_the_answer(effort, limit, budget, max_tokens):
    body = sent(reasoning=ir.ReasoningOptions(effort=effort), max_output_tokens=limit)
    assert (body["thinking"], body["max_tokens"]) == ({"type": "enabled", "budget_tokens": budget}, max_tokens)


def test_a_budget_beyond_the_models_limit_stays_below_it():
    body = sent(reasoning=ir.ReasoningOptions(budget_tokens=90_000))
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (63_999, 64_000)


def test_newer_models_take_the_effort_itself():
    body = sent(model=ADAPTIVE, reasoning=ir.ReasoningOptions(effort="xhigh", summary="auto"))
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": "xhigh"}
    body = sent(model="claude-sonnet-4-6", reasoning=ir.ReasoningOptions(effort="xhigh"))
    assert body["output_config"] == {"effort": "high"}


def test_the_catalogues_efforts_go_before_the_names():
    target = RelayTarget(model="some-model", effort="max", quirks=Quirks(efforts=("low", "high")))
    assert sent(target=target)["output_config"] == {"effort": "high"}


def test_no_effort_asked_for_is_no_thinking_and_none_is_said():
    assert "thinking" not in sent(reasoning=ir.ReasoningOptions(summary="auto"))
    assert sent(reasoning=ir.ReasoningOptions(effort="none"))["thinking"] == {"type": "disabled"}


def test_thinking_bars_sampling_force_and_prefill():
    body = sent(
        user("go"), said("I"), tools=(TOOL,), tool_choice=ir.ToolChoice(mode="required"),
        sampling=ir.Sampling(temperature=0.3, top_k=4, stop=("END", " ")), reasoning=ir.ReasoningOptions(effort="low"),
    )  # fmt: skip
    assert "temperature" not in body and "top_k" not in body
    assert body["tool_choice"] == {"type": "auto"} and body["stop_sequences"] == ["END"]
    assert body["messages"][-1]["role"] == "user"


def test_a_budget_does_not_begin_in_the_middle_of_a_turn_without_thoughts():
    items = (user("go"), call("a"), result("a", "1"))
    high = ir.ReasoningOptions(effort="high")
    assert "thinking" not in sent(*items, reasoning=high)
    assert sent(*items, reasoning=high, model=ADAPTIVE)["thinking"]["type"] == "adaptive"


def test_sampling_is_forwarded_as_far_as_the_model_takes_it():
    both = ir.Sampling(temperature=1.7, top_p=0.5, top_k=3, seed=1, presence_penalty=1.0)
    body = sent(sampling=both)
    assert (body["temperature"], body["top_k"]) == (1.0, 3)
    assert not {"top_p", "seed", "presence_penalty"} & body.keys()
    assert sent(sampling=ir.Sampling(top_p=0.5))["top_p"] == 0.5
    assert not {"temperature", "top_k"} & sent(sampling=both, model=ADAPTIVE).keys()


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ir.ToolChoice(mode="auto"), {"type": "auto"}),
        (ir.ToolChoice(mode="required"), {"type": "any"}),
        (ir.ToolChoice(mode="none"), {"type": "none"}),
        (ir.ToolChoice(mode="named", name="f"), {"type": "tool", "name": "f"}),
        (ir.ToolChoice(mode="hosted", name="web_search"), {"type": "tool", "name": "web_search"}),
        (ir.ToolChoice(mode="allowed", allowed=("f",), required=True), {"type": "any"}),
    ],
)
def test_every_tool_choice_has_its_form(choice, written):
    assert sent(tools=(TOOL,), tool_choice=choice)["tool_choice"] == written
    assert "tool_choice" not in sent(tool_choice=choice)
    single = sent(tools=(TOOL,), tool_choice=choice, parallel_tool_calls=False)["tool_choice"]
    assert single == (written if choice.mode == "none" else {**written, "disable_parallel_tool_use": True})


def test_only_allowed_tools_are_declared():
    other = ir.FunctionTool(name="g")
    choice = ir.ToolChoice(mode="allowed", allowed=("g",))
    assert [tool["name"] for tool in sent(tools=(TOOL, other), tool_choice=choice)["tools"]] == ["g"]


def test_tools_have_an_input_schema_and_foreign_ones_are_left_out():
    hosted = ir.HostedTool("web_search", {"filters": {"allowed_domains": ["a.org"]}})
    foreign = (ir.HostedTool("image_generation", {}), ir.OpaqueTool("openai-responses", {"type": "x"}))
    assert unmarked(sent(tools=(TOOL, hosted, *foreign))["tools"]) == [
        {"name": "f", "description": "Does f.", "input_schema": {"type": "object", "properties": {}}},
        {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.org"]},
    ]


def test_cache_marks_stand_on_system_tools_and_the_last_two_turns_of_the_user():
    body = sent(user("a"), said("b"), user("c"), said("d"), user("e"), tools=(TOOL,), instructions=("s", "t"))
    assert [block.get("cache_control") for block in body["system"]] == [None, MARK]
    assert body["tools"][-1]["cache_control"] == MARK
    marks = [turn["content"][-1].get("cache_control") for turn in body["messages"]]
    assert marks == [None, None, MARK, None, MARK]
    assert orjson.dumps(body).count(b"cache_control") == 4
    assert b"cache_control" not in orjson.dumps(sent(instructions=("s",)))


def test_a_longer_conversation_keeps_its_prefix():
    start = (user("a"), call("1"), result("1", "x"))
    shorter, longer = turns(*start, user("b")), turns(*start, user("b"), said("c"), user("d"))
    assert longer[: len(shorter)] == shorter


SCHEMA = {"type": "object", "properties": {"minimum": {"type": "integer", "minimum": 1}}, "required": ["minimum"]}


def test_structured_output_is_a_format_where_the_model_has_it():
    output = ir.OutputFormat(kind="json_schema", name="r", schema=SCHEMA)
    assert sent(output_format=output)["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {**SCHEMA, "properties": {"minimum": {"type": "integer"}}, "additionalProperties": False},
    }


def test_structured_output_is_a_tool_where_it_has_not():
    output = ir.OutputFormat(kind="json_schema", name="r", schema=SCHEMA)
    body = sent(output_format=output, model=OLD, reasoning=ir.ReasoningOptions(effort="high"))
    assert body["tools"][0]["input_schema"] == SCHEMA and "thinking" not in body
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert sent(output_format=output, model=OLD, tools=(TOOL,))["tool_choice"] == {"type": "any"}


def test_json_without_a_schema_is_asked_for_in_words():
    assert "JSON" in sent(output_format=ir.OutputFormat(kind="json_object"))["system"][0]["text"]


def test_who_asks_is_told_by_the_hashed_key_alone():
    request = {"identity": ir.Identity(user="alice", session="s")}
    body = sent(target=RelayTarget(model=BUDGETS, prompt_cache_key="cp_1"), **request)
    assert body["metadata"] == {"user_id": "cp_1"} and "alice" not in str(body)


# ---- relay ---------------------------------------------------------------------------------------------------------


def relayed(client, target, **body):
    return CODEC.relay_request(client.open(**body), target)


def test_a_relayed_body_keeps_everything_but_the_model(messages):
    thought = {"type": "thinking", "thinking": "t", "signature": "s"}
    body = {
        "model": "alias", "novel": {"z": 1, "a": [None, 1.5]}, "max_tokens": 5, "temperature": 0.1, "top_p": 0.2,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [thought]}],
        "stream": True,
    }  # fmt: skip
    opened = messages.open(**body)
    assert CODEC.needs_translation(opened, Quirks()) is None
    written = CODEC.relay_request(opened, RelayTarget(model="claude-x"))
    assert written == orjson.dumps({**body, "model": "claude-x"})
    assert opened.body == body


def test_a_relay_always_streams_and_keeps_the_gateways_fields_to_itself(messages):
    body = orjson.loads(relayed(messages, RelayTarget(model="m"), prompt_cache_key="k", stream=False))
    assert body["stream"] is True and "prompt_cache_key" not in body


def test_refused_thinking_is_left_out_of_a_relay(messages):
    content = [{"type": "thinking", "thinking": "t", "signature": "s"}, text("a")]
    spoken = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}]
    body = orjson.loads(relayed(messages, RelayTarget(model="m", drops_reasoning=True), messages=spoken))
    assert body["messages"][1]["content"] == [text("a")]


def test_an_effort_in_the_name_is_written_unless_the_body_says_its_own(messages):
    target = RelayTarget(model=ADAPTIVE, effort="high")
    assert orjson.loads(relayed(messages, target))["output_config"] == {"effort": "high"}
    own = {"type": "enabled", "budget_tokens": 2000}
    assert orjson.loads(relayed(messages, target, thinking=own))["thinking"] == own
    body = orjson.loads(relayed(messages, RelayTarget(model=BUDGETS, effort="low"), max_tokens=500))
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (1024, 1524)
