"""Events → a Messages stream. One bytes object per call; deltas are a bytes template around the encoded text.

A block opens with the first thing it says, so there are no empty ones; calls open at once. Nothing precedes
`message_start`, nothing follows `message_stop` or `error`. Next: `stage.py`, which lets one block at a time in.
Facts: spec/translation.md §6.2, §6.6, rows 117-147; spec/clients.md §2, §10.12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.anthropic_messages import shapes
from translation.protocols.anthropic_messages.errors import error_object
from translation.protocols.anthropic_messages.stage import SerialStage
from translation.shared.pictures import picture_note
from translation.wire import jsonio, sse

_Handler = Callable[[Any], bytes]

_CLOSED = -1
_DELTA_HEAD = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
_DELTA_END = b"}}\n\n"
_PING = sse.frame(b"ping", b'{"type":"ping"}')
_MESSAGE_STOP = sse.frame(b"message_stop", b'{"type":"message_stop"}')
_NO_START = ev.BlockStart(index=_CLOSED, kind="opaque")


class MessagesEncoder:
    """Invariant: over its life the output is one well-formed Messages stream with at most one open block."""

    __slots__ = (
        "_action",
        "_block",
        "_delta_head",
        "_dialect",
        "_done",
        "_handlers",
        "_index",
        "_is_open",
        "_kinds",
        "_opened",
        "_paragraph",
        "_picture",
        "_searches",
        "_stage",
        "_stops",
        "_text_at",
        "_usage",
    )

    def __init__(self, opened: OpenedRequest) -> None:
        self._dialect = shapes.Dialect(opened)
        self._stage = SerialStage(self._dialect.shows)
        self._opened = False
        self._done = False
        self._usage: Usage | None = None
        self._kinds: list[str] = []
        self._searches: set[str] = set()
        # the block that is being written
        self._block = _NO_START
        self._index = 0
        self._is_open = False
        self._delta_head = b""
        self._text_at = _CLOSED
        self._paragraph: tuple[str, int] | None = None
        self._action: dict[str, Any] | None = None
        self._picture: ev.ImageDelta | None = None
        self._handlers: dict[type, _Handler] = {
            ev.BlockStart: self._on_block_start,
            ev.TextDelta: self._on_text,
            ev.RefusalDelta: self._on_text,
            ev.ReasoningDelta: self._on_reasoning,
            ev.ToolCallDelta: self._on_arguments,
            ev.Citation: self._on_citation,
            ev.ImageDelta: self._on_image,
            ev.SearchResult: self._on_search,
            ev.BlockStop: self._on_block_stop,
            ev.UsageUpdate: self._on_usage,
            ev.Stop: self._on_stop,
            ev.Error: self._on_error,
        }
        self._stops: dict[ev.BlockKind, _Handler] = {
            "reasoning": self._stop_reasoning,
            "tool_call": self._stop_call,
            "image": self._stop_image,
            "search": self._stop_search,
        }

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """Return the bytes of these events, in one piece; empty when they say nothing to this client."""
        if self._done:
            return b""
        if len(events) == 1:
            event = events[0]
            if type(event) is ev.TextDelta and event.index == self._text_at and event.text:
                return self._delta_head + jsonio.quote(event.text) + _DELTA_END
        out: list[bytes] = []
        handlers = self._handlers
        for event in self._stage.order(events):
            handler = handlers.get(type(event))
            piece = b"" if handler is None else handler(event)
            if piece:
                if not self._opened and type(event) is not ev.Error:
                    out.append(self._open_message())
                out.append(piece)
            if self._done:
                break
        return b"".join(out)

    def heartbeat(self) -> bytes:
        """Return a ping; before `message_start` a comment, because nothing but that event may be the first.

        The message is not started for it: until there is output, another account may yet answer with another encoder.
        """
        if self._done:
            return b""
        return _PING if self._opened else sse.COMMENT_PING

    # ---- frames ------------------------------------------------------------------------------------------------

    def _open_message(self) -> bytes:
        self._opened = True
        message: dict[str, Any] = {
            "id": self._dialect.mint("msg_"),
            "type": "message",
            "role": "assistant",
            "model": self._dialect.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._dialect.estimated_usage(),
        }
        return sse.frame(b"message_start", jsonio.dumps({"type": "message_start", "message": message}))

    def _open_block(self, content: dict[str, Any], delta: bytes) -> bytes:
        """Start a block on the wire; `delta` is how its usual deltas begin."""
        self._is_open = True
        self._delta_head = _DELTA_HEAD % self._index + delta
        self._kinds.append(self._block.kind)
        body = {"type": "content_block_start", "index": self._index, "content_block": content}
        return sse.frame(b"content_block_start", jsonio.dumps(body))

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _DELTA_HEAD % self._index + jsonio.dumps(delta) + b"}\n\n"

    def _close_block(self) -> bytes:
        """Stop the block on the wire, if it ever said anything there."""
        self._text_at = _CLOSED
        if not self._is_open:
            return b""
        self._is_open = False
        self._index += 1
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % (self._index - 1)

    def _text_frame(self, text: str) -> bytes:
        return self._delta_head + jsonio.quote(text) + _DELTA_END

    # ---- one method per event ----------------------------------------------------------------------------------

    def _on_block_start(self, event: ev.BlockStart) -> bytes:
        self._block = event
        self._paragraph = self._action = self._picture = None
        if event.kind != "tool_call":
            return b""
        content: dict[str, Any] = {
            "type": "tool_use",
            "id": shapes.tool_use_id(event.call_id, self._dialect),
            "name": event.name,
            "input": {},
        }
        opening = self._open_block(content, b'{"type":"input_json_delta","partial_json":')
        return opening + self._text_frame('{"input":"' if event.tool_kind == "custom" else "")

    def _on_text(self, event: ev.TextDelta | ev.RefusalDelta) -> bytes:
        if not event.text:
            return b""
        return self._open_text() + self._text_frame(event.text)

    def _open_text(self) -> bytes:
        if self._is_open:
            return b""
        self._text_at = self._block.index
        return self._open_block({"type": "text", "text": ""}, b'{"type":"text_delta","text":')

    def _on_reasoning(self, event: ev.ReasoningDelta) -> bytes:
        if self._dialect.omits_text:
            return b""
        text = event.text
        here = (event.channel, event.part)
        if self._paragraph != here:
            if self._paragraph is not None:
                text = shapes.PARAGRAPH + text
            self._paragraph = here
        return self._open_thinking() + self._text_frame(text) if text else b""

    def _open_thinking(self) -> bytes:
        if self._is_open:
            return b""
        content = {"type": "thinking", "thinking": "", "signature": ""}
        return self._open_block(content, b'{"type":"thinking_delta","thinking":')

    def _on_arguments(self, event: ev.ToolCallDelta) -> bytes:
        if not event.text:
            return b""
        self._paragraph = ("arguments", 0)
        if self._block.tool_kind == "custom":  # free text becomes the inside of a JSON string
            return self._text_frame(jsonio.quote(event.text)[1:-1].decode())
        return self._text_frame(event.text)

    def _on_citation(self, event: ev.Citation) -> bytes:
        found = shapes.citation(event.data)
        if found is None:
            return b""
        return self._open_text() + self._delta({"type": "citations_delta", "citation": found})

    def _on_image(self, event: ev.ImageDelta) -> bytes:
        if event.data and not event.partial:
            self._picture = event
        return b""

    def _on_search(self, event: ev.SearchResult) -> bytes:
        self._action = event.action
        return b""

    def _on_usage(self, event: ev.UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    # ---- ends of blocks ----------------------------------------------------------------------------------------

    def _on_block_stop(self, event: ev.BlockStop) -> bytes:
        ending = self._stops.get(self._block.kind)
        return (ending(event) if ending is not None else b"") + self._close_block()

    def _stop_reasoning(self, event: ev.BlockStop) -> bytes:
        if event.proof is None or (self._dialect.hides_empty_thinking and not self._is_open):
            return b""
        signature = {"type": "signature_delta", "signature": event.proof.value}
        return self._open_thinking() + self._delta(signature)

    def _stop_call(self, event: ev.BlockStop) -> bytes:
        if self._block.tool_kind == "custom":
            return self._text_frame('"}')
        return b"" if self._paragraph is not None else self._text_frame("{}")

    def _stop_image(self, event: ev.BlockStop) -> bytes:
        if self._picture is None:
            return b""
        return self._open_text() + self._text_frame(picture_note(self._picture))

    def _stop_search(self, event: ev.BlockStop) -> bytes:
        """Tell a search as two blocks, once: what was asked, and what was found."""
        query = shapes.search_query(self._action)
        item_id = self._block.item_id
        if query is None or self._action is None or item_id in self._searches:
            return b""
        if item_id:
            self._searches.add(item_id)
        use_id = shapes.search_id(self._block, self._dialect)
        use: dict[str, Any] = {"type": "server_tool_use", "id": use_id, "name": "web_search", "input": {}}
        asked = self._open_block(use, b'{"type":"input_json_delta","partial_json":')
        asked += self._text_frame(jsonio.dumps({"query": query}).decode()) + self._close_block()
        found = {
            "type": "web_search_tool_result",
            "tool_use_id": use_id,
            "content": shapes.search_results(self._action),
        }
        self._kinds.pop()  # two blocks, one search
        return asked + self._open_block(found, b"")

    # ---- terminal ----------------------------------------------------------------------------------------------

    def _on_stop(self, event: ev.Stop) -> bytes:
        self._done = True
        usage = event.usage or self._usage
        reason = shapes.stop_reason(event.finish_reason, kinds=self._kinds, stop_sequence=event.stop_sequence)
        body = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": event.stop_sequence},
            "usage": self._dialect.estimated_usage()
            if usage is None
            else shapes.usage_object(usage, searches=self._kinds.count("search")),
        }
        return sse.frame(b"message_delta", jsonio.dumps(body)) + _MESSAGE_STOP

    def _on_error(self, event: ev.Error) -> bytes:
        """Without `message_delta` and `message_stop`: a cut answer must not look complete."""
        self._done = True
        return sse.frame(b"error", jsonio.dumps(error_object(event.error)))
