"""One request and its answer, from the client's side: what was said so far, and how output, waits and failures leave.

The flow and its attempts share it. It knows no account and no upstream, decides nothing about trying again, and never
says an error in the middle of output but through the driver. Read next: `flow.py`, `attempt.py`.
"""

from __future__ import annotations

from msgspec import Struct

from accounts.values import ApiKeyView
from codexproxy.gateway import lane, pump
from codexproxy.gateway.record import RequestRecord
from codexproxy.gateway.snapshot import Snapshot
from codexproxy.gateway.speaker import Speaker
from codexproxy.gateway.types import ClientRequest, ClientStream
from providers.contract import Target
from translation import errors
from translation.codec import Codec, OpenedRequest, Tap

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Plan(Struct, frozen=True):
    """What is the same for all attempts of a request: what is asked, of which target, on which lane, by whom."""

    opened: OpenedRequest
    target: Target
    lane: lane.Lane
    speaker: Speaker


class Exchange:
    """The state of one request on its way through the steps.

    `snapshot` is the newest only after a token was renewed. `opened` is None until the body could be read, `driver`
    until something is about to be awaited. `drops_reasoning`: an upstream refused the proofs of the request.
    """

    __slots__ = (
        "client", "codec", "driver", "drops_reasoning", "has_output", "key", "opened", "pulse", "record", "request",
        "snapshot",
    )  # fmt: skip

    def __init__(
        self,
        codec: Codec,
        key: ApiKeyView,
        request: ClientRequest,
        client: ClientStream,
        record: RequestRecord,
        snapshot: Snapshot,
    ) -> None:
        self.codec = codec
        self.key = key
        self.request = request
        self.client = client
        self.record = record
        self.snapshot = snapshot
        self.pulse = pump.Pulse(snapshot.settings, client)
        self.opened: OpenedRequest | None = None
        self.driver: Tap | None = None
        self.has_output = False
        self.drops_reasoning = False

    def stream_headers(self, opened: OpenedRequest) -> dict[str, str]:
        """Return the headers of an answer that is a stream."""
        kind = opened.media_type or self.codec.stream_media_type
        return {"content-type": kind, **STREAM_HEADERS, **self.request.id_headers}

    def mark_output(self) -> None:
        """Output is about to leave: from here on nothing can be tried again."""
        if not self.has_output:
            self.has_output = True
            self.record.mark_output()

    def keep_company(self, opened: OpenedRequest, driver: Tap) -> None:
        """A wait for a free slot begins: say that the request lives, as soon as its dialect allows."""
        self.driver = driver
        self.pulse.watch(begin=lambda: self.stream_headers(opened), beat=driver.heartbeat, keep=_nothing)
        self.pulse.rest()

    async def answer_alone(self, opened: OpenedRequest, answer: bytes) -> None:
        """Send what the codec said without an upstream: some requests only ask whether a model is there."""
        self.record.status = 200
        if self.client.started:  # silence was filled already
            await self.client.end(answer)
            return
        kind = self.codec.stream_media_type if opened.stream else "application/json"
        await self.client.reply(200, {"content-type": kind, **self.request.id_headers}, answer)

    async def answer_error(self, error: errors.GatewayError) -> None:
        """Say `error`: as a status when nothing was sent, in the stream when something was."""
        self.pulse.stop()
        error.request_id = self.request.request_id
        if self.opened is not None and not self.has_output:
            instead = lane.instead_of(self.codec, error, self.opened)
            if instead is not None:
                await self.answer_alone(self.opened, instead)
                return
        if not self.client.started:
            answer = self.codec.encode_error(error)
            self.record.status = answer.status
            headers = {"content-type": "application/json", **self.request.id_headers, **answer.headers}
            await self.client.reply(answer.status, headers, answer.body)
            return
        self.record.status = 200
        was_said = self.driver is not None and self.driver.done and self.has_output
        await self.client.end(b"" if was_said or self.driver is None else self.driver.fail(error))


def _nothing() -> None:
    """No lease is held that could be prolonged."""
