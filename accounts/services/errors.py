"""How an act on rows fails."""

from __future__ import annotations


class AccountsError(Exception):
    """An act that cannot be done; the message is one sentence for people and holds no secret."""


class LoginServerFailed(AccountsError):
    """The log-in server refused, or could not be asked; nothing was wrong with what the caller sent us."""


class NotFound(AccountsError):
    """There is no such thing."""
