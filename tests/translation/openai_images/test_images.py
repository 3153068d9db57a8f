"""OpenAI's image routes: what is asked of the chat model, what comes back, forms, refusals."""

from __future__ import annotations

import base64
import random
from typing import Any

import orjson
import pytest

from codexproxy.gateway import lane
from translation.codec import OpenedRequest, Quirks, RelayTarget, Tap, WireContext
from translation.errors import ClientError, EmptyResponse, InvalidRequest
from translation.ir import events as ev
from translation.ir.response import Fold
from translation.ir.usage import Usage
from translation.protocols.openai_images import CODEC
from translation.protocols.openai_images.multipart import read_multipart
from translation.registry import get
from translation.wire.sse import SSESplitter

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000040000000200806000000")
PICTURE = base64.b64encode(PNG + bytes(range(256)) * 4).decode()
START = ev.Start(id="resp_1", model="gpt-5.5", created=1_800_000_000)
OPEN = ev.BlockStart(index=0, kind="image", item_id="ig_1")
STOP = ev.Stop(finish_reason="stop", usage=Usage(image_input_tokens=10, image_output_tokens=200))
BOUNDARY = "XyZ"


def opened(path: str = "/v1/images/generations", raw: bytes | None = None, **fields: Any) -> OpenedRequest:
    headers = {} if raw is None else {"content-type": f'multipart/form-data; boundary="{BOUNDARY}"'}
    body = raw if raw is not None else orjson.dumps({"prompt": "a cat", **fields})
    return CODEC.open_request(body, WireContext(headers=headers, path=path, now_s=1_800_000_000.0))


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of (head, data)."""
    pieces = [b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head.encode(), data) for head, data in parts]
    return b"".join(pieces) + b"--%b--\r\n" % BOUNDARY.encode()


def upload(name: str, data: bytes, kind: str = "image/png", filename: str = "a.png") -> tuple[str, bytes]:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
    return (f"{head}\r\nContent-Type: {kind}" if kind else head), data


def field(name: str, text: str) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"', text.encode()


def upstream_body(request: OpenedRequest) -> dict[str, Any]:
    body = get("openai-responses").encode_request(CODEC.decode_request(request), RelayTarget(model=request.model))
    return orjson.loads(body)


# ---- requests -------------------------------------------------------------------------------------------------------


def test_a_prompt_becomes_one_forced_tool_call_on_the_host_model() -> None:
    body = upstream_body(opened(size="1024x1024", output_format="jpeg", output_compression=80, moderation="low"))
    assert body["model"] == "gpt-5.5"
    assert body["input"] == [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a cat"}]}]
    assert body["tools"] == [
        {
            "type": "image_generation",
            "size": "1024x1024",
            "output_format": "jpeg",
            "moderation": "low",
            "output_compression": 80,
        }
    ]
    assert body["tool_choice"] == {"type": "image_generation"}


def test_the_operator_chooses_the_host_model() -> None:
    context = WireContext(path="/v1/images/generations", options={"images.host_model": "gpt-5.6-sol"})
    assert CODEC.open_request(b'{"prompt":"a cat","model":"gpt-image-2"}', context).model == "gpt-5.6-sol"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "x" * 32_769}, "prompt"),
        ({"model": "gpt-5.5"}, "model"),
        ({"model": "dall-e-3"}, "model"),
        ({"n": 2}, "n"),
        ({"n": "1"}, "n"),
        ({"response_format": "url"}, "response_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"output_compression": 50, "output_format": "png"}, "output_compression"),
        ({"partial_images": 4}, "partial_images"),
    ],
)
def test_what_the_tool_cannot_do_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientError) as caught:
        opened(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    "fields", [{"n": 1}, {"n": None, "stream": None, "size": None}, {"unheard_of": 1}, {"user": "u"}]
)
def test_nulls_and_unknown_fields_are_no_trouble(fields: dict[str, Any]) -> None:
    assert upstream_body(opened(**fields))["tools"] == [{"type": "image_generation"}]


@pytest.mark.parametrize(
    "given",
    [
        {"images": [{"image_url": f"data:image/png;base64,{PICTURE}"}]},
        {"image": f"data:image/png;base64,{PICTURE}"},
        {"image": [{"image_url": {"url": f"data:image/png;base64,{PICTURE}"}}]},
    ],
)
def test_an_edit_brings_its_pictures_along(given: dict[str, Any]) -> None:
    body = upstream_body(opened("/v1/images/edits", mask={"file_id": "file_1"}, **given))
    assert body["input"][0]["content"][1] == {
        "type": "input_image",
        "image_url": f"data:image/png;base64,{PICTURE}",
    }
    assert body["tools"][0]["input_image_mask"] == {"file_id": "file_1"}


@pytest.mark.parametrize("fields", [{}, {"image": "nonsense"}, {"images": [7]}, {"images": ["data:x"] * 17}])
def test_an_edit_without_readable_pictures_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        opened("/v1/images/edits", **fields)


# ---- forms ----------------------------------------------------------------------------------------------------------


def test_an_edit_may_come_as_a_form() -> None:
    binary = PNG + b"\r\n--not the boundary\r\n\r\n\x00\xff"
    raw = form(
        field("prompt", "a cät"), upload("image[]", binary), upload("image[]", b"jpeg", "", "b.JPG"),
        upload("mask", b"mask"), field("n", "1"), field("stream", "true"), field("partial_images", "2"),
    )  # fmt: skip
    request = opened("/v1/images/edits", raw)
    body = upstream_body(request)
    text, first, second = body["input"][0]["content"]
    assert text["text"] == "a cät" and request.stream
    assert base64.b64decode(first["image_url"].partition(",")[2]) == binary
    assert second["image_url"].startswith("data:image/jpeg;base64,")
    tool = body["tools"][0]
    assert tool["partial_images"] == 2 and tool["input_image_mask"]["image_url"].startswith("data:image/png;")


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"nothing", form(field("prompt", "x"))[:-4], form(("X: y", b"")), b"--XyZ--\r\n",
        form(*[field(f"f{n}", "x") for n in range(101)]), b"--XyZ\r\nno head\r\n--XyZ--",
    ],
)  # fmt: skip
def test_a_broken_form_is_a_clear_400(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        opened("/v1/images/edits", raw)


def test_random_bytes_never_crash_the_form_reader() -> None:
    noise = random.Random(7)
    base = form(field("prompt", "x"), upload("image", PNG))
    for _ in range(500):
        mutated = bytearray(base)
        for _ in range(noise.randint(1, 8)):
            mutated[noise.randrange(len(mutated))] = noise.randrange(256)
        try:
            read_multipart(bytes(mutated), f"multipart/form-data; boundary={BOUNDARY}")
        except InvalidRequest:
            pass


# ---- answers --------------------------------------------------------------------------------------------------------


def collected(events: list[ev.Event], **fields: Any) -> dict[str, Any]:
    fold = Fold()
    fold.feed(events)
    return orjson.loads(CODEC.encode_response(fold.result(), opened(**fields)))


def streamed(events: list[ev.Event], path: str = "/v1/images/generations", **fields: Any) -> list[dict[str, Any]]:
    if path.endswith("edits"):
        fields["image"] = "data:image/png;base64,AAAA"
    encoder = CODEC.encoder(opened(path, stream=True, **fields))
    splitter = SSESplitter()
    frames = splitter.feed(b"".join(encoder.encode([event]) for event in events))
    assert [name.decode() for name, _ in frames] == [orjson.loads(data)["type"] for _, data in frames]
    return [orjson.loads(data) for _, data in frames]


def test_a_picture_is_described_by_what_it_is() -> None:
    final = ev.ImageDelta(0, PICTURE, revised_prompt="a fine cat")
    body = collected(
        [START, OPEN, ev.ImageDelta(0, "x", partial=True), final, ev.BlockStop(index=0), STOP], size="auto"
    )
    assert body["created"] == START.created
    assert body["data"] == [{"b64_json": PICTURE, "revised_prompt": "a fine cat"}]
    assert (body["size"], body["output_format"]) == ("64x32", "png")
    assert (body["usage"]["input_tokens"], body["usage"]["output_tokens"], body["usage"]["total_tokens"]) == (
        10, 200, 210,
    )  # fmt: skip


@pytest.mark.parametrize(("path", "prefix"), [("generations", "image_generation"), ("edits", "image_edit")])
def test_a_stream_shows_partial_pictures_and_one_final(path: str, prefix: str) -> None:
    events: list[ev.Event] = [
        START, OPEN, ev.ImageDelta(0, "p0", partial=True), ev.ImageDelta(0, "p1", partial=True),
        ev.ImageDelta(0, PICTURE), ev.BlockStop(index=0), STOP, STOP,
    ]  # fmt: skip
    first, second, final = streamed(events, f"/v1/images/{path}")
    assert [first["type"], final["type"]] == [f"{prefix}.partial_image", f"{prefix}.completed"]
    assert [first["partial_image_index"], second["partial_image_index"]] == [0, 1]
    assert final["b64_json"] == PICTURE and final["usage"]["total_tokens"] == 210


def test_words_instead_of_a_picture_are_a_failure_worth_another_account() -> None:
    words: list[ev.Event] = [
        START, ev.BlockStart(index=0, kind="text"), ev.TextDelta(0, "<svg/>"), ev.BlockStop(index=0), STOP,
    ]  # fmt: skip
    with pytest.raises(EmptyResponse) as caught:
        collected(words)
    assert (caught.value.status, caught.value.code) == (502, "image_generation_failed")
    assert "<svg/>" in caught.value.message
    [error] = streamed(words)
    assert error["error"]["code"] == "image_generation_failed"


def test_an_upstream_failure_ends_the_stream_with_an_error() -> None:
    [error] = streamed([START, ev.Error(EmptyResponse("no"))])
    assert error["error"]["message"] == "no"


# ---- through the upstream's own wire --------------------------------------------------------------------------------


def upstream_event(name: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **fields}))


PLACE = {"item_id": "ig_1", "output_index": 0}
UPSTREAM = b"".join(
    (
        upstream_event("response.created", response={"id": "resp_1", "status": "in_progress", "output": []}),
        upstream_event(
            "response.output_item.added",
            output_index=0,
            item={"id": "ig_1", "type": "image_generation_call", "status": "in_progress"},
        ),
        upstream_event("response.image_generation_call.generating", **PLACE),
        upstream_event(
            "response.image_generation_call.partial_image",
            partial_image_index=0,
            partial_image_b64="AAAA",
            output_format="png",
            **PLACE,
        ),
        upstream_event("response.image_generation_call.completed", **PLACE),
        upstream_event(
            "response.output_item.done",
            output_index=0,
            item={
                "id": "ig_1",
                "type": "image_generation_call",
                "status": "completed",
                "result": PICTURE,
                "revised_prompt": "a fine cat",
                "output_format": "png",
            },
        ),
        upstream_event(
            "response.completed",
            response={
                "id": "resp_1",
                "status": "completed",
                "output": [],
                "usage": {"input_tokens": 20, "output_tokens": 9, "total_tokens": 29},
                "tool_usage": {"image_gen": {"input_tokens": 10, "output_tokens": 200, "total_tokens": 210}},
            },
        ),
    )
)


def driven(chunks: list[bytes], *, stream: bool) -> tuple[bytes, Tap]:
    request = opened(stream=stream)
    target = RelayTarget(model=request.model, quirks=Quirks(subset=True))
    driver = lane.prepare(CODEC, get("openai-responses"), request, target, lane.Lane("translate")).driver
    return b"".join(driver.feed(chunk) for chunk in chunks) + driver.finish(), driver


def cuts(seed: int) -> list[bytes]:
    """Random chunks of the upstream's stream."""
    noise, chunks, start = random.Random(seed), [], 0
    while start < len(UPSTREAM):
        end = start + noise.randint(1, 400)
        chunks.append(UPSTREAM[start:end])
        start = end
    return chunks


def test_a_stream_is_the_same_however_it_was_cut() -> None:
    whole, driver = driven([UPSTREAM], stream=True)
    assert [line for line in whole.split(b"\n") if line.startswith(b"event: ")] == [
        b"event: image_generation.partial_image",
        b"event: image_generation.completed",
    ]
    assert driver.usage is not None and driver.usage.output_tokens == 9
    assert driven([UPSTREAM[i : i + 1] for i in range(len(UPSTREAM))], stream=True)[0] == whole
    for seed in range(30):
        assert driven(cuts(seed), stream=True)[0] == whole


def test_the_final_frame_and_the_collected_body_show_the_same_picture() -> None:
    frames, _ = driven([UPSTREAM], stream=True)
    final = orjson.loads(frames.rstrip().rpartition(b"data: ")[2])
    _, driver = driven(cuts(1), stream=False)
    body = orjson.loads(driver.collected())
    assert body["data"] == [{"b64_json": PICTURE, "revised_prompt": "a fine cat"}]
    assert (body["size"], body["output_format"], body["usage"]) == (
        final["size"],
        final["output_format"],
        final["usage"],
    )
    assert final["b64_json"] == PICTURE
