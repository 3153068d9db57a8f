"""`POST /codex/responses` over SSE, and `/responses/compact` (wire.md §1.2, §1.4).

Reads top to bottom: refuse, or answer with a ladder of events. Faults that replace the whole reply (F11, F12 and F13
at the start) bite here. Next: `calls.py` for what is accepted, `playback.py` for how it is sent.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from providers.simulator.accounts import SimAccount
from providers.simulator.calls import Prepared, authenticate, models_etag, prepare, status_failure, turn_state
from providers.simulator.failures import FAILURES, Refused, Scene, detail
from providers.simulator.faults import Drawn
from providers.simulator.headers import cookie_headers, edge_headers, quota_headers, spent_headers
from providers.simulator.http import Exchange
from providers.simulator.playback import SseSink, play
from providers.simulator.recorder import ReceivedRequest
from providers.simulator.scenario import Compaction, Plan
from providers.simulator.sealed import seal
from providers.simulator.validation import check_history, check_request

if TYPE_CHECKING:
    from providers.simulator.server import Simulator


def read_json(exchange: Exchange, record: ReceivedRequest) -> Any:
    """Return the body as JSON; the content type is mandatory."""
    kind = (exchange.header("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(detail("Unsupported content type"))
    try:
        return orjson.loads(record.body)
    except ValueError:
        raise Refused(detail("Invalid JSON body")) from None


async def respond(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Answer one model call."""
    account = authenticate(sim, exchange.header)
    sim.recorder.attribute(record, account.id)
    faults = sim.draw(record, account)
    with sim.in_flight(account):
        await _answer(sim, exchange, record, account, faults)


async def _answer(
    sim: Simulator, exchange: Exchange, record: ReceivedRequest, account: SimAccount, faults: Drawn
) -> None:
    # 1. What the board says against the whole request.
    if "F24" in faults and faults["F24"].has("cf_bm_replay") and "__cf_bm" in (exchange.header("cookie") or ""):
        exchange.reply(404, b"", edge_headers(sim.ids, sim.clock()))
        return
    failure = status_failure(sim, faults, account, _peek(record.body))
    if failure is not None:
        sim.refuse(exchange, failure, spent_headers(account, sim.clock(), faults))
        return
    if sim.is_crowded(account):
        sim.refuse(exchange, FAILURES["F2"]["s"](Scene(plan=account.plan)), [])
        return
    # 2. What validation says, then the plan.
    body = read_json(exchange, record)
    try:
        call = prepare(sim, account, body, faults, surface="http", header=exchange.header)
    except Refused as refused:
        bucket = (
            account.spark if "spark" in str(body.get("model") if isinstance(body, dict) else "") else account.bucket
        )
        quota = (
            spent_headers(account, sim.clock(), faults)
            if "F1" in faults
            else quota_headers(account, bucket, sim.clock(), faults)
        )
        sim.refuse(exchange, refused.failure, quota)
        return
    record.faults = faults.names
    # 3. Faults at the very start, then the stream.
    if await _broken_at_start(sim, exchange, call):
        return
    await asyncio.sleep(call.plan.wait_s + sim.options.first_event_s)
    headers = [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        *edge_headers(sim.ids, sim.clock()),
        *call.headers,
    ]
    issued = turn_state(sim, account, exchange.header("x-codex-turn-state"))
    if issued is not None:
        headers.append(("x-codex-turn-state", issued))
    if "F24" in faults:
        headers += cookie_headers(sim.ids, faults, is_secure=sim.options.tls is not None)
    exchange.start(200, [*headers, *sim.options.extra_headers])
    await _stream(sim, exchange, call)


def _peek(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None


async def _broken_at_start(sim: Simulator, exchange: Exchange, call: Prepared) -> bool:
    faults = call.faults
    silent = faults.get("F13")
    if silent is not None and silent.has("no_headers"):
        await asyncio.sleep(float(silent.params.get("seconds", 30)))
    cut = faults.get("F12")
    if cut is not None and cut.after == "start" and (cut.has("fin") or cut.has("rst")):
        (exchange.connection.reset if cut.has("rst") else exchange.connection.hang_up)()
        return True
    whole = faults.get("F11")
    if whole is None:
        return False
    edge = edge_headers(sim.ids, sim.clock())
    if whole.has("empty_body"):
        exchange.reply(200, b"", [("content-type", "text/event-stream"), *edge])
    elif whole.has("error_json"):
        exchange.reply_json(200, {"error": {"message": "upstream went wrong", "code": "server_error"}}, edge)
    else:
        exchange.reply_json(200, {"detail": "The stream is not available"}, edge)
    return True


async def _stream(sim: Simulator, exchange: Exchange, call: Prepared) -> None:
    sim.counters["streams.started"] += 1
    outcome = "aborted_by_client"
    try:
        is_whole = await play(call.ladder, SseSink(exchange, call.faults))
        outcome = "completed" if is_whole else "broken_off"
        if is_whole:
            exchange.finish()
    finally:
        sim.counters[f"streams.{outcome}"] += 1


async def compact(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Answer a history compaction."""
    account = authenticate(sim, exchange.header)
    sim.recorder.attribute(record, account.id)
    faults = sim.draw(record, account)
    body = read_json(exchange, record)
    failure = status_failure(sim, faults, account, body)
    if failure is not None:
        raise Refused(failure)
    check_request(body, account, surface="compact", version=exchange.header("version"))
    check_history(body["input"], account)
    kept = [item for item in body["input"] if item.get("role") == "user"][-8:]
    blob = seal(account.chatgpt_account_id, now=sim.clock(), nonce=sim.ids.number(), blocks=24)
    tokens, cached = sim.cache.count(account.id, body, body["input"])
    output = [*kept, {"type": "compaction", "id": sim.ids.item("cmp"), "encrypted_content": blob}]
    headers = [
        *edge_headers(sim.ids, sim.clock()),
        *quota_headers(account, account.bucket, sim.clock(), faults),
        ("x-models-etag", models_etag(account, exchange.header("version"))),
    ]
    if sim.options.compact_as_sse:
        stream = {**body, "store": False, "stream": True, "input": [*body["input"], {"type": "compaction_trigger"}]}
        call = prepare(sim, account, stream, faults, surface="http", header=exchange.header)
        assert call.plan == Plan([Compaction()])
        exchange.start(200, [("content-type", "text/event-stream"), *headers])
        await _stream(sim, exchange, call)
        return
    usage = {
        "input_tokens": tokens,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": 32,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens + 32,
    }
    exchange.reply_json(
        200,
        {
            "id": sim.ids.item("resp"),
            "object": "response.compaction",
            "created_at": int(sim.clock()),
            "status": "completed",
            "output": output,
            "usage": usage,
        },
        headers,
    )
