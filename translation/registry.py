"""Finds the codecs: every module or package in `protocols/` that has a `CODEC`. Closed after import."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from translation import protocols
from translation.codec import Codec, UpstreamCodec


@cache
def codecs() -> dict[str, Codec]:
    """All codecs by name."""
    found: dict[str, Codec] = {}
    for module in pkgutil.iter_modules(protocols.__path__):
        codec = getattr(importlib.import_module(f"translation.protocols.{module.name}"), "CODEC", None)
        if codec is not None:
            found[codec.name] = codec
    return found


@cache
def get_upstream(name: str) -> UpstreamCodec:
    """Return the codec called `name`, for talking to an upstream. Raises: KeyError, also when no upstream speaks it."""
    codec = codecs()[name]
    if not isinstance(codec, UpstreamCodec):
        raise KeyError(f"{name} is a protocol of clients only")
    return codec


def get(name: str) -> Codec:
    """Return the codec called `name`. Raises: KeyError."""
    return codecs()[name]
