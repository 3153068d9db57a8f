"""Text and pictures of a message → IR parts. Pictures are bare base64, data URLs or addresses.

What cannot be carried is a 400 that names it by the client's own path; only the first characters of a picture are
looked at. Facts: spec/translation.md §4.2, §9.
"""

from __future__ import annotations

from typing import Any

from translation.errors import InvalidRequest, UnsupportedFeature
from translation.ir.request import ImagePart, Part, TextPart
from translation.shared import data_urls
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

_ADDRESSES = ("http://", "https://")


def read_text(content: Any, path: str) -> tuple[Part, ...]:
    """Read content: a string, null, or the list of parts that clients of OpenAI send by habit.

    Raises: InvalidRequest, UnsupportedFeature.
    """
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    if content is None:
        return ()
    if not is_array(content):
        raise InvalidRequest(f"`{path}` must be a string.", param=path)
    parts = (_read_part(part, f"{path}[{index}]") for index, part in enumerate(content))
    return tuple(part for part in parts if part is not None)


def _read_part(part: Any, path: str) -> Part | None:
    if isinstance(part, str):
        return TextPart(part) if part else None
    if not is_object(part):
        raise InvalidRequest(f"`{path}` must be an object or a string.", param=path)
    text = part.get("text")
    if isinstance(text, str):
        return TextPart(text) if text else None
    source = part.get("image_url")
    if source is not None:
        return _read_image(source.get("url") if is_object(source) else source, f"{path}.image_url")
    raise UnsupportedFeature(
        f"`{path}` has the type {str(part.get('type'))[:40]!r}, which is not supported; send text and images.",
        code="unsupported_content",
        param=path,
    )


def read_images(images: Any, path: str) -> tuple[Part, ...]:
    """Read a list of pictures. Raises: InvalidRequest."""
    if images is None:
        return ()
    listed = [images] if isinstance(images, str) else images
    if not is_array(listed):
        raise InvalidRequest(f"`{path}` must be a list of base64 images.", param=path)
    return tuple(_read_image(image, f"{path}[{index}]") for index, image in enumerate(listed))


def _read_image(image: Any, path: str) -> Part:
    if not isinstance(image, str) or not image.strip():
        raise InvalidRequest(f"`{path}` must be a base64 image, a data URL or an http(s) address.", param=path)
    image = image.strip()
    if image.startswith(_ADDRESSES):
        return ImagePart(url=image)
    url = data_urls.from_base64(image)
    try:
        data_urls.check_image_size(url)
    except data_urls.ImageTooLarge as problem:
        raise InvalidRequest(f"`{path}` {problem.problem}", code=problem.code, param=path) from None
    return ImagePart(url=url)


def as_text(value: Any) -> str:
    """Arguments and results are text upstream; a client that sends JSON gets it serialized, null is nothing."""
    if isinstance(value, str):
        return value
    return "" if value is None else jsonio.dumps(value).decode()
