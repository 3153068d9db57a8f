"""Clean-up of a client's `input` items into items the backend accepts; the only reader of a client's item list.

Known item types are rebuilt from known keys, because one unknown key fails the whole request; item types this file
does not know (additional_tools, tool_search_call, whatever comes next) pass untouched. The result depends on each
item and on the tools alone, so a longer conversation keeps the earlier one as its prefix.
Facts: spec/translation.md §1.2, §8.1, rows 189-204, 208, 209; spec/wire.md §3.3, §3.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from translation.errors import InvalidRequest
from translation.protocols.openai_responses.content import clean_content
from translation.protocols.openai_responses.names import VALID_STATUS
from translation.shared.call_ids import short_call_id
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_array, is_object

Item = dict[str, Any]

_ID_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "compaction": "cmp_",
    "compaction_summary": "cmp_",
}
"""Ids are only sent back when the upstream may have minted them; it refuses others."""

_MAX_ID_CHARS = 64

_CLIENT_KEYS = frozenset(
    {"name", "cache_control", "reasoning_content", "reasoning_details", "tool_calls", "function_call", "tool_call_id"}
)
"""Keys that chat-style clients leave on messages; never the backend's, whoever sends them."""


class Rules(Struct, frozen=True):
    """What the rest of the request says about its items.

    `is_official`: the items come from Codex itself (or use its responses-lite form), which knows fields we do not.
    `namespaces`: tool namespaces that were declared. `call_ids`: calls that stand in the list as items of their own.
    """

    is_official: bool = False
    namespaces: frozenset[str] = frozenset()
    call_ids: frozenset[str] = frozenset()


