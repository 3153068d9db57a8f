"""Anthropic's SSE → legal events. Frames are told apart by their data; deltas take a typed fast path.

Blocks are found by the upstream's index; those no other protocol knows leave no gap, because the normalizer counts for
itself. Next: `ir/normalizer.py`, `upstream_words.py`. Facts: spec/translation.md §11.4, rows 244,
246, 249. Reference: https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from translation.errors import ProtocolViolation
from translation.ir import events as ev
from translation.ir.normalizer import Block, Normalizer
from translation.protocols.anthropic_messages.shapes import arguments_object
from translation.protocols.anthropic_messages.upstream import ORIGIN, REDACTED, error_from_payload
from translation.protocols.anthropic_messages.upstream_request import ANSWER_TOOL
from translation.protocols.anthropic_messages.upstream_words import (
    FINISH,
    object_of,
    string_of,
    tolerant_object,
    usage_of,
)
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object
from translation.wire.sse import SSESplitter

Json = dict[str, Any]

_MAX_STRAY_CHARS = 2000
_SEARCH_ID = "srvtoolu_"
_DELTA_HEAD = b'{"type":"content_block_delta"'


class _Delta(Struct, gc=False):
    type: str
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _DeltaFrame(Struct, gc=False):
    index: int
    delta: _Delta


_decode_delta = msgspec.json.Decoder(_DeltaFrame).decode


class _Open:
    """A block of the upstream while it is open. `block` is None for those that are not shown."""

    __slots__ = ("arguments", "block", "given", "kind", "proof", "use_id")

    def __init__(self, kind: str, block: Block | None) -> None:
        self.kind = kind
        self.block = block
        self.proof = ""
        self.arguments: list[str] = []
        self.given: Json = {}
        self.use_id = ""


class UpstreamDecoder:
    """One stream. Invariant: the events of all calls together are legal (`ir/grammar.py`)."""

    __slots__ = ("_counts", "_normalizer", "_opens", "_searches", "_splitter", "_stop", "_stray", "asides")

    def __init__(self) -> None:
        self.asides: Mapping[str, bytes] = {}
        self._splitter = SSESplitter()
        self._normalizer = Normalizer()
        self._opens: dict[Any, _Open] = {}
        self._searches: dict[str, tuple[Block, Json]] = {}
        self._counts: Json = {}
        self._stop: tuple[str, str | None] | None = None
        self._stray = ""

    @property
    def repairs(self) -> int:
        """How often the upstream broke its own order."""
        return self._normalizer.repairs

    def feed(self, chunk: bytes) -> list[ev.Event]:
        """Return the events of a network chunk."""
        try:
            frames = self._splitter.feed(chunk)
        except ProtocolViolation as error:
            self._normalizer.fail(error)
            frames = []
        return self._take(frames)

    def finish(self) -> list[ev.Event]:
        """Return what the end of the file brings: at least the terminal event that did not come."""
        events = self._take(self._splitter.finish())
        normalizer = self._normalizer
        if not normalizer.done and self._stop is not None:
            self._message_stop({})  # everything was said, only the last word is missing
        if not normalizer.done and not normalizer.started and self._stray:
            normalizer.fail(
                ProtocolViolation(f"The upstream answered with something else than an event stream: {self._stray}")
            )
        normalizer.eof()
        return events + self._drain()

    def _drain(self) -> list[ev.Event]:
        events, self._normalizer.out = self._normalizer.out, []
        return events

    def _take(self, frames: list[tuple[bytes, bytes]]) -> list[ev.Event]:
        for name, data in frames:
            if self._normalizer.done:
                break
            if not (data.startswith(_DELTA_HEAD) and self._hot_delta(data)):
                self._frame(name, data)
        return self._drain()

    def _hot_delta(self, data: bytes) -> bool:
        try:
            frame = _decode_delta(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        opened, delta = self._opens.get(frame.index), frame.delta
        if opened is None:
            return False
        if delta.type == "text_delta" or delta.type == "thinking_delta":
            if opened.block is not None:
                self._normalizer.delta(opened.block, delta.text or delta.thinking)
            return True
        if delta.type == "input_json_delta":
            self._argue(opened, delta.partial_json)
            return True
        return False

    def _frame(self, name: bytes, data: bytes) -> None:
        payload = tolerant_object(data)
        if payload is None:
            self._stray = (self._stray + data.decode(errors="replace"))[:_MAX_STRAY_CHARS]
            return
        kind = payload.get("type")
        handler = self._EVENTS.get(kind if isinstance(kind, str) else name.decode(errors="replace"))
        if handler is not None:
            handler(self, payload)
        elif is_object(payload.get("error")):
            self._error(payload)

    # ---- the message -------------------------------------------------------------------------------------------

    def _message_start(self, payload: Json) -> None:
        message = object_of(payload.get("message"))
        self._normalizer.start(string_of(message.get("id")), string_of(message.get("model")))
        self._count(message.get("usage"))

    def _whole_message(self, payload: Json) -> None:
        """The answer is one JSON object: a server that did not stream although asked to."""
        self._message_start({"message": payload})
        content = payload.get("content")
        for index, block in enumerate(content if is_array(content) else ()):
            self._block_start({"index": index, "content_block": block})
            self._block_stop({"index": index})
        self._message_delta({"delta": payload, "usage": payload.get("usage")})
        self._message_stop(payload)

    def _message_delta(self, payload: Json) -> None:
        delta = object_of(payload.get("delta"))
        reason, sequence = delta.get("stop_reason"), delta.get("stop_sequence")
        if isinstance(reason, str) and reason:
            self._stop = (reason, sequence if isinstance(sequence, str) else None)
        self._count(payload.get("usage"))

    def _message_stop(self, payload: Json) -> None:
        reason, sequence = self._stop or ("", None)
        for opened in self._opens.values():
            self._close(opened)
        self._opens.clear()
        for block, action in self._searches.values():
            self._tell_search(block, action)
        self._searches.clear()
        has_calls = self._normalizer.has_shown("tool_call")
        finish = FINISH.get(reason, "stop")
        if finish in ("stop", "tool_calls"):
            finish = "tool_calls" if has_calls and reason in ("", "tool_use") else "stop"
        self._normalizer.stop(
            finish, usage=usage_of(self._counts) if self._counts else None, raw_reason=reason, stop_sequence=sequence
        )

    def _error(self, payload: Json) -> None:
        if self._counts and self._normalizer.started:
            self._normalizer.out.append(ev.UsageUpdate(usage_of(self._counts)))
        self._normalizer.fail(error_from_payload(payload))

    def _ping(self, payload: Json) -> None:
        if self._normalizer.started:
            self._normalizer.out.append(ev.Ping())

    def _count(self, usage: Any) -> None:
        """Take in counts; they are cumulative, and what a later report leaves out still holds."""
        if is_object(usage):
            self._counts.update((key, value) for key, value in usage.items() if value is not None)

    # ---- blocks ------------------------------------------------------------------------------------------------

    def _block_start(self, payload: Json) -> None:
        index, content = payload.get("index"), object_of(payload.get("content_block"))
        before = self._opens.pop(index, None)
        if before is not None:
            self._close(before)
        kind = string_of(content.get("type"))
        starter = self._STARTS.get(kind)
        opened = _Open(kind, None)
        self._opens[index] = opened
        if starter is not None:
            starter(self, opened, content)

    def _start_text(self, opened: _Open, content: Json) -> None:
        opened.block = self._normalizer.open("text")
        self._normalizer.delta(opened.block, string_of(content.get("text")))
        citations = content.get("citations")
        for citation in citations if is_array(citations) else ():
            self._cite(opened, citation)

    def _start_thinking(self, opened: _Open, content: Json) -> None:
        opened.block = self._normalizer.open("reasoning")
        self._normalizer.delta(opened.block, string_of(content.get("thinking")))
        opened.proof = string_of(content.get("signature"))

    def _start_redacted(self, opened: _Open, content: Json) -> None:
        opened.block = self._normalizer.open("reasoning")
        opened.proof = REDACTED + string_of(content.get("data"))

    def _start_call(self, opened: _Open, content: Json) -> None:
        name, given = string_of(content.get("name")), content.get("input")
        if name == ANSWER_TOOL:
            opened.block = self._normalizer.open("text")
        else:
            opened.block = self._normalizer.open("tool_call", call_id=string_of(content.get("id")), name=name)
        opened.given = given if is_object(given) else {}

    def _start_server_call(self, opened: _Open, content: Json) -> None:
        """Searches are told when their results arrive; other tools that Anthropic runs concern nobody else."""
        if content.get("name") != "web_search":
            return
        opened.use_id = string_of(content.get("id"))
        opened.given = object_of(content.get("input"))
        block = self._normalizer.open("search", item_id=opened.use_id.removeprefix(_SEARCH_ID))
        self._searches[opened.use_id] = (block, {"type": "search"})

    def _start_search_result(self, opened: _Open, content: Json) -> None:
        known = self._searches.pop(string_of(content.get("tool_use_id")), None)
        if known is None:
            return
        block, action = known
        found = content.get("content")
        sources = [
            {"type": "url", "url": source["url"], "title": string_of(source.get("title"))}
            for source in (found if is_array(found) else ())
            if is_object(source) and isinstance(source.get("url"), str)
        ]
        self._tell_search(block, {**action, "sources": sources} if sources else action)

    def _tell_search(self, block: Block, action: Json) -> None:
        self._normalizer.out.append(ev.SearchResult(block.index, action))
        self._normalizer.close(block)

    def _block_delta(self, payload: Json) -> None:
        opened, delta = self._opens.get(payload.get("index")), object_of(payload.get("delta"))
        if opened is None:
            return
        match delta.get("type"):
            case "text_delta" | "thinking_delta" if opened.block is not None:
                self._normalizer.delta(opened.block, string_of(delta.get("text")) or string_of(delta.get("thinking")))
            case "input_json_delta":
                self._argue(opened, string_of(delta.get("partial_json")))
            case "signature_delta":
                opened.proof += string_of(delta.get("signature"))
            case "citations_delta":
                self._cite(opened, delta.get("citation"))
            case _:
                pass

    def _argue(self, opened: _Open, text: str) -> None:
        if not text:
            return
        if opened.block is not None:
            self._normalizer.delta(opened.block, text)
            opened.given = {}
        elif opened.use_id:
            opened.arguments.append(text)

    def _cite(self, opened: _Open, citation: Any) -> None:
        """Pages of the web have a place in every protocol, passages of the request's own documents have none."""
        if opened.block is None or not is_object(citation) or not isinstance(citation.get("url"), str):
            return
        data = {"type": "url_citation", "url": citation["url"]}
        data |= {key: citation[key] for key in ("title", "cited_text") if isinstance(citation.get(key), str)}
        self._normalizer.out.append(ev.Citation(opened.block.index, data))

    def _block_stop(self, payload: Json) -> None:
        opened = self._opens.pop(payload.get("index"), None)
        if opened is not None:
            self._close(opened)

    def _close(self, opened: _Open) -> None:
        block = opened.block
        if block is None:
            self._ask_search(opened)
            return
        if opened.kind == "tool_use" and not block.pieces:  # a call without arguments, or with all of them at once
            self._normalizer.delta(block, jsonio.dumps(opened.given).decode())
        self._normalizer.close(block, proof=ev.Proof(ORIGIN, opened.proof) if opened.proof else None)

    def _ask_search(self, opened: _Open) -> None:
        known = self._searches.get(opened.use_id)
        if known is not None:
            asked = arguments_object("".join(opened.arguments)) or opened.given
            known[1]["query"] = string_of(asked.get("query"))

    _STARTS: ClassVar[dict[str, Callable[[UpstreamDecoder, _Open, Json], None]]] = {
        "text": _start_text,
        "thinking": _start_thinking,
        "redacted_thinking": _start_redacted,
        "tool_use": _start_call,
        "server_tool_use": _start_server_call,
        "web_search_tool_result": _start_search_result,
    }

    _EVENTS: ClassVar[dict[str, Callable[[UpstreamDecoder, Json], None]]] = {
        "message_start": _message_start,
        "content_block_start": _block_start,
        "content_block_delta": _block_delta,
        "content_block_stop": _block_stop,
        "message_delta": _message_delta,
        "message_stop": _message_stop,
        "message": _whole_message,
        "ping": _ping,
        "error": _error,
    }
