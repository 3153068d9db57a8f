"""Where requests wait for a slot: a line per api key, the keys take turns, so that no key starves another.

Costs nothing while nobody waits. A freed slot calls the next who wants it at once; what other processes free, and
rests that end, are found by a short poll for the first of each kind only. Whoever had a turn and leaves without
using it hands it on. All of it runs on one event loop; `freed` may be called from any thread. Never imports Django.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator

POLL_S = 0.25
ANY = ""
"""A call to look at every account one wants, not at a certain one."""


class Place:
    """One request in the line of its api key. `called` is the account whose slot it may try to take, or `ANY`."""

    __slots__ = ("_future", "ahead", "api_key", "called", "wanted")

    def __init__(self, api_key: int, wanted: Collection[str], ahead: int) -> None:
        self.api_key = api_key
        self.wanted = frozenset(wanted)
        self.ahead = ahead
        self.called: str | None = None
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def call(self, account: str) -> None:
        """Let it have a turn."""
        self.called = account
        if not self._future.done():
            self._future.set_result(None)

    async def turn(self, patience_s: float) -> str | None:
        """Wait to be called; return for which account (or `ANY`), or None when patience ended first."""
        await asyncio.wait({self._future}, timeout=patience_s)
        return self.called

    def line_up_again(self, wanted: Collection[str]) -> None:
        """The turn gained nothing: stay at the same place, and want what there is to want now."""
        self.called = None
        self.wanted = frozenset(wanted)
        self._future = asyncio.get_running_loop().create_future()


class WaitingRoom:
    """All lines of one process."""

    def __init__(self, poll_s: float = POLL_S) -> None:
        self._poll_s = poll_s
        self._lines: dict[int, dict[Place, None]] = {}
        """By api key, the one whose turn it is first; an ordered set of places each."""
        self._wanted: Counter[str] = Counter()
        self._size = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poll: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._size

    def is_wanted(self, account: str) -> bool:
        """Tell whether someone already waits for a slot of `account`; newcomers leave it to them."""
        return account in self._wanted

    def join(self, api_key: int, wanted: Collection[str]) -> Place:
        """Line up for a slot of one of the `wanted` accounts. Who is the first for one of them has a turn at once."""
        is_first = not all(account in self._wanted for account in wanted)
        place = Place(api_key, wanted, ahead=self._size)
        self._lines.setdefault(api_key, {})[place] = None
        self._wanted.update(place.wanted)
        self._size += 1
        self._loop = asyncio.get_running_loop()
        if self._poll is None:
            self._poll = self._loop.call_later(self._poll_s, self._look)
        if is_first:  # a slot may have been freed between the look that failed and this moment
            place.call(ANY)
        return place

    def want(self, place: Place, wanted: Collection[str]) -> None:
        """Keep the place, for the accounts that are worth waiting for now."""
        self._unwant(place)
        place.line_up_again(wanted)
        self._wanted.update(place.wanted)

    def leave(self, place: Place, *, used: str | None) -> None:
        """Leave the line, having taken a slot of the account `used`, or None."""
        line = self._lines[place.api_key]
        del line[place]
        if not line:
            del self._lines[place.api_key]
        self._unwant(place)
        self._size -= 1
        if not self._size and self._poll is not None:
            self._poll.cancel()
            self._poll = None
        if place.called == ANY:
            self._call_next(place.wanted, ANY)  # it saw more than it used: there may be more
        elif place.called is not None and place.called != used:
            self._call_next((place.called,), place.called)

    def freed(self, account: str) -> None:
        """A slot of `account` is free again."""
        if self._size and self._loop is not None:
            self._loop.call_soon_threadsafe(self._call_next, (account,), account)

    # ---- inside ------------------------------------------------------------------------------------------------

    def _call_next(self, accounts: Collection[str], call: str) -> None:
        """Call the next who wants one of `accounts` and was not called yet; its key goes to the end."""
        for place in self._in_turn():
            if place.called is None and not place.wanted.isdisjoint(accounts):
                place.call(call)
                self._lines[place.api_key] = self._lines.pop(place.api_key)
                return

    def _in_turn(self) -> Iterator[Place]:
        """Everyone, key by key."""
        for line in self._lines.values():
            yield from line

    def _look(self) -> None:
        """Let the first of each kind look whether something changed elsewhere."""
        loop = asyncio.get_running_loop()
        self._poll = loop.call_later(self._poll_s, self._look)
        covered: set[str] = set()
        for place in self._in_turn():
            if place.called is None and not covered.issuperset(place.wanted):
                place.call(ANY)
            covered |= place.wanted

    def _unwant(self, place: Place) -> None:
        for account in place.wanted:
            if self._wanted[account] > 1:
                self._wanted[account] -= 1
            else:
                del self._wanted[account]
