"""The journal: what made each completed response, so that a client may name it instead of sending everything again.

A response is one link: the new items of its request and its output, behind the link of the response it continued. A
chain of links belongs to one api key (anyone else's id is "not found") and to one account: an answer of another account
starts a new chain, without reasoning that only the old one can read. Writing happens after the answer, off its path.
Links are compressed, encrypted, bounded in bytes and time. Facts: architecture §5, spec/translation.md §3.3, ADR-0018.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import zstandard
from msgspec import Struct

from accounts.crypto import DecryptionFailed, KeyRing
from codexproxy.gateway.state.contract import MAX_LINKS, SharedState
from codexproxy.gateway.tasks import spawn
from translation.codec import Codec, ContinuingCodec, OpenedRequest
from translation.errors import ContinuationLost, GatewayError
from translation.wire.jsonio import dumps, loads

log = logging.getLogger(__name__)

TTL_S = 24 * 3600.0
"""Counted from the last use: a conversation of yesterday goes on."""
MAX_STORY_BYTES = 32 * 1024 * 1024
"""A conversation that is larger cannot be named, twice what the backend takes in one message (spec/wire.md §1.3.5)."""
MAX_PENDING_BYTES = 64 * 1024 * 1024
"""What waits to be written; more is not kept, and its clients send everything again."""
LARGE_BYTES = 64 * 1024
"""From here on packing has a thread of its own: about 0.3 ms."""
SMALL_BYTES = 2048
ZSTD_LEVEL = 1
LATE_S = 0.2
"""A client may be quicker than the write of another process; an id is lost when it is still unknown then."""
MAX_ID_CHARS = 200


class Story(Struct, frozen=True, kw_only=True):
    """A conversation up to one response. `account` answered it (empty: a warm-up, nobody did) to `agent`."""

    response_id: str
    items: list[Any]
    account: str
    conversation: str
    agent: str
    links: int
    size_bytes: int

    def was_with_other(self, account_id: str) -> bool:
        """Tell whether another account holds the proofs of its reasoning."""
        return self.account not in ("", account_id)


class _Pending(Struct, frozen=True):
    """A link on its way to the shared state."""

    clear: bytes
    parent: str | None
    context: str


class Journal:
    """Reads and writes conversations. One per process, over the shared state of all."""

    def __init__(self, state: SharedState, ring: KeyRing, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._ring = ring
        self._clock = clock
        self._queue: deque[tuple[str, _Pending]] = deque()
        self._pending: dict[str, _Pending] = {}
        self._pending_bytes = 0
        self._writing: asyncio.Task[None] | None = None

    async def expand(self, key_id: int, codec: Codec, opened: OpenedRequest) -> tuple[OpenedRequest, Story]:
        """Return the request with the conversation it continues, and that conversation.

        Raises: ContinuationLost when the api key has had no such answer, or it is lost.
        """
        response_id = opened.previous_response_id or ""
        story = await self._read(key_id, response_id) if isinstance(codec, ContinuingCodec) else None
        if story is None or not isinstance(codec, ContinuingCodec):
            raise ContinuationLost(
                f"Previous response with id '{response_id[:80]}' not found. Send the full input.",
                param="previous_response_id",
            )
        return codec.expand(opened, story.items), story

    async def _read(self, key_id: int, response_id: str) -> Story | None:
        if len(response_id) > MAX_ID_CHARS:
            return None
        name = _name(key_id, response_id)
        clears = await self._clears(name, _context(key_id))
        if not clears:
            await asyncio.sleep(LATE_S)
            clears = await self._clears(name, _context(key_id))
        if not clears:
            return None
        links = [loads(clear) for clear in clears]
        account, conversation, agent, _ = links[-1]
        return Story(
            response_id=response_id,
            items=[item for *_, items in links for item in items],
            account=account,
            conversation=conversation,
            agent=agent,
            links=len(links),
            size_bytes=sum(map(len, clears)),
        )

    def write(
        self,
        key_id: int,
        codec: ContinuingCodec,
        opened: OpenedRequest,
        answer: Mapping[str, Any],
        *,
        story: Story | None,
        account: str,
        conversation: str,
        agent: str,
        drops_reasoning: bool,
    ) -> None:
        """Keep what made `answer`. `story` is what the request continued; returns at once, the write comes later."""
        response_id = answer.get("id")
        is_whole = drops_reasoning or story is None or story.links >= MAX_LINKS or story.response_id == response_id
        items = codec.exchange(opened, answer, is_whole=is_whole, drops_reasoning=drops_reasoning)
        clear = dumps([account, conversation, agent, items])
        size = len(clear) + (0 if is_whole or story is None else story.size_bytes)
        if not isinstance(response_id, str) or len(response_id) > MAX_ID_CHARS or size > MAX_STORY_BYTES:
            return
        if self._pending_bytes + len(clear) > MAX_PENDING_BYTES:
            log.warning("the journal cannot keep up: the response %s cannot be continued by its id", response_id)
            return
        parent = None if is_whole or story is None else _name(key_id, story.response_id)
        name = _name(key_id, response_id)
        link = self._pending[name] = _Pending(clear, parent, _context(key_id))
        self._queue.append((name, link))
        self._pending_bytes += len(clear)
        if self._writing is None:
            self._writing = spawn(self._write_pending(), "journal")

    async def flush(self) -> None:
        """Wait until everything is written."""
        while self._writing is not None:
            await asyncio.wait({self._writing})

    # ---- inside ------------------------------------------------------------------------------------------------

    async def _clears(self, name: str, context: str) -> list[bytes]:
        """Return the links from the first to `name`, also those that are not written yet; empty when any is lost."""
        late: list[bytes] = []
        at: str | None = name
        while at is not None and (waiting := self._pending.get(at)) is not None and len(late) < MAX_LINKS:
            late.append(waiting.clear)
            at = waiting.parent
        late.reverse()
        if at is None:
            return late
        sealed = await self._state.read_links(at, ttl_s=TTL_S, now=self._clock())
        if not sealed:
            return []
        is_large = sum(map(len, sealed)) > LARGE_BYTES
        try:
            stored = (
                await asyncio.to_thread(self._unpack, sealed, context) if is_large else self._unpack(sealed, context)
            )
        except DecryptionFailed as error:
            log.warning("a kept conversation cannot be read, so it is lost: %s", error)
            return []
        return stored + late

    async def _write_pending(self) -> None:
        """Write link after link; one that the shared state refuses is given up, and is lost for its client."""
        try:
            while self._queue:
                name, link = self._queue.popleft()
                try:
                    is_large = len(link.clear) > LARGE_BYTES
                    sealed = await asyncio.to_thread(self._pack, link) if is_large else self._pack(link)
                    await self._state.keep_link(name, sealed, parent=link.parent, ttl_s=TTL_S, now=self._clock())
                except GatewayError as error:
                    log.warning("a response could not be kept for previous_response_id: %s", error)
                except Exception:
                    log.exception("a response could not be kept for previous_response_id")
                if self._pending.get(name) is link:
                    del self._pending[name]
                self._pending_bytes -= len(link.clear)
        finally:
            self._writing = None

    def _pack(self, link: _Pending) -> bytes:
        """Compress and encrypt; a few bytes are not worth compressing."""
        clear = link.clear
        is_small = len(clear) < SMALL_BYTES
        return self._ring.seal(clear if is_small else zstandard.compress(clear, ZSTD_LEVEL), link.context)

    def _unpack(self, sealed: list[bytes], context: str) -> list[bytes]:
        decompress = zstandard.ZstdDecompressor().decompress  # not to be shared by threads; making one costs 40 µs
        opened = (self._ring.unseal(each, context) for each in sealed)
        return [clear if clear.startswith(b"[") else decompress(clear, MAX_STORY_BYTES) for clear in opened]


def _name(key_id: int, response_id: str) -> str:
    return f"{_context(key_id)}:{response_id}"


def _context(key_id: int) -> str:
    return f"journal:{key_id}"
