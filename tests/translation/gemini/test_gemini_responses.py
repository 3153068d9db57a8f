"""Rows 157, 168, 170-173, 175-177 of spec/translation.md §15.5: what a Gemini client reads. And errors, and models."""

from __future__ import annotations

import base64
import json
from typing import Any

import orjson
import pytest

from translation import errors, registry
from translation.codec import ModelInfo, WireContext
from translation.errors import InvalidRequest
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.gemini import CODEC

THOUGHTS = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
USAGE = Usage(input_tokens=10, cached_tokens=4, output_tokens=7, reasoning_tokens=5, total_tokens=17)


def text(index: int, *pieces: str) -> list[ev.Event]:
    return [
        ev.BlockStart(index=index, kind="text"),
        *(ev.TextDelta(index, piece) for piece in pieces),
        ev.BlockStop(index=index),
    ]


def thinking(index: int, *pieces: str, proof: str | None = None) -> list[ev.Event]:
    return [
        ev.BlockStart(index=index, kind="reasoning"),
        *(ev.ReasoningDelta(index, piece, part) for part, piece in enumerate(pieces)),
        ev.BlockStop(index=index, proof=ev.Proof("openai-responses", proof) if proof else None),
    ]


def called(index: int, name: str, *pieces: str, kind: Any = "function") -> list[ev.Event]:
    return [
        ev.BlockStart(index=index, kind="tool_call", call_id=f"call_{index}", name=name, tool_kind=kind),
        *(ev.ToolCallDelta(index, piece) for piece in pieces),
        ev.BlockStop(index=index),
    ]


def answer(*blocks: list[ev.Event], reason: Any = "stop", raw: str = "", usage: Usage | None = USAGE) -> list[ev.Event]:
    end = ev.Stop(finish_reason=reason, raw_reason=raw, usage=usage)
    return [ev.Start(id="resp_1"), *(event for block in blocks for event in block), end]


def test_text_streams_as_it_comes_and_ends_with_a_reason_and_the_usage(gemini):
    chunks = gemini.chunks(answer(text(0, "Hel", "lo")))
    assert chunks[0] == {
        "candidates": [{"content": {"parts": [{"text": "Hel"}], "role": "model"}, "index": 0}],
        "modelVersion": "gpt-5.5",
        "responseId": "0" * 32,
    }
    assert [part["text"] for part in gemini.parts(chunks)] == ["Hel", "lo"]
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None, None, "STOP"]
    assert chunks[-1]["usageMetadata"]["totalTokenCount"] == 17
    assert b"[DONE]" not in gemini.stream(answer(text(0, "x")))


def test_every_chunk_has_a_part_or_sdks_forget_the_turn(gemini):
    for chunk in gemini.chunks(answer(text(0, "x"), called(1, "f", "{}"))):
        assert chunk["candidates"][0]["content"]["parts"]


def test_collected_text_is_one_part_and_never_an_empty_one(gemini):
    body = gemini.collect(answer(text(0, "Hel", "lo"), text(1)))
    assert body["candidates"] == [
        {"content": {"parts": [{"text": "Hello"}], "role": "model"}, "finishReason": "STOP", "index": 0}
    ]
    assert (body["modelVersion"], body["responseId"]) == ("gpt-5.5", "0" * 32)


def test_row_157_a_call_is_sent_whole_with_its_id(gemini):
    events = answer(called(0, "f", '{"a":', "1}"), reason="tool_calls")
    whole = {"functionCall": {"id": "call_0", "name": "f", "args": {"a": 1}}}
    chunks = gemini.chunks(events)
    assert gemini.parts(chunks) == gemini.parts([gemini.collect(events)]) == [whole]
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", {}),
        ("{broken", {}),
        ("[1]", {}),
        ('{"a":\n 1}', {"a": 1}),
        ('{"n":123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
        ('{"a":"é\\ud83d"}', {"a": "é\ud83d"}),
    ],
)
def test_arguments_are_always_an_object(gemini, arguments, args):
    data = gemini.stream(answer(called(0, "f", arguments)))
    first = json.loads(data.split(b"\n\n")[0][6:])
    assert first["candidates"][0]["content"]["parts"][0]["functionCall"]["args"] == args


