"""Events → `GenerateContentResponse` chunks, as server-sent events or as one JSON array. Deltas are a bytes template.

Calls are sent whole when their block closes. The last chunk has an empty text part, as Google's own has: SDKs drop a
turn with a chunk of no parts from the chat history. It carries the proofs that no other part has
taken along. There is no `[DONE]`. Facts: spec/translation.md §7.2, §13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.gemini import shapes
from translation.protocols.gemini.errors import error_object
from translation.protocols.gemini.generation import wants_thoughts
from translation.protocols.gemini.request import wants_events
from translation.protocols.gemini.signatures import write_signature
from translation.wire import jsonio


class GeminiStreamEncoder:
    """Invariant: over its life the output is one well-formed stream or array, ended exactly once."""

    __slots__ = (
        "_calls",
        "_done",
        "_end",
        "_finished",
        "_grounding",
        "_handlers",
        "_is_array",
        "_is_plain",
        "_lead",
        "_meta",
        "_opened",
        "_parts_end",
        "_parts_head",
        "_proofs",
        "_shows_thoughts",
        "_text_end",
        "_text_head",
        "_thought",
        "_usage",
    )

    def __init__(self, opened: OpenedRequest) -> None:
        self._is_array = not wants_events(opened)
        self._lead, self._end = (b",\n", b"") if self._is_array else (b"data: ", b"\n\n")
        self._meta = b',"modelVersion":%b,"responseId":%b' % (
            jsonio.dumps(opened.model),
            jsonio.dumps(opened.context.ids.mint("")),
        )
        self._parts_head = self._lead + b'{"candidates":[{"content":{"parts":['
        self._parts_end = b'],"role":"model"},"index":0}]' + self._meta + b"}" + self._end
        self._text_head = self._parts_head + b'{"text":'
        self._text_end = b"}" + self._parts_end
        self._shows_thoughts = wants_thoughts(opened.body)
        self._grounding = shapes.Grounding(opened)
        self._opened = False
        self._done = False
        self._is_plain = False
        self._thought: tuple[int, int] | None = None
        self._proofs: list[ev.Proof] = []
        self._calls: dict[int, tuple[ev.BlockStart, list[str]]] = {}
        self._finished: set[int] = set()
        self._usage: Usage | None = None
        self._handlers: dict[type, Callable[[Any], bytes]] = {
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

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """Return the bytes of these events, in one piece; empty when they say nothing to a Gemini client."""
        if self._is_plain and len(events) == 1:
            event = events[0]
            if type(event) is ev.TextDelta:
                return self._text_head + jsonio.quote(event.text) + self._text_end
        if self._done:
            return b""
        out: list[bytes] = []
        handlers = self._handlers
        for event in events:
            handler = handlers.get(type(event))
            if handler is not None:
                out.append(handler(event))
                if self._done:
                    break
        return self._opening(jsonio.one_line(b"".join(out)))

    def heartbeat(self) -> bytes:
        """Return blank lines, legal at any time before the end; Google's SDK for Python fails on SSE comments."""
        return b"" if self._done else b"\n\n"

    # ---- framing -----------------------------------------------------------------------------------------------

    def _opening(self, data: bytes) -> bytes:
        """Turn the separator before the array's first element into its bracket."""
        if self._opened or not data:
            return data
        self._opened = True
        return b"[" + data[len(self._lead) :] if self._is_array else data

    def _part(self, part: bytes) -> bytes:
        """Send one part, given without its closing brace; it carries the proofs of the thoughts before it."""
        return self._parts_head + self._signed(part) + self._text_end

    def _signed(self, part: bytes) -> bytes:
        signature = write_signature(self._proofs)
        self._proofs = []
        return part if signature is None else part + b',"thoughtSignature":' + jsonio.encode_text(signature)

    # ---- one method per event ----------------------------------------------------------------------------------

    def _on_text(self, event: ev.TextDelta | ev.RefusalDelta) -> bytes:
        if not event.text:
            return b""
        self._thought = None
        self._grounding.note_text(event.index, event.text)
        if self._proofs:
            return self._part(b'{"text":' + jsonio.quote(event.text))
        # From here on lone text deltas need nothing but the template, until something other than text happens.
        self._is_plain = self._opened and type(event) is ev.TextDelta and not self._grounding.is_on
        return self._text_head + jsonio.quote(event.text) + self._text_end

    def _on_reasoning(self, event: ev.ReasoningDelta) -> bytes:
        if not self._shows_thoughts or not event.text:
            return b""
        self._is_plain = False
        here = (event.index, event.part)
        text = event.text
        if self._thought is not None and self._thought != here:
            text = shapes.PARAGRAPH + text
        self._thought = here
        return self._text_head + jsonio.quote(text) + b',"thought":true' + self._text_end

    def _on_block_start(self, event: ev.BlockStart) -> bytes:
        self._is_plain = False
        if event.kind == "tool_call":
            self._calls[event.index] = (event, [])
        return b""

    def _on_arguments(self, event: ev.ToolCallDelta) -> bytes:
        call = self._calls.get(event.index)
        if call is not None:
            call[1].append(event.text)
        return b""

    def _on_citation(self, event: ev.Citation) -> bytes:
        self._grounding.note_citation(event.index, event.data)
        return b""

    def _on_search(self, event: ev.SearchResult) -> bytes:
        self._grounding.note_search(event.action)
        return b""

    def _on_image(self, event: ev.ImageDelta) -> bytes:
        if event.partial or not event.data:
            return b""
        self._thought = None
        return self._part(shapes.inline_data(event))

    def _on_block_stop(self, event: ev.BlockStop) -> bytes:
        self._is_plain = False
        if event.proof is not None:
            self._proofs.append(event.proof)
        if event.index not in self._calls:
            return b""
        self._thought = None
        self._finished.add(event.index)
        return self._release_calls()

    def _release_calls(self) -> bytes:
        """Send the finished calls that no open one precedes: a replayed history has them in the upstream's order."""
        out = b""
        while self._calls:
            index = next(iter(self._calls))
            if index not in self._finished:
                break
            start, pieces = self._calls.pop(index)
            out += self._part(shapes.call_head(start) + shapes.call_arguments(start, "".join(pieces)) + b"}")
        return out

    def _on_usage(self, event: ev.UsageUpdate) -> bytes:
        self._usage = event.usage
        return b""

    # ---- terminal ----------------------------------------------------------------------------------------------

    def _on_stop(self, event: ev.Stop) -> bytes:
        self._close()
        usage = event.usage or self._usage
        metadata = self._grounding.metadata()
        candidate = b'{"candidates":[{"content":{"parts":[%b}],"role":"model"},"finishReason":"%b","index":0' % (
            self._signed(b'{"text":""'),
            shapes.finish_reason(event.finish_reason, event.raw_reason).encode(),
        )
        if metadata is not None:
            candidate += b',"groundingMetadata":' + jsonio.dumps(metadata)
        candidate += b"}]"
        if usage is not None:
            candidate += b',"usageMetadata":' + jsonio.dumps(shapes.usage_object(usage))
        return self._lead + candidate + self._meta + b"}" + self._end + self._closing()

    def _on_error(self, event: ev.Error) -> bytes:
        self._close()
        return self._lead + jsonio.dumps({"error": error_object(event.error)}) + self._end + self._closing()

    def _close(self) -> None:
        self._done = True
        self._is_plain = False

    def _closing(self) -> bytes:
        return b"]" if self._is_array else b""
