"""How an act on rows fails."""

from __future__ import annotations


class AccountsError(Exception):
    """An act that cannot be done; the message is one sentence for people and holds no secret."""
