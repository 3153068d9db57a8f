"""What came of an image request, streamed (`image_generation.partial_image`, `.completed`) or as one body.

A model that answers with words made no picture: that is an error, and worth another account, because some plans lack
the tool without saying so. Facts: spec/translation.md §10; event shapes are those of OpenAI's SDK.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Any

from translation.codec import OpenedRequest
from translation.errors import EmptyResponse, GatewayError
from translation.ir import events as ev
from translation.ir.response import GenerateResponse
from translation.ir.usage import Usage
from translation.protocols.openai_images.request import is_edit
from translation.shared.image_size import image_size
from translation.shared.openai_errors import error_object
from translation.wire.jsonio import dumps
from translation.wire.sse import COMMENT_PING, frame

_HEAD_CHARS = 65_536
_MAX_SAID_CHARS = 300


def encode_images_response(response: GenerateResponse, opened: OpenedRequest) -> bytes:
    """Write the collected body. Raises: EmptyResponse when there is no picture."""
    pictures = [image for block in response.blocks for image in block.images]
    if not pictures:
        raise _no_picture("".join(block.text for block in response.blocks if block.kind in ("text", "refusal")))
    last = pictures[-1]
    entry: dict[str, Any] = {"b64_json": last.data}
    if last.revised_prompt:
        entry["revised_prompt"] = last.revised_prompt
    told = _description(last, opened)
    body: dict[str, Any] = {
        "created": response.created or int(opened.context.now_s),
        "data": [entry],
        **{key: value for key, value in told.items() if value != "auto"},
    }
    if response.usage is not None and response.usage.image_output_tokens:
        body["usage"] = _usage(response.usage)
    return dumps(body)


class ImagesEncoder:
    """One stream. Invariant: one completed picture or one error, nothing after it."""

    def __init__(self, opened: OpenedRequest) -> None:
        self._opened = opened
        self._prefix = "image_edit" if is_edit(opened.context.path) else "image_generation"
        self._partial_index = 0
        self._picture: ev.ImageDelta | None = None
        self._said: list[str] = []
        self._is_done = False

    def encode(self, events: Sequence[ev.Event]) -> bytes:
        """Return the frames of `events`."""
        return b"".join(self._event(event) for event in events)

    def heartbeat(self) -> bytes:
        """Return a comment while the stream lasts; a picture takes minutes."""
        return b"" if self._is_done else COMMENT_PING

    def _event(self, event: ev.Event) -> bytes:
        if self._is_done:
            return b""
        match event:
            case ev.ImageDelta(partial=True):
                self._partial_index += 1
                return self._frame("partial_image", event, partial_image_index=self._partial_index - 1)
            case ev.ImageDelta():
                self._picture = event
            case ev.TextDelta() | ev.RefusalDelta():
                self._said.append(event.text)
            case ev.Stop():
                return self._stop(event)
            case ev.Error():
                return self._fail(event.error)
            case _:
                pass
        return b""

    def _stop(self, event: ev.Stop) -> bytes:
        if self._picture is None:
            return self._fail(_no_picture("".join(self._said)))
        self._is_done = True
        return self._frame("completed", self._picture, usage=_usage(event.usage or Usage()))

    def _fail(self, error: GatewayError) -> bytes:
        self._is_done = True
        return frame(b"error", dumps({"type": "error", "error": error_object(error)}))

    def _frame(self, kind: str, picture: ev.ImageDelta, **more: Any) -> bytes:
        name = f"{self._prefix}.{kind}"
        told = {"background": "auto", "quality": "auto", "size": "auto", **_description(picture, self._opened)}
        created = int(self._opened.context.now_s)
        return frame(
            name.encode(), dumps({"type": name, "b64_json": picture.data, "created_at": created, **told, **more})
        )


def _description(picture: ev.ImageDelta, opened: OpenedRequest) -> dict[str, Any]:
    """Return format, size, quality and background: the picture's own where it shows them, else what was asked."""
    told: dict[str, Any] = {"output_format": picture.media_type.removeprefix("image/")}
    for key in ("size", "quality", "background"):
        asked = opened.body.get(key)
        if isinstance(asked, str) and asked:
            told[key] = asked
    head = picture.data[: min(_HEAD_CHARS, len(picture.data) // 4 * 4)]
    try:
        size = image_size(binascii.a2b_base64(head))
    except (binascii.Error, ValueError):
        size = None
    if size is not None:
        told["size"] = f"{size[0]}x{size[1]}"
    return told


def _usage(usage: Usage) -> dict[str, Any]:
    """Return the tool's own tokens; how text and pictures share the input is not known."""
    into, out = usage.image_input_tokens, usage.image_output_tokens
    return {
        "input_tokens": into,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": into},
        "output_tokens": out,
        "output_tokens_details": {"image_tokens": out, "text_tokens": 0},
        "total_tokens": into + out,
    }


def _no_picture(said: str) -> EmptyResponse:
    words = said.strip()[:_MAX_SAID_CHARS]
    return EmptyResponse(
        f"The upstream made no picture. It said: {words}" if words else "The upstream made no picture.",
        code="image_generation_failed",
    )
