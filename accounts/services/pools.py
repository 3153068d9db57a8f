"""Labels that group accounts into pools; an API key may be restricted to one of them (spec/operations.md §23.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from accounts.services.errors import AccountsError

MAX_POOLS = 16
MAX_CHARS = 32
_LABEL = re.compile(r"[\w][\w .-]*")


def pool_label(text: str) -> str:
    """Return a label as it is stored: lower case, so that a key finds its accounts. Raises: AccountsError."""
    label = text.strip().lower()
    if len(label) > MAX_CHARS or not _LABEL.fullmatch(label):
        raise AccountsError(
            f"A pool is named with 1 to {MAX_CHARS} letters, digits, spaces, dots and dashes, not {text[:40]!r}."
        )
    return label


def pool_labels(texts: Iterable[str]) -> list[str]:
    """Return labels without repetitions, in order. Raises: AccountsError."""
    labels = list(dict.fromkeys(pool_label(text) for text in texts))
    if len(labels) > MAX_POOLS:
        raise AccountsError(f"An account can be in at most {MAX_POOLS} pools.")
    return labels
