"""Counts tokens for real, in a child process that lives while somebody counts.

The vocabulary takes 65 MB and a third of a second to load, during which nothing else in its process runs: neither may
happen to a gateway. Never raises: where no child can be had, callers estimate. Read next: `tokenizer_child.py`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from translation.wire.jsonio import dumps

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-I", str(Path(__file__).with_name("tokenizer_child.py")))
PATIENCE_S = 5.0
"""How long a count may take, the start of the child and the counts before it included."""
IDLE_S = 120.0
"""A child nobody asked for so long ends, and its memory with it."""
REST_S = 60.0
"""After a failure no child is tried for so long."""
MAX_CHARS = 4_000_000
"""About a million tokens, more than any model reads; writing it to the child takes the loop some milliseconds."""


class Tokenizer:
    """Invariant: at most one child runs, and no answer of an abandoned question is left in its pipe."""

    def __init__(
        self, command: Sequence[str] = COMMAND, *, patience_s: float = PATIENCE_S, idle_s: float = IDLE_S
    ) -> None:
        self._command = command
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._lock = asyncio.Lock()
        self._child: Process | None = None
        self._retired: Process | None = None
        self._retirement: asyncio.TimerHandle | None = None
        self._rests_until = 0.0

    @property
    def is_running(self) -> bool:
        """A child is there."""
        return self._child is not None and self._child.returncode is None

    async def count(self, texts: Sequence[str]) -> int | None:
        """Return how many tokens `texts` are together; None when it cannot be said."""
        now = asyncio.get_running_loop().time()
        if now < self._rests_until or sum(map(len, texts)) > MAX_CHARS:
            return None
        try:
            async with asyncio.timeout(self._patience_s), self._lock:
                return await self._ask(dumps(list(texts)) + b"\n")
        except (TimeoutError, OSError, ValueError) as error:
            self._rests_until = now + REST_S
            log.warning("Tokens are estimated for %.0f s: the tokenizer gave no answer (%r)", REST_S, error)
            return None

    async def close(self) -> None:
        """End the child and wait for its end; the next count would start another one."""
        self._retire()
        if self._retired is not None:
            await self._retired.wait()

    async def _ask(self, question: bytes) -> int:
        if self._retirement is not None:
            self._retirement.cancel()
        try:
            child = self._child if self._child is not None and self._child.returncode is None else await self._start()
            assert child.stdin is not None and child.stdout is not None  # pipes were asked for
            child.stdin.write(question)
            await child.stdin.drain()
            answer = int(await child.stdout.readline())
        except BaseException:  # also when the client leaves: its answer must not become the next one's
            self._retire()
            raise
        self._retirement = asyncio.get_running_loop().call_later(self._idle_s, self._retire)
        return answer

    def _retire(self) -> None:
        if self._child is not None:
            if self._child.returncode is None:
                self._child.kill()
            self._child, self._retired = None, self._child

    async def _start(self) -> Process:
        """Start a child of its own session and without our environment: Ctrl-C and secrets are not for it."""
        self._child = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, env={}, start_new_session=True
        )
        return self._child
