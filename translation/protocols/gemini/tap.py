"""The relay lane's reader of Google's streams: frames pass as they came, while usage, id and end are learned.

Nothing is edited. A client that did not ask for `alt=sse` gets the same objects as one JSON array. Google ends a stream
by closing it, so `done` comes with the end of file, or with an error. Facts: spec/translation.md §7.2, §11.1, §13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from translation import errors
from translation.codec import OpenedRequest
from translation.ir.events import FinishReason
from translation.ir.usage import Usage
from translation.protocols.gemini.errors import error_object
from translation.protocols.gemini.fields import get, listed, nested, whole, word
from translation.protocols.gemini.request import wants_events
from translation.protocols.gemini.upstream_ends import chunks_of, failure_of, finish_of, usage_of
from translation.protocols.gemini.upstream_errors import error_from_payload
from translation.wire.jsonio import dumps
from translation.wire.jsontypes import is_array, is_object
from translation.wire.sse import MAX_FRAME_BYTES, frame, parse_frame

Json = dict[str, Any]


class GeminiTap:
    """One relayed stream. Invariant: the client gets whole frames, and at most one error, as the last."""

    def __init__(self, opened: OpenedRequest) -> None:
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None
        self.error: errors.GatewayError | None = None
        self.response_id = ""
        self.done = False
        self.has_output = False
        self.asides: Mapping[str, bytes] = {}
        self.answer: Mapping[str, Any] | None = None
        self._is_array = opened.stream and not wants_events(opened)
        self._keeps = not opened.stream
        self._kept: list[Json] = []
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._held_cr = False
        self._is_open = False
        self._has_calls = False
        self._finish = ""
        self._is_blocked = False

    def feed(self, chunk: bytes) -> bytes:
        """Return what the client gets of a network chunk: whole frames only."""
        if self.done:
            return b""
        if self._held_cr or b"\r" in chunk:
            chunk = self._unify_line_ends(chunk)
        if self._pending:
            if b"\n" not in chunk:
                return self._hold(chunk)
            chunk = self._released() + chunk
        blocks = chunk.split(b"\n\n")
        rest = blocks.pop()
        out: list[bytes] = []
        for block in blocks:
            self._frame(block, out)
            if self.done:
                return b"".join(out)
        return b"".join(out) + self._hold(rest)

    def finish(self) -> bytes:
        """Return what the end of the file brings: nothing after an announced end, else an error."""
        if self.done:
            return b""
        out: list[bytes] = []
        rest = self._released().strip(b"\n")
        if rest and not _is_cut(rest):
            self._frame(rest, out)
        if self.done:
            return b"".join(out)
        failure = failure_of(self._finish) if self._finish else None
        if failure is not None and (not self.has_output or self._keeps):
            out.append(self._fail(failure))
        elif self._finish or self._is_blocked:
            self._end()
            out.append(self._closing())
        else:
            message = "The upstream closed the stream before the answer was complete."
            out.append(self._fail(errors.UpstreamDisconnected(message)))
        return b"".join(out)

    def fail(self, error: errors.GatewayError) -> bytes:
        """End the stream with `error`; one that comes after the announced end changes nothing."""
        if self.done and self.error is None:
            return b""
        if not self.done and self._finish and self.has_output and failure_of(self._finish) is None:
            self._end()
            return self._closing()
        if not self.has_output:
            self._is_open = False  # whatever was passed on so far never reached the client
        return self._fail(error)

    def heartbeat(self) -> bytes:
        """Return blank lines, legal at any time before the end; Google's SDK for Python fails on SSE comments."""
        return b"" if self.done else b"\n\n"

    def collected(self) -> bytes:
        """Return the chunks as one `GenerateContentResponse`.

        Raises: the GatewayError that ended the stream.
        """
        if self.error is not None:
            raise self.error
        if not self.done:
            raise errors.UpstreamDisconnected("The upstream closed the stream before the answer was complete.")
        return dumps(merged(self._kept))

    # ---- frames ------------------------------------------------------------------------------------------------

    def _frame(self, block: bytes, out: list[bytes]) -> None:
        parsed = parse_frame(block)
        if parsed is None or not parsed[1] or parsed[1] == b"[DONE]":
            if not self._is_array and block and parsed != (b"", b"[DONE]"):
                out.append(block + b"\n\n")
            return
        try:
            chunks = chunks_of(parsed[1])
        except ValueError:
            out.append(self._fail(errors.ProtocolViolation("The upstream sent an event that is no JSON.")))
            return
        is_events = block.lstrip(b"\n").startswith((b"data:", b"event:", b"id:", b"retry:", b":"))
        for chunk in chunks:
            if chunk.get("error"):
                self._error(chunk, block if is_events and not self._is_array else None, out)
                return
            self._learn(chunk)
        if self._is_array or not is_events:
            written = [parsed[1]] if is_events else [dumps(chunk) for chunk in chunks]
            out += [self._element(data) for data in written]
        else:
            self._is_open = True
            out.append(block + b"\n\n")

    def _error(self, chunk: Json, block: bytes | None, out: list[bytes]) -> None:
        """Google's own error frame passes; before any output the flow may answer with a status, or try elsewhere.

        What the upstream says about the operator's key is not the client's affair.
        """
        error = error_from_payload(chunk)
        if block is None or isinstance(error, errors.AccountRejected):
            out.append(self._fail(error))
            return
        self.done, self.error = True, error
        out.append(block + b"\n\n")

    def _learn(self, chunk: Json) -> None:
        if self._keeps:
            self._kept.append(chunk)
        self.response_id = self.response_id or word(chunk, "responseId") or ""
        counts = nested(chunk, "usageMetadata")
        if counts:
            self.usage = usage_of(counts)
        if word(nested(chunk, "promptFeedback"), "blockReason") is not None:
            self._is_blocked = self.has_output = True
        for candidate in listed(chunk.get("candidates")):
            if not is_object(candidate):
                continue
            parts = [part for part in listed(nested(candidate, "content").get("parts")) if is_object(part)]
            if any(part.get("text") != "" for part in parts):
                self.has_output = True
            if not whole(candidate, "index"):
                self._has_calls = self._has_calls or any(get(part, "functionCall") is not None for part in parts)
                self._finish = word(candidate, "finishReason") or self._finish

    # ---- ends and framing --------------------------------------------------------------------------------------

    def _end(self) -> None:
        """The stream ended as announced. Tokens spent on nothing are a failure another key may spare the client."""
        self.done = True
        if not self.has_output and not self._is_filtered() and (self.usage is None or self.usage.output_tokens > 0):
            self.error = errors.EmptyResponse("The upstream completed without an answer.")
            return
        self.has_output = True
        is_refusal = self._is_blocked and not self._finish
        self.finish_reason = "refusal" if is_refusal else finish_of(self._finish, has_calls=self._has_calls)

    def _is_filtered(self) -> bool:
        return finish_of(self._finish, has_calls=False) != "stop"

    def _fail(self, error: errors.GatewayError) -> bytes:
        self.done, self.error = True, error
        return self._element(dumps({"error": error_object(error)})) + self._closing()

    def _element(self, data: bytes) -> bytes:
        """Write one object, as an event or as an element of the array."""
        lead = (b",\n" if self._is_open else b"[") if self._is_array else b""
        self._is_open = True
        return lead + data.replace(b"\n", b"") if self._is_array else frame(b"", data)

    def _closing(self) -> bytes:
        if not self._is_array:
            return b""
        return b"]" if self._is_open else b"[]"

    def _hold(self, rest: bytes) -> bytes:
        if not rest:
            return b""
        self._pending.append(rest)
        self._pending_bytes += len(rest)
        if self._pending_bytes > MAX_FRAME_BYTES:
            self._released()
            return self._fail(errors.ProtocolViolation("The upstream sent an event larger than 64 MiB."))
        return b""

    def _released(self) -> bytes:
        held = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        return held

    def _unify_line_ends(self, chunk: bytes) -> bytes:
        if self._held_cr:
            chunk, self._held_cr = b"\r" + chunk, False
        if chunk.endswith(b"\r"):
            chunk, self._held_cr = chunk[:-1], True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _is_cut(block: bytes) -> bool:
    """Tell whether a frame broke off in the middle: clients would fail on its JSON instead of reading the failure."""
    parsed = parse_frame(block)
    try:
        return parsed is not None and bool(parsed[1]) and not chunks_of(parsed[1])
    except ValueError:
        return True


