"""Token counts and their one rule: counts are inclusive.

`input_tokens` includes cached tokens, `output_tokens` includes reasoning tokens (ADR-0006). Codecs of protocols that
count exclusively add on the way in and subtract on the way out.
"""

from __future__ import annotations

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """Tokens of one response. `cache_write_tokens` is None when the upstream does not report it."""

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int | None = None
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    web_searches: int = 0

    @property
    def total(self) -> int:
        """The upstream's total, or the sum when it gave none."""
        return self.total_tokens or self.input_tokens + self.output_tokens


NO_USAGE = Usage()
