"""Writes the audit log. Never writes a secret: values that look like one are starred before they are stored."""

from __future__ import annotations

import re
from typing import Any

from accounts.models import AuditEntry

_SECRET_SHAPES = re.compile(r"eyJ[\w-]{10,}[\w.-]*|\b(?:oaistb_)?rt_[\w-]{6,}|\b(?:cpx|sk)-[\w-]{12,}|Bearer\s+\S+")


def redact(text: str) -> str:
    """Star everything in `text` that has the shape of a token or a key."""
    return _SECRET_SHAPES.sub("***", text)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def record(*, actor: str, action: str, target: str = "", **details: Any) -> AuditEntry:
    """Store one entry; call it inside the transaction of what it tells about."""
    return AuditEntry.objects.create(
        actor=actor[:150], action=action, target=redact(target)[:200], details=_clean(details)
    )