def test_a_custom_call_has_its_input_as_argument(gemini):
    (part,) = gemini.parts(gemini.chunks(answer(called(0, "patch", "raw text", kind="custom"))))
    assert part["functionCall"]["args"] == {"input": "raw text"}


def test_row_168_thoughts_are_shown_to_those_who_ask(gemini):
    events = answer(thinking(0, "One", "Two"), text(1, "Done"))
    shown = gemini.parts(gemini.chunks(events, **THOUGHTS))
    assert shown == [
        {"text": "One", "thought": True}, {"text": "\n\nTwo", "thought": True}, {"text": "Done"},
    ]  # fmt: skip
    assert gemini.parts([gemini.collect(events, **THOUGHTS)]) == [
        {"text": "One\n\nTwo", "thought": True}, {"text": "Done"},
    ]  # fmt: skip
    assert gemini.parts(gemini.chunks(events)) == gemini.parts([gemini.collect(events)]) == [{"text": "Done"}]
    assert gemini.upstream(**THOUGHTS)["reasoning"] == {"summary": "auto"}


def signature(*proofs: str) -> str:
    return base64.b64encode(" ".join(proofs).encode()).decode()


@pytest.mark.parametrize("block", ["text", "call"])
def test_a_proof_travels_on_the_part_its_thoughts_led_to(gemini, proof, other_proof, block):
    said = text(2, "a", "b") if block == "text" else called(2, "f", "{}")
    events = answer(thinking(0, "hm", proof=proof), thinking(1, proof=other_proof), said)
    for parts in (gemini.parts(gemini.chunks(events)), gemini.parts([gemini.collect(events)])):
        assert parts[0]["thoughtSignature"] == signature(proof, other_proof)
        assert all("thoughtSignature" not in part for part in parts[1:])


def test_a_proof_comes_back_to_where_it_was(gemini, proof):
    events = answer(thinking(0, "hm", proof=proof), called(1, "f", "{}"), reason="tool_calls")
    said = gemini.collect(events)["candidates"][0]["content"]
    sent = gemini.upstream(contents=[{"role": "user", "parts": [{"text": "hi"}]}, said])["input"]
    assert [item["type"] for item in sent] == ["message", "reasoning", "function_call"]
    assert sent[1]["encrypted_content"] == proof and sent[2]["call_id"] == "call_1"


def test_a_proof_that_nothing_follows_travels_on_an_empty_text(gemini, proof):
    events = answer(text(0, "a"), thinking(1, "hm", proof=proof), reason="length")
    carrier = {"text": "", "thoughtSignature": signature(proof)}
    assert gemini.chunks(events)[-1]["candidates"][0]["content"]["parts"] == [carrier]
    assert gemini.collect(events)["candidates"][0]["content"]["parts"] == [{"text": "a"}, carrier]


def test_a_search_is_told_also_when_the_answer_was_blocked(gemini):
    search = [ev.BlockStart(index=0, kind="search"), ev.SearchResult(0, {"query": "q"}), ev.BlockStop(index=0)]
    (candidate,) = gemini.collect(answer(search, reason="content_filter"))["candidates"]
    assert (candidate["finishReason"], candidate["groundingMetadata"]) == ("SAFETY", {"webSearchQueries": ["q"]})


def test_a_foreign_proof_is_not_given_out(gemini):
    foreign = [ev.BlockStart(index=0, kind="reasoning"), ev.BlockStop(index=0, proof=ev.Proof("anthropic", "x"))]
    assert gemini.parts(gemini.chunks(answer(foreign, text(1, "a")))) == [{"text": "a"}]