def merged(chunks: list[Json]) -> Json:
    """Return what Google would have answered in one piece: the last chunk's fields win, parts add up."""
    answer: Json = {}
    candidates: dict[int, Json] = {}
    for chunk in chunks:
        for entry in listed(chunk.get("candidates")):
            if is_object(entry):
                _merge_candidate(candidates.setdefault(whole(entry, "index") or 0, {}), entry)
        answer.update((key, value) for key, value in chunk.items() if key != "candidates")
    return {"candidates": list(candidates.values()), **answer} if candidates else answer


def _merge_candidate(known: Json, entry: Json) -> None:
    content = nested(entry, "content")
    parts = content.get("parts")
    held: Json = known.get("content") or {}
    known.update(entry)
    if held or content:
        joined: list[Any] = held.get("parts") or []
        known["content"] = {**held, **content, "parts": joined}
        for part in parts if is_array(parts) else ():
            _join_part(joined, part)


def _join_part(parts: list[Any], part: Any) -> None:
    """Texts that follow each other are pieces of one; whatever has more than text stays a part of its own."""
    last = parts[-1] if parts else None
    if is_object(part) and part.get("text") == "" and len(part) == 1 and parts:
        return
    if is_object(last) and is_object(part) and _is_text(last) and _is_text(part) and _kind(last) == _kind(part):
        parts[-1] = {**last, "text": last["text"] + part["text"]}
    else:
        parts.append(part)


def _is_text(part: Json) -> bool:
    return isinstance(part.get("text"), str) and part.keys() <= {"text", "thought"}


def _kind(part: Json) -> bool:
    return part.get("thought") is True
