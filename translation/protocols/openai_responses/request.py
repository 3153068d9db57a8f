"""A Responses client's body: opened (validated, identity read) for routing, decoded to the IR for the translate lane.

Nulls are absent, unknown fields are ignored, a wrong type of an essential field is a 400 that names its path.
Reference: https://platform.openai.com/docs/api-reference/responses/create (checked 2026-11-20);
facts: spec/translation.md §3.1, §8.1. Next: `items.py` for the clean-up of items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from translation.codec import OpenedRequest, WireContext
from translation.errors import ClientError, InvalidRequest, UnsupportedFeature
from translation.ir import request as ir
from translation.protocols.openai_responses import options
from translation.protocols.openai_responses.compact import is_compact
from translation.protocols.openai_responses.items import clean_input
from translation.protocols.openai_responses.names import ORIGIN, is_codex_client
from translation.protocols.openai_responses.reading import read_items, read_tool_choice, read_tools
from translation.protocols.openai_responses.seals import seals_in
from translation.protocols.openai_responses.tools import clean_tool_choice, clean_tools, has_tools
from translation.shared.anchors import agent_digest, conversation_anchor
from translation.wire.jsonio import loads_object
from translation.wire.jsontypes import is_array, is_object

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), "a string"),
    "input": ((str, list, dict), "a string or a list of items"),
    "messages": ((list,), "a list of messages"),
    "instructions": ((str,), "a string"),
    "stream": ((bool,), "true or false"),
    "tools": ((list,), "a list"),
    "tool_choice": ((str, dict), "a string or an object"),
    "parallel_tool_calls": ((bool,), "true or false"),
    "reasoning": ((dict,), "an object"),
    "text": ((dict,), "an object"),
    "include": ((list,), "a list of strings"),
    "previous_response_id": ((str,), "a string"),
}

_SESSION_HEADERS = ("session-id", "thread-id", "session_id", "conversation_id", "x-session-id")
_WINDOW = "x-codex-window-id"


def open_request(body: bytes, context: WireContext) -> OpenedRequest:
    """Parse and validate a body.

    Raises: InvalidRequest, UnsupportedFeature.
    """
    data = loads_object(body)
    _validate(data)
    compacts = is_compact(context.path)
    if context.path.endswith("/responses/review"):
        context = replace(context, headers={**context.headers, "x-openai-subagent": "review"})
    who = identity(data, context.headers)
    return OpenedRequest(
        model=data["model"].strip(),
        stream=bool(data.get("stream")) and not compacts,
        body=data,
        identity=who,
        agent=agent_digest(*_said(data)) if who.anchor is None else "",
        context=context,
        previous_response_id=data.get("previous_response_id") or None,
        operation="compact" if compacts else "respond",
        seals=seals_in(data.get("input")),
        is_kept=data.get("store") is not False and not compacts,
    )


def decode_request(opened: OpenedRequest) -> ir.GenerateRequest:
    """Build the IR of an opened request; what only this wire knows travels in `extensions`.

    Raises: InvalidRequest, UnsupportedFeature.
    """
    if opened.operation == "compact":
        raise UnsupportedFeature(
            "This model's provider cannot compact; send an ordinary request that asks for a summary."
        )
    body = opened.body
    items = clean_input(body, is_codex=is_codex_client(opened.context.headers))
    tools = read_tools(clean_tools(body.get("tools")))
    choice = clean_tool_choice(body.get("tool_choice")) if has_tools(body, items) else None
    text: dict[str, Any] = body.get("text") or {}
    reasoning: dict[str, Any] = body.get("reasoning") or {}
    return ir.GenerateRequest(
        model=opened.model,
        items=read_items(items),
        instructions=(body["instructions"],) if body.get("instructions") else (),
        tools=tools,
        tool_choice=read_tool_choice(choice),
        parallel_tool_calls=body.get("parallel_tool_calls"),
        sampling=ir.Sampling(temperature=_number(body.get("temperature")), top_p=_number(body.get("top_p"))),
        max_output_tokens=_whole(body.get("max_output_tokens")),
        reasoning=_reasoning(reasoning),
        output_format=_output_format(text.get("format")),
        verbosity=_string(text.get("verbosity")),
        service_tier=_string(body.get("service_tier")),
        identity=opened.identity,
        previous_response_id=opened.previous_response_id,
        stream=opened.stream,
        extensions={ORIGIN: _extension(body, text, reasoning)},
    )


def _validate(body: dict[str, Any]) -> None:
    for field, (types, wanted) in _TYPES.items():
        value = body.get(field)
        if value is not None and not isinstance(value, types):
            raise InvalidRequest(f"`{field}` must be {wanted}.", param=field, code="invalid_type")
    if not (body.get("model") or "").strip():
        raise InvalidRequest("`model` is missing.", param="model", code="missing_required_parameter")
    _refuse_server_state(body)
    _validate_items(body)
    for value in body.get("include") or ():
        if value not in options.INCLUDABLE:
            raise InvalidRequest(f"`include` does not know {value!r}.", param="include", code="invalid_value")
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("auto", "none", "required"):
        raise InvalidRequest(
            "`tool_choice` must be auto, none, required or an object.", param="tool_choice", code="invalid_value"
        )
    clean_tools(body.get("tools"))


def _refuse_server_state(body: dict[str, Any]) -> None:
    """What would need state on OpenAI's own servers (§8.1)."""
    if body.get("conversation") is not None:
        if body.get("previous_response_id") is not None:
            raise InvalidRequest(
                "`conversation` and `previous_response_id` cannot be used together.",
                param="conversation",
                code="mutually_exclusive_parameters",
            )
        raise _unsupported("conversation", "Conversations are not stored here; send the whole `input`.")
    if body.get("background"):
        raise _unsupported("background", "Background responses are not supported; set `background` to false.")
    if body.get("prompt") is not None:
        raise _unsupported("prompt", "Prompt templates are not available here; send `instructions` and `input`.")


