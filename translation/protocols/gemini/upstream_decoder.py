"""A provider's `GenerateContentResponse` stream → legal events.

Google ends a stream by closing it: `finishReason` may come early and again, usage after it, so the end of file decides.
Calls come whole. A body that is plain JSON, or one JSON array, is read as well. Facts: spec/translation.md §11.5,
§15.8. Reference: https://ai.google.dev/api/generate-content (checked 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from translation import errors
from translation.ir import events as ev
from translation.ir.normalizer import Block, Normalizer
from translation.ir.usage import Usage
from translation.protocols.gemini.fields import get, listed, nested, whole, word
from translation.protocols.gemini.upstream_ends import chunks_of, failure_of, finish_of, usage_of
from translation.protocols.gemini.upstream_errors import error_from_payload
from translation.wire import jsonio
from translation.wire.ids import Ids
from translation.wire.jsontypes import is_object
from translation.wire.sse import SSESplitter

ORIGIN = "gemini"
"""`Proof.origin` of Google's thought signatures."""

Json = dict[str, Any]


class GeminiDecoder:
    """One stream. Invariant: the events of all calls together are legal (`ir/grammar.py`).

    `_thoughts` and `_text` are the open blocks, if any; `_before` counts the bytes of the text blocks before `_text`,
    `_signature` was given with the text and follows it.
    """

    def __init__(self, ids: Ids | None = None) -> None:
        self.asides: Mapping[str, bytes] = {}
        self._ids = ids or Ids()
        self._splitter = SSESplitter()
        self._normalizer = Normalizer()
        self._thoughts: Block | None = None
        self._text: Block | None = None
        self._before = 0
        self._signature = ""
        self._grounding: Json = {}
        self._blocked: Json = {}
        self._usage: Usage | None = None
        self._finish = ""

    def feed(self, chunk: bytes) -> list[ev.Event]:
        """Return the events of a network chunk."""
        try:
            frames = self._splitter.feed(chunk)
        except errors.ProtocolViolation as error:
            self._normalizer.fail(error)
            frames = []
        return self._take(frames)

    def finish(self) -> list[ev.Event]:
        """Return what the end of the file brings: the end that was announced, or a failure."""
        events = self._take(self._splitter.finish(), is_last=True)
        normalizer = self._normalizer
        failure = failure_of(self._finish)
        if failure is not None:
            normalizer.fail(failure)
        elif self._finish:
            self._ground()
            self._close_open()
            raw = "" if self._finish == "STOP" else self._finish
            reason = finish_of(self._finish, has_calls=normalizer.has_shown("tool_call"))
            normalizer.stop(reason, usage=self._usage, raw_reason=raw)
        elif self._blocked:
            self._refuse()
        normalizer.eof()
        return events + self._drain()

    def _take(self, frames: list[tuple[bytes, bytes]], *, is_last: bool = False) -> list[ev.Event]:
        for _, data in frames:
            if self._normalizer.done:
                break
            if not data or data == b"[DONE]":
                continue
            try:
                chunks = chunks_of(data)
            except ValueError:
                if not is_last:  # the last one may be cut by the end of the file, which says so itself
                    self._normalizer.fail(errors.ProtocolViolation("The upstream sent an event that is no JSON."))
                break
            for chunk in chunks:
                self._chunk(chunk)
        return self._drain()

    def _drain(self) -> list[ev.Event]:
        events, self._normalizer.out = self._normalizer.out, []
        return events

    # ---- one chunk ---------------------------------------------------------------------------------------------

    def _chunk(self, chunk: Json) -> None:
        normalizer = self._normalizer
        if normalizer.done:
            return
        if chunk.get("error"):
            normalizer.fail(error_from_payload(chunk))
            return
        normalizer.start(word(chunk, "responseId") or "", word(chunk, "modelVersion") or "")
        counts = nested(chunk, "usageMetadata")
        if counts:
            self._usage = usage_of(counts)
        feedback = nested(chunk, "promptFeedback")
        if word(feedback, "blockReason") is not None:
            self._blocked = feedback
        for candidate in listed(get(chunk, "candidates")):
            if is_object(candidate) and not whole(candidate, "index"):
                self._candidate(candidate)

    def _candidate(self, candidate: Json) -> None:
        for part in listed(get(nested(candidate, "content"), "parts")):
            if is_object(part):
                self._part(part)
        grounding = nested(candidate, "groundingMetadata")
        if grounding:
            self._grounding = grounding
        finish = word(candidate, "finishReason")
        if finish is not None and finish != "FINISH_REASON_UNSPECIFIED":
            self._finish = finish

    def _part(self, part: Json) -> None:
        signature, text = word(part, "thoughtSignature"), part.get("text")
        if part.get("thought") is True:
            self._think(text if isinstance(text, str) else "")
            if signature is not None:
                self._prove(signature)
            return
        if isinstance(text, str):
            if signature is not None and self._thoughts is not None:
                self._prove(signature)
            elif signature is not None:
                self._signature = signature
            self._say(text)
            return
        for name, reader in self._READERS.items():
            value = get(part, name)
            if is_object(value):
                if signature is not None:
                    self._close_text()
                    self._prove(signature)
                reader(self, value)
                return

    def _think(self, text: str) -> None:
        self._close_text()
        if self._thoughts is None:
            self._thoughts = self._normalizer.open("reasoning")
        self._normalizer.delta(self._thoughts, text)

    def _prove(self, signature: str) -> None:
        """Close the thoughts with their signature; signed calls without shown thoughts get a block of none."""
        block = self._thoughts or self._normalizer.open("reasoning")
        self._normalizer.close(block, proof=ev.Proof(ORIGIN, signature))
        self._thoughts = None

    def _say(self, text: str) -> None:
        if not text:
            return
        self._close_thoughts()
        if self._text is None:
            self._text = self._normalizer.open("text")
        self._normalizer.delta(self._text, text)

    def _call(self, call: Json) -> None:
        name = word(call, "name")
        if name is None:
            self._normalizer.repairs += 1
            return
        self._close_open()
        args = call.get("args")
        block = self._normalizer.open("tool_call", call_id=word(call, "id") or self._ids.mint("call_"), name=name)
        self._normalizer.delta(block, jsonio.dumps(args if is_object(args) else {}).decode())
        self._normalizer.close(block)

    def _picture(self, blob: Json) -> None:
        data = word(blob, "data")
        if data is None:
            return
        self._close_open()
        block = self._normalizer.open("image")
        self._normalizer.out.append(ev.ImageDelta(block.index, data, word(blob, "mimeType") or "image/png"))
        self._normalizer.close(block)

    def _code(self, code: Json) -> None:
        self._say(f"\n```{(word(code, 'language') or '').lower()}\n{code.get('code') or ''}\n```\n")

    def _code_result(self, result: Json) -> None:
        self._say(f"\n```\n{result.get('output') or ''}\n```\n")

    _READERS: ClassVar[dict[str, Callable[[GeminiDecoder, Json], None]]] = {
        "functionCall": _call,
        "inlineData": _picture,
        "executableCode": _code,
        "codeExecutionResult": _code_result,
    }

    # ---- ends --------------------------------------------------------------------------------------------------

    def _close_open(self) -> None:
        self._close_thoughts()
        self._close_text()

    def _close_thoughts(self) -> None:
        if self._thoughts is not None:
            self._normalizer.close(self._thoughts)
            self._thoughts = None

    def _close_text(self) -> None:
        if self._text is not None:
            self._before += len(self._text.said.encode("utf-8", "surrogatepass"))
            self._normalizer.close(self._text)
            self._text = None
        if self._signature:
            signature, self._signature = self._signature, ""
            self._prove(signature)

    def _refuse(self) -> None:
        """The prompt was blocked: Google's own words, or the reason it names."""
        raw = word(self._blocked, "blockReason") or ""
        told = word(self._blocked, "blockReasonMessage") or f"The upstream blocked the prompt ({raw})."
        self._normalizer.delta(self._normalizer.open("refusal"), told)
        self._normalizer.stop("refusal", usage=self._usage, raw_reason=raw)

    def _ground(self) -> None:
        """Tell what was searched, and which of the last text's words have a source."""
        queries = [query for query in listed(get(self._grounding, "webSearchQueries")) if isinstance(query, str)]
        webs = [nested(it, "web") if is_object(it) else {} for it in listed(get(self._grounding, "groundingChunks"))]
        if self._text is not None:
            self._cite(self._text, webs)
        sources = [
            {"type": "url", "url": web["uri"], "title": web.get("title") or ""} for web in webs if web.get("uri")
        ]
        if not (queries or sources):
            return
        self._close_open()
        block = self._normalizer.open("search")
        action: Json = {"type": "search", "query": queries[0] if queries else "", "queries": queries}
        self._normalizer.out.append(ev.SearchResult(block.index, {**action, "sources": sources}))
        self._normalizer.close(block)

    def _cite(self, block: Block, webs: list[Json]) -> None:
        """Google counts bytes of the whole answer, everybody else characters of a block."""
        said = block.said.encode("utf-8", "surrogatepass")
        for support in listed(get(self._grounding, "groundingSupports")):
            segment = nested(support, "segment") if is_object(support) else {}
            begin = (whole(segment, "startIndex") or 0) - self._before
            end = (whole(segment, "endIndex") or 0) - self._before
            if begin < 0 or not begin < end <= len(said):
                continue
            for index in listed(get(support, "groundingChunkIndices")):
                web = webs[index] if isinstance(index, int) and 0 <= index < len(webs) else {}
                if not isinstance(web.get("uri"), str):
                    continue
                citation = {"type": "url_citation", "url": web["uri"], "title": str(web.get("title") or "")}
                citation |= {"start_index": _chars(said[:begin]), "end_index": _chars(said[:end])}
                self._normalizer.out.append(ev.Citation(block.index, citation))


def _chars(data: bytes) -> int:
    return len(data.decode("utf-8", "replace"))
