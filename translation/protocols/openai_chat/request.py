"""A Chat body → the IR: everything around the messages, and the order in which a request is understood.

Knobs of a wrong type are ignored, essentials of a wrong type are a 400 with the client's own path. What the IR cannot
hold is listed in `dropped`. Facts: spec/translation.md §4.6-4.9, §5.1. Reference:
https://platform.openai.com/docs/api-reference/chat/create (checked 2026-11-20).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from translation.codec import OpenedRequest, WireContext
from translation.errors import InvalidRequest, UnsupportedFeature
from translation.ir.request import (
    GenerateRequest,
    Identity,
    Item,
    Message,
    OutputFormat,
    ReasoningOptions,
    Sampling,
    TextPart,
)
from translation.protocols.openai_chat.input_items import read_input
from translation.protocols.openai_chat.messages import Transcript
from translation.protocols.openai_chat.tools import read_tool_choice, read_tools
from translation.shared.anchors import agent_digest, conversation_anchor
from translation.shared.fields import (
    Misread,
    essential,
    first,
    flag,
    items_of,
    members_of,
    nested,
    number,
    whole,
    word,
)
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

_SESSION_HEADERS = ("x-session-id", "session_id", "session-id", "conversation_id", "thread-id", "x-session-affinity")
_TIERS = {"fast": "priority", "priority": "priority", "flex": "flex"}
_DROPPED = (
    "audio",
    "logit_bias",
    "logprobs",
    "metadata",
    "modalities",
    "moderation",
    "prediction",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "top_logprobs",
)
"""Knobs without a place in the IR. The gateway works without them, and says so."""

_ILLEGAL_NAME_CHARS = re.compile(r"[^A-Za-z0-9_-]+")


def open_chat_request(body: bytes, context: WireContext) -> OpenedRequest:
    """Parse a body and read what routing needs.

    Raises: InvalidRequest when it is no JSON object, names no model, or `stream` is no boolean.
    """
    fields = jsonio.loads_object(body)
    try:
        model = essential(fields.get("model"), str, "model", "a string")
        if not model.strip():
            raise Misread("is empty.", "model")
        stream = essential(first(fields, "stream") or False, bool, "stream", "a boolean")
    except Misread as problem:
        raise problem.error() from None
    key = word(fields, "prompt_cache_key", "promptCacheKey")
    session = next((context.headers[name] for name in _SESSION_HEADERS if context.headers.get(name)), None)
    is_named = key is not None or session is not None
    messages = _messages(fields)
    identity = Identity(
        prompt_cache_key=key,
        session=session,
        user=word(fields, "user"),
        anchor=None if is_named else conversation_anchor(model, "", messages),
    )
    return OpenedRequest(
        model=model,
        stream=stream,
        body=fields,
        identity=identity,
        agent=agent_digest("", messages) if is_named else "",
        context=context,
        previous_response_id=None if fields.get("messages") else word(fields, "previous_response_id"),
    )


def _messages(fields: dict[str, Any]) -> Sequence[Any]:
    messages = fields.get("messages") or fields.get("input")
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return messages if is_array(messages) else ()


def decode_chat_request(opened: OpenedRequest) -> GenerateRequest:
    """Build the IR of an opened request.

    Raises: InvalidRequest or UnsupportedFeature, with `param` set to the client's own path.
    """
    try:
        return _decode(opened)
    except Misread as problem:
        raise problem.error() from None


def wants_usage(body: dict[str, Any]) -> bool:
    """Say whether the client asked for the extra usage chunk of a stream."""
    return nested(body, "stream_options").get("include_usage") is True


def _decode(opened: OpenedRequest) -> GenerateRequest:
    body = opened.body
    _refuse_impossible(body)
    has_messages = bool(body.get("messages"))
    toolset = read_tools(body, allow_hosted=not has_messages)
    transcript = Transcript(toolset.custom_names)
    _read_conversation(body, transcript)
    output_format = _read_format(body)
    if output_format is not None and output_format.kind == "json_object":
        _mention_json(transcript.items)
    return GenerateRequest(
        model=opened.model,
        items=tuple(transcript.items),
        instructions=tuple(transcript.instructions),
        tools=toolset.tools,
        tool_choice=read_tool_choice(body, toolset),
        parallel_tool_calls=False if toolset.is_legacy else flag(body, "parallel_tool_calls"),
        sampling=_read_sampling(body),
        max_output_tokens=whole(body, "max_completion_tokens", "max_tokens", "max_output_tokens"),
        reasoning=_read_reasoning(body),
        output_format=output_format,
        verbosity=word(body, "verbosity", "textVerbosity") or word(nested(body, "text"), "verbosity"),
        service_tier=_TIERS.get(word(body, "service_tier", "serviceTier") or ""),
        identity=opened.identity,
        previous_response_id=opened.previous_response_id,
        stream=opened.stream,
        dropped=tuple(name for name in _DROPPED if body.get(name) is not None),
    )


def _refuse_impossible(body: dict[str, Any]) -> None:
    """Raises: UnsupportedFeature for several choices and for spoken output."""
    count = body.get("n")
    if count is not None and count != 1:
        raise UnsupportedFeature("`n` must be 1: the upstream gives one choice per request.", param="n")
    modalities = body.get("modalities")
    if is_array(modalities) and "audio" in modalities:
        raise UnsupportedFeature(
            "`modalities` asks for audio, which is not supported; ask for text.",
            code="unsupported_content",
            param="modalities",
        )
    if body.get("audio") is not None:
        raise UnsupportedFeature("`audio` is not supported.", code="unsupported_content", param="audio")


def _read_conversation(body: dict[str, Any], transcript: Transcript) -> None:
    messages = body.get("messages")
    if messages:
        try:
            transcript.read(items_of(messages, ""))
        except Misread as problem:
            raise problem.under("messages") from None
    elif body.get("input"):
        instructions = word(body, "instructions")
        if instructions:
            transcript.instructions.append(instructions)
        read_input(body["input"], transcript)
    else:
        raise InvalidRequest("`messages` is missing or empty.", param="messages")
    transcript.close()


def _read_sampling(body: dict[str, Any]) -> Sampling:
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=whole(body, "top_k"),
        seed=whole(body, "seed"),
        frequency_penalty=number(body, "frequency_penalty"),
        presence_penalty=number(body, "presence_penalty"),
        stop=_read_stop(body.get("stop")),
    )


def _read_stop(stop: Any) -> tuple[str, ...]:
    if stop is None:
        return ()
    stops = [stop] if isinstance(stop, str) else stop
    if not is_array(stops) or not all(isinstance(text, str) for text in stops):
        raise Misread("must be a string or a list of strings.", "stop")
    return tuple(text for text in stops if text)


def _read_reasoning(body: dict[str, Any]) -> ReasoningOptions:
    """Chat always shows thoughts (`reasoning_content`), so summaries are asked for even without an effort."""
    options = nested(body, "reasoning")
    thinking = nested(body, "thinking")
    effort = word(body, "reasoning_effort") or word(options, "effort") or word(body, "reasoningEffort")
    budget = whole(options, "max_tokens")
    if effort is None and budget is None:
        effort, budget = _read_switches(body, thinking)
    summary = word(options, "summary") or "auto"
    return ReasoningOptions(
        effort=effort.lower() if effort else None,
        budget_tokens=budget,
        summary=None if options.get("exclude") is True or summary == "none" else summary,
    )


def _read_switches(body: dict[str, Any], thinking: dict[str, Any]) -> tuple[str | None, int | None]:
    """Read the on/off spellings of other vendors; on without a budget is medium."""
    if thinking.get("type") == "disabled" or body.get("enable_thinking") is False:
        return "none", None
    if thinking.get("type") == "enabled" or body.get("enable_thinking") is True:
        budget = whole(thinking, "budget_tokens")
        return (None, budget) if budget is not None else ("medium", None)
    return None, None


def _read_format(body: dict[str, Any]) -> OutputFormat | None:
    key = "response_format"
    source = body.get(key)
    if source is None:
        key = "text.format"
        source = nested(body, "text").get("format")
    if source is None:
        return None
    source = members_of(source, key)
    kind = source.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat(kind="json_object")
    if kind == "json_schema":
        return _read_schema_format(source, key)
    raise Misread("must be text, json_object or json_schema.", f"{key}.type")


def _read_schema_format(source: dict[str, Any], key: str) -> OutputFormat:
    inner = source if is_object(source.get("schema")) else source.get("json_schema")
    inner = members_of(inner, f"{key}.json_schema")
    schema = inner.get("schema")
    name = _ILLEGAL_NAME_CHARS.sub("_", word(inner, "name") or "")[:64]
    return OutputFormat(
        kind="json_schema",
        name=name or "response",
        schema=schema if is_object(schema) else {},
        strict=flag(inner, "strict"),
        description=word(inner, "description"),
    )


def _mention_json(items: list[Item]) -> None:
    """Satisfy the upstream, which refuses json_object unless an input item says "JSON" (§4.1, row 38).

    Only what stands before the first answer counts, so that later turns never take the added item away again.
    """
    for item in items:
        if not isinstance(item, Message) or item.role == "assistant":
            break
        if any(isinstance(part, TextPart) and "json" in part.text.lower() for part in item.parts):
            return
    items.insert(0, Message("developer", (TextPart("Respond in JSON."),)))
