"""An image request: read from JSON or a form, and turned into a chat request whose only tool makes pictures.

What the tool cannot do is refused by name (several pictures at once, links instead of data); knobs it ignores pass.
Facts: spec/translation.md §10, spec/wire.md §1.9.
"""

from __future__ import annotations

import binascii
from typing import Any

from translation.codec import OpenedRequest, WireContext
from translation.errors import InvalidRequest, UnsupportedFeature
from translation.ir import request as ir
from translation.protocols.openai_images.multipart import FormPart, is_multipart, read_multipart
from translation.wire.jsonio import loads_object
from translation.wire.jsontypes import is_array, is_object

HOST_OPTION = "images.host_model"
"""The operator's choice of the chat model that calls the tool."""
HOST_MODEL = "gpt-5.5"
MAX_PROMPT_CHARS = 32_768
MAX_PICTURES = 16
MAX_PARTIAL_IMAGES = 3
INSTRUCTIONS = "Call the image_generation tool exactly once with the user's request as it is, and say nothing else."

TEXT_OPTIONS = ("size", "quality", "output_format", "background", "moderation", "input_fidelity")
_NUMBERS = ("output_compression", "partial_images", "n")
_MEDIA = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}


def is_edit(path: str) -> bool:
    """Tell whether a call changes pictures it brings along."""
    return path.endswith("/images/edits")


def open_images_request(body: bytes, context: WireContext) -> OpenedRequest:
    """Parse and validate a body. Raises: InvalidRequest, UnsupportedFeature."""
    content_type = context.headers.get("content-type", "")
    data = _form(read_multipart(body, content_type)) if is_multipart(content_type) else loads_object(body)
    _validate(data, context)
    user = data.get("user")
    return OpenedRequest(
        model=context.options.get(HOST_OPTION) or HOST_MODEL,
        stream=data.get("stream") is True,
        body=data,
        identity=ir.Identity(user=user if isinstance(user, str) else None),
        context=context,
    )


def decode_images_request(opened: OpenedRequest) -> ir.GenerateRequest:
    """Build the IR. Raises: InvalidRequest."""
    body = opened.body
    options: dict[str, Any] = {key: body[key] for key in TEXT_OPTIONS if isinstance(body.get(key), str) and body[key]}
    options.update((key, body[key]) for key in _NUMBERS[:2] if body.get(key) is not None)
    parts: list[ir.Part] = [ir.TextPart(body["prompt"])]
    if is_edit(opened.context.path):
        parts += [ir.ImagePart(**picture) for picture in _pictures(body)]
        mask = _picture(body.get("mask"), "mask") if body.get("mask") is not None else None
        if mask is not None:
            options["input_image_mask"] = {("image_url" if key == "url" else key): mask[key] for key in mask}
    return ir.GenerateRequest(
        model=opened.model,
        items=(ir.Message("user", tuple(parts)),),
        instructions=(INSTRUCTIONS,),
        tools=(ir.HostedTool("image_generation", options),),
        tool_choice=ir.ToolChoice(mode="hosted", name="image_generation"),
        identity=opened.identity,
        stream=opened.stream,
    )


def _validate(body: dict[str, Any], context: WireContext) -> None:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise InvalidRequest("`prompt` must be a text.", param="prompt", code="missing_required_parameter")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise InvalidRequest(
            f"`prompt` is longer than {MAX_PROMPT_CHARS} characters.", param="prompt", code="string_above_max_length"
        )
    model = body.get("model")
    if model is not None and not (isinstance(model, str) and model.startswith(("gpt-image-", "chatgpt-image-"))):
        raise InvalidRequest(
            "`model` must be one of the gpt-image family; leave it out for the newest.",
            param="model",
            code="invalid_value",
        )
    _validate_numbers(body)
    if body.get("n") not in (None, 1):
        raise UnsupportedFeature("`n` can only be 1; ask once for every picture.", param="n")
    if body.get("response_format") not in (None, "b64_json"):
        raise UnsupportedFeature(
            "`response_format` can only be b64_json; pictures are not stored here.", param="response_format"
        )
    compression = body.get("output_compression")
    if compression not in (None, 100) and body.get("output_format") in (None, "png"):
        raise InvalidRequest(
            "`output_compression` must be 100 for png; choose jpeg or webp.",
            param="output_compression",
            code="invalid_value",
        )
    if is_edit(context.path) and not _pictures(body):
        raise InvalidRequest("`image` is missing.", param="image", code="missing_required_parameter")


def _validate_numbers(body: dict[str, Any]) -> None:
    for key in _NUMBERS:
        value = body.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise InvalidRequest(f"`{key}` must be a whole number.", param=key, code="invalid_type")
    partial = body.get("partial_images")
    if partial is not None and not 0 <= partial <= MAX_PARTIAL_IMAGES:
        raise InvalidRequest(
            f"`partial_images` must be between 0 and {MAX_PARTIAL_IMAGES}.",
            param="partial_images",
            code="invalid_value",
        )


# ---- pictures -------------------------------------------------------------------------------------------------------


def _pictures(body: dict[str, Any]) -> list[dict[str, str]]:
    """Return `images` or `image` of an edit. Raises: InvalidRequest."""
    field = "images" if body.get("images") is not None else "image"
    given = body.get(field)
    if given is None:
        return []
    items = given if is_array(given) else [given]
    if len(items) > MAX_PICTURES:
        raise InvalidRequest(f"`{field}` has more than {MAX_PICTURES} pictures.", param=field, code="invalid_value")
    return [_picture(item, f"{field}[{position}]") for position, item in enumerate(items)]


def _picture(item: Any, path: str) -> dict[str, str]:
    """Read an address, a data URL, or an object with `image_url` or `file_id`."""
    url = item.get("image_url") if is_object(item) else item
    if is_object(url):
        url = url.get("url")
    if isinstance(url, str) and url.startswith(("data:", "http://", "https://")):
        return {"url": url}
    file_id = item.get("file_id") if is_object(item) else None
    if isinstance(file_id, str) and file_id:
        return {"file_id": file_id}
    raise InvalidRequest(f"`{path}` must be a data URL, an address or a file id.", param=path, code="invalid_value")


# ---- forms ----------------------------------------------------------------------------------------------------------


def _form(parts: list[FormPart]) -> dict[str, Any]:
    """Return a form as the JSON that says the same."""
    fields: dict[str, Any] = {}
    pictures: list[str] = []
    for part in parts:
        name = part.name.removesuffix("[]")
        if name in ("image", "images"):
            pictures.append(_data_url(part))
        elif name == "mask":
            fields["mask"] = _data_url(part)
        else:
            fields[name] = _value(name, part.data.decode("utf-8", "replace"))
    if pictures:
        fields["images"] = pictures
    return fields


def _data_url(part: FormPart) -> str:
    if part.filename is None and part.data.startswith((b"data:", b"https://", b"http://")):
        return part.data.decode("utf-8", "replace")
    kind = part.media_type
    if not kind.startswith("image/"):
        kind = _MEDIA.get((part.filename or "").rpartition(".")[2].lower(), "image/png")
    return f"data:{kind};base64,{binascii.b2a_base64(part.data, newline=False).decode()}"


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS and text.strip().isdecimal():
        return int(text)
    return {"true": True, "false": False}.get(text.strip().lower(), text) if name == "stream" else text
