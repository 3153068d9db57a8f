"""Sends a ladder of events to a sink, at the pace the plan asks for and no faster than the peer reads.

A sink is where events go: `SseSink` here, the WebSocket's in `websocket.py`. Framing noise (F14) and dripping (F13)
are properties of the SSE sink. wire.md §4.1.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from providers.simulator.events import Step
from providers.simulator.faults import Drawn, Fault
from providers.simulator.http import Exchange
from providers.simulator.mischief import Act, Ladder
from providers.simulator.scenario import STAMP

_STAMP = STAMP.encode()
_YIELD_EVERY = 32


class Sink(Protocol):
    """Where events go."""

    def send(self, steps: list[Step]) -> None:
        """Send events in one write."""

    def partial(self, data: bytes) -> None:
        """Send the beginning of an event."""

    async def drain(self) -> None:
        """Wait until more may be sent; let others run."""

    def end(self) -> None:
        """End the stream properly, though nothing terminal was sent."""

    def hang_up(self) -> None:
        """Close the connection."""

    def reset(self) -> None:
        """Reset the connection."""

    @property
    def is_closed(self) -> bool:
        """Whether the peer is gone."""
        ...


def _stamped(step: Step) -> Step:
    return step._replace(data=step.data.replace(_STAMP, b"@%016d" % (time.monotonic_ns() // 1000), 1))


async def play(ladder: Ladder, sink: Sink) -> bool:
    """Send everything; return False when a fault or the peer broke the stream off."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    sent = 0
    held: list[Step] = []
    last = len(ladder) - 1
    for index, step in enumerate(ladder):
        if isinstance(step, Act):
            if await _act(step, sink):
                return False
            due = loop.time()
            continue
        if step.delay_s:
            due += step.delay_s
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
        held.append(_stamped(step) if step.is_stamped else step)
        following = ladder[index + 1] if index < last else None
        if isinstance(following, Step) and following.is_joined:
            continue
        sink.send(held)
        held = []
        sent += 1
        if sent % _YIELD_EVERY == 0:
            await sink.drain()
            if sink.is_closed:
                return False
    await sink.drain()
    return not sink.is_closed


async def _act(act: Act, sink: Sink) -> bool:
    """Do it; return whether the stream is over."""
    match act.kind:
        case "stall":
            await sink.drain()
            await asyncio.sleep(act.seconds)
        case "partial":
            sink.partial(act.data)
        case "end":
            sink.end()
            return True
        case "fin" | "rst":
            # What was written must leave before the end, or the peer would miss events that came before it.
            await sink.drain()
            await asyncio.sleep(0.03)
            if act.kind == "fin":
                sink.hang_up()
            else:
                sink.reset()
            return True
    return False


class SseSink:
    """Events as a chunked event stream."""

    def __init__(self, exchange: Exchange, faults: Drawn) -> None:
        self.exchange = exchange
        self.noise: Fault | None = faults.get("F14")
        drip = faults.get("F13")
        self.drip_s = float(drip.params.get("tick", 0.01)) if drip is not None and drip.has("drip") else 0.0
        self._slow: list[bytes] = []

    @property
    def is_closed(self) -> bool:
        """Whether the client is gone."""
        return self.exchange.connection.is_closed

    def send(self, steps: list[Step]) -> None:
        """Write the events as one chunk, unless a fault asks for something worse."""
        if self.noise is not None or self.drip_s:
            for step in steps:
                self._send_oddly(step)
            return
        if len(steps) == 1:
            step = steps[0]
            self.exchange.write(b"event: %b\ndata: %b\n\n" % (step.type.encode(), step.data))
            return
        self.exchange.write(b"".join([b"event: %b\ndata: %b\n\n" % (step.type.encode(), step.data) for step in steps]))

    def _send_oddly(self, step: Step) -> None:
        noise = self.noise
        frame = (
            self._framed(step, noise)
            if noise is not None
            else b"event: %b\ndata: %b\n\n" % (step.type.encode(), step.data)
        )
        if self.drip_s:
            self._slow.append(frame)
        elif noise is not None and noise.has("bytewise") and len(frame) < 100_000:
            for index in range(len(frame)):
                self.exchange.write(frame[index : index + 1])
        else:
            self.exchange.write(frame)

    def _framed(self, step: Step, noise: Fault) -> bytes:
        name = step.type.encode()
        data = step.data
        if noise.has("multiline"):
            # A line break is legal JSON white space after a comma that is not inside a string: the one after the type.
            data = data.replace(b",", b",\ndata: ", 1)
        frame = b"data: %b\n\n" % data
        if not noise.has("no_event_name"):
            frame = b"event: %b\n" % name + frame
        if noise.has("comments"):
            frame = b": ping\n\nid: 7\nretry: 3000\n" + frame
        if step.mark == "terminal" and noise.has("no_final_blank"):
            frame = frame.rstrip(b"\n")
        elif step.mark == "terminal" and noise.has("done_marker"):
            frame += b"data: [DONE]\n\n"
        return frame.replace(b"\n", b"\r\n") if noise.has("crlf") else frame

    def partial(self, data: bytes) -> None:
        """Write the beginning of a frame."""
        self.exchange.write(data)

    async def drain(self) -> None:
        """Wait for the peer; when dripping, send what is held one byte per tick."""
        held, self._slow = b"".join(self._slow), []
        for index in range(len(held)):
            if self.is_closed:
                return
            self.exchange.write(held[index : index + 1])
            await asyncio.sleep(self.drip_s)
        await self.exchange.drain()

    def end(self) -> None:
        """End the body; the connection stays usable."""
        self.exchange.finish()

    def hang_up(self) -> None:
        """Close in the middle: the last chunk never comes."""
        self.exchange.connection.hang_up()

    def reset(self) -> None:
        """Reset in the middle."""
        self.exchange.connection.reset()
