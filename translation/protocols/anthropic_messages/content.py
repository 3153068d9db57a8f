"""Content blocks that say something → IR parts: texts, pictures, documents, search results.

Unknown block types are ignored, because Claude Code adds some now and then; content that is recognizable but cannot
be carried is a 400 that names it. Facts: spec/translation.md §4.2, §6.1, rows 85-87, 112-113. Reference:
https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from translation.errors import UnsupportedFeature
from translation.ir.request import FilePart, ImagePart, Part, TextPart
from translation.shared import data_urls
from translation.shared.fields import Misread, essential, members_of, word
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

ATTRIBUTION_PREFIX = "x-anthropic-billing-header:"
"""Claude Code's attribution block; it changes with every session and would ruin prompt caching (§4.1)."""

Block = dict[str, Any]


def blocks_of(content: Any) -> list[Any]:
    """Return content as a list of blocks; a string is one text block, null is none.

    Raises: Misread.
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        return []
    if is_object(content):
        return [content]
    if not is_array(content):
        raise Misread("must be a string or a list of content blocks.", "content")
    return content


def read_part(block: Block) -> Part | None:
    """Read one block of a user's or a tool's content; None for empty texts and for types we do not know.

    Raises: Misread.
    """
    reader = _READERS.get(str(block.get("type")))
    return None if reader is None else reader(block)


def is_content(block: Block) -> bool:
    """Say whether `block` is of a type that `read_part` knows."""
    return str(block.get("type")) in _READERS


def read_system(system: Any) -> tuple[str, ...]:
    """Read system text, a string or blocks; other blocks and the attribution block are left out.

    Raises: Misread.
    """
    if isinstance(system, str):
        is_attribution = "\n" not in system.strip() and _is_attribution(system)
        return () if is_attribution or not system else (system,)
    texts: list[str] = []
    for block in blocks_of(system):
        text = block if isinstance(block, str) else block.get("text") if is_object(block) else None
        is_text = isinstance(block, str) or (is_object(block) and block.get("type", "text") == "text")
        if is_text and isinstance(text, str) and text and not _is_attribution(text):
            texts.append(text)
    return tuple(texts)


def read_tool_output(content: Any) -> tuple[Part, ...]:
    """Read what a tool answered: one text, or a list of parts when it holds pictures or documents.

    Raises: Misread.
    """
    if isinstance(content, str):
        return (TextPart(content),)
    if content is not None and not is_array(content) and not is_object(content):
        return (TextPart(jsonio.dumps(content).decode()),)
    parts: list[Part] = []
    for index, block in enumerate(blocks_of(content)):
        if isinstance(block, str):
            parts.append(TextPart(block))
            continue
        if not is_object(block):
            raise Misread("must be an object with a `type`.", f"content[{index}]")
        try:
            part = read_part(block)
        except Misread as problem:
            raise problem.under(f"content[{index}]") from None
        if part is not None:
            parts.append(part)
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    return (TextPart("\n".join(texts)),) if len(texts) == len(parts) else tuple(parts)


def _is_attribution(text: str) -> bool:
    return text.lstrip().startswith(ATTRIBUTION_PREFIX)


# ---- one reader per block type --------------------------------------------------------------------------------------


def _read_text(block: Block) -> Part | None:
    text = block.get("text")
    if text is None:
        return None
    text = essential(text, str, "text", "a string")
    return TextPart(text) if text else None


def _read_image(block: Block) -> Part:
    source = members_of(block.get("source"), "source")
    kind = source.get("type")
    if kind == "base64" or (kind is None and isinstance(source.get("data"), str)):
        url = _data_url(source)
        try:
            data_urls.check_image_size(url)
        except data_urls.ImageTooLarge as problem:
            raise Misread(problem.problem, "source.data", code=problem.code) from None
        return ImagePart(url=url)
    if kind == "url":
        return ImagePart(url=_address(source))
    raise _unsupported_source(kind)


def _read_document(block: Block) -> Part | None:
    source = members_of(block.get("source"), "source")
    title = word(block, "title")
    kind = source.get("type")
    if kind == "base64":
        return FilePart(data=_data_url(source), filename=title or _default_name(source))
    if kind == "text":
        return _titled(title, essential(source.get("data"), str, "source.data", "a string"))
    if kind == "content":
        return _read_document_content(title, source.get("content"))
    if kind == "url":
        return FilePart(url=_address(source), filename=title)
    raise _unsupported_source(kind)


def _read_document_content(title: str | None, content: Any) -> Part | None:
    texts: list[str] = []
    for block in blocks_of(content):
        part = read_part(block) if is_object(block) else None
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif part is not None:
            raise Misread(
                "holds something else than text, which documents with inline content cannot carry.",
                "source.content", code="unsupported_content", kind=UnsupportedFeature,
            )  # fmt: skip
    return _titled(title, "\n".join(texts))


def _read_search_result(block: Block) -> Part | None:
    texts = [part["text"] for part in blocks_of(block.get("content")) if is_object(part) and _has_text(part)]
    lines = [word(block, "title"), word(block, "source"), *texts]
    said = "\n".join(line for line in lines if line)
    return TextPart(said) if said else None


def _refuse_upload(block: Block) -> Part:
    raise Misread(
        "is 'container_upload', which is not supported: the gateway has no file store. Send the file inline.",
        "type", code="unsupported_content", kind=UnsupportedFeature,
    )  # fmt: skip


def _has_text(block: Block) -> bool:
    return isinstance(block.get("text"), str)


def _titled(title: str | None, text: str) -> Part | None:
    said = f"{title}\n\n{text}" if title else text
    return TextPart(said) if said else None


def _data_url(source: Block) -> str:
    data = essential(source.get("data"), str, "source.data", "a string")
    media_type = word(source, "media_type")
    if media_type is None or data.startswith("data:"):
        return data_urls.from_base64(data)
    return data_urls.normalize(f"data:{media_type};base64,{data}")


def _default_name(source: Block) -> str:
    media_type = word(source, "media_type") or data_urls.sniff(str(source.get("data")))
    return "document.pdf" if media_type == "application/pdf" else "document"


def _address(source: Block) -> str:
    url = essential(source.get("url"), str, "source.url", "a string")
    if not url.startswith(("https://", "http://", "data:")):
        raise Misread("must be an http(s) address.", "source.url")
    return data_urls.normalize(url)


def _unsupported_source(kind: object) -> Misread:
    if kind == "file":
        problem = "is 'file', which is not supported: the gateway has no file store. Send the content inline."
    elif kind is None:
        return Misread("is missing.", "source.type")
    else:
        problem = f"is {kind!r}, which is not supported; use base64 or url."
    return Misread(problem, "source.type", code="unsupported_content", kind=UnsupportedFeature)


_READERS: dict[str, Callable[[Block], Part | None]] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "search_result": _read_search_result,
    "container_upload": _refuse_upload,
}