def clean_input(body: dict[str, Any], *, is_codex: bool) -> list[Item]:
    """Return the request's items, cleaned. An empty list becomes one empty user message, which the backend accepts.

    Raises: InvalidRequest with the path of what is malformed.
    """
    raw = item_list(body)
    field = "messages" if body.get("input") is None else "input"
    rules = _rules(raw, body.get("tools"), is_codex=is_codex)
    cleaned: list[Item] = []
    trigger: Item | None = None
    for position, item in enumerate(raw):
        if item.get("type") == "compaction_trigger":
            trigger = item
            continue
        kind = item.get("type") or ("message" if "role" in item else None)
        clean = _CLEANERS.get(kind) if isinstance(kind, str) else None
        cleaned += [item] if clean is None else clean(item, f"{field}[{position}]", rules)
    if trigger is not None:
        cleaned.append(trigger)
    return cleaned or [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": ""}]}]


def without_reasoning(items: list[Item]) -> list[Item]:
    """Return what is left for an upstream that refused the proofs of reasoning items (spec/translation.md §3.4)."""
    return [item for item in items if item.get("type") != "reasoning"]


def item_list(body: dict[str, Any]) -> list[Item]:
    """Return the input as a list of items, as they came."""
    value = body.get("input")
    if value is None:
        value = body.get("messages")
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    if is_object(value):
        return [value]
    items: list[Any] = value or []
    return [_message_of(item) for item in items]


def _message_of(item: Any) -> Item:
    return {"type": "message", "role": "user", "content": item} if isinstance(item, str) else item


def _rules(raw: list[Item], tools: Any, *, is_codex: bool) -> Rules:
    declared: list[Any] = list(tools) if is_array(tools) else []
    is_lite = False
    call_ids: set[str] = set()
    for item in raw:
        if item.get("type") == "additional_tools":
            is_lite = True
            declared += item.get("tools") or []
        elif item.get("type") in ("function_call", "custom_tool_call"):
            call_ids.add(str(item.get("call_id")))
    namespaces = {str(tool.get("name")) for tool in declared if is_object(tool) and tool.get("type") == "namespace"}
    return Rules(is_codex or is_lite, frozenset(namespaces), frozenset(call_ids))


def _picked(item: Item, kind: str, keys: tuple[str, ...], rules: Rules) -> Item:
    """Rebuild an item: known keys in the client's order, nulls absent; the official client's own keys survive."""
    kept: Item = {"type": kind}
    for key, value in item.items():
        if value is None or key == "type" or (key in _CLIENT_KEYS and key not in keys):
            continue
        if key in keys or key.startswith("internal_") or (rules.is_official and key not in ("id", "namespace")):
            kept[key] = value
    identifier = item.get("id")
    if isinstance(identifier, str) and identifier.startswith(_ID_PREFIXES[kind]) and len(identifier) <= _MAX_ID_CHARS:
        kept["id"] = identifier
    if "status" in kept and kept["status"] not in VALID_STATUS:
        del kept["status"]
    return kept


def _message(item: Item, path: str, rules: Rules) -> list[Item]:
    role = item.get("role")
    if role in ("tool", "function"):
        return _chat_result(item, path, rules)
    if not isinstance(role, str):
        raise InvalidRequest(f"`{path}.role` must be a string.", param=f"{path}.role", code="invalid_value")
    kept = _picked(item, "message", ("role", "content", "phase", "status"), rules)
    if role not in ("user", "assistant", "developer", "system"):
        kept["role"] = "user"  # a role nobody told us about is somebody who talks to the model
    elif role == "system" and not rules.is_official:
        kept["role"] = "developer"
    kept["content"] = clean_content(item.get("content"), role, f"{path}.content")
    calls = _chat_calls(item, path, rules) if role == "assistant" else []
    return calls if calls and not kept["content"] else [kept, *calls]


def _chat_calls(item: Item, path: str, rules: Rules) -> list[Item]:
    """Chat-style `tool_calls` of an assistant message, unless the same calls follow as items."""
    items: list[Item] = []
    calls = item.get("tool_calls")
    for position, call in enumerate(calls if is_array(calls) else []):
        function = call.get("function") if is_object(call) else None
        if not is_object(function) or str(call.get("id")) in rules.call_ids:
            continue
        flat = {"call_id": call.get("id"), "name": function.get("name"), "arguments": function.get("arguments")}
        items += _function_call(flat, f"{path}.tool_calls[{position}]", rules)
    return items


def _chat_result(item: Item, path: str, rules: Rules) -> list[Item]:
    call_id = item.get("tool_call_id") or item.get("call_id") or item.get("name")
    return _function_output({"call_id": call_id, "output": item.get("content")}, path, rules)


def _reasoning(item: Item, path: str, rules: Rules) -> list[Item]:
    kept = _picked(item, "reasoning", ("encrypted_content", "status"), rules)
    kept["summary"] = _typed_texts(item.get("summary"), "summary_text")
    content = _typed_texts(item.get("content"), "reasoning_text")
    kept.pop("content", None)
    if content:
        kept["content"] = content
    if not (kept["summary"] or content or kept.get("encrypted_content")):
        return []  # nothing but an id, which names nothing upstream because nothing is stored there
    return [kept]


def _typed_texts(parts: Any, kind: str) -> list[Item]:
    if not is_array(parts):
        return []
    return [
        {"type": kind, "text": part["text"]}
        for part in parts
        if is_object(part) and part.get("type") == kind and isinstance(part.get("text"), str)
    ]


def _function_call(item: Item, path: str, rules: Rules) -> list[Item]:
    return _call(item, path, rules, "function_call", "arguments")


def _custom_call(item: Item, path: str, rules: Rules) -> list[Item]:
    return _call(item, path, rules, "custom_tool_call", "input")


def _call(item: Item, path: str, rules: Rules, kind: str, text_key: str) -> list[Item]:
    kept = _picked(item, kind, ("call_id", "name", text_key, "status"), rules)
    if not isinstance(kept.get("name"), str):
        raise InvalidRequest(f"`{path}.name` must be a string.", param=f"{path}.name", code="invalid_type")
    kept["call_id"] = _call_id(item, path)
    kept[text_key] = _as_text(item.get(text_key))
    if item.get("namespace") in rules.namespaces:
        kept["namespace"] = item["namespace"]
    return [kept]


def _function_output(item: Item, path: str, rules: Rules) -> list[Item]:
    return _output(item, path, rules, "function_call_output")


def _custom_output(item: Item, path: str, rules: Rules) -> list[Item]:
    return _output(item, path, rules, "custom_tool_call_output")


def _output(item: Item, path: str, rules: Rules, kind: str) -> list[Item]:
    kept = _picked(item, kind, ("call_id", "output", "status"), rules)
    kept["call_id"] = _call_id(item, path)
    output = item.get("output")
    is_parts = is_array(output) and all(is_object(part) and "type" in part for part in output)
    kept["output"] = clean_content(output, "user", f"{path}.output") if is_parts else _as_text(output)
    return [kept]


def _call_id(item: Item, path: str) -> str:
    call_id = item.get("call_id")
    if not isinstance(call_id, str) or not call_id:
        where = f"{path}.call_id"
        raise InvalidRequest(f"`{where}` is missing.", param=where, code="missing_required_parameter")
    return short_call_id(call_id, _MAX_ID_CHARS)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value).decode()


def _compaction(item: Item, path: str, rules: Rules) -> list[Item]:
    if not item.get("encrypted_content"):
        return []
    return [_picked(item, str(item["type"]), ("encrypted_content",), rules)]


def _dropped(item: Item, path: str, rules: Rules) -> list[Item]:
    return []


_CLEANERS: dict[str, Callable[[Item, str, Rules], list[Item]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "function_call_output": _function_output,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _custom_output,
    "compaction": _compaction,
    "compaction_summary": _compaction,
    "ghost_snapshot": _dropped,
}