@pytest.mark.parametrize(
    ("reason", "raw", "word"),
    [
        ("stop", "", "STOP"),
        ("stop", "stop_sequence", "STOP"),
        ("stop", "something_new", "OTHER"),
        ("length", "max_output_tokens", "MAX_TOKENS"),
        ("content_filter", "content_filter", "SAFETY"),
        ("refusal", "", "SAFETY"),
        ("tool_calls", "", "STOP"),
    ],
)
def test_row_170_every_end_has_a_reason(gemini, reason, raw, word):
    events = answer(text(0, "x"), reason=reason, raw=raw)
    assert gemini.chunks(events)[-1]["candidates"][0]["finishReason"] == word
    assert gemini.collect(events)["candidates"][0]["finishReason"] == word


def test_an_answer_blocked_before_any_word_says_so(gemini):
    body = gemini.collect(answer(reason="content_filter"))
    assert body["promptFeedback"] == {"blockReason": "SAFETY"} and "candidates" not in body


def test_a_refusal_is_text_and_safety(gemini):
    block: list[ev.Event] = [
        ev.BlockStart(index=0, kind="refusal"), ev.RefusalDelta(0, "no"), ev.BlockStop(index=0),
    ]  # fmt: skip
    events = answer(block, reason="refusal")
    assert gemini.parts(gemini.chunks(events)) == gemini.parts([gemini.collect(events)]) == [{"text": "no"}]


def test_what_a_search_found_is_grounding_after_what_the_text_cites(gemini):
    found = {"queries": ["q"], "sources": [{"url": "https://b"}, {"url": "https://a", "title": "A"}, {"type": "x"}]}
    search = [ev.BlockStart(index=0, kind="search"), ev.SearchResult(0, found), ev.BlockStop(index=0)]
    said = [ev.BlockStart(index=1, kind="text"), ev.TextDelta(1, "x"), ev.BlockStop(index=1)]
    said.insert(2, ev.Citation(1, {"type": "url_citation", "url": "https://a", "title": "Cited"}))
    metadata = {
        "webSearchQueries": ["q"],
        "groundingChunks": [
            {"web": {"uri": "https://a", "title": "Cited"}},
            {"web": {"uri": "https://b", "title": ""}},
        ],
    }
    events = answer(search, said)
    assert gemini.chunks(events)[-1]["candidates"][0]["groundingMetadata"] == metadata
    assert gemini.collect(events)["candidates"][0]["groundingMetadata"] == metadata


def test_row_171_a_picture_keeps_its_type(gemini):
    block: list[ev.Event] = [
        ev.BlockStart(index=0, kind="image"),
        ev.ImageDelta(0, "AA==", "image/jpeg", partial=True),
        ev.ImageDelta(0, "BBBB", "image/jpeg"),
        ev.BlockStop(index=0),
    ]
    whole = [{"inlineData": {"mimeType": "image/jpeg", "data": "BBBB"}}]
    assert gemini.parts(gemini.chunks(answer(block))) == gemini.parts([gemini.collect(answer(block))]) == whole


def test_row_172_text_that_only_the_item_snapshot_has_is_said(gemini):
    frames: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "r", "model": "m", "created_at": 1}},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "only here"}]},
        },
        {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}},
    ]
    decoder = registry.get_upstream("openai-responses").decoder()
    data = b"".join(b"event: %b\ndata: %b\n\n" % (f["type"].encode(), orjson.dumps(f)) for f in frames)
    assert gemini.parts(gemini.chunks([*decoder.feed(data), *decoder.finish()])) == [{"text": "only here"}]


def test_row_173_a_stream_without_alt_is_one_array(gemini):
    events = answer(text(0, "Hel", "lo"))
    assert gemini.elements(events) == gemini.chunks(events)
    data = gemini.stream(events, {})
    assert data.startswith(b"[{") and data.endswith(b"}]") and data.count(b"},\n{") == 2


def test_an_array_stays_valid_with_heartbeats_and_errors(gemini):
    encoder = CODEC.encoder(gemini.open("streamGenerateContent"))
    out = encoder.heartbeat() + encoder.encode(text(0, "a")) + encoder.heartbeat()
    out += encoder.encode([ev.Error(errors.UpstreamFailed("gone"))])
    elements = orjson.loads(out)
    assert elements[-1]["error"]["status"] == "INTERNAL" and encoder.heartbeat() == b""
    alone = CODEC.encoder(gemini.open("streamGenerateContent")).encode([ev.Error(errors.UpstreamFailed("gone"))])
    assert orjson.loads(alone)[0]["error"]["code"] == 500


