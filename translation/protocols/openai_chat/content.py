"""Content of a message: strings and part lists of Chat (and of Responses, which some clients mix in) → IR parts.

Unknown parts are a 400 that names them: content is never lost silently. Reads one part per dict look-up; image
payloads are only touched when they need repair. Facts: spec/translation.md §4.2, §5.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from translation.errors import UnsupportedFeature
from translation.ir.request import FilePart, ImagePart, Part, RefusalPart, TextPart
from translation.shared import data_urls
from translation.shared.fields import Misread, first, word
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

_IMAGE_MARKS = ('"image_url"', '"input_image"')
_SILENT_ASSISTANT_PARTS = frozenset({"thinking", "redacted_thinking", "reasoning"})


def read_parts(content: Any) -> tuple[Part, ...]:
    """Read user content: a string, null, one part or a list of parts. Empty texts are left out.

    Raises: Misread.
    """
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    if content is None:
        return ()
    if is_object(content):
        content = [content]
    if not is_array(content):
        raise Misread("must be a string or a list of content parts.", "content")
    parts: list[Part] = []
    for index, part in enumerate(content):
        try:
            read = _read_part(part)
        except Misread as problem:
            raise problem.under(f"content[{index}]") from None
        if read is not None:
            parts.append(read)
    return tuple(parts)


def read_system_texts(content: Any) -> tuple[str, ...]:
    """Read a system or developer message, which holds text only.

    Raises: Misread for pictures and files.
    """
    texts: list[str] = []
    for index, part in enumerate(read_parts(content)):
        if not isinstance(part, TextPart):
            raise Misread(
                "must be text: system and developer messages cannot hold images or files.",
                f"content[{index}]",
                code="unsupported_content",
                kind=UnsupportedFeature,
            )
        texts.append(part.text)
    return tuple(texts)


def read_assistant_parts(content: Any) -> tuple[Part, ...]:
    """Read what an assistant said: texts and refusals; echoed thinking parts are left out.

    Raises: Misread for anything else.
    """
    if is_array(content):
        content = [part for part in content if not (is_object(part) and part.get("type") in _SILENT_ASSISTANT_PARTS)]
    parts = read_parts(content)
    for index, part in enumerate(parts):
        if not isinstance(part, TextPart | RefusalPart):
            raise Misread(
                "must be text or a refusal: assistant messages cannot hold images or files.",
                f"content[{index}]",
                code="unsupported_content",
                kind=UnsupportedFeature,
            )
    return parts


def read_tool_output(content: Any) -> tuple[Part, ...]:
    """Read what a tool answered. JSON that is no list of parts stays one text, as the tool wrote it.

    Raises: Misread for parts that are recognizably content but cannot be carried (audio, file ids).
    """
    if isinstance(content, str):
        if content[:1] in ("[", " ", "\n") and any(mark in content for mark in _IMAGE_MARKS):
            return _unwrap(content) or (TextPart(content),)
        return (TextPart(content),)
    if content is None:
        return (TextPart(""),)
    if is_array(content) and all(_is_part(part) for part in content):
        return read_parts(content) or (TextPart(""),)
    return (TextPart(jsonio.dumps(content).decode()),)


def _unwrap(content: str) -> tuple[Part, ...]:
    """Read a list of parts that a client serialized into the string; () when it is something else."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ()
    if not is_array(value) or not all(_is_part(part) for part in value):
        return ()
    parts = read_parts(value)
    return parts if any(isinstance(part, ImagePart) for part in parts) else ()


_MEDIA = frozenset({"video", "video_url", "input_video"})


def _is_part(part: Any) -> bool:
    return isinstance(part, str) or (is_object(part) and part.get("type") in _READERS)


def _read_part(part: Any) -> Part | None:
    if isinstance(part, str):
        return TextPart(part) if part else None
    if not is_object(part):
        raise Misread("must be an object with a `type`.")
    kind = part.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is not None:
        return reader(part)
    if kind is None and isinstance(part.get("text"), str):
        return _read_text(part)
    if kind is None:
        raise Misread("is missing.", "type")
    if kind in _MEDIA:  # to leave out what the question is about would be worse than to refuse
        raise Misread(
            f"has the type {kind!r}, which is not supported.",
            "type",
            code="unsupported_content",
            kind=UnsupportedFeature,
        )
    # A block type nobody told us about: its text is kept, newer clients must not be refused.
    return _read_text(part) if isinstance(part.get("text"), str) else None


def _read_text(part: dict[str, Any]) -> Part | None:
    text = part.get("text")
    if not isinstance(text, str):
        if text is None:
            return None
        raise Misread("must be a string.", "text")
    return TextPart(text) if text else None


def _read_refusal(part: dict[str, Any]) -> Part | None:
    text = first(part, "refusal", "text")
    return RefusalPart(text) if isinstance(text, str) and text else None


def _read_image(part: dict[str, Any]) -> Part:
    source = first(part, "image_url", "url")
    detail = part.get("detail")
    path = "image_url"
    if is_object(source):
        detail = source.get("detail") or detail
        source = source.get("url")
        path = "image_url.url"
    if isinstance(source, str) and source.startswith(("data:", "https://", "http://")):
        url = data_urls.normalize(source)
        try:
            data_urls.check_image_size(url)
        except data_urls.ImageTooLarge as problem:
            raise Misread(problem.problem, path, code=problem.code) from None
        return ImagePart(url=url, detail=detail if isinstance(detail, str) else None)
    if source is None and part.get("file_id"):
        raise _no_file_ids("file_id")
    raise Misread("must be an http(s) address or a data URL.", path)


def _read_file(part: dict[str, Any]) -> Part:
    source = part.get("file")
    prefix = "file."
    if not is_object(source):
        source, prefix = part, ""
    filename = word(source, "filename", "file_name")
    data = word(source, "file_data")
    if data is not None:
        return FilePart(data=data_urls.from_base64(data, filename), filename=filename or _default_filename(data))
    url = word(source, "file_url")
    if url is not None:
        return FilePart(url=url, filename=filename)
    if source.get("file_id"):
        raise _no_file_ids(f"{prefix}file_id")
    raise Misread("is missing.", f"{prefix}file_data")


def _default_filename(data: str) -> str | None:
    """The upstream wants a name with inline data; PDF is what people send."""
    return "document.pdf" if "application/pdf" in data[:40] or data.startswith("JVBERi0") else None


def _no_file_ids(path: str) -> Misread:
    return Misread(
        "is not supported: the gateway has no file store. Send the file inline as `file_data`.",
        path,
        code="unsupported_content",
        kind=UnsupportedFeature,
    )


def _refuse_audio(part: dict[str, Any]) -> Part:
    raise Misread(
        f"has the type {part['type']!r}: audio input is not supported.",
        "type",
        code="unsupported_content",
        kind=UnsupportedFeature,
    )


_READERS: dict[str, Callable[[dict[str, Any]], Part | None]] = {
    "text": _read_text,
    "input_text": _read_text,
    "output_text": _read_text,
    "refusal": _read_refusal,
    "image_url": _read_image,
    "input_image": _read_image,
    "file": _read_file,
    "input_file": _read_file,
    "input_audio": _refuse_audio,
    "audio": _refuse_audio,
}
