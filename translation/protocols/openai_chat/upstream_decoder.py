"""A provider's Chat stream → legal events; also a whole JSON answer, which some servers give where a stream is due.

The end comes with `[DONE]` or the end of the file, not with `finish_reason`: counts may follow it. Vendors differ in
where they put thoughts, in what of a call they repeat or leave out, and in when they count; each oddity has its test.
Facts: spec/translation.md §11.2, rows 244-248. Reference:
https://platform.openai.com/docs/api-reference/chat-streaming (checked 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from translation.errors import GatewayError, ProtocolViolation
from translation.ir import events as ev
from translation.ir.normalizer import Block, Normalizer
from translation.ir.usage import Usage
from translation.protocols.openai_chat.upstream import (
    failure_in,
    failure_of,
    first_choice,
    objects_of,
    read_count,
    read_payload,
    read_reason,
    read_usage,
)
from translation.shared.proofs import CODEX_FORMAT, CODEX_ORIGIN
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object
from translation.wire.sse import SSESplitter

Json = dict[str, Any]

_MAX_STRAY_CHARS = 2000


class ChatDecoder:
    """One stream. Invariant: the events of all calls together are legal (`ir/grammar.py`)."""

    def __init__(self) -> None:
        self.asides: Mapping[str, bytes] = {}
        """See `StreamDecoder`; Chat providers say nothing of the account in the stream."""
        self._splitter = SSESplitter()
        self._normalizer = Normalizer()
        self._stray = ""
        self._id = ""
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._finish = ""
        self._is_done = False
        self._text: Block | None = None
        self._refusal: Block | None = None
        self._thought: Block | None = None
        self._calls: dict[Hashable, Block] = {}
        self._call_count = 0
        self._last_call: Block | None = None

    def feed(self, chunk: bytes) -> list[ev.Event]:
        """Return the events of a network chunk."""
        try:
            frames = self._splitter.feed(chunk)
        except ProtocolViolation as error:
            self._normalizer.fail(error)
            frames = []
        return self._take(frames)

    def finish(self) -> list[ev.Event]:
        """Return what the end of the file brings: the terminal event, in whatever way the answer ended."""
        events = self._take(self._splitter.finish())
        normalizer = self._normalizer
        if not normalizer.done:
            if self._finish:
                self._stop()
            elif not normalizer.started and self._stray:
                normalizer.fail(
                    ProtocolViolation(f"The provider answered with something else than a stream: {self._stray}")
                )
            else:
                self._tell_usage()
                normalizer.eof()
        return events + self._drain()

    def _take(self, frames: list[tuple[bytes, bytes]]) -> list[ev.Event]:
        for name, data in frames:
            if self._normalizer.done:
                break
            if data.strip() == b"[DONE]":
                self._stop()
                continue
            payload = read_payload(data)
            if payload is not None:
                self._payload(payload, is_error=name == b"error")
            elif data.strip():
                self._stray = (self._stray + data.decode(errors="replace"))[:_MAX_STRAY_CHARS]
        return self._drain()

    def _drain(self) -> list[ev.Event]:
        events, self._normalizer.out = self._normalizer.out, []
        return events

    # ---- frames ------------------------------------------------------------------------------------------------

    def _payload(self, payload: Json, *, is_error: bool) -> None:
        error = failure_in(payload, is_error=is_error)
        if error is not None:
            self._fail(error)
            return
        if not self._normalizer.started:
            self._id = _string(payload.get("id"))
            self._normalizer.start(self._id, _string(payload.get("model")), read_count(payload.get("created")))
        self._usage = read_usage(payload.get("usage")) or self._usage
        self._tier = _string(payload.get("service_tier")) or self._tier
        choice = first_choice(payload.get("choices"))
        if choice is None:
            return
        self._usage = read_usage(choice.get("usage")) or self._usage  # Kimi counts inside the choice
        delta = choice.get("delta")
        if not is_object(delta):
            delta = choice.get("message")
        if is_object(delta):
            self._delta(delta)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish = reason
            failure = failure_of(reason)
            if failure is not None:
                self._fail(failure)

    def _delta(self, delta: Json) -> None:
        self._thoughts(delta)
        content = delta.get("content")
        if isinstance(content, str):
            self._say(content)
        elif is_array(content):
            self._content_parts(content)
        if delta.get("refusal"):
            self._refuse(_string(delta["refusal"]))
        self._extras(delta)

    def _thoughts(self, delta: Json) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        details = objects_of(delta.get("reasoning_details"))
        if isinstance(thought, str) and thought:
            self._think(thought)
        else:  # OpenRouter tells the same thing twice, others only here
            self._think("".join(_string(detail.get("text") or detail.get("summary")) for detail in details))
        self._proofs(details)

    def _extras(self, delta: Json) -> None:
        calls = objects_of(delta.get("tool_calls"))
        for position, call in enumerate(calls):
            self._call(call, position if len(calls) > 1 else None)
        legacy = delta.get("function_call")
        if is_object(legacy):
            self._call({"index": "legacy", "function": legacy}, None)
        for image in objects_of(delta.get("images")):
            self._image(image)
        for annotation in objects_of(delta.get("annotations")):
            self._cite(annotation)

    # ---- texts -------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        if not text:
            return
        self._end_thought()
        if self._text is None:
            self._text = self._normalizer.open("text")
        self._normalizer.delta(self._text, text)

    def _content_parts(self, parts: list[Any]) -> None:
        """Mistral writes content as a list when it thinks."""
        for part in objects_of(parts):
            thinking = part.get("thinking")
            if is_array(thinking):
                self._think("".join(_string(piece.get("text")) for piece in objects_of(thinking)))
            else:
                self._say(_string(part.get("text")))

    def _refuse(self, text: str) -> None:
        if text:
            self._end_thought()
            self._refusal = self._refusal or self._normalizer.open("refusal")
            self._normalizer.delta(self._refusal, text)

    def _think(self, text: str) -> None:
        if not text:
            return
        if self._thought is None:
            self._end_text()
            self._thought = self._normalizer.open("reasoning")
        self._normalizer.delta(self._thought, text)

    def _proofs(self, details: list[Json]) -> None:
        """Take back what a gateway like this one hands out; proofs of other vendors bind to their own wire."""
        for detail in details:
            if detail.get("format") != CODEX_FORMAT or not detail.get("data"):
                continue
            block = self._thought or self._normalizer.open("reasoning", item_id=_string(detail.get("id")))
            self._thought = None
            self._normalizer.close(block, proof=ev.Proof(CODEX_ORIGIN, _string(detail["data"])))

    def _end_thought(self) -> None:
        if self._thought is not None:
            self._normalizer.close(self._thought)
            self._thought = None

    def _end_text(self) -> None:
        if self._text is not None:
            self._normalizer.close(self._text)
            self._text = None

    # ---- calls, pictures, sources ------------------------------------------------------------------------------

    def _call(self, call: Json, position: int | None) -> None:
        """Add to a call: by index, else by id, else to the last one. It starts once its name is known."""
        self._end_thought()
        self._end_text()
        custom = call.get("custom")
        source = custom if is_object(custom) else call.get("function")
        source = source if is_object(source) else {}
        name, call_id = _string(source.get("name")), _string(call.get("id"))
        index = call.get("index", position)
        index = index if index is None or isinstance(index, int) else str(index)
        block = self._known_call(index, call_id, name)
        if block is None:
            block = Block("tool_call")
            block.tool_kind = "custom" if source is custom else "function"
            self._call_count += 1
            self._normalizer.adopt(block)
            for key in (index, call_id):
                if key is not None and key != "":
                    self._calls[key] = block
        self._last_call = block
        block.call_id = block.call_id or call_id
        block.name = block.name or name
        if block.index < 0 and block.name:
            block.call_id = block.call_id or f"call_{self._id or 'x'}_{self._call_count}"
            self._normalizer.reveal(block)
        text = source.get("arguments" if block.tool_kind == "function" else "input")
        if is_object(text):  # Ollama and others give the object itself
            text = jsonio.dumps(text).decode()
        if isinstance(text, str) and text:
            self._normalizer.delta(block, text)

    def _known_call(self, index: int | str | None, call_id: str, name: str) -> Block | None:
        if index is None:
            if call_id:
                return self._calls.get(call_id)
            return None if name else self._last_call
        block = self._calls.get(index)
        if block is not None and name and call_id and block.call_id and call_id != block.call_id:
            return self._calls.get(call_id)  # some servers number every parallel call 0: the id tells them apart
        return block

    def _image(self, image: Json) -> None:
        url = image.get("image_url")
        url = url.get("url") if is_object(url) else url
        head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
        if not comma or not head.startswith("data:") or not head.endswith(";base64"):
            return
        self._end_thought()
        self._end_text()
        block = self._normalizer.open("image")
        self._normalizer.out.append(ev.ImageDelta(block.index, data, head[5:-7] or "image/png"))
        self._normalizer.close(block)

    def _cite(self, annotation: Json) -> None:
        """Sources belong to the text that is open; Chat nests what the IR, like Responses, keeps flat."""
        inner = annotation.get("url_citation")
        if is_object(inner) and self._text is not None:
            self._normalizer.out.append(ev.Citation(self._text.index, {"type": "url_citation", **inner}))

    # ---- ends --------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        normalizer = self._normalizer
        if not normalizer.started:
            normalizer.fail(ProtocolViolation("The provider ended its answer before it began."))
            return
        reason = read_reason(
            self._finish,
            has_calls=normalizer.has_shown("tool_call"),
            has_refusal=normalizer.has_shown("refusal") and not normalizer.has_shown("text"),
        )
        normalizer.stop(reason, usage=self._usage, raw_reason=self._finish, service_tier=self._tier)

    def _fail(self, error: GatewayError) -> None:
        self._tell_usage()
        self._normalizer.fail(error)

    def _tell_usage(self) -> None:
        if self._usage is not None and self._normalizer.started:
            self._normalizer.out.append(ev.UsageUpdate(self._usage))


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
