"""Cursor and a full context: it compacts when it reads an enormous usage, but not when it reads the error.

An answer the gateway gives instead of `context_length_exceeded` where the operator has switched it on; the flow encodes
the events like any others. Facts: spec/translation.md §5.4, row 81.
"""

from __future__ import annotations

from translation.codec import OpenedRequest
from translation.errors import ContextTooLong, GatewayError
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.openai_chat.shapes import Dialect

OVERFLOW_TOKENS = 1_000_000
OPTION = "chat.cursor_overflow_answer"


def overflow_events(error: GatewayError, opened: OpenedRequest) -> list[ev.Event] | None:
    """Return an empty answer with a usage that makes Cursor compact; None for other clients and other errors."""
    if not (isinstance(error, ContextTooLong) and opened.context.options.get(OPTION) and Dialect(opened).is_cursor):
        return None
    usage = Usage(input_tokens=OVERFLOW_TOKENS, total_tokens=OVERFLOW_TOKENS)
    return [ev.Start(id="", model=opened.model), ev.Stop(finish_reason="stop", usage=usage)]