def test_an_error_in_the_stream_is_the_last_frame(gemini):
    events = [*answer(text(0, "a"))[:-1], ev.Error(errors.UpstreamFailed("gone")), ev.TextDelta(0, "late")]
    chunks = gemini.chunks(events)
    assert chunks[-1]["error"] | {"details": 0} == {"code": 500, "message": "gone", "status": "INTERNAL", "details": 0}


def test_row_177_thoughts_are_counted_apart(gemini):
    usage = gemini.collect(answer(text(0, "x")))["usageMetadata"]
    assert usage == {
        "promptTokenCount": 10, "candidatesTokenCount": 2, "thoughtsTokenCount": 5, "cachedContentTokenCount": 4,
        "totalTokenCount": 17, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}],
    }  # fmt: skip


def test_sources_are_grounding_in_bytes(gemini):
    block: list[ev.Event] = [
        ev.BlockStart(index=1, kind="text"),
        ev.TextDelta(1, "é go"),
        ev.Citation(1, {"type": "url_citation", "url": "u", "title": "t", "start_index": 2, "end_index": 4}),
        ev.BlockStop(index=1),
    ]
    search: list[ev.Event] = [
        ev.BlockStart(index=0, kind="search"),
        ev.SearchResult(0, {"type": "search", "query": "q", "queries": ["q", "r"]}),
        ev.BlockStop(index=0),
    ]
    events = answer(search, block)
    tools = {"tools": [{"googleSearch": {}}]}
    metadata = {
        "webSearchQueries": ["q", "r"],
        "groundingChunks": [{"web": {"uri": "u", "title": "t"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 3, "endIndex": 5, "text": "go"}, "groundingChunkIndices": [0]}
        ],
    }
    assert gemini.chunks(events, **tools)[-1]["candidates"][0]["groundingMetadata"] == metadata
    assert gemini.collect(events, **tools)["candidates"][0]["groundingMetadata"] == metadata


# ---- structured output on its way back -----------------------------------------------------------------------------


def returned(gemini: Any, said: str, **config: Any) -> str:
    prepared = gemini.prepare(generationConfig=config)
    events: list[Any] = answer(text(0, *said))
    for inverse in prepared.inverses:
        events = inverse.inbound(events)
    return "".join(part["text"] for part in gemini.parts(gemini.chunks(events)))


def test_an_enum_answer_is_the_bare_word(gemini):
    schema = {"type": "STRING", "enum": ["yes", "no"], "format": "enum"}
    config = {"responseMimeType": "text/x.enum", "responseSchema": schema}
    sent = gemini.upstream(generationConfig=config)["text"]["format"]
    assert sent["strict"] is True
    assert sent["schema"]["properties"] == {"value": {"type": "string", "enum": ["yes", "no"]}}
    assert returned(gemini, '{"value":"yes"}', **config) == "yes"


def test_a_list_answer_is_the_bare_list(gemini):
    config = {"responseMimeType": "application/json", "responseSchema": {"type": "ARRAY", "items": {"type": "STRING"}}}
    assert gemini.upstream(generationConfig=config)["text"]["format"]["schema"]["type"] == "object"
    assert returned(gemini, '{"value":["a","b"]}', **config) == '["a","b"]'


