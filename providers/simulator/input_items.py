"""What the backend accepts inside `input`: item shapes, ids, images, call pairing, blob ownership (wire.md §3.3, §3.5).

Raises `Refused` with the backend's own words. Strict where the backend is known to be strict, tolerant of everything
the official client sends. Pure. Next: `validation.py` checks what surrounds the input.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from providers.simulator.failures import Refused, detail, error

MAX_ID = 64
_PASSTHROUGH = "internal_chat_message_metadata_passthrough"
_ITEM_KEYS: dict[str, frozenset[str]] = {
    kind: frozenset({"type", "id", "status", _PASSTHROUGH, *keys.split()})
    for kind, keys in {
        "message": "role content phase",
        "reasoning": "summary content encrypted_content",
        "function_call": "call_id name arguments namespace",
        "function_call_output": "call_id output",
        "custom_tool_call": "call_id name input namespace",
        "custom_tool_call_output": "call_id output name",
        "local_shell_call": "call_id action",
        "local_shell_call_output": "call_id output",
        "web_search_call": "action",
        "image_generation_call": "result revised_prompt output_format size quality background",
        "tool_search_call": "call_id execution arguments",
        "tool_search_output": "call_id execution tools",
        "additional_tools": "role tools",
        "compaction": "encrypted_content",
        "compaction_summary": "encrypted_content",
        "compaction_trigger": "",
        "context_compaction": "encrypted_content",
        "agent_message": "role content author recipient encrypted_content",
    }.items()
}
_ID_PREFIX = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "web_search_call": "ws",
    "image_generation_call": "ig",
    "compaction": "cmp",
    "local_shell_call": "lsh",
}
_INPUT_PARTS = {
    "input_text": frozenset({"type", "text"}),
    "input_image": frozenset({"type", "image_url", "detail", "file_id"}),
    "input_file": frozenset({"type", "filename", "file_data", "file_id", "file_url", "detail"}),
}
_OUTPUT_PARTS = {
    "output_text": frozenset({"type", "text", "annotations", "logprobs"}),
    "refusal": frozenset({"type", "refusal"}),
}
_CALLS = {
    "function_call": "function call",
    "custom_tool_call": "custom tool call",
    "local_shell_call": "local shell call",
    "tool_search_call": "tool search call",
}
_ANSWERS = {
    "function_call_output": ("function_call", "local_shell_call"),
    "custom_tool_call_output": ("custom_tool_call",),
    "local_shell_call_output": ("local_shell_call",),
    "tool_search_output": ("tool_search_call",),
}
_TEXT_FIELDS = {
    "function_call": ("call_id", "name", "arguments"),
    "custom_tool_call": ("call_id", "name", "input"),
    "function_call_output": ("call_id",),
    "custom_tool_call_output": ("call_id",),
}
_LIST_FIELDS = {"reasoning": ("summary",), "additional_tools": ("tools",)}
_IMAGE_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"RIFF")
_DATA_URL = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,", re.IGNORECASE)
_BAD_IMAGE = (
    "The image data you provided does not represent a valid image. Please check your input and try again with one of "
    "the supported image formats: ['image/jpeg', 'image/png', 'image/gif', 'image/webp']."
)
Owns = Callable[[str], bool]


def check_items(items: list[Any], owns: Owns, *, root: str = "input") -> None:
    """Refuse what the backend would refuse; `owns` says whether a sealed blob belongs to the caller."""
    seen_ids: set[str] = set()
    for index, item in enumerate(items):
        where = f"{root}[{index}]"
        if not isinstance(item, dict):
            raise Refused(error("invalid_type", f"Invalid type for '{where}': expected an object.", param=where))
        kind = item.get("type", "message")
        _check_item(item, kind, where, owns)
        item_id = item.get("id")
        if isinstance(item_id, str):
            if item_id in seen_ids:
                raise Refused(
                    error(
                        None,
                        f"Duplicate item found with id {item_id}. Remove duplicate items from your "
                        "input and try again.",
                        param=root,
                    )
                )
            seen_ids.add(item_id)
        if kind == "compaction_trigger" and index != len(items) - 1:
            raise Refused(error("invalid_value", "compaction_trigger must be the last input item.", param=where))
    check_pairing(items)


def _check_item(item: dict[str, Any], kind: Any, where: str, owns: Owns) -> None:
    keys = _ITEM_KEYS.get(kind) if isinstance(kind, str) else None
    if keys is None:
        raise Refused(
            error(
                "invalid_value",
                f"Invalid value: '{kind}'. Supported values are: " + ", ".join(f"'{name}'" for name in _ITEM_KEYS),
                param=f"{where}.type",
            )
        )
    _only(item, keys, where)
    _check_id(item, kind, where)
    _want_text(item, where, *_TEXT_FIELDS.get(kind, ()))
    for name in _LIST_FIELDS.get(kind, ()):
        if not isinstance(item.get(name), list):
            raise Refused(_missing(f"{where}.{name}"))
    if kind == "message":
        _check_message(item, where)
    elif kind in ("function_call_output", "custom_tool_call_output"):
        _check_output(item.get("output"), f"{where}.output")
    blob = item.get("encrypted_content")
    if isinstance(blob, str) and not owns(blob):
        text = (
            f"The encrypted content {blob[:4]}...{blob[-4:]} could not be verified. Reason: Encrypted content could "
            "not be decrypted or parsed."
        )
        raise Refused(error("invalid_encrypted_content", text))


def _missing(param: str) -> Any:
    return error("missing_required_parameter", f"Missing required parameter: '{param}'.", param=param)


def _only(node: dict[str, Any], keys: frozenset[str], where: str) -> None:
    for key in node:
        if key not in keys:
            name = f"{where}.{key}"
            raise Refused(error("unknown_parameter", f"Unknown parameter: '{name}'.", param=name))


def _want_text(item: dict[str, Any], where: str, *names: str) -> None:
    for name in names:
        value = item.get(name)
        if value is None:
            raise Refused(_missing(f"{where}.{name}"))
        if not isinstance(value, str):
            raise Refused(
                error("invalid_type", f"Invalid type for '{where}.{name}': expected a string.", param=f"{where}.{name}")
            )


def _check_id(item: dict[str, Any], kind: str, where: str) -> None:
    for name in ("id", "call_id"):
        value = item.get(name)
        if isinstance(value, str) and len(value) > MAX_ID:
            text = (
                f"Invalid '{where}.{name}': string too long. Expected a string with maximum length {MAX_ID}, but "
                f"got a string with length {len(value)} instead."
            )
            raise Refused(error("string_above_max_length", text, param=f"{where}.{name}"))
        if name == "call_id" and value == "":
            raise Refused(error("empty_string", f"Invalid '{where}.call_id': empty string.", param=f"{where}.call_id"))
    prefix = _ID_PREFIX.get(kind)
    item_id = item.get("id")
    if prefix and isinstance(item_id, str) and not item_id.startswith(prefix):
        text = f"Invalid '{where}.id': '{item_id}'. Expected an ID that begins with '{prefix}'."
        raise Refused(error("invalid_value", text, param=f"{where}.id"))


def _check_message(item: dict[str, Any], where: str) -> None:
    role = item.get("role")
    if role == "system":
        raise Refused(detail("System messages are not allowed"))
    if role not in ("user", "assistant", "developer"):
        raise Refused(
            error(
                "invalid_value",
                f"Invalid value: '{role}'. Supported values are: 'assistant', 'developer', and 'user'.",
                param=f"{where}.role",
            )
        )
    content = item.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise Refused(_missing(f"{where}.content"))
    _check_parts(content, f"{where}.content", _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS)


def _check_parts(parts: list[Any], where: str, allowed: dict[str, frozenset[str]]) -> None:
    for index, part in enumerate(parts):
        spot = f"{where}[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in allowed:
            names = " and ".join(f"'{name}'" for name in allowed)
            text = f"Invalid value: '{kind}'. Supported values are: {names}."
            raise Refused(error("invalid_value", text, param=f"{spot}.type"))
        _only(part, allowed[kind], spot)
        if kind in ("input_text", "output_text"):
            _want_text(part, spot, "text")
        elif kind == "input_image":
            _check_image(part, spot)
        elif kind == "input_file" and not any(part.get(name) for name in ("file_data", "file_id", "file_url")):
            raise Refused(_missing(f"{spot}.file_id"))


def _check_output(output: Any, where: str) -> None:
    if isinstance(output, list):
        _check_parts(output, where, _INPUT_PARTS)
    elif not isinstance(output, str):
        raise Refused(_missing(where))


def _check_image(part: dict[str, Any], where: str) -> None:
    url = part.get("image_url")
    param = f"{where}.image_url"
    if url is None and part.get("file_id"):
        return
    if not isinstance(url, str):
        raise Refused(error("invalid_type", f"Invalid type for '{param}': expected a string.", param=param))
    if part.get("detail") not in (None, "auto", "low", "high", "original"):
        raise Refused(error("invalid_value", f"Invalid value: '{part.get('detail')}'.", param=f"{where}.detail"))
    if url.startswith(("https://", "http://")):
        return
    match = _DATA_URL.match(url)
    if match is None:
        raise Refused(
            error(
                "invalid_value",
                f"Invalid '{param}'. Expected a base64-encoded data URL with an image MIME type.",
                param=param,
            )
        )
    encoded = url[match.end() :]
    if not encoded:
        raise Refused(
            error(
                "invalid_value",
                "Expected a base64-encoded data URL with an image MIME type, but got empty base64-encoded bytes.",
                param=param,
            )
        )
    try:
        head = base64.b64decode(encoded, validate=True)[:12]
    except (ValueError, binascii.Error):
        head = b""
    if not head.startswith(_IMAGE_HEADS):
        raise Refused(error("invalid_value", _BAD_IMAGE, param=param))


def check_pairing(items: list[Any]) -> None:
    """Refuse tool results without their call and calls without their result."""
    pending: dict[str, str] = {}
    known: dict[str, str] = {}
    for item in items:
        kind, call_id = item.get("type"), item.get("call_id")
        if not isinstance(call_id, str):
            continue
        if kind in _CALLS:
            pending[call_id] = known[call_id] = kind
        elif kind in _ANSWERS:
            if known.get(call_id) not in _ANSWERS[kind]:
                label = _CALLS[_ANSWERS[kind][0]]
                text = f"No tool call found for {label} output with call_id {call_id}."
                raise Refused(error(None, text, param="input"))
            pending.pop(call_id, None)
    for call_id, kind in pending.items():
        raise Refused(error(None, f"No tool output found for {_CALLS[kind]} {call_id}.", param="input"))
