"""Why a request went where it went: collected along the way, kept with its usage record in at most 2 KB of JSON.

Nothing is worked out while all goes well: what a roster left out is only referred to until the end. Account ids stand
here, never labels or tokens; `stats/explaining.py` turns a record into sentences. Pure, never imports Django.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

Reason = Literal["unusable", "pool", "plan", "lacks_model", "exhausted", "resting", "full", "tried"]
How = str
"""`affinity`, or the name of the strategy that chose."""
WaitEnd = Literal["served", "too_long", "hopeless", "left"]

MAX_LISTED = 10
"""Accounts passed over that are named; the rest is counted by reason."""
MAX_TRIES = 8
"""Attempts that are told: the first and the last ones."""
MAX_WAITS = 4
MAX_WORDS = 40
MAX_LANE_CHARS = 80
MAX_BYTES = 2048


class Passed(Struct, frozen=True, array_like=True):
    """An account that was passed over. `words` are the operator's or ours; `until` is in unix seconds."""

    account: str
    reason: Reason
    words: str = ""
    until: int = 0


def note(account: str, reason: Reason, words: str = "", until: float = 0.0) -> Passed:
    """Return it with its words cut."""
    return Passed(account, reason, words[:MAX_WORDS], int(until))


class Try(Struct, array_like=True):
    """One attempt: on which account, why that one, how it ended, what followed, and how long it took."""

    account: str
    how: How
    status: int = 0
    error: str = ""
    action: str = ""
    took_ms: int = 0
    paced_ms: int = 0


class Wait(Struct, frozen=True, array_like=True):
    """A wait for a free slot: how long, at which place of the line it began (1 is the first), how it ended."""

    took_ms: int
    place: int
    end: WaitEnd


class Why(Struct, omit_defaults=True):
    """The stored form. `accounts` is how many there were, `fit` how many could have served this request at all."""

    accounts: int = 0
    fit: int = 0
    over: list[Passed] = []
    more: dict[str, int] = {}
    moved: Passed | None = None
    """The account the conversation was on before, and why it is not there any more."""
    waits: list[Wait] = []
    tries: list[Try] = []
    untold: int = 0
    """Attempts left out in the middle of `tries`."""
    lane: str = ""
    """Why the answer was translated; empty when it was relayed."""


class Decision:
    """What is being decided for one request. The pool and the flow write, `encode` reads once at the end."""

    __slots__ = ("_over", "_static", "accounts", "fit", "lane", "moved", "tries", "waited_s", "waits")

    def __init__(self) -> None:
        self.accounts = self.fit = 0
        self.lane = ""
        self.moved: Passed | None = None
        self.tries: list[Try] = []
        self.waits: list[Wait] = []
        self.waited_s = 0.0
        self._static: Sequence[Passed] = ()
        self._over: dict[str, Passed] | None = None

    def look(self, accounts: int, fit: int, left_out: Sequence[Passed]) -> None:
        """Note who is there at all; `left_out` is only referred to."""
        self.accounts, self.fit, self._static = accounts, fit, left_out

    def pass_over(self, account: str, reason: Reason, words: str = "", until: float = 0.0) -> None:
        """Note that an account was not taken for now; the last reason counts."""
        if self._over is None:
            self._over = {}
        self._over[account] = note(account, reason, words, until)

    def refuse(self, everyone: Sequence[Passed]) -> None:
        """Note why nobody at all can be taken; replaces what was noted while choosing."""
        self._over = {each.account: each for each in everyone}

    def move(self, account: str) -> None:
        """Note that the conversation leaves `account`."""
        if self.moved is None:
            known = (self._over or {}).get(account) or next((p for p in self._static if p.account == account), None)
            self.moved = known or Passed(account, "full")

    def wait(self, took_s: float, place: int, end: WaitEnd) -> None:
        """Note a wait for a slot."""
        self.waited_s += took_s
        if len(self.waits) < MAX_WAITS:
            self.waits.append(Wait(round(took_s * 1000), place, end))

    def attempt(self, account: str, how: How, paced_s: float) -> Try:
        """Note that an attempt begins; its end is written on what is returned."""
        began = Try(account, how, paced_ms=round(paced_s * 1000))
        self.tries.append(began)
        return began

    def encode(self) -> str:
        """Return the stored form, bounded; empty when nothing was decided."""
        if not self.accounts and not self.tries:
            return ""
        tries, untold = self.tries, 0
        if len(tries) > MAX_TRIES:
            untold = len(tries) - MAX_TRIES
            tries = tries[: MAX_TRIES // 2] + tries[-MAX_TRIES // 2 :]
        everyone = self.passed()
        over, more = everyone[:MAX_LISTED], Counter[str](each.reason for each in everyone[MAX_LISTED:])
        why = Why(
            accounts=self.accounts, fit=self.fit, over=over, more=dict(more), moved=self.moved, waits=self.waits,
            tries=tries, untold=untold, lane=self.lane[:MAX_LANE_CHARS],
        )  # fmt: skip
        encoded = msgspec.json.encode(why)
        if len(encoded) > MAX_BYTES:  # words of other alphabets take more bytes than letters
            why.over = [Passed(each.account, each.reason, "", each.until) for each in over]
            encoded = msgspec.json.encode(why)
        return encoded.decode()

    def passed(self) -> list[Passed]:
        """Return everyone who was passed over, each with the last reason."""
        if not self._over:
            return list(self._static)
        return [*self._over.values(), *(each for each in self._static if each.account not in self._over)]


def decode(text: str) -> Why | None:
    """Return a stored record; None when there is none or it cannot be read."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=Why)
    except msgspec.DecodeError:
        return None
