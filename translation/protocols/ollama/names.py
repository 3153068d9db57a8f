"""Model names and times as Ollama writes them. Pure functions without state.

A name without a tag means `:latest`, so both spellings name the same model (spec/translation.md §9, row 217).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from translation.errors import InvalidRequest

LATEST = ":latest"


def plain_model(name: str) -> str:
    """Return the name that routing knows: without blanks around it and without the tag every model has."""
    return name.strip().removesuffix(LATEST)


def written_model(body: dict[str, Any], *keys: str) -> str:
    """Return the model as the client wrote it, from the first of `keys` that is there. Raises: InvalidRequest."""
    for key in keys:
        name = body.get(key)
        if name is None:
            continue
        if not isinstance(name, str):
            raise InvalidRequest(f"`{key}` must be a string.", param=key)
        if plain_model(name):
            return name
    raise InvalidRequest(f"`{keys[0]}` is missing.", param=keys[0])


def timestamp(now_s: float) -> str:
    """Return a moment as RFC 3339 with nine digits of a second, as Go prints it."""
    moment = datetime.fromtimestamp(now_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z"


def day(now_s: float) -> str:
    """Return a moment as RFC 3339 to the second, for dates of models."""
    return f"{datetime.fromtimestamp(now_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
