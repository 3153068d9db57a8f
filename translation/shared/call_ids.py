"""Tool call ids that fit an upstream's limit; pure, so that a call and its result always map alike (§4.5)."""

from __future__ import annotations

import hashlib

_DIGEST_CHARS = 16


def short_call_id(call_id: str, limit: int = 64) -> str:
    """Return `call_id`, or its head and a digest of the whole when it is longer than `limit`."""
    if len(call_id) <= limit:
        return call_id
    digest = hashlib.sha256(call_id.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{call_id[: limit - _DIGEST_CHARS - 1]}_{digest}"
