"""The events every protocol streams through: the smallest grammar that loses nothing.

`Start (BlockStart Delta* BlockStop | UsageUpdate | Ping | Opaque)* (Stop | Error)`; blocks may interleave by index,
indexes are dense and start at 0, exactly one terminal. `grammar.py` is the table, `normalizer.py` enforces it behind
every upstream decoder, `response.py` folds the same events into a collected answer.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from translation.errors import GatewayError
from translation.ir.usage import Usage

BlockKind = Literal["text", "refusal", "reasoning", "tool_call", "image", "search", "opaque"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "refusal"]
ToolKind = Literal["function", "custom"]


class Proof(Struct, frozen=True):
    """An opaque secret that proves reasoning; only ever sent back to its `origin` (a codec name)."""

    origin: str
    value: str


class Start(Struct, frozen=True, kw_only=True):
    """The response exists. `model` is what the upstream says it serves; clients are shown what they asked for."""

    id: str
    model: str = ""
    created: int = 0


class BlockStart(Struct, frozen=True, kw_only=True):
    """A block opens. `item_id` is the upstream's id of the item the block belongs to, "" when it gave none.

    Tool calls have `call_id`, `name` and `tool_kind`. Two text blocks with the same `item_id` are parts of one
    message. `phase` is the upstream's own label of a message (commentary, final_answer).
    """

    index: int
    kind: BlockKind
    item_id: str = ""
    call_id: str = ""
    name: str = ""
    tool_kind: ToolKind = "function"
    phase: str | None = None


class TextDelta(Struct, frozen=True, gc=False):
    """More text of a text block."""

    index: int
    text: str


class RefusalDelta(Struct, frozen=True, gc=False):
    """More text of a refusal block."""

    index: int
    text: str


class ReasoningDelta(Struct, frozen=True, gc=False):
    """More reasoning. `part` counts summary parts (or content parts); a change of part is a paragraph break."""

    index: int
    text: str
    part: int = 0
    channel: Literal["summary", "text"] = "summary"


class ToolCallDelta(Struct, frozen=True, gc=False):
    """More argument text of a call; never parsed on the way."""

    index: int
    text: str


class Citation(Struct, frozen=True):
    """A source of the text of a block; `data` is the upstream's annotation object."""

    index: int
    data: dict[str, Any]


class ImageDelta(Struct, frozen=True):
    """A picture of an image block, base64. Partial pictures precede the final one."""

    index: int
    data: str
    media_type: str = "image/png"
    partial: bool = False
    revised_prompt: str | None = None


class SearchResult(Struct, frozen=True):
    """What a hosted web search did: the upstream's action object (`query`, `queries`, `sources`, `url`)."""

    index: int
    action: dict[str, Any]


class BlockStop(Struct, frozen=True, kw_only=True):
    """A block is complete. `proof` belongs to reasoning. `item` is the upstream's snapshot for opaque blocks."""

    index: int
    proof: Proof | None = None
    item: dict[str, Any] | None = None


class UsageUpdate(Struct, frozen=True):
    """Counts so far; cumulative, the last one wins."""

    usage: Usage


class Ping(Struct, frozen=True):
    """The upstream is alive."""


class Opaque(Struct, frozen=True):
    """An event only its own protocol understands."""

    origin: str
    name: str
    data: dict[str, Any]


class Stop(Struct, frozen=True, kw_only=True):
    """The answer is complete; also when a limit cut it (`finish_reason` length, content_filter)."""

    finish_reason: FinishReason
    usage: Usage | None = None
    raw_reason: str = ""
    stop_sequence: str | None = None
    service_tier: str | None = None


class Error(Struct, frozen=True):
    """The answer failed. Terminal."""

    error: GatewayError


Delta = TextDelta | RefusalDelta | ReasoningDelta | ToolCallDelta | Citation | ImageDelta | SearchResult
Event = Start | BlockStart | Delta | BlockStop | UsageUpdate | Ping | Opaque | Stop | Error
