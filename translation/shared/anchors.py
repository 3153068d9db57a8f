"""What stays the same over a conversation whose client names none: model, instructions, first words of the user.

Turns of one conversation share it, so they meet the same account and prompt cache; another conversation almost never
does. Harness notes at the start of the user's text change from turn to turn and are left out. Shared by the codecs
whose messages are `{role, content}`. Facts: spec/translation.md §3.1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from translation.wire.jsontypes import is_array, is_object

INSTRUCTION_CHARS = 2000
USER_CHARS = 20_000
"""More of a first message does not tell conversations apart, and hashing a pasted book would cost."""
_NOTES = re.compile(r"\s*(?:<system-reminder>.*?</system-reminder>\s*)+", re.DOTALL)
_INSTRUCTING = ("system", "developer")


def conversation_anchor(model: str, instructions: str, messages: Sequence[Any]) -> str | None:
    """Return a digest, or None when there is neither an instruction nor a word of the user."""
    said, first_user = _beginning(instructions, messages)
    notes = _NOTES.match(first_user) if "<system-reminder>" in first_user else None
    first_user = first_user[notes.end() :] if notes else first_user
    if not (said or first_user):
        return None
    text = "\0".join((model, said, first_user[:USER_CHARS]))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def agent_digest(instructions: str, messages: Sequence[Any]) -> str:
    """Return what tells the agents of one session apart: what each is told to be (spec/translation.md §3.2).

    Tools are left out: they come and go during a conversation.
    """
    said, _ = _beginning(instructions, messages)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _beginning(instructions: str, messages: Sequence[Any]) -> tuple[str, str]:
    """Return the first words of all instructions, and the user's first message."""
    said = instructions
    for message in messages:
        role = message.get("role") if is_object(message) else None
        if role in _INSTRUCTING and len(said) < INSTRUCTION_CHARS:
            said += _text_of(message)
        elif role == "user":
            return said[:INSTRUCTION_CHARS], _text_of(message)
    return said[:INSTRUCTION_CHARS], ""


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if is_array(content) else ()
    texts = (part.get("text") for part in parts if is_object(part))
    return "\n".join(text for text in texts if isinstance(text, str))
