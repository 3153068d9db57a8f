"""The relay lane's request: the client's own body, cleaned, with what the target decides written in.

Never builds the IR; what it cannot carry is named by `needs_translation`. Facts: spec/translation.md §1.1, §8.1.
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest, Quirks, RelayTarget
from translation.protocols.openai_responses import options
from translation.protocols.openai_responses.items import clean_input, without_reasoning
from translation.protocols.openai_responses.names import is_codex_client, is_foreign_proof
from translation.protocols.openai_responses.tools import (
    clean_tool_choice,
    clean_tools,
    has_tools,
    names_to_translate,
    tuple_schema_path,
)
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_object


def needs_translation(opened: OpenedRequest, quirks: Quirks) -> str | None:
    """Return why the body cannot be relayed, or None when it can."""
    where = tuple_schema_path(opened.body)
    if where is not None:
        return f"tuple schema in {where}"
    name = names_to_translate(opened.body, quirks)
    return f"tool name {name!r}" if name is not None else None


def relay_request(opened: OpenedRequest, target: RelayTarget) -> bytes:
    """Write the upstream body.

    Raises: InvalidRequest or UnsupportedFeature when an item cannot be sent.
    """
    body = opened.body
    items = [
        item
        for item in clean_input(body, is_codex=is_codex_client(opened.context.headers))
        if not is_foreign_proof(item.get("encrypted_content"))
    ]
    if target.drops_reasoning:
        items = without_reasoning(items)
    reasoning = _reasoning(body.get("reasoning"), target)
    values: dict[str, Any] = {
        "model": target.model,
        "instructions": body.get("instructions") or "",
        "input": items,
        "tools": clean_tools(body.get("tools")),
        "tool_choice": clean_tool_choice(body.get("tool_choice")) if has_tools(body, items) else None,
        "parallel_tool_calls": body.get("parallel_tool_calls"),
        "reasoning": reasoning,
        "store": False,
        "stream": True,
        "include": options.wire_include(body.get("include") or [], reasoning),
        "service_tier": options.wire_tier(_text(body.get("service_tier")), target.service_tier, target.quirks),
        "prompt_cache_key": target.prompt_cache_key,
        "text": _text_options(body.get("text")),
        "client_metadata": options.wire_metadata(body.get("client_metadata")),
    }
    if not target.quirks.subset:
        values.update((key, body.get(key)) for key in options.FULL_WIRE_KEYS)
        del values["client_metadata"]  # an address book of the Codex backend; other upstreams refuse it
    return dumps(options.ordered_body(values))


def _reasoning(asked: Any, target: RelayTarget) -> dict[str, Any] | None:
    """The client's own object with the effort the model knows; nothing is added that the client did not ask for."""
    reasoning = _without_nulls(asked) or {}
    effort = options.clamp_effort(_text(reasoning.get("effort")) or target.effort, target.quirks)
    reasoning.pop("effort", None)
    if effort is not None:
        reasoning = {"effort": effort, **reasoning}
    return reasoning or None


def _text_options(asked: Any) -> dict[str, Any] | None:
    text = _without_nulls(asked)
    if text is not None and is_object(text.get("format")):
        text["format"] = _without_nulls(text["format"])
    return text


def _without_nulls(value: Any) -> dict[str, Any] | None:
    if not is_object(value):
        return None
    kept = {key: item for key, item in value.items() if item is not None}
    return kept or None


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
