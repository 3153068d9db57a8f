"""A lease: one slot of one account, for as long as a request holds it.

Freed by one synchronous, idempotent, thread-safe `release`, from three places: the flow's `finally`, the response's
`close`, and the shared state's TTL as the reaper (ADR-0005). Never chooses an account; that is `pool.py`. Never imports
Django.
"""

from __future__ import annotations

from typing import Any, Protocol

from accounts.values import AccountView
from accounts.waiting import WaitingRoom

AFFINITY = "affinity"
"""How an account was chosen that the conversation was on before; all other ways are strategies (`rotation.py`)."""


class Slots(Protocol):
    """The part of the shared state a lease needs; see `codexproxy/gateway/state/contract.py`."""

    def release(self, grant: Any) -> None: ...
    def prolong(self, grant: Any, *, ttl_s: float, now: float) -> None: ...


class Lease:
    """One slot of one account, held by whoever streams from it.

    `keeps_account`: the conversation was on this account before, so what is bound to it (turn state) still holds.
    `how` says what chose it: `affinity` or a strategy. `paced_s` is how long it was held back before it may start.
    """

    __slots__ = ("_grant", "_room", "_slots", "account", "how", "is_released", "paced_s")

    def __init__(self, slots: Slots, room: WaitingRoom, grant: Any, account: AccountView, *, how: str) -> None:
        self._slots = slots
        self._room = room
        self._grant = grant
        self.account = account
        self.how = how
        self.paced_s = 0.0
        self.is_released = False

    @property
    def keeps_account(self) -> bool:
        """Tell whether the conversation was on this account before."""
        return self.how == AFFINITY

    def release(self) -> None:
        """Give the slot back, and call who waits for it; further calls do nothing."""
        if not self.is_released:
            self.is_released = True
            self._slots.release(self._grant)
            self._room.freed(self.account.id)

    def prolong(self, *, ttl_s: float, now: float) -> None:
        """Say that the stream still lives, so that the reaper leaves it alone."""
        if not self.is_released:
            self._slots.prolong(self._grant, ttl_s=ttl_s, now=now)
