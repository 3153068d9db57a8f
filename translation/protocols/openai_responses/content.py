"""Clean-up of the content parts in a client's items: known keys only, the right part types for the role.

Used for messages and for tool outputs. Chat-style parts are accepted, because clients mix both dialects.
Facts: spec/translation.md §1.2, §4.2, rows 192, 203.
"""

from __future__ import annotations

from typing import Any

from translation.errors import InvalidRequest, UnsupportedFeature
from translation.wire.jsontypes import is_array, is_object

_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})

_KEYS = {
    "refusal": ("type", "refusal"),
    "input_image": ("type", "image_url", "file_id", "detail"),
    "input_file": ("type", "file_data", "file_url", "file_id", "filename", "detail"),
    "summary_text": ("type", "text"),
    "reasoning_text": ("type", "text"),
}
"""Part types that are rebuilt from these keys; parts of other types only lose `prompt_cache_breakpoint`."""

_STRIPPED = frozenset({"prompt_cache_breakpoint", "cache_control"})


def clean_content(content: Any, role: str, path: str) -> Any:
    """Return `content` as the backend takes it from `role`: a string stays a string, parts are rebuilt.

    Raises: InvalidRequest when it is neither; UnsupportedFeature for parts that cannot be carried.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if is_object(content):
        content = [content]
    if not is_array(content):
        raise InvalidRequest(f"`{path}` must be a string or a list of content parts.", param=path, code="invalid_type")
    text_type = "output_text" if role == "assistant" else "input_text"
    return [_clean_part(part, text_type, f"{path}[{position}]") for position, part in enumerate(content)]


def _clean_part(part: Any, text_type: str, path: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": text_type, "text": part}
    if not is_object(part):
        raise InvalidRequest(f"`{path}` must be a content part object.", param=path, code="invalid_type")
    kind = part.get("type")
    if kind in _TEXT_TYPES:
        text = part.get("text")
        if not isinstance(text, str):
            raise InvalidRequest(f"`{path}.text` must be a string.", param=f"{path}.text", code="invalid_type")
        return {"type": text_type, "text": text}
    if kind == "image_url" or (kind == "input_image" and is_object(part.get("image_url"))):
        return _image_part(part, path)
    if kind == "file" and is_object(part.get("file")):
        return _picked({**part["file"], "type": "input_file"}, _KEYS["input_file"])
    if kind in ("input_audio", "audio"):
        raise UnsupportedFeature("Audio input is not supported.", code="unsupported_content", param=path)
    keys = _KEYS.get(str(kind))
    if keys is not None:
        return _picked(part, keys)
    if _STRIPPED.isdisjoint(part):
        return part
    return {key: value for key, value in part.items() if key not in _STRIPPED}


def _image_part(part: dict[str, Any], path: str) -> dict[str, Any]:
    image = part.get("image_url")
    source = image if is_object(image) else {"url": image}
    url = source.get("url")
    if not isinstance(url, str) or not url:
        raise InvalidRequest(f"`{path}.image_url` must be a URL.", param=f"{path}.image_url", code="invalid_type")
    cleaned: dict[str, Any] = {"type": "input_image", "image_url": url}
    detail = source.get("detail") or part.get("detail")
    if detail:
        cleaned["detail"] = detail
    return cleaned


def _picked(part: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: part[key] for key in keys if part.get(key) is not None}
