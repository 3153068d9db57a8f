"""IR items → `contents`: alternating turns, results right behind their calls, in the order of the calls, with names.

Pairing was repaired by the passes. Thinking goes back only as the signature of the part it led to. Facts:
spec/translation.md §11.5. Reference: https://ai.google.dev/gemini-api/docs/thought-signatures (checked 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from translation.errors import UnsupportedFeature
from translation.ir import request as ir
from translation.protocols.gemini.upstream_decoder import ORIGIN
from translation.shared import data_urls
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

Json = dict[str, Any]

SKIP_SIGNATURE = "skip_thought_signature_validator"
"""Google's word for a call that no Gemini model made; models that demand signatures take it in place of one."""
PLACEHOLDER = "…"
"""Stands where a turn of the user must be and is none; Gemini refuses empty texts."""
_SUFFIXES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "txt": "text/plain",
}


class Contents:
    """Collects turns. `is_signing`: the model demands signatures, and reads pictures inside of results.

    `_pictures` are those of results, which follow the results; `_results` are the answers of the present turn by the
    position of their call.
    """

    def __init__(self, *, is_signing: bool) -> None:
        self.instructions: list[str] = []
        self._is_signing = is_signing
        self._turns: list[Json] = []
        self._signature: str | None = None
        self._has_signed_call = False
        self._calls: dict[str, tuple[int, str]] = {}
        self._results: list[tuple[int, Json]] = []
        self._pictures: list[Json] = []

    def write(self, items: tuple[ir.Item, ...]) -> list[Json]:
        """Return the contents of a conversation; they begin and end with the user, and are never empty."""
        for item in items:
            if not isinstance(item, ir.ToolResult):
                self._flush_results()
            self._WRITERS[type(item)](self, item)
        self._flush_results()
        while self._turns and self._turns[-1]["role"] == "model":
            self._turns.pop()  # an answer that is begun is refused
        if not self._turns or self._turns[0]["role"] == "model":
            self._turns.insert(0, {"role": "user", "parts": [{"text": PLACEHOLDER}]})
        return self._turns

    def _add(self, role: str, parts: list[Json]) -> None:
        if not parts:
            return
        if role == "model" and self._signature is not None:
            parts[0]["thoughtSignature"], self._signature = self._signature, None
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["parts"] += parts
            return
        self._has_signed_call = False
        self._turns.append({"role": role, "parts": parts})

    # ---- one method per item -----------------------------------------------------------------------------------

    def _message(self, item: ir.Message) -> None:
        if item.role == "developer":
            self.instructions += [part.text for part in item.parts if isinstance(part, ir.TextPart) and part.text]
            return
        if item.role == "user":
            self._flush_signature()
        self._add("model" if item.role == "assistant" else "user", _parts(item.parts))

    def _reasoning(self, item: ir.Reasoning) -> None:
        if item.proof is not None and item.proof.origin == ORIGIN:
            self._signature = item.proof.value

    def _flush_signature(self) -> None:
        """A signature that nothing followed stands on an empty text, as Google's own streams end."""
        if self._signature is not None and self._turns and self._turns[-1]["role"] == "model":
            self._add("model", [{"text": ""}])
        self._signature = None

    def _call(self, item: ir.ToolCall) -> None:
        self._calls[item.call_id] = (len(self._calls), item.name)
        part: Json = {"functionCall": {"id": item.call_id, "name": item.name, "args": _arguments(item)}}
        self._add("model", [part])
        if self._is_signing and not self._has_signed_call:
            part.setdefault("thoughtSignature", SKIP_SIGNATURE)
        self._has_signed_call = True

    def _result(self, item: ir.ToolResult) -> None:
        position, name = self._calls.get(item.call_id, (len(self._calls), item.name or "unknown"))
        texts = [part.text for part in item.parts if isinstance(part, ir.TextPart)]
        media = _parts(tuple(part for part in item.parts if not isinstance(part, ir.TextPart)))
        answer: Json = {
            "id": item.call_id,
            "name": name,
            "response": _response("\n".join(texts), is_error=item.is_error),
        }
        if self._is_signing and media:
            answer["parts"] = media
        else:
            self._pictures += media
        self._results.append((position, {"functionResponse": answer}))

    def _flush_results(self) -> None:
        if not self._results:
            return
        answers = [answer for _, answer in sorted(self._results, key=lambda entry: entry[0])]
        self._results = []
        pictures, self._pictures = self._pictures, []
        self._add("user", [*answers, *pictures])

    def _opaque(self, item: ir.OpaqueItem) -> None:
        """Nobody makes items of ours."""

    _WRITERS: ClassVar[dict[type, Callable[[Contents, Any], None]]] = {
        ir.Message: _message,
        ir.Reasoning: _reasoning,
        ir.ToolCall: _call,
        ir.ToolResult: _result,
        ir.OpaqueItem: _opaque,
    }


def _arguments(item: ir.ToolCall) -> Json:
    """`args` is an object; text of a custom tool, and what is no object, is its `input`."""
    if item.kind == "function":
        value = _loaded(item.arguments or "{}")
        if is_object(value):
            return value
    return {"input": item.arguments}


def _response(text: str, *, is_error: bool) -> Json:
    if is_error:
        return {"error": text}
    value = _loaded(text) if text.lstrip().startswith("{") else None
    return value if is_object(value) else {"result": text}


def _loaded(text: str) -> Any:
    try:
        return jsonio.loads(text)
    except ValueError:
        return None


# ---- parts ---------------------------------------------------------------------------------------------------------


def _parts(parts: tuple[ir.Part, ...]) -> list[Json]:
    return [written for part in parts if (written := _part(part)) is not None]


def _part(part: ir.Part) -> Json | None:
    match part:
        case ir.TextPart() | ir.RefusalPart():
            return {"text": part.text} if part.text else None
        case ir.ImagePart():
            return _media(part.url, part.file_id, "image/png")
        case ir.FilePart():
            return _media(part.data or part.url, part.file_id, "application/pdf")
        case ir.OpaquePart():
            return part.data if part.origin == ORIGIN else None


def _media(url: str | None, file_id: str | None, fallback: str) -> Json | None:
    if url is None:
        raise UnsupportedFeature(
            f"File {file_id!r} is in another vendor's store, which Gemini cannot read. Send it inline or as a URL."
        )
    if not url.startswith("data:"):
        media_type = _SUFFIXES.get(url.partition("?")[0].rpartition(".")[2].lower())
        return {"fileData": {"fileUri": url, "mimeType": media_type or fallback}}
    head, _, payload = data_urls.normalize(url).partition(",")
    media_type = head.removeprefix("data:").partition(";")[0]
    return {"inlineData": {"mimeType": media_type or fallback, "data": payload}}
