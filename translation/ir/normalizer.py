"""The one place that turns what upstream decoders understood into legal events.

Decoders call methods (`open`, `delta`, `snapshot`, `close`, `stop`, `fail`, `eof`); the events appear in `out`, which
the decoder hands over and resets once per chunk. The four robustness laws of spec/translation.md §1.3 live here:
aliases resolve blocks, snapshots add only what is missing, an incomplete answer is a success, one terminal. It never
raises on odd upstream order; it repairs and counts (`repairs`). Next: `grammar.py` for the order it guarantees.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

from translation.errors import GatewayError, UpstreamDisconnected
from translation.ir import events as ev
from translation.ir.usage import Usage

_DELTA_TYPES = {
    "text": ev.TextDelta,
    "refusal": ev.RefusalDelta,
    "reasoning": ev.ReasoningDelta,
    "tool_call": ev.ToolCallDelta,
}


class Block:
    """One block while it is open, and what was already said of it. `index` is -1 until its start was emitted."""

    __slots__ = (
        "call_id",
        "closed",
        "index",
        "item_id",
        "kind",
        "name",
        "part",
        "phase",
        "pieces",
        "tail",
        "tool_kind",
    )

    def __init__(self, kind: ev.BlockKind) -> None:
        self.kind: ev.BlockKind = kind
        self.index = -1
        self.item_id = ""
        self.call_id = ""
        self.name = ""
        self.tool_kind: ev.ToolKind = "function"
        self.phase: str | None = None
        self.pieces: list[str] = []
        self.part = 0
        self.tail = ""
        self.closed = False

    @property
    def said(self) -> str:
        """Everything of this block so far."""
        return "".join(self.pieces)


class Normalizer:
    """Invariant: `out`, over the life of the stream, is a legal event sequence (`grammar.check`)."""

    __slots__ = ("_aliases", "_blocks", "_next_index", "done", "out", "repairs", "started", "usage")

    def __init__(self) -> None:
        self.out: list[ev.Event] = []
        self.started = False
        self.done = False
        self.repairs = 0
        self.usage: Usage | None = None
        self._aliases: dict[Hashable, Block] = {}
        self._blocks: list[Block] = []
        self._next_index = 0

    # ---- lifecycle ---------------------------------------------------------------------------------------------

    def start(self, response_id: str, model: str = "", created: int = 0) -> None:
        """Say that the response exists; only the first call counts."""
        if self.started or self.done:
            return
        self.started = True
        self.out.append(ev.Start(id=response_id, model=model, created=created))

    def stop(
        self,
        reason: ev.FinishReason,
        *,
        usage: Usage | None = None,
        raw_reason: str = "",
        stop_sequence: str | None = None,
        service_tier: str | None = None,
    ) -> None:
        """End with success: close what is open, then stop."""
        if self.done:
            return
        self._close_all()
        self.done = True
        self.usage = usage or self.usage
        self.out.append(
            ev.Stop(
                finish_reason=reason,
                usage=self.usage,
                raw_reason=raw_reason,
                stop_sequence=stop_sequence,
                service_tier=service_tier,
            )
        )

    def fail(self, error: GatewayError) -> None:
        """End with failure; open blocks stay open, because the answer is cut."""
        if self.done:
            return
        self.done = True
        self.out.append(ev.Error(error))

    def eof(self) -> None:
        """The upstream closed. Without a terminal event that is a failure."""
        if not self.done:
            self.fail(UpstreamDisconnected("The upstream closed the stream before the answer was complete."))

    # ---- blocks ------------------------------------------------------------------------------------------------

    def find(self, *aliases: Hashable) -> Block | None:
        """Return the block known under any of `aliases` (None and "" are ignored), and learn the other aliases."""
        known = None
        for alias in aliases:
            if alias is not None and alias != "":
                known = self._aliases.get(alias)
                if known is not None:
                    break
        if known is not None:
            self.learn(known, *aliases)
        return known

    def learn(self, block: Block, *aliases: Hashable) -> None:
        """Register more names of a block."""
        for alias in aliases:
            if alias is not None and alias != "":
                self._aliases.setdefault(alias, block)

    def open(
        self,
        kind: ev.BlockKind,
        *aliases: Hashable,
        item_id: str = "",
        call_id: str = "",
        name: str = "",
        tool_kind: ev.ToolKind = "function",
        phase: str | None = None,
    ) -> Block:
        """Open a block, or return the one already known under an alias, completed with what is new about it."""
        block = self.find(*aliases)
        if block is None:
            block = Block(kind)
            block.tool_kind = tool_kind
            self._blocks.append(block)
            self.learn(block, *aliases)
        block.item_id = block.item_id or item_id
        block.call_id = block.call_id or call_id
        block.name = block.name or name
        block.phase = block.phase or phase
        if block.index < 0:
            self._emit_start(block)
        return block

    def adopt(self, block: Block) -> None:
        """Take in a block that a decoder finds again by itself; `reveal` starts it."""
        self._blocks.append(block)

    def reveal(self, block: Block) -> None:
        """Emit the start of an adopted block, once what clients must know of it is known."""
        if block.index < 0:
            self._emit_start(block)

    def delta(self, block: Block, text: str, part: int = 0, channel: Literal["summary", "text"] = "summary") -> None:
        """Add text to a block. Late text of a closed block is dropped and counted. `channel` matters to reasoning."""
        if block.closed or self.done:
            self.repairs += 1
            return
        if block.tail or (text and "\ud800" <= text[-1] <= "\udbff"):
            text = self._join_surrogates(block, text)
        if not text:
            return
        block.pieces.append(text)
        if block.index < 0:
            return  # a call whose name is still unknown: kept until it is
        self.out.append(self._delta_event(block, text, part, channel))

    def snapshot(self, block: Block, full: str) -> None:
        """Reconcile with the complete text: emit the missing suffix; a contradiction keeps what was said."""
        said = block.said
        if full == said or not full:
            return
        if full.startswith(said):
            block.tail = ""  # the snapshot has the whole character
            self.delta(block, full[len(said) :], block.part)
        else:
            self.repairs += 1

    def close(self, block: Block, *, proof: ev.Proof | None = None, item: dict[str, object] | None = None) -> None:
        """Complete a block."""
        if block.closed or self.done:
            return
        if block.index < 0:  # a call that was never named: nobody could answer it, so it never was (edge case 128)
            block.closed = True
            self.repairs += 1
            return
        if block.tail:
            block.tail = ""
            self.delta(block, "\ufffd", block.part)
        block.closed = True
        self.out.append(ev.BlockStop(index=block.index, proof=proof, item=item))

    # ---- inside ------------------------------------------------------------------------------------------------

    def _emit_start(self, block: Block) -> None:
        if self.done:
            return
        if block.kind == "tool_call":
            if not block.name:
                return
            block.call_id = block.call_id or block.item_id or f"call_{self._next_index}"
        if not self.started:
            self.start("")
        block.index = self._next_index
        self._next_index += 1
        self.out.append(
            ev.BlockStart(
                index=block.index,
                kind=block.kind,
                item_id=block.item_id,
                call_id=block.call_id,
                name=block.name,
                tool_kind=block.tool_kind,
                phase=block.phase,
            )
        )
        if block.pieces:
            self.out.append(self._delta_event(block, block.said, 0))

    def _delta_event(
        self, block: Block, text: str, part: int, channel: Literal["summary", "text"] = "summary"
    ) -> ev.Event:
        if block.kind == "reasoning":
            block.part = part
            return ev.ReasoningDelta(block.index, text, part, channel)
        return _DELTA_TYPES[block.kind](block.index, text)

    def _join_surrogates(self, block: Block, text: str) -> str:
        """Hold back half of a surrogate pair until its other half arrives in the next delta."""
        text = block.tail + text
        block.tail = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            block.tail = text[-1]
            text = text[:-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def has_shown(self, kind: ev.BlockKind) -> bool:
        """Tell whether a block of this kind was opened for the client."""
        return any(block.kind == kind and block.index >= 0 for block in self._blocks)

    def _close_all(self) -> None:
        for block in self._blocks:
            if not block.closed:
                self.close(block)
