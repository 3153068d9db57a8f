"""The pieces of an answer that the stream and the collected message have in common.

Facts: spec/translation.md §6.2-6.3, rows 132-147. Reference: https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import re
from typing import Any

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.anthropic_messages.request import decode_request, omits_thinking_text, shows_thinking
from translation.protocols.anthropic_messages.tools import is_web_search
from translation.shared.token_count import estimate_tokens
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

PARAGRAPH = "\n\n"
"""Between two parts of one reasoning item."""

_ILLEGAL_ID_CHARS = re.compile(r"[^a-zA-Z0-9_-]")


class Dialect:
    """What one client reads: which kinds of blocks, and under which names."""

    __slots__ = ("_opened", "_visible", "hides_empty_thinking", "model", "omits_text")

    def __init__(self, opened: OpenedRequest) -> None:
        self._opened = opened
        self.model = opened.model
        self.omits_text = omits_thinking_text(opened)
        hides = opened.context.options.get("anthropic.hide_empty_thinking")
        self.hides_empty_thinking = bool(hides) and not self.omits_text
        visible = {"text", "refusal", "tool_call", "image"}
        if shows_thinking(opened):
            visible.add("reasoning")
        tools = opened.body.get("tools")
        if is_array(tools) and any(is_web_search(tool) for tool in tools):
            visible.add("search")
        self._visible = frozenset(visible)

    def shows(self, kind: ev.BlockKind) -> bool:
        """Say whether blocks of this kind reach the client at all."""
        return kind in self._visible

    def mint(self, prefix: str) -> str:
        """Return a new id."""
        return self._opened.context.ids.mint(prefix)

    def estimated_usage(self) -> dict[str, Any]:
        """Return the usage to show before the upstream has said any (row 117: never zeros)."""
        return usage_object(Usage(input_tokens=estimate_tokens(decode_request(self._opened))), searches=0)


def usage_object(usage: Usage, *, searches: int) -> dict[str, Any]:
    """Return the usage of a message: what was read from the cache is not counted as input again."""
    counts: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens or 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    searches = usage.web_searches or searches
    if searches:
        counts["server_tool_use"] = {"web_search_requests": searches}
    return counts


def stop_reason(reason: ev.FinishReason, *, kinds: list[str], stop_sequence: str | None) -> str:
    """Return the stop reason of an answer whose visible blocks were of `kinds`.

    A limit that hit while a call was being written leaves a call nobody should run: `max_tokens` says so.
    """
    if reason == "length" and kinds[-1:] == ["tool_call"]:
        return "max_tokens"
    if "tool_call" in kinds:
        return "tool_use"
    if reason == "length":
        return "max_tokens"
    if reason in ("content_filter", "refusal") or "refusal" in kinds:
        return "refusal"
    return "stop_sequence" if stop_sequence is not None else "end_turn"


# ---- blocks --------------------------------------------------------------------------------------------------------


def tool_use_id(call_id: str, dialect: Dialect) -> str:
    """Return a call id of the characters Anthropic's SDKs accept."""
    return _ILLEGAL_ID_CHARS.sub("_", call_id) or dialect.mint("toolu_")


def citation(data: dict[str, Any]) -> dict[str, Any] | None:
    """Return an upstream annotation as a citation; None when it is no web address."""
    url = data.get("url")
    if data.get("type", "url_citation") != "url_citation" or not isinstance(url, str) or not url:
        return None
    return {
        "type": "web_search_result_location",
        "url": url,
        "title": _text_or(data.get("title"), url),
        "cited_text": _text_or(data.get("cited_text"), ""),
        "encrypted_index": "",
    }


def search_query(action: dict[str, Any] | None) -> str | None:
    """Return what was searched for; None for steps that only opened or read a page."""
    if action is None:
        return None
    query = action.get("query")
    if isinstance(query, str) and query:
        return query
    queries = action.get("queries")
    texts = [text for text in queries if isinstance(text, str) and text] if is_array(queries) else []
    return "; ".join(texts) or None


def search_results(action: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sources of a search, each address once."""
    sources = action.get("sources")
    found: dict[str, dict[str, Any]] = {}
    for source in sources if is_array(sources) else ():
        url = source.get("url") if is_object(source) else None
        if isinstance(url, str) and url:
            found.setdefault(
                url,
                {
                    "type": "web_search_result",
                    "url": url,
                    "title": _text_or(source.get("title"), url),
                    "encrypted_content": "",
                    "page_age": None,
                },
            )
    return list(found.values())


def search_id(start: ev.BlockStart, dialect: Dialect) -> str:
    """Return the id that ties a search to its results."""
    return f"srvtoolu_{_ILLEGAL_ID_CHARS.sub('_', start.item_id) or dialect.mint('')}"


def custom_input(text: str) -> dict[str, Any]:
    """Return the input of a free text call, as an object."""
    return {"input": text}


def arguments_object(arguments: str) -> dict[str, Any]:
    """Return the input of a call; anything but an object becomes an empty one."""
    try:
        value = jsonio.loads(arguments)
    except ValueError:
        return {}
    return value if is_object(value) else {}


def _text_or(value: Any, default: str) -> str:
    return value if isinstance(value, str) and value else default