def test_an_enum_without_a_schema_is_refused(gemini):
    with pytest.raises(InvalidRequest):
        gemini.decode(generationConfig={"responseMimeType": "text/x.enum"})


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (errors.InvalidRequest("m", param="contents"), 400, "INVALID_ARGUMENT"),
        (errors.ContextTooLong("m"), 400, "INVALID_ARGUMENT"),
        (errors.RequestTooLarge("m"), 413, "INVALID_ARGUMENT"),
        (errors.Unauthenticated("m"), 401, "UNAUTHENTICATED"),
        (errors.ModelNotFound("m"), 404, "NOT_FOUND"),
        (errors.RouteNotFound("m"), 404, "NOT_FOUND"),
        (errors.ModelUnsupported("m"), 404, "NOT_FOUND"),
        (errors.KeyLimited("m", retry_after_s=11.2), 429, "RESOURCE_EXHAUSTED"),
        (errors.RateLimited("m", status=402), 402, "RESOURCE_EXHAUSTED"),
        (errors.NoCapacity("m"), 503, "UNAVAILABLE"),
        (errors.NoCapacity("m", status=429), 429, "RESOURCE_EXHAUSTED"),
        (errors.AccountRejected("m", reason="banned"), 503, "UNAVAILABLE"),
        (errors.UpstreamBusy("m"), 503, "UNAVAILABLE"),
        (errors.UpstreamFailed("m"), 500, "INTERNAL"),
        (errors.EmptyResponse("m"), 502, "INTERNAL"),
        (errors.UpstreamBlocked("m", reason="challenge"), 502, "INTERNAL"),
        (errors.UpstreamUnreachable("m"), 502, "UNAVAILABLE"),
        (errors.UpstreamTimeout("m"), 504, "DEADLINE_EXCEEDED"),
        (errors.UpstreamDisconnected("m"), 504, "DEADLINE_EXCEEDED"),
        (errors.GatewayBug("m"), 500, "INTERNAL"),
        (errors.InvalidRequest("m", status=415), 415, "INVALID_ARGUMENT"),
        (errors.ClientError("m", status=499), 499, "CANCELLED"),
    ],
)
def test_errors_are_googles(error, status, word):
    written = CODEC.encode_error(error)
    body = orjson.loads(written.body)["error"]
    assert (written.status, body["code"], body["status"], body["message"]) == (status, status, word, "m")


def test_row_175_a_refused_model_has_message_and_status_in_their_fields():
    written = CODEC.encode_error(errors.PermissionDenied("This API key may not use the model 'x'.", param="model"))
    body = orjson.loads(written.body)["error"]
    assert written.status == body["code"] == 403
    assert body["status"] == "PERMISSION_DENIED" and body["message"].startswith("This API key")


def test_details_say_why_where_and_when():
    details = orjson.loads(CODEC.encode_error(errors.KeyLimited("m", retry_after_s=11.2)).body)["error"]["details"]
    assert details[0]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert details[1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}
    assert CODEC.encode_error(errors.KeyLimited("m", retry_after_s=11.2)).headers["retry-after"] == "12"
    wrong = orjson.loads(CODEC.encode_error(errors.InvalidRequest("m", param="contents")).body)["error"]["details"]
    assert wrong[1]["fieldViolations"] == [{"field": "contents", "description": "m"}]


# ---- models --------------------------------------------------------------------------------------------------------

MODELS = [ModelInfo(id=f"m{number}", efforts=("low",), context_window=1000) for number in range(3)]


def listed(**query: str) -> dict[str, Any]:
    return orjson.loads(CODEC.encode_models(MODELS, WireContext(query=query)))


def test_models_are_listed_by_pages():
    assert [model["name"] for model in listed()["models"]] == ["models/m0", "models/m1", "models/m2"]
    first = listed(pageSize="2")
    assert [len(first["models"]), first["nextPageToken"]] == [2, "2"]
    assert [m["name"] for m in listed(pageSize="2", pageToken="2")["models"]] == ["models/m2"]
    with pytest.raises(InvalidRequest):
        listed(pageToken="junk")


def test_hidden_models_are_not_listed():
    body = orjson.loads(CODEC.encode_models([ModelInfo(id="x", is_hidden=True)], WireContext()))
    assert body == {"models": []}


def test_row_176_one_model():
    entry = orjson.loads(CODEC.encode_model(MODELS[0], WireContext()))
    assert entry == {
        "name": "models/m0", "baseModelId": "m0", "version": "001", "displayName": "m0", "description": "",
        "inputTokenLimit": 1000, "thinking": True,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    }  # fmt: skip
