"""The small objects that a Gemini stream and a collected Gemini answer both hold, so that the two cannot differ.

Pure builders: IR value in, bytes or JSON-ready dict out. Facts: spec/translation.md §7.2, rows 157, 170, 171, 177.
"""

from __future__ import annotations

from typing import Any

import orjson

from translation.codec import OpenedRequest
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.gemini.fields import get, listed
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

PARAGRAPH = "\n\n"
"""Stands between thoughts that follow each other."""

_REASONS: dict[str, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
}
_SEARCHES = ("googleSearch", "googleSearchRetrieval", "enterpriseWebSearch")


def finish_reason(reason: str, raw_reason: str) -> str:
    """Return Google's word; an end that the upstream names, but we do not know, is OTHER."""
    if reason == "stop" and raw_reason not in ("", "stop_sequence"):
        return "OTHER"
    return _REASONS[reason]


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return `usageMetadata`; Google counts thoughts apart from the answer."""
    counts: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(0, usage.output_tokens - usage.reasoning_tokens),
        "totalTokenCount": usage.total,
    }
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cached_tokens:
        counts["cachedContentTokenCount"] = usage.cached_tokens
    texts = usage.input_tokens - usage.image_input_tokens
    details = [{"modality": "TEXT", "tokenCount": texts}] if texts > 0 else []
    if usage.image_input_tokens:
        details.append({"modality": "IMAGE", "tokenCount": usage.image_input_tokens})
    if details:
        counts["promptTokensDetails"] = details
    return counts


def call_head(start: ev.BlockStart) -> bytes:
    """Return a call up to its arguments."""
    name = jsonio.dumps(start.name)
    if not start.call_id:
        return b'{"functionCall":{"name":%b,"args":' % name
    return b'{"functionCall":{"id":%b,"name":%b,"args":' % (jsonio.dumps(start.call_id), name)


def call_arguments(start: ev.BlockStart, text: str) -> bytes:
    """Return `args`, always an object: the upstream's own text where it is one, `{}` where it is broken."""
    if start.tool_kind == "custom":
        return jsonio.dumps({"input": text})
    try:
        if is_object(orjson.loads(text)) and "\n" not in text and "\r" not in text:
            return text.encode()
        arguments = jsonio.loads(text)
    except (ValueError, UnicodeEncodeError):
        arguments = _tolerated(text)
    return jsonio.dumps(arguments) if is_object(arguments) else b"{}"


def _tolerated(text: str) -> Any:
    try:
        return jsonio.loads(text)
    except ValueError:
        return None


def inline_data(picture: ev.ImageDelta) -> bytes:
    """Return a picture's part, still open for a signature."""
    return b'{"inlineData":{"mimeType":%b,"data":%b}' % (jsonio.dumps(picture.media_type), jsonio.dumps(picture.data))


class Grounding:
    """Where an answer's words come from. Offsets are in bytes, so texts are kept where a search may happen."""

    __slots__ = ("_citations", "_queries", "_sources", "_texts", "is_on")

    def __init__(self, opened: OpenedRequest) -> None:
        tools = listed(get(opened.body, "tools"))
        self.is_on = any(is_object(tool) and any(get(tool, name) is not None for name in _SEARCHES) for tool in tools)
        self._texts: dict[int, list[str]] = {}
        self._queries: dict[str, None] = {}
        self._citations: list[tuple[int, dict[str, Any]]] = []
        self._sources: dict[str, str] = {}

    def note_text(self, index: int, text: str) -> None:
        """Remember what the block `index` said."""
        if self.is_on:
            self._texts.setdefault(index, []).append(text)

    def note_search(self, action: dict[str, Any]) -> None:
        """Remember what was searched for, and what was found."""
        queries = action.get("queries")
        found = [*queries] if is_array(queries) else []
        for query in [action.get("query"), *found]:
            if isinstance(query, str) and query:
                self._queries[query] = None
        sources = action.get("sources")
        for source in sources if is_array(sources) else ():
            url = source.get("url") if is_object(source) else None
            if isinstance(url, str) and url:
                self._sources.setdefault(url, str(source.get("title") or ""))

    def note_citation(self, index: int, data: dict[str, Any]) -> None:
        """Remember a source."""
        if data.get("type") == "url_citation" and isinstance(data.get("url"), str):
            self._citations.append((index, data))

    def metadata(self) -> dict[str, Any] | None:
        """Return `groundingMetadata`, or None when nothing was searched or cited."""
        if not (self._queries or self._citations or self._sources):
            return None
        titles: dict[str, str] = {}
        for _, data in self._citations:
            titles.setdefault(data["url"], str(data.get("title") or ""))
        for url, title in self._sources.items():  # after those that are cited, which supports point at
            titles.setdefault(url, title)
        positions = {url: index for index, url in enumerate(titles)}
        texts = {index: "".join(pieces) for index, pieces in sorted(self._texts.items())}
        supports = [_support(index, data, positions[data["url"]], texts) for index, data in self._citations]
        metadata: dict[str, Any] = {}
        if self._queries:
            metadata["webSearchQueries"] = list(self._queries)
        if titles:
            metadata["groundingChunks"] = [{"web": {"uri": url, "title": title}} for url, title in titles.items()]
        known = [support for support in supports if support is not None]
        if known:
            metadata["groundingSupports"] = known
        return metadata


def _support(index: int, data: dict[str, Any], chunk: int, texts: dict[int, str]) -> dict[str, Any] | None:
    """Return which words a source stands behind; the upstream counts characters of a block, Google bytes of all."""
    first, last, text = data.get("start_index"), data.get("end_index"), texts.get(index)
    if text is None or not isinstance(first, int) or not isinstance(last, int):
        return None
    before = sum(_size(said) for at, said in texts.items() if at < index)
    begin = before + _size(text[:first])
    words = text[first:last]
    segment = {"startIndex": begin, "endIndex": begin + _size(words), "text": words}
    return {"segment": segment, "groundingChunkIndices": [chunk]}


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
