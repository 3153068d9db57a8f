"""JSON in one place: fast and strict first, tolerant when the fast parser refuses.

`loads_object` is for client bodies (clear errors), `loads` for upstream data (tolerates lone surrogates and NaN).
Depth is limited by the parsers themselves; both refuse to recurse forever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import orjson

from translation.errors import InvalidRequest
from translation.wire.jsontypes import is_array, is_object

encode_text = msgspec.json.encode
"""Encode one str as a JSON string, as bytes."""

_LINE_ENDS = tuple((end.encode(), b"\\u%04x" % ord(end)) for end in "\u0085\u2028\u2029")
MAX_DEPTH = 200
"""Deeper bodies are not conversations; tools' schemas rarely pass 20."""


def loads_object(body: bytes) -> dict[str, Any]:
    """Parse a client's body.

    Raises: InvalidRequest (code invalid_json) when it is not a JSON object in UTF-8 of sane depth.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(_explain(body, error), code="invalid_json") from None
    if not is_object(value):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_json")
    _check_depth(value)
    return value


def loads(data: bytes | str) -> Any:
    """Parse upstream JSON. Raises: ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def dumps(value: Any) -> bytes:
    """Serialize compactly; lone surrogates, which no UTF-8 can carry, are escaped as the upstream wrote them."""
    try:
        return orjson.dumps(value)
    except (orjson.JSONEncodeError, TypeError):
        return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def quote(text: str) -> bytes:
    """Encode one text on one line; a lone surrogate, which no UTF-8 can carry, is escaped as the upstream wrote it."""
    if text.isascii():
        return encode_text(text)
    try:
        return one_line(encode_text(text))
    except UnicodeEncodeError:
        return dumps(text)


def one_line(data: bytes) -> bytes:
    """Escape what some clients take for the end of a line: httpx's `iter_lines` also breaks at U+0085 and U+2028-2029.

    The ollama package reads its answers so, and many a script reads server-sent events so. `data` is JSON, where these
    characters can only stand inside strings.
    """
    if data.isascii():
        return data
    for raw, escaped in _LINE_ENDS:
        if raw in data:
            data = data.replace(raw, escaped)
    return data


def _explain(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body.strip():
        return "The request body is empty; send a JSON object."
    try:
        body.decode()
    except UnicodeDecodeError as problem:
        return f"The request body is not valid UTF-8 (byte {problem.start})."
    return f"The request body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."


def _check_depth(value: Any) -> None:
    """Walk level by level; wide bodies cost one pass over containers only."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for container in level:
            members: Iterable[Any] = container.values() if is_object(container) else container
            following += [member for member in members if is_object(member) or is_array(member)]
        if not following:
            return
        level = following
    raise InvalidRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.", code="invalid_json")
