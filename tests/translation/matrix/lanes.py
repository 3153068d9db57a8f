"""Sends an upstream stream through the very drivers the gateway uses, and keeps what a client would get.

Nothing here knows a protocol; what does is `columns/`.
"""

from __future__ import annotations

from collections.abc import Iterable

from codexproxy.gateway import lane
from tests.translation.matrix.contract import Column, Delivered
from translation import registry
from translation.codec import OpenedRequest, Quirks, RelayTarget
from translation.errors import GatewayError

CODEX = RelayTarget(model="gpt-5.5", prompt_cache_key="cp_1", quirks=Quirks(subset=True))


def prepare(column: Column, opened: OpenedRequest) -> lane.Call:
    """Return the body that leaves for the upstream, and what drives its answer."""
    upstream = registry.get_upstream("openai-responses")
    way = lane.Lane("relay" if column.is_relayed else "translate")
    return lane.prepare(column.spoken, upstream, opened, CODEX, way)


def deliver(column: Column, chunks: Iterable[bytes], *, is_streamed: bool) -> Delivered:
    """Feed `chunks` and return what the flow would send: a stream once output began, else a body or an error."""
    call = prepare(column, column.opened(is_streamed=is_streamed)).driver
    sent = b"".join([call.feed(chunk) for chunk in chunks]) + call.finish()
    assert call.done, "the driver never ended"
    if is_streamed and call.has_output:
        return Delivered(200, {"content-type": column.spoken.stream_media_type}, sent)
    if call.error is None and is_streamed:
        return Delivered(200, {"content-type": column.spoken.stream_media_type}, sent)
    try:
        if call.error is not None:
            raise call.error
        return Delivered(200, {"content-type": "application/json"}, call.collected())
    except GatewayError as error:
        written = column.spoken.encode_error(error)
        return Delivered(written.status, written.headers, written.body)
