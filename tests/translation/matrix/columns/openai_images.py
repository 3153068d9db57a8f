"""The images API, read by the openai package: one picture or a failure, with partial pictures on the way."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import httpx
import openai
import orjson

from tests.translation.matrix.contract import Column, Reading, Refused, Said, Truth, sse_frames, told_by


class ImagesColumn(Column):
    name = "openai_images"
    codec = "openai-images"

    @cached_property
    def sdk(self) -> openai.OpenAI:
        transport = self.wire.transport(httpx)
        return openai.OpenAI(
            api_key="k",
            base_url="http://gateway.invalid/v1",
            max_retries=0,
            http_client=httpx.Client(transport=transport),
        )

    def ask(self, *, is_streamed: bool) -> Reading:
        body: dict[str, Any] = {"prompt": "a fox", "model": "gpt-image-2"}
        try:
            if not is_streamed:
                picture = self.sdk.images.generate(**body).data[0].b64_json
            else:
                events = list(self.sdk.images.generate(**body, stream=True, partial_images=3))
                assert events[-1].type == "image_generation.completed"
                picture = events[-1].b64_json
        except openai.APIError as error:
            raise Refused(told_by(error.body) or error.message, getattr(error, "status_code", None)) from error
        return Reading(picture, Said(images=[picture]))

    def check(self, data: bytes) -> None:
        frames = [(name.decode(), orjson.loads(payload)) for name, payload in sse_frames(data)]
        assert all(name == payload["type"] for name, payload in frames)
        names = [name.rpartition(".")[2] for name, _ in frames]
        assert names[:-1] == ["partial_image"] * (len(names) - 1) and names[-1] in ("completed", "error")
        indexes = [payload["partial_image_index"] for _, payload in frames[:-1]]
        assert indexes == list(range(len(indexes)))

    def ending(self, data: bytes) -> str:
        return "error" if sse_frames(data)[-1][0] == b"error" else "finish"

    def refuses(self, truth: Truth) -> bool:
        return bool(truth.error) or not truth.images

    def expect(self, truth: Truth) -> Said:
        return Said(images=truth.images[-1:])


COLUMNS = (ImagesColumn(),)
