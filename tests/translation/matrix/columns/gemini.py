"""Gemini, read by the google-genai package. It adds nothing up, so texts of one kind that follow each other are joined.

`gemini` is the stream of server-sent events the package asks for; `gemini_array` the JSON array other clients get,
whose elements the package's own types read.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import httpx
import orjson
from google import genai
from google.genai import types
from google.genai.errors import APIError

from tests.translation.matrix.contract import MODEL, Column, Reading, Refused, Said, Truth, sse_frames

CONFIG = types.GenerateContentConfig(
    thinking_config=types.ThinkingConfig(include_thoughts=True),
    tools=[types.Tool(google_search=types.GoogleSearch())],
)
ENDS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}


class GeminiColumn(Column):
    name = "gemini"
    codec = "gemini"
    requests = "gemini"
    essentials = frozenset({"contents", "name"})
    data_keys = frozenset(
        {"args", "response", "parameters", "responseSchema", "responseJsonSchema", "parametersJsonSchema"}
        | {"response_schema", "response_json_schema", "parameters_json_schema"}
    )

    @cached_property
    def sdk(self) -> genai.Client:
        http = httpx.Client(transport=self.wire.transport(httpx))
        return genai.Client(
            api_key="k", http_options=types.HttpOptions(base_url="http://gateway.invalid", httpx_client=http)
        )

    def known_fields(self) -> set[str]:
        kinds = (types.GenerateContentConfig, types.Content, types.Part, types.FunctionDeclaration, types.Tool)
        fields = {field.alias or name for kind in kinds for name, field in kind.model_fields.items()}
        return fields | {"generationConfig", "safetySettings", "systemInstruction", "toolConfig", "cachedContent"}

    def ask(self, *, is_streamed: bool) -> Reading:
        try:
            if is_streamed:
                return read(list(self.sdk.models.generate_content_stream(model=MODEL, contents="hi", config=CONFIG)))
            return read([self.sdk.models.generate_content(model=MODEL, contents="hi", config=CONFIG)])
        except APIError as error:
            # An error inside a stream is raised with its own code, but the HTTP status was 200.
            raise Refused(error.message or "", error.code if self.wire.status >= 400 else None) from error

    def check(self, data: bytes) -> None:
        frames = sse_frames(data)
        assert all(not name for name, _ in frames)
        check_chunks([orjson.loads(payload) for _, payload in frames])

    def ending(self, data: bytes) -> str:
        return "error" if "error" in orjson.loads(sse_frames(data)[-1][1]) else "finish"

    def follow(self, body: dict[str, Any], answer: dict[str, Any], results: list[str], words: str) -> bool:
        content = answer["candidates"][0]["content"] if "candidates" in answer else {"parts": []}  # blocked
        if content["parts"]:
            body["contents"].append(content)
        calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        parts: list[dict[str, Any]] = [
            {"functionResponse": {"id": call["id"], "name": call["name"], "response": {"result": result}}}
            for call, result in zip(calls, results, strict=False)
        ]
        if words:
            parts.append({"text": words})
        body["contents"].append({"role": "user", "parts": parts})
        return True

    def expect(self, truth: Truth) -> Said:
        is_refused = truth.refusal and not truth.calls and truth.end == "stop"
        end = "SAFETY" if is_refused else ENDS[truth.end]
        return Said(
            text=truth.text + truth.refusal,
            reasoning="\n\n".join(truth.reasoning),
            calls=[
                (name, {"input": said} if kind == "custom" else object_of(said)) for kind, name, said in truth.calls
            ],
            images=truth.images,
            sources=truth.searched + truth.sources,
            proofs=truth.proofs,
            end="OTHER" if truth.end_detail and end == "STOP" else end,
            usage=truth.usage,
        )


class GeminiArrayColumn(GeminiColumn):
    name = "gemini_array"

    def opened(self, *, is_streamed: bool) -> Any:
        opened = super().opened(is_streamed=is_streamed)
        if not is_streamed:
            return opened
        fields = {name: getattr(opened.context, name) for name in opened.context.__struct_fields__}
        context = type(opened.context)(**{**fields, "query": {}})
        return self.spoken.open_request(orjson.dumps(opened.body), context)

    def ask(self, *, is_streamed: bool) -> Reading:
        if not is_streamed or self.wire.status >= 400:
            return super().ask(is_streamed=is_streamed)
        chunks = orjson.loads(b"".join(self.wire.pieces))
        if "error" in chunks[-1]:
            raise Refused(chunks[-1]["error"]["message"])
        return read([types.GenerateContentResponse.model_validate(chunk) for chunk in chunks])

    def check(self, data: bytes) -> None:
        check_chunks(orjson.loads(data))

    def ending(self, data: bytes) -> str:
        return "error" if "error" in orjson.loads(data)[-1] else "finish"


def check_chunks(chunks: list[Any]) -> None:
    """Every chunk has one candidate with parts; the last, and no other, has a reason or is an error."""
    assert chunks
    is_cut = "error" in chunks[-1]
    if is_cut:
        assert set(chunks.pop()) == {"error"}
    assert len({(chunk["responseId"], chunk["modelVersion"]) for chunk in chunks}) <= 1
    for position, chunk in enumerate(chunks):
        (candidate,) = chunk["candidates"]
        assert candidate["content"]["role"] == "model" and candidate["content"]["parts"] and candidate["index"] == 0
        assert ("finishReason" in candidate) == (position == len(chunks) - 1 and not is_cut)
        assert "usageMetadata" not in chunk or "finishReason" in candidate


def object_of(text: str) -> Any:
    """Return what a tool would be given."""
    try:
        value = orjson.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read(responses: list[types.GenerateContentResponse]) -> Reading:
    """Add up the parts of all chunks; a collected answer is one."""
    parts: list[dict[str, Any]] = []
    for response in responses:
        candidate = response.candidates[0] if response.candidates else None
        for part in (candidate.content.parts if candidate and candidate.content else None) or ():
            _join(parts, part.model_dump(exclude_none=True))
    last = responses[-1]
    candidate = last.candidates[0] if last.candidates else None
    end = str(candidate.finish_reason.value) if candidate and candidate.finish_reason else _blocked(last)
    grounding = (
        candidate.grounding_metadata.model_dump(exclude_none=True) if candidate and candidate.grounding_metadata else {}
    )
    usage = last.usage_metadata.model_dump(exclude_none=True) if last.usage_metadata else None
    said = Said(
        text="".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        reasoning="\n\n".join(part["text"] for part in parts if part.get("thought")),
        calls=[(call["name"], call["args"]) for part in parts if (call := part.get("function_call"))],
        images=[_base64(part["inline_data"]["data"]) for part in parts if "inline_data" in part],
        sources=[chunk["web"]["uri"] for chunk in grounding.get("grounding_chunks", ())],
        proofs=[proof for part in parts for proof in part.get("thought_signature", b"").decode().split()],
        end=end,
        usage=None if usage is None else counts(usage),
    )
    return Reading((last.model_version, parts, end, grounding, usage), said)


def _join(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    if part.get("text") == "" and "thought_signature" not in part:
        return
    before = parts[-1] if parts else {}
    if (
        "text" in part
        and "text" in before
        and part.get("thought") == before.get("thought")
        and "thought_signature" not in part
    ):
        before["text"] += part["text"]
    else:
        parts.append(part)


def _blocked(response: types.GenerateContentResponse) -> str:
    feedback = response.prompt_feedback
    return str(feedback.block_reason.value) if feedback and feedback.block_reason else ""


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def counts(usage: dict[str, Any]) -> dict[str, int]:
    reasoning = usage.get("thoughts_token_count", 0)
    return {
        "input": usage["prompt_token_count"],
        "cached": usage.get("cached_content_token_count", 0),
        "output": usage["candidates_token_count"] + reasoning,
        "reasoning": reasoning,
        "total": usage["total_token_count"],
    }


COLUMNS = (GeminiColumn(), GeminiArrayColumn())
