"""Digests of compaction items: what only the account that made them can read (spec/wire.md §2.6). Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from translation.wire.jsontypes import is_array, is_object


def seals_in(items: Any) -> tuple[str, ...]:
    """Return the digests of the compactions among `items`, in their order."""
    found = items if is_array(items) else []
    sealed = [item.get("encrypted_content") for item in found if is_object(item) and item.get("type") == "compaction"]
    return tuple(
        sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] for text in sealed if isinstance(text, str)
    )
