"""Pictures and files of a Gemini part → IR parts: `inlineData` is base64 with a type, `fileData` an address.

Payloads are only touched when they need repair. What the upstream cannot take (audio, video, Google's file store) is a
400 that names it. Facts: spec/translation.md §4.2, §7.1, rows 151-153.
"""

from __future__ import annotations

from typing import Any

from translation.ir.request import FilePart, ImagePart, Part
from translation.protocols.gemini.fields import unsupported, word
from translation.shared import data_urls
from translation.shared.fields import Misread
from translation.wire.jsontypes import is_object

_REFUSED = ("audio/", "video/")
_EXTENSIONS = {
    "application/pdf": "pdf",
    "application/json": "json",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
    "text/xml": "xml",
    "application/xml": "xml",
}


def read_inline_data(source: Any, path: str) -> Part:
    """Read a blob. Raises: Misread."""
    if not is_object(source):
        raise Misread("must be an object with `mimeType` and `data`.", path)
    data = word(source, "data")
    if data is None:
        raise Misread("is missing.", f"{path}.data")
    media_type = (word(source, "mimeType") or data_urls.sniff(data)).lower()
    _refuse(media_type, path)
    url = data if data.startswith("data:") else f"data:{media_type};base64,{data}"
    url = data_urls.normalize(url)
    if media_type.startswith("image/"):
        try:
            data_urls.check_image_size(url)
        except data_urls.ImageTooLarge as problem:
            raise Misread(problem.problem, f"{path}.data") from None
        return ImagePart(url=url)
    return FilePart(data=url, filename=_filename(source, media_type))


def read_file_data(source: Any, path: str) -> Part:
    """Read an address. Raises: Misread."""
    if not is_object(source):
        raise Misread("must be an object with `fileUri`.", path)
    uri = word(source, "fileUri")
    if uri is None:
        raise Misread("is missing.", f"{path}.fileUri")
    media_type = (word(source, "mimeType") or "").lower()
    _refuse(media_type, path)
    if not uri.startswith(("https://", "http://")) or "/v1beta/files/" in uri or "/v1/files/" in uri:
        raise unsupported(
            "points into a file store that the gateway cannot read. Send the file as `inlineData`.", f"{path}.fileUri"
        )
    if media_type.startswith("image/") or (not media_type and _looks_like_image(uri)):
        return ImagePart(url=uri)
    return FilePart(url=uri, filename=word(source, "displayName"))


def _refuse(media_type: str, path: str) -> None:
    if media_type.startswith(_REFUSED):
        kind = media_type.partition("/")[0]
        raise unsupported(f"has the type {media_type!r}: {kind} input is not supported.", f"{path}.mimeType")


def _filename(source: dict[str, Any], media_type: str) -> str:
    """The upstream wants a name with inline data."""
    extension = _EXTENSIONS.get(media_type.partition(";")[0].strip(), "bin")
    return word(source, "displayName") or f"document.{extension}"


def _looks_like_image(uri: str) -> bool:
    return uri.partition("?")[0].lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp"))
