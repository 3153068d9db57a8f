"""Answers that are no JSON object (a list, a number, one word of an enum), for upstreams whose schemas must be objects.

Outbound the schema becomes the one property of an object; inbound the text is held back, parsed, unwrapped and sent
once, before the block closes. Text that is no such object (a truncated answer) is sent as it came.
Facts: spec/translation.md §4.8.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from translation.ir import events as ev
from translation.ir.request import GenerateRequest
from translation.wire.jsontypes import is_object

KEY = "value"
"""The one property of the object that stands around the answer."""

_DEFINITIONS = ("$defs", "definitions")


class WrapInverse:
    """Takes the object away again. `is_word`: the answer is the bare word, not a JSON string."""

    is_finished = False

    def __init__(self, *, is_word: bool) -> None:
        self._is_word = is_word
        self._held: dict[int, list[str]] = {}

    def inbound(self, events: list[ev.Event]) -> list[ev.Event]:
        """Pass `events` on, with unwrapped text once per block."""
        out: list[ev.Event] = []
        for event in events:
            if isinstance(event, ev.BlockStart) and event.kind == "text":
                self._held[event.index] = []
            elif isinstance(event, ev.TextDelta) and event.index in self._held:
                self._held[event.index].append(event.text)
                continue
            elif isinstance(event, ev.BlockStop):
                self._end(event.index, out)
            elif isinstance(event, ev.Stop | ev.Error):
                for index in sorted(self._held):
                    self._end(index, out)
            out.append(event)
        return out

    def _end(self, index: int, out: list[ev.Event]) -> None:
        text = self._unwrap("".join(self._held.pop(index, ())))
        if text:
            out.append(ev.TextDelta(index, text))

    def _unwrap(self, text: str) -> str:
        try:
            answer = json.loads(text)  # the standard parser, because orjson rounds integers above 64 bits
        except (ValueError, RecursionError):
            return text
        if not is_object(answer) or list(answer) != [KEY]:
            return text
        value = answer[KEY]
        if self._is_word and isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def wrap(request: GenerateRequest) -> tuple[GenerateRequest, WrapInverse | None]:
    """Return `request` with an object schema, and the inverse; unchanged and None when the answer is an object."""
    output = request.output_format
    if output is None or output.kind not in ("json_value", "word"):
        return request, None
    inner = dict(output.schema or {})
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {KEY: inner},
        "required": [KEY],
        "additionalProperties": False,
    }
    for key in _DEFINITIONS:  # references start at the root
        if key in inner:
            schema[key] = inner.pop(key)
    wrapped = replace(request, output_format=replace(output, kind="json_schema", schema=schema))
    return wrapped, WrapInverse(is_word=output.kind == "word")
