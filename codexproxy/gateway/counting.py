"""Counting tokens, without an upstream, an account or a usage record.

Works while no account is ready, because clients plan their context with it (spec/translation.md §6.4).
"""

from __future__ import annotations

from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.types import ClientRequest, ClientStream
from translation.codec import Codec, TokenCounter, WireContext
from translation.errors import GatewayBug, GatewayError


async def count_tokens(gateway: Gateway, codec: Codec, request: ClientRequest, client: ClientStream) -> None:
    """Answer one count; failures leave in the client's dialect."""
    headers = {"content-type": "application/json", **request.id_headers}
    try:
        if not isinstance(codec, TokenCounter):
            raise GatewayBug(f"The codec {codec.name} has a counting route, but cannot count.")
        context = WireContext(
            headers=request.headers, path=request.path, params=request.params,
            query=request.query, now_s=gateway.clock(), ids=gateway.ids,
        )  # fmt: skip
        counted = codec.countable(codec.open_request(request.body, context))
    except GatewayError as error:
        error.request_id = request.request_id
        refusal = codec.encode_error(error)
        await client.reply(refusal.status, {**headers, **refusal.headers}, refusal.body)
        return
    tokens = await gateway.tokenizer.count(counted.texts)
    total = counted.estimate() if tokens is None else counted.fixed + tokens
    await client.reply(200, headers, codec.encode_count(total))
