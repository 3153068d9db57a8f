"""Token counts of the Responses wire, both directions. The wire counts inclusively, as the IR does.

`tool_usage` stands beside `usage` and is never added to it. Facts: spec/wire.md §4.8, spec/translation.md §1.4.
"""

from __future__ import annotations

from typing import Any

from translation.ir.usage import Usage
from translation.wire.jsontypes import is_object

Json = dict[str, Any]


def usage_from_response(response: Json) -> Usage | None:
    """Return the counts of a response object; None when it has none. Null details count as zero."""
    usage = response.get("usage")
    tools = _object(response.get("tool_usage"))
    if not is_object(usage):
        return None
    into = _object(usage.get("input_tokens_details"))
    out = _object(usage.get("output_tokens_details"))
    image = _object(tools.get("image_gen"))
    written = into.get("cache_write_tokens")
    return Usage(
        input_tokens=_count(usage.get("input_tokens")),
        cached_tokens=_count(into.get("cached_tokens")),
        cache_write_tokens=_count(written) if written is not None else None,
        output_tokens=_count(usage.get("output_tokens")),
        reasoning_tokens=_count(out.get("reasoning_tokens")),
        total_tokens=_count(usage.get("total_tokens")),
        image_input_tokens=_count(image.get("input_tokens")),
        image_output_tokens=_count(image.get("output_tokens")),
        web_searches=_count(_object(tools.get("web_search")).get("num_requests")),
    )


def usage_to_wire(usage: Usage) -> Json:
    """Write the `usage` object of a response."""
    details: Json = {"cached_tokens": usage.cached_tokens}
    if usage.cache_write_tokens is not None:
        details["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": details,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total,
    }


def tool_usage_to_wire(usage: Usage) -> Json | None:
    """Write `tool_usage`, or None when no hosted tool cost anything."""
    tools: Json = {}
    if usage.image_input_tokens or usage.image_output_tokens:
        tools["image_gen"] = {
            "input_tokens": usage.image_input_tokens,
            "output_tokens": usage.image_output_tokens,
            "total_tokens": usage.image_input_tokens + usage.image_output_tokens,
        }
    if usage.web_searches:
        tools["web_search"] = {"num_requests": usage.web_searches}
    return tools or None


def _object(value: Any) -> Json:
    return value if is_object(value) else {}


def _count(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else 0
