"""Moves chunks: upstream chunk in, at most one write to the client out. And the clock of a stream, `Pulse`.

The pump holds the status line until the driver has output (the first-event gate), so that a failure before it can
still become a status or another account. One timer per stream watches silence on both sides; per chunk it costs one
attribute. Never a total time limit on a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from codexproxy.gateway.snapshot import GatewaySettings
from codexproxy.gateway.tasks import spawn
from codexproxy.gateway.types import ClientStream
from providers.contract import UpstreamStream
from translation.codec import Tap
from translation.errors import GatewayError, UpstreamTimeout

DRAIN_S = 1.0
"""After the terminal event the upstream has this long to end its body, so that the connection can be used again."""
TICKS_PER_LIMIT = 8
LONGEST_TICK_S = 5.0


class Pulse:
    """Watches one request: upstream silence cancels it, client silence is filled with heartbeats.

    The pump only raises flags, for every chunk; the clock is read by the ticks. So a limit may be noticed up to two
    ticks late, never early. Invariant: `task` is cancelled by us only with `timed_out` set; the flow turns that into
    UpstreamTimeout.
    """

    __slots__ = (
        "_beat",
        "_begin",
        "_client",
        "_handle",
        "_heard_at",
        "_is_resting",
        "_keep",
        "_loop",
        "_said_at",
        "_settings",
        "_task",
        "_tick_s",
        "has_heard",
        "has_said",
        "is_sending",
        "patience",
        "timed_out",
    )

    def __init__(self, settings: GatewaySettings, client: ClientStream) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # the flow always runs in a task
        self._task = task
        self._settings = settings
        self._client = client
        self._begin: Callable[[], Mapping[str, str]] | None = None
        self._beat: Callable[[], bytes] | None = None
        self._keep: Callable[[], None] | None = None
        self._heard_at = self._said_at = self._loop.time()
        self._is_resting = True
        self.has_heard = False
        """The upstream said something since the last tick."""
        self.has_said = False
        """Something was written to the client since the last tick."""
        self.is_sending = False
        """The pump waits for the client, who is slow: nobody else is."""
        self.timed_out = False
        self.patience = 1
        shortest = min(settings.heartbeat_s, settings.idle_timeout_s, settings.first_event_timeout_s)
        self._tick_s = min(LONGEST_TICK_S, shortest / TICKS_PER_LIMIT)
        self._handle = self._loop.call_later(self._tick_s, self._tick)

    def watch(
        self, *, begin: Callable[[], Mapping[str, str]] | None, beat: Callable[[], bytes], keep: Callable[[], None]
    ) -> None:
        """Say what to do for the attempt that starts.

        `begin` gives the headers of an early start (None for answers that are no streams), `beat` a heartbeat, `keep`
        prolongs the lease.
        """
        self._begin, self._beat, self._keep = begin, beat, keep
        self._heard_at = self._loop.time()
        self._is_resting = False

    def rest(self) -> None:
        """Between attempts nobody is waited for; heartbeats go on."""
        self._is_resting = True
        self._keep = None

    def stop(self) -> None:
        """No more ticks."""
        self._handle.cancel()
        self._begin = self._beat = self._keep = None

    def _tick(self) -> None:
        now = self._loop.time()
        if self.has_heard:
            self.has_heard, self._heard_at = False, now
        if self.has_said:
            self.has_said, self._said_at = False, now
        limit = self._settings.idle_timeout_s if self._client.started else self._settings.first_event_timeout_s
        if now - self._heard_at >= limit * self.patience and not self.is_sending and not self._is_resting:
            self.timed_out = True
            self._task.cancel()
            return
        if self._keep is not None:
            self._keep()
        if self._begin is not None and not self.is_sending:
            patience = self._settings.heartbeat_s if self._client.started else self._settings.gate_patience_s
            if now - self._said_at >= patience:
                self._said_at = now
                spawn(self._reassure(), "heartbeat")
        self._handle = self._loop.call_later(self._tick_s, self._tick)

    async def _reassure(self) -> None:
        """Start the answer early, or fill a silence; nothing of it is output."""
        if self._begin is None or self._beat is None:
            return
        if not self._client.started:
            await self._client.start(200, self._begin())
        beat = self._beat() if self._beat is not None else b""  # stopped while the status line left
        if beat:
            self.is_sending = True
            try:
                await self._client.write(beat)
            finally:
                self.is_sending = False


async def stream(
    upstream: UpstreamStream,
    driver: Tap,
    client: ClientStream,
    pulse: Pulse,
    headers: Callable[[], Mapping[str, str]],
    on_output: Callable[[], None],
) -> None:
    """Drive `upstream` through `driver` to the client until the terminal event, and end the client's body.

    Raises: the driver's GatewayError, before anything was sent (the flow may retry) or after the driver has said it.
    """
    held = b""
    out = b""
    while not driver.done:
        chunk = await upstream.read()
        pulse.has_heard = True
        out = held + (driver.feed(chunk) if chunk else driver.finish())
        if not driver.has_output:
            if driver.error is not None:
                raise driver.error
            held = out
            continue
        held = b""
        if out and not driver.done:
            on_output()
            pulse.has_said = pulse.is_sending = True
            if not client.started:
                await client.start(200, headers())
            await client.write(out)
            pulse.is_sending = False
    on_output()
    pulse.is_sending = True
    if not client.started:
        await client.start(200, headers())
    if driver.error is not None:
        await client.write(out)
        raise driver.error
    await client.end(out)


async def collect(upstream: UpstreamStream, driver: Tap, collected: Callable[[], bytes], pulse: Pulse) -> bytes:
    """Drive `upstream` to its end and return the collected body.

    Raises: the GatewayError that ended the stream.
    """
    while not driver.done:
        chunk = await upstream.read()
        pulse.has_heard = True
        if chunk:
            driver.feed(chunk)
        else:
            driver.finish()
    if driver.error is not None:
        raise driver.error
    return collected()


async def read_error_body(upstream: UpstreamStream, limit_bytes: int) -> bytes:
    """Return the body of a failed answer, cut at `limit_bytes`; what breaks while reading is left out."""
    pieces: list[bytes] = []
    size = 0
    try:
        while size < limit_bytes and (chunk := await upstream.read()):
            pieces.append(chunk)
            size += len(chunk)
    except GatewayError:
        pass  # the status alone decides then
    return b"".join(pieces)[:limit_bytes]


async def drain(upstream: UpstreamStream) -> None:
    """Read to the end of file, briefly: a connection read to its end can be used again."""
    if upstream.is_at_end:
        return
    try:
        async with asyncio.timeout(DRAIN_S):
            while await upstream.read():
                pass
    except (TimeoutError, GatewayError):
        pass  # the connection is simply not used again


def timeout_error(settings: GatewaySettings, *, was_started: bool) -> UpstreamTimeout:
    """Return the error of a silence that took too long."""
    if was_started:
        return UpstreamTimeout(
            f"The upstream was silent for {settings.idle_timeout_s:.0f} s in the middle of the answer."
        )
    return UpstreamTimeout(f"The upstream sent no first event within {settings.first_event_timeout_s:.0f} s.")
