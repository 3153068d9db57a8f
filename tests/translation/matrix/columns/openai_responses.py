"""OpenAI Responses, read by the openai package: relayed (the tap) and translated (the encoder).

The package's stream helper keeps a snapshot of the response as it grows; answers cut by a limit end it without a final
response, so the terminal event is read then.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import httpx
import openai

from tests.translation.matrix.contract import Column, Reading, Refused, Said, Truth, fields_of, sse_frames, told_by

TERMINALS = {"response.completed", "response.incomplete", "response.failed", "error"}
ITEM_EVENTS = {"response.output_item.added", "response.output_item.done"}
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesColumn(Column):
    codec = "openai-responses"
    requests = "openai-responses-requests"
    essentials = frozenset(
        {
            "model",
            "input",
            "role",
            "type",
            "name",
            "call_id",
            "output",
            "arguments",
            "text",
            "schema",
            "url",
            "parameters",
        }
    )
    data_keys = frozenset({"parameters", "metadata", "schema", "client_metadata"})

    def __init__(self, name: str, *, is_relayed: bool) -> None:
        super().__init__()
        self.name, self.is_relayed = name, is_relayed

    @cached_property
    def sdk(self) -> openai.OpenAI:
        transport = self.wire.transport(httpx)
        return openai.OpenAI(
            api_key="k",
            base_url="http://gateway.invalid/v1",
            max_retries=0,
            http_client=httpx.Client(transport=transport),
        )

    def known_fields(self) -> set[str]:
        return fields_of(openai.types.responses) | fields_of(openai.types.shared_params)

    def ask(self, *, is_streamed: bool) -> Reading:
        body: dict[str, Any] = {"model": "my-model", "input": "hi"}
        try:
            if not is_streamed:
                return read(self.sdk.responses.create(**body), [])
            with self.sdk.responses.stream(**body) as stream:
                events = list(stream)
        except openai.APIError as error:
            raise Refused(told_by(error.body) or error.message, getattr(error, "status_code", None)) from error
        if events[-1].type == "error":
            raise Refused(events[-1].message)
        if events[-1].type == "response.failed":
            raise Refused(events[-1].response.error.message)
        return read(events[-1].response, events)

    def check(self, data: bytes) -> None:
        frames = []
        for name, payload in sse_frames(data):
            frames.append(json.loads(payload))  # the relay passes half of a surrogate pair on as it came
            assert name.decode() == frames[-1]["type"]
        kinds = [frame["type"] for frame in frames]
        assert kinds[0] == "response.created" and kinds.count("response.created") == 1
        assert [kind in TERMINALS for kind in kinds] == [False] * (len(kinds) - 1) + [True]
        told = [
            frame["response"]
            for frame in frames
            if frame["type"] in (*TERMINALS, "response.created") and frame["type"] != "error" and "response" in frame
        ]
        assert len({response["id"] for response in told}) == 1
        assert all(response["model"] == "my-model" for response in told)
        if not self.is_relayed:  # the relay keeps the upstream's own numbers and order
            assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
            self._check_items(frames)

    def _check_items(self, frames: list[dict[str, Any]]) -> None:
        added: dict[int, str] = {}
        done: set[int] = set()
        for frame in frames:
            place = frame.get("output_index")
            if frame["type"] == "response.output_item.added":
                assert place == len(added), "items open in order"
                added[place] = frame["item"]["id"]
            elif place is not None:
                assert place in added and place not in done, "parts of an item that is open"
                assert frame.get("item_id", added[place]) == added[place]
            if frame["type"] == "response.output_item.done":
                done.add(place)
        if frames[-1]["type"] != "response.failed":
            assert done == set(added)
            assert [item["id"] for item in frames[-1]["response"]["output"]] == list(added.values())

    def ending(self, data: bytes) -> str:
        return "error" if sse_frames(data)[-1][0] in (b"response.failed", b"error") else "finish"

    def follow(self, body: dict[str, Any], answer: dict[str, Any], results: list[str], words: str) -> bool:
        if isinstance(body["input"], str):
            body["input"] = [{"role": "user", "content": [{"type": "input_text", "text": body["input"]}]}]
        body["input"] += answer["output"]
        calls = [item for item in answer["output"] if item["type"] in ("function_call", "custom_tool_call")]
        for call, result in zip(calls, results, strict=False):
            output = {"type": f"{call['type']}_output", "call_id": call["call_id"], "output": result}
            body["input"].append(output)
        if words:
            body["input"].append({"role": "user", "content": words})
        return True

    def expect(self, truth: Truth) -> Said:
        return Said(
            text=truth.text + truth.refusal,
            reasoning="\n\n".join(truth.reasoning),
            calls=[(name, arguments) for _, name, arguments in truth.calls],
            images=truth.images,
            sources=truth.searched + truth.sources,
            proofs=truth.proofs,
            end=truth.end_detail or INCOMPLETE.get(truth.end, "completed"),
            usage=truth.usage,
        )


def read(response: Any, events: list[Any]) -> Reading:
    """Read the response; `events` of a stream must have told the same texts and arguments on the way."""
    whole = {"object": "response", **response.to_dict()}
    said = Said(end=(whole.get("incomplete_details") or {}).get("reason") or whole["status"])
    thoughts: list[str] = []
    for item in whole["output"]:
        item["id"] = ""
        _take(item, said, thoughts)
    said.reasoning = "\n\n".join(thoughts)
    if whole.get("usage"):
        said.usage = counts(whole["usage"])
    if events:
        _check_deltas(events, said)
    return Reading({**whole, "id": ""}, said)


def _take(item: dict[str, Any], said: Said, thoughts: list[str]) -> None:
    match item["type"]:
        case "message":
            for part in item["content"]:
                part.pop("parsed", None)
                said.text += part.get("text", part.get("refusal", ""))
                said.sources += [found["url"] for found in part.get("annotations") or () if "url" in found]
        case "reasoning":
            thoughts += [
                part["text"] for part in [*item.get("summary", ()), *(item.get("content") or ())] if part["text"]
            ]
            said.proofs += [item["encrypted_content"]] if item.get("encrypted_content") else []
        case "function_call" | "custom_tool_call":
            item.pop("parsed_arguments", None)
            said.calls.append((item["name"], item.get("arguments", item.get("input"))))
        case "image_generation_call":
            said.images += [item["result"]] if item.get("result") else []
        case "web_search_call":
            said.sources += [source["url"] for source in (item.get("action") or {}).get("sources") or ()]
        case _:
            pass


def _check_deltas(events: list[Any], said: Said) -> None:
    deltas: dict[tuple[str, int], str] = {}
    for event in events:
        if event.type.endswith(".delta") and not event.type.startswith("response.reasoning"):
            kind = "call" if "call" in event.type else "text"
            deltas[kind, event.output_index] = deltas.get((kind, event.output_index), "") + event.delta
    for (kind, _), pieces in deltas.items():
        told = pieces.encode("utf-16", "surrogatepass").decode("utf-16")
        if kind == "text":
            assert told in said.text
        else:
            assert told in [arguments for _, arguments in said.calls]


def counts(usage: dict[str, Any]) -> dict[str, int]:
    return {
        "input": usage["input_tokens"],
        "cached": usage["input_tokens_details"]["cached_tokens"],
        "output": usage["output_tokens"],
        "reasoning": usage["output_tokens_details"]["reasoning_tokens"],
        "total": usage["total_tokens"],
    }


COLUMNS = (
    ResponsesColumn("responses_relayed", is_relayed=True),
    ResponsesColumn("responses_translated", is_relayed=False),
)
