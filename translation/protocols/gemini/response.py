"""A collected answer → one `GenerateContentResponse`. Says exactly what the stream of the same events adds up to.

Facts: spec/translation.md §7.3.
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest
from translation.ir.response import ContentBlock, GenerateResponse
from translation.protocols.gemini import shapes
from translation.protocols.gemini.generation import wants_thoughts
from translation.protocols.gemini.signatures import write_signature
from translation.shared.proofs import CODEX_ORIGIN
from translation.wire import jsonio


def encode_gemini_response(response: GenerateResponse, opened: OpenedRequest) -> bytes:
    """Write the body of a non-streaming answer."""
    writer = _Parts(shows_thoughts=wants_thoughts(opened.body))
    grounding = shapes.Grounding(opened)
    for block in response.blocks:
        writer.add(block)
        _note(block, grounding)
    parts, metadata = writer.parts, grounding.metadata()
    reason = shapes.finish_reason(response.finish_reason, response.raw_reason)
    fields: list[bytes] = []
    if parts or metadata or reason != "SAFETY":
        fields.append(b'"candidates":[' + _candidate(parts, reason, metadata) + b"]")
    else:  # nothing was said at all
        fields.append(b'"promptFeedback":{"blockReason":"SAFETY"}')
    if response.usage is not None:
        fields.append(b'"usageMetadata":' + jsonio.dumps(shapes.usage_object(response.usage)))
    fields.append(b'"modelVersion":' + jsonio.dumps(opened.model))
    fields.append(b'"responseId":' + jsonio.dumps(opened.context.ids.mint("")))
    return b"{" + b",".join(fields) + b"}"


def _candidate(parts: list[bytes], reason: str, metadata: dict[str, Any] | None) -> bytes:
    content = b'{"content":{"parts":[%b],"role":"model"},"finishReason":"%b","index":0' % (
        b",".join(parts),
        reason.encode(),
    )
    if metadata is not None:
        content += b',"groundingMetadata":' + jsonio.dumps(metadata)
    return content + b"}"


def _note(block: ContentBlock, grounding: shapes.Grounding) -> None:
    if block.kind in ("text", "refusal") and block.text:
        grounding.note_text(block.start.index, block.text)
    for data in block.citations:
        grounding.note_citation(block.start.index, data)
    if block.action is not None:
        grounding.note_search(block.action)


class _Parts:
    """Collects parts; `_thoughts` are those that no other part has followed yet, `_proofs` wait for the next part."""

    def __init__(self, *, shows_thoughts: bool) -> None:
        self._shows_thoughts = shows_thoughts
        self._thoughts: list[str] = []
        self._proofs: list[Any] = []
        self._written: list[bytes] = []

    @property
    def parts(self) -> list[bytes]:
        """Everything so far."""
        self._flush_thoughts()
        if any(proof.origin == CODEX_ORIGIN for proof in self._proofs):
            self._write(b'{"text":""')  # what is proved was said last: nothing else can carry it
        return self._written

    def add(self, block: ContentBlock) -> None:
        """Add what a block says, if Gemini has a word for it."""
        if block.kind == "reasoning":
            self._thoughts += [part for part in block.parts if part]
            if block.proof is not None:
                self._proofs.append(block.proof)
        elif block.kind in ("text", "refusal"):
            if block.text:
                self._write(b'{"text":' + jsonio.dumps(block.text))
        elif block.kind == "tool_call":
            arguments = shapes.call_arguments(block.start, block.text)
            self._write(shapes.call_head(block.start) + arguments + b"}")
        else:
            for picture in block.images:
                if picture.data:
                    self._write(shapes.inline_data(picture))

    def _write(self, part: bytes) -> None:
        self._flush_thoughts()
        signature = write_signature(self._proofs)
        self._proofs = []
        if signature is not None:
            part += b',"thoughtSignature":' + jsonio.dumps(signature)
        self._written.append(part + b"}")

    def _flush_thoughts(self) -> None:
        if self._thoughts and self._shows_thoughts:
            text = shapes.PARAGRAPH.join(self._thoughts)
            self._written.append(b'{"text":' + jsonio.dumps(text) + b',"thought":true}')
        self._thoughts = []
