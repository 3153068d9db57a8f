"""A Messages body → the IR: everything around the messages, and what the encoder must know of the request.

Knobs of a wrong type are ignored, essentials of a wrong type are a 400 with the client's own path. What the IR cannot
hold is listed in `dropped`. Facts: spec/translation.md §3.1, §4.7-4.9, §6.1. Reference:
https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from translation.codec import OpenedRequest, WireContext
from translation.errors import InvalidRequest, UnsupportedFeature
from translation.ir.request import GenerateRequest, Identity, OutputFormat, ReasoningOptions, Sampling
from translation.passes.schemas import close_objects, strict_violations
from translation.protocols.anthropic_messages.content import read_system
from translation.protocols.anthropic_messages.messages import Transcript
from translation.protocols.anthropic_messages.tools import allows_parallel_calls, read_tool_choice, read_tools
from translation.shared.anchors import agent_digest, conversation_anchor
from translation.shared.fields import Misread, essential, nested, number, whole, word
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

_SESSION_HEADER = "x-claude-code-session-id"
_AGENT_HEADER = "x-claude-code-agent-id"
_SESSION_IN_USER_ID = re.compile(r"_session_([0-9A-Fa-f-]{32,36})$")
_EFFORT_SUFFIXES = frozenset({"minimal", "low", "medium", "high", "xhigh"})
"""Efforts that a model name may end in, before or after a tier; `max` ends names of models too."""
_DROPPED = ("container", "context_management", "inference_geo", "cache_control")
"""Knobs without a place in the IR. The gateway works without them, and says so."""


def open_request(body: bytes, context: WireContext) -> OpenedRequest:
    """Parse a body and read what routing needs.

    Raises: InvalidRequest when it is no JSON object, names no model, or `stream` is no boolean.
    """
    fields = jsonio.loads_object(body)
    try:
        model = essential(fields.get("model"), str, "model", "a string")
        if not model.strip():
            raise Misread("is empty.", "model")
        stream = essential(fields.get("stream") or False, bool, "stream", "a boolean")
    except Misread as problem:
        raise problem.error() from None
    identity = _read_identity(model, fields, context)
    return OpenedRequest(
        model=model,
        stream=stream,
        body=fields,
        context=context,
        identity=identity,
        agent=agent_digest(*_said(fields)) if identity.anchor is None else "",
    )


def decode_request(opened: OpenedRequest) -> GenerateRequest:
    """Build the IR of an opened request, once; later calls return the same object.

    Raises: InvalidRequest or UnsupportedFeature, with `param` set to the client's own path.
    """
    if opened.decoded is None:
        try:
            opened.decoded = _decode(opened)
        except Misread as problem:
            raise problem.error() from None
    return opened.decoded


def shows_thinking(opened: OpenedRequest) -> bool:
    """Say whether the client reads thinking blocks: it asked for thinking, or for an effort by field or model name."""
    kind = nested(opened.body, "thinking").get("type")
    if kind is not None:
        return kind != "disabled"
    return _effort(opened.body) is not None or _has_effort_suffix(opened.model)


def omits_thinking_text(opened: OpenedRequest) -> bool:
    """Say whether the client wants thinking blocks with a signature and no text."""
    return nested(opened.body, "thinking").get("display") == "omitted"


def _decode(opened: OpenedRequest) -> GenerateRequest:
    body = opened.body
    if body.get("mcp_servers"):
        raise UnsupportedFeature(
            "`mcp_servers` is not supported: the gateway calls no MCP servers. Run them on the client's side.",
            param="mcp_servers",
        )
    if body.get("messages") is None:
        raise InvalidRequest("`messages` is missing.", param="messages")
    try:
        instructions = read_system(body.get("system"))
    except Misread:
        raise InvalidRequest("`system` must be a string or a list of text blocks.", param="system") from None
    toolset = read_tools(body.get("tools"), hosts_search=_hosts_search(opened.context))
    transcript = Transcript()
    transcript.read(body["messages"])
    choice = body.get("tool_choice")
    return GenerateRequest(
        model=opened.model,
        items=tuple(transcript.items),
        instructions=instructions,
        tools=toolset.tools,
        tool_choice=read_tool_choice(choice, toolset),
        parallel_tool_calls=allows_parallel_calls(choice),
        sampling=_read_sampling(body),
        max_output_tokens=whole(body, "max_tokens"),
        reasoning=_read_reasoning(opened),
        output_format=_read_format(body),
        service_tier=_read_tier(body),
        identity=opened.identity,
        stream=opened.stream,
        dropped=(
            *(name for name in _DROPPED if body.get(name) is not None),
            *toolset.dropped,
            *(f"messages.content.{kind}" for kind in transcript.ignored),
        ),
    )


def _hosts_search(context: WireContext) -> bool:
    """Say whether Claude Code's own search is run upstream: the operator's choice, for Claude Code only (§4.3)."""
    return bool(context.options.get("anthropic.hosted_web_search")) and _SESSION_HEADER in context.headers


# ---- who asks ------------------------------------------------------------------------------------------------------


def _read_identity(model: str, fields: dict[str, Any], context: WireContext) -> Identity:
    user = word(nested(fields, "metadata"), "user_id")
    session = context.headers.get(_SESSION_HEADER) or _session_of(user)
    agent = context.headers.get(_AGENT_HEADER, "main")
    if session is not None and agent != "main":
        session = f"{session}:{agent}"  # sub-agents have prompts, and so caches, of their own
    key = word(fields, "prompt_cache_key", "promptCacheKey")
    return Identity(
        prompt_cache_key=key,
        session=session,
        user=user,
        anchor=conversation_anchor(model, *_said(fields)) if key is None and session is None else None,
    )


def _session_of(user: str | None) -> str | None:
    """Return the session that Claude Code writes into `metadata.user_id`, as JSON or, formerly, at its end."""
    if user is None:
        return None
    if user.startswith("{"):
        try:
            value = jsonio.loads(user)
        except ValueError:
            return None
        return word(value, "session_id") if is_object(value) else None
    found = _SESSION_IN_USER_ID.search(user)
    return found[1] if found else None


def _said(fields: dict[str, Any]) -> tuple[str, Sequence[Any]]:
    """Return the instructions and the messages."""
    messages = fields.get("messages")
    try:
        instructions = "\n\n".join(read_system(fields.get("system")))
    except Misread:
        instructions = ""
    return instructions, messages if is_array(messages) else ()


# ---- knobs ---------------------------------------------------------------------------------------------------------


def _read_sampling(body: dict[str, Any]) -> Sampling:
    stops = body.get("stop_sequences")
    if stops is not None and not (is_array(stops) and all(isinstance(stop, str) for stop in stops)):
        raise Misread("must be a list of strings.", "stop_sequences")
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=whole(body, "top_k"),
        stop=tuple(stop for stop in stops or () if stop),
    )


def _read_reasoning(opened: OpenedRequest) -> ReasoningOptions:
    """No thinking asked for leaves the effort to the server; `disabled` asks for none whatever the server thinks."""
    thinking = nested(opened.body, "thinking")
    kind = thinking.get("type")
    if kind == "disabled":
        return ReasoningOptions(effort="none")
    effort = _effort(opened.body)
    budget = whole(thinking, "budget_tokens") if kind == "enabled" and effort is None else None
    if kind == "enabled" and effort is None and budget is None:
        effort = "medium"
    shows_text = shows_thinking(opened) and not omits_thinking_text(opened)
    return ReasoningOptions(effort=effort, budget_tokens=budget, summary="auto" if shows_text else None)


def _effort(body: dict[str, Any]) -> str | None:
    effort = word(nested(body, "output_config"), "effort")
    return effort.lower() if effort else None


def _has_effort_suffix(model: str) -> bool:
    return not _EFFORT_SUFFIXES.isdisjoint(model.lower().split("-")[-2:])


def _read_format(body: dict[str, Any]) -> OutputFormat | None:
    """Strict where the schema allows it: optional properties are legal here, and would be refused there (§4.8)."""
    source = nested(body, "output_config").get("format") or body.get("output_format")
    if not is_object(source) or source.get("type") != "json_schema":
        return None
    schema = source.get("schema")
    if not is_object(schema):
        raise Misread("must be an object.", "output_config.format.schema")
    is_strict = next(strict_violations(close_objects(schema)), None) is None
    return OutputFormat(kind="json_schema", name="response", schema=schema, strict=is_strict)


def _read_tier(body: dict[str, Any]) -> str | None:
    is_fast = body.get("speed") == "fast" or word(body, "service_tier") in ("priority", "fast")
    return "priority" if is_fast else None
