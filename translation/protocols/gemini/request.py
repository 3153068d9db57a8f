"""A Gemini call → the IR. The model and the verb are in the path, everything else in the body.

Facts: spec/translation.md §3.1, §4.9, §7.1. Reference: https://ai.google.dev/api/generate-content (checked 2026-11-23).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from translation.codec import OpenedRequest, WireContext
from translation.errors import InvalidRequest, RouteNotFound
from translation.ir.request import GenerateRequest, Identity, Tool, ToolChoice
from translation.protocols.gemini import generation
from translation.protocols.gemini.contents import Conversation, read_texts
from translation.protocols.gemini.fields import get, listed, unsupported, whole, word
from translation.protocols.gemini.tools import IMAGE_GENERATION, read_tool_choice, read_tools
from translation.shared.anchors import agent_digest, conversation_anchor
from translation.shared.fields import Misread
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

_SESSION_HEADERS = ("x-conversation-id", "x-session-id", "session-id", "x-session-affinity")
_TIERS = {"fast": "priority", "priority": "priority", "flex": "flex"}
_DROPPED = ("labels", "safetySettings", "store")
ARRAY_MEDIA_TYPE = "application/json; charset=utf-8"
STREAM_VERB = "streamGenerateContent"
COUNT_VERB = "countTokens"
_VERBS = ("generateContent", STREAM_VERB, COUNT_VERB)


def open_gemini_request(body: bytes, context: WireContext) -> OpenedRequest:
    """Parse a body and read what routing needs.

    Raises: RouteNotFound for a verb that is not served, InvalidRequest when the body is no JSON object, or neither path
    nor body names a model.
    """
    verb = context.path.rpartition(":")[2]
    if verb not in _VERBS:
        raise RouteNotFound(f"`{verb[-60:]}` is not served; use generateContent, streamGenerateContent or countTokens.")
    fields = jsonio.loads_object(body)
    named = context.params.get("model") or word(fields, "model") or ""
    model = unquote(named).strip().removeprefix("models/")
    if not model:
        raise InvalidRequest("`model` is missing: it belongs into the path.", param="model")
    if verb == COUNT_VERB:
        fields = _counted(fields)
    key = word(fields, "promptCacheKey")
    session = next((context.headers[name] for name in _SESSION_HEADERS if context.headers.get(name)), None)
    messages = _beginning(fields)
    opened = OpenedRequest(
        model=model,
        stream=verb == STREAM_VERB,
        body=fields,
        identity=Identity(
            prompt_cache_key=key,
            session=session,
            anchor=None if key or session else conversation_anchor(model, "", messages),
        ),
        agent=agent_digest("", messages) if key or session else "",
        context=context,
    )
    opened.media_type = None if wants_events(opened) else ARRAY_MEDIA_TYPE
    return opened


def wants_events(opened: OpenedRequest) -> bool:
    """Say whether a stream leaves as server-sent events (`?alt=sse`); otherwise it is one JSON array (row 173)."""
    query = opened.context.query
    return (query.get("alt") or query.get("$alt") or "").lower() == "sse"


def _counted(fields: dict[str, Any]) -> dict[str, Any]:
    """`countTokens` takes contents, or a whole request in an envelope."""
    inner = get(fields, "generateContentRequest")
    return inner if is_object(inner) else fields


def _beginning(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the system instruction and the first content as messages."""
    said = get(fields, "systemInstruction")
    messages: list[dict[str, Any]] = [{"role": "system", "content": _anchor_text(said)}] if said is not None else []
    messages += [{"role": "user", "content": _anchor_text(it)} for it in listed(fields.get("contents"))[:1]]
    return messages


def _anchor_text(content: Any) -> str:
    parts = listed(get(content, "parts")) if is_object(content) and get(content, "parts") is not None else [content]
    texts = (part.get("text") if is_object(part) else part for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def decode_gemini_request(opened: OpenedRequest) -> GenerateRequest:
    """Build the IR of an opened request.

    Raises: InvalidRequest or UnsupportedFeature, with `param` set to the client's own path.
    """
    try:
        return _decode(opened)
    except Misread as problem:
        raise problem.error() from None


def _decode(opened: OpenedRequest) -> GenerateRequest:
    body = opened.body
    config = generation.config_of(body)
    _refuse_impossible(body, config)
    toolset = read_tools(body)
    tools, choice = _with_image_tool(toolset.tools, read_tool_choice(body, toolset.tools), config)
    conversation = Conversation()
    conversation.read(body.get("contents"))
    knobs = tuple(name for name in _DROPPED if get(body, name) is not None)
    instruction = get(body, "systemInstruction")
    return GenerateRequest(
        model=opened.model,
        items=tuple(conversation.items),
        instructions=(*read_texts(instruction, "systemInstruction"), *conversation.instructions),
        tools=tools or None,
        tool_choice=choice,
        sampling=generation.read_sampling(config),
        max_output_tokens=whole(config, "maxOutputTokens"),
        reasoning=generation.read_reasoning(body),
        output_format=generation.read_format(config),
        service_tier=_TIERS.get((word(body, "serviceTier") or "").lower()),
        identity=opened.identity,
        stream=opened.stream,
        dropped=(*knobs, *generation.dropped_knobs(config), *toolset.dropped, *conversation.ignored),
    )


def _refuse_impossible(body: dict[str, Any], config: dict[str, Any]) -> None:
    if word(body, "cachedContent") is not None:
        raise unsupported("is not supported: the gateway stores no content. Send the whole prompt.", "cachedContent")
    if body.get("contents") in (None, [], "", {}):
        raise Misread("is missing or empty.", "contents")
    generation.refuse_impossible(config)


def _with_image_tool(
    tools: tuple[Tool, ...], choice: ToolChoice | None, config: dict[str, Any]
) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    """IMAGE among the modalities is a tool upstream; IMAGE alone means that it must be used."""
    drawing, is_only = generation.read_image_tool(config)
    if drawing is None:
        return tools, choice
    if is_only and choice is None:
        choice = ToolChoice(mode="hosted", name=IMAGE_GENERATION)
    return (*tools, drawing), choice
