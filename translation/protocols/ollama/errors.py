"""Errors as Ollama's clients read them: `{"error": "text"}` with a status, or as a line of a stream.

Facts: spec/translation.md §9, §12.
"""

from __future__ import annotations

import math

from translation.codec import WireError
from translation.errors import GatewayError
from translation.wire.jsonio import dumps


def error_body(error: GatewayError) -> bytes:
    """Return the object that says `error`: one sentence, never JSON within a string."""
    return dumps({"error": error.message})


def encode_ollama_error(error: GatewayError) -> WireError:
    """Write `error` as an answer; `retry-after` is in whole seconds, rounded up, because clients wait it."""
    headers = {"content-type": "application/json; charset=utf-8"}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after_s)))
    return WireError(error.status, headers, error_body(error))
