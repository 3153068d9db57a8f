"""A prompt cache that works the way the backend's does: the longest common prefix counts (wire.md §13.2.6).

Keyed by account and `prompt_cache_key`. A gateway that reorders, rewrites or moves conversations sees its cached
tokens fall, which is what the cache is here to show.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import orjson

BYTES_PER_TOKEN = 4
_MAX_KEYS = 2_000


class PrefixCache:
    """The last prompt of every conversation, as digests and lengths."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], list[tuple[bytes, int]]] = OrderedDict()

    def count(self, account_id: str, body: dict[str, Any], items: list[Any]) -> tuple[int, int]:
        """Return input tokens and how many of them were cached; remember the prompt."""
        head = [body.get("model"), body.get("instructions"), body.get("tools"), body.get("text")]
        pieces = [_piece(head), *(_piece(item) for item in items)]
        total = sum(length for _, length in pieces)
        key = (account_id, str(body.get("prompt_cache_key") or ""))
        before = self._seen.pop(key, []) if body.get("prompt_cache_key") else []
        shared = 0
        for old, new in zip(before, pieces, strict=False):
            if old != new:
                break
            shared += new[1]
        if body.get("prompt_cache_key"):
            self._seen[key] = pieces
            if len(self._seen) > _MAX_KEYS:
                self._seen.popitem(last=False)
        tokens = max(1, total // BYTES_PER_TOKEN)
        return tokens, min(shared // BYTES_PER_TOKEN, tokens - 1)


def _piece(value: Any) -> tuple[bytes, int]:
    data = orjson.dumps(value)
    return hashlib.blake2b(data, digest_size=16).digest(), len(data)