def _validate_items(body: dict[str, Any]) -> None:
    given, alias = body.get("input"), body.get("messages")
    if given is not None and alias is not None:
        raise InvalidRequest("Send either `input` or `messages`, not both.", param="input", code="invalid_value")
    if given is None and alias is None:
        if body.get("previous_response_id"):
            return  # nothing new to say is legal after a warm-up
        raise InvalidRequest("`input` is missing.", param="input", code="missing_required_parameter")
    field = "messages" if given is None else "input"
    items = alias if given is None else given
    for position, item in enumerate(items if is_array(items) else [items]):
        path = f"{field}[{position}]"
        if isinstance(item, str):
            continue
        if not is_object(item):
            raise InvalidRequest(f"`{path}` must be an object.", param=path, code="invalid_type")
        if not isinstance(item.get("type"), str) and not isinstance(item.get("role"), str):
            raise InvalidRequest(
                f"`{path}` needs a `type` or a `role`.", param=f"{path}.type", code="missing_required_parameter"
            )


def _unsupported(field: str, message: str) -> ClientError:
    return UnsupportedFeature(message, param=field, code="unsupported_parameter")


def identity(body: dict[str, Any], headers: Mapping[str, str]) -> ir.Identity:
    """Return who calls and which conversation this is (§3.1)."""
    key = _string(body.get("prompt_cache_key")) or _string(body.get("promptCacheKey"))
    session = next((headers[name] for name in _SESSION_HEADERS if headers.get(name)), None)
    if session is None:
        metadata = body.get("client_metadata")
        window = metadata.get(_WINDOW) if is_object(metadata) else None
        session = _string(window) or headers.get(_WINDOW)
    return ir.Identity(
        prompt_cache_key=key,
        session=session or None,
        user=_string(body.get("user")),
        anchor=None if key or session else conversation_anchor(body["model"], *_said(body)),
    )


def _said(body: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return the instructions and the messages."""
    given = body.get("input") or body.get("messages")
    items = given if is_array(given) else [{"role": "user", "content": given} if isinstance(given, str) else given]
    return _string(body.get("instructions")) or "", items


def _reasoning(value: dict[str, Any]) -> ir.ReasoningOptions | None:
    effort = (_string(value.get("effort")) or "").strip()
    summary = _string(value.get("summary")) or _string(value.get("generate_summary"))
    if not effort and not summary:
        return None
    return ir.ReasoningOptions(effort=effort or None, summary=summary)


def _output_format(value: Any) -> ir.OutputFormat | None:
    if not is_object(value) or value.get("type") not in ("json_object", "json_schema"):
        return None
    if value["type"] == "json_object":
        return ir.OutputFormat(kind="json_object")
    schema = value.get("schema")
    if not is_object(schema):
        raise InvalidRequest("`text.format.schema` must be an object.", param="text.format.schema", code="invalid_type")
    strict = value.get("strict")
    return ir.OutputFormat(
        kind="json_schema",
        name=_string(value.get("name")) or "",
        schema=schema,
        strict=strict if isinstance(strict, bool) else None,
        description=_string(value.get("description")),
    )


def _extension(body: dict[str, Any], text: dict[str, Any], reasoning: dict[str, Any]) -> dict[str, Any]:
    extension: dict[str, Any] = {
        "include": body.get("include"),
        "client_metadata": body.get("client_metadata"),
        "text": {key: value for key, value in text.items() if key not in ("format", "verbosity")} or None,
        "reasoning": {
            key: value
            for key, value in reasoning.items()
            if key not in ("effort", "summary", "generate_summary") and value is not None
        }
        or None,
        **{key: body.get(key) for key in options.FULL_WIRE_KEYS[3:]},
    }
    return {key: value for key, value in extension.items() if value is not None}


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
