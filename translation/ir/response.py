"""A collected answer, and the fold that makes it from the very events a stream would carry (ADR-0009).

Because both modes share the events, they cannot diverge. Text is gathered in lists and joined once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal

from msgspec import Struct

from translation.errors import GatewayError, UpstreamDisconnected
from translation.ir import events as ev
from translation.ir.usage import Usage


class ContentBlock(Struct, kw_only=True):
    """One finished block. `text` is text, refusal, reasoning or arguments.

    `parts` are the reasoning's paragraphs, summaries before raw text; `channels` says of each which it is.
    """

    start: ev.BlockStart
    text: str = ""
    parts: tuple[str, ...] = ()
    channels: tuple[Literal["summary", "text"], ...] = ()
    citations: tuple[dict[str, Any], ...] = ()
    images: tuple[ev.ImageDelta, ...] = ()
    action: dict[str, Any] | None = None
    proof: ev.Proof | None = None
    item: dict[str, Any] | None = None

    @property
    def kind(self) -> ev.BlockKind:
        """The kind the block was opened with."""
        return self.start.kind


class GenerateResponse(Struct, kw_only=True):
    """What a whole stream amounted to."""

    id: str
    model: str
    created: int
    blocks: tuple[ContentBlock, ...]
    finish_reason: ev.FinishReason
    usage: Usage | None = None
    raw_reason: str = ""
    stop_sequence: str | None = None
    service_tier: str | None = None


class Fold:
    """Collects events; `result` gives the answer once the stream has ended."""

    def __init__(self) -> None:
        self._start = ev.Start(id="")
        self._blocks: list[ContentBlock] = []
        self._pieces: list[list[str]] = []
        self._parts: list[dict[tuple[Literal["summary", "text"], int], list[str]]] = []
        self._usage: Usage | None = None
        self._stop: ev.Stop | None = None
        self.error: GatewayError | None = None

    def feed(self, events: Iterable[ev.Event]) -> None:
        """Take in events in stream order."""
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(self, event)

    def result(self) -> GenerateResponse:
        """Return the collected answer.

        Raises: the GatewayError that ended the stream, or UpstreamDisconnected when nothing ended it.
        """
        if self.error is not None:
            raise self.error
        if self._stop is None:
            raise UpstreamDisconnected("The upstream closed the stream before the answer was complete.")
        for block, pieces, parts in zip(self._blocks, self._pieces, self._parts, strict=True):
            block.text = "".join(pieces)
            keys = sorted(parts)
            block.parts = tuple("".join(parts[key]) for key in keys)
            block.channels = tuple(channel for channel, _ in keys)
        return GenerateResponse(
            id=self._start.id,
            model=self._start.model,
            created=self._start.created,
            blocks=tuple(self._blocks),
            finish_reason=self._stop.finish_reason,
            usage=self._stop.usage or self._usage,
            raw_reason=self._stop.raw_reason,
            stop_sequence=self._stop.stop_sequence,
            service_tier=self._stop.service_tier,
        )

    def _on_start(self, event: ev.Start) -> None:
        self._start = event

    def _on_block_start(self, event: ev.BlockStart) -> None:
        self._blocks.append(ContentBlock(start=event))
        self._pieces.append([])
        self._parts.append({})

    def _on_text(self, event: ev.TextDelta | ev.RefusalDelta | ev.ToolCallDelta) -> None:
        self._pieces[event.index].append(event.text)

    def _on_reasoning(self, event: ev.ReasoningDelta) -> None:
        self._pieces[event.index].append(event.text)
        self._parts[event.index].setdefault((event.channel, event.part), []).append(event.text)

    def _on_citation(self, event: ev.Citation) -> None:
        self._blocks[event.index].citations += (event.data,)

    def _on_image(self, event: ev.ImageDelta) -> None:
        if not event.partial:
            self._blocks[event.index].images += (event,)

    def _on_search(self, event: ev.SearchResult) -> None:
        self._blocks[event.index].action = event.action

    def _on_block_stop(self, event: ev.BlockStop) -> None:
        block = self._blocks[event.index]
        block.proof, block.item = event.proof, event.item

    def _on_usage(self, event: ev.UsageUpdate) -> None:
        self._usage = event.usage

    def _on_stop(self, event: ev.Stop) -> None:
        self._stop = event

    def _on_error(self, event: ev.Error) -> None:
        self.error = event.error

    _handlers: ClassVar[dict[type, Callable[[Fold, Any], None]]] = {
        ev.Start: _on_start,
        ev.BlockStart: _on_block_start,
        ev.TextDelta: _on_text,
        ev.RefusalDelta: _on_text,
        ev.ToolCallDelta: _on_text,
        ev.ReasoningDelta: _on_reasoning,
        ev.Citation: _on_citation,
        ev.ImageDelta: _on_image,
        ev.SearchResult: _on_search,
        ev.BlockStop: _on_block_stop,
        ev.UsageUpdate: _on_usage,
        ev.Stop: _on_stop,
        ev.Error: _on_error,
    }
