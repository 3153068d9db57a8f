"""Routes that a codec answers from the catalogue alone: versions, single models, refusals with a reason.

No upstream, no account and no usage record; works while no account is ready.
"""

from __future__ import annotations

from collections.abc import Sequence

from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.types import ClientRequest, ClientStream
from translation.codec import AnsweringCodec, Codec, ModelInfo, WireContext
from translation.errors import GatewayBug, GatewayError


async def answer_static(
    gateway: Gateway, codec: Codec, models: Sequence[ModelInfo], request: ClientRequest, client: ClientStream
) -> None:
    """Answer one call; `models` are those its key may use. Failures leave in the client's dialect."""
    try:
        if not isinstance(codec, AnsweringCodec):
            raise GatewayBug(f"The codec {codec.name} has a static route, but no answer to it.")
        context = WireContext(
            headers=request.headers, path=request.path, params=request.params, query=request.query,
            now_s=gateway.clock(), ids=gateway.ids, options=gateway.snapshots.current.settings.codec_options,
        )  # fmt: skip
        answer = codec.answer(request.body, context, models)
    except GatewayError as error:
        error.request_id = request.request_id
        refusal = codec.encode_error(error)
        headers = {"content-type": "application/json", **request.id_headers, **refusal.headers}
        await client.reply(refusal.status, headers, refusal.body)
    else:
        await client.reply(answer.status, {**request.id_headers, **answer.headers}, answer.body)
