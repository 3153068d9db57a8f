"""Responses over WebSocket: handshake, one turn at a time, continuation, lifetime, F15."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets

from providers.simulator.faults import Fault

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_a_turn_sends_metadata_first_and_then_the_same_ladder(client, say, compression):
    async with client() as c, c.socket(compression=compression) as ws:
        frames = await c.turn(ws, "[[SAY:héllo]] " + "x" * 70_000)
        assert [frame["type"] for frame in frames[:3]] == [
            "codex.rate_limits",
            "codex.response.metadata",
            "response.created",
        ]
        assert frames[0]["rate_limits"]["primary"]["window_minutes"] == 300
        assert len(frames[1]["headers"]["x-codex-turn-state"]) == 292
        assert frames[2]["sequence_number"] == 0
        assert say.text_of(frames) == "héllo"
        assert c.sim.requests_to("websocket")[-1].method == "WS"


async def test_an_echoed_turn_state_is_not_issued_again(client):
    async with client() as c, c.socket() as ws:
        state = (await c.turn(ws))[1]["headers"]["x-codex-turn-state"]
        frames = await c.turn(ws, client_metadata={"x-codex-turn-state": state})
        assert "x-codex-turn-state" not in frames[1]["headers"]


async def test_the_handshake_needs_its_opt_in_header_and_a_good_token(client):
    async with client() as c:
        for headers, status in (
            ({"openai-beta": "responses=experimental"}, 426),
            ({"openai-beta": "responses_websockets=2026-02-04"}, 400),
            ({"authorization": "Bearer nonsense"}, 401),
        ):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with c.socket(headers=headers):
                    pass
            assert refused.value.response.status_code == status


async def test_a_continuation_is_good_only_for_the_latest_response_of_its_own_socket(client, say):
    tool = {
        "type": "function",
        "name": "bash",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    }
    async with client() as c, c.socket() as ws, c.socket() as other:
        warm = (await c.turn(ws, "context", generate=False))[-1]
        assert warm["response"]["output"] == []
        first = await c.turn(ws, "[[SH:ls]]", tools=[tool], previous_response_id=warm["response"]["id"])
        call = say.items_of(first)[0]
        answer = [{"type": "function_call_output", "call_id": call["call_id"], "output": "ok"}]
        latest = first[-1]["response"]["id"]
        lost = await c.turn(other, answer, previous_response_id=latest)
        assert lost[-1]["error"]["code"] == "previous_response_not_found"
        assert lost[-1]["status"] == 400
        done = await c.turn(ws, answer, previous_response_id=latest)
        assert say.text_of(done) == "PONG-42 all done."
        stale = await c.turn(ws, "more", previous_response_id=latest)
        assert stale[-1]["error"]["code"] == "previous_response_not_found"


async def test_a_continuation_must_answer_its_calls_and_a_failure_evicts_it(client, say):
    tool = {
        "type": "function",
        "name": "bash",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    }
    async with client() as c, c.socket() as ws:
        first = await c.turn(ws, "[[SH:ls]]", tools=[tool])
        latest = first[-1]["response"]["id"]
        unanswered = await c.turn(ws, "never mind", previous_response_id=latest)
        assert "No tool output found for function call call_" in unanswered[-1]["error"]["message"]
        evicted = await c.turn(ws, "hi", previous_response_id=latest)
        assert evicted[-1]["error"]["code"] == "previous_response_not_found"


async def test_a_second_call_while_one_is_under_way_is_refused(client):
    async with client() as c, c.socket() as ws:
        body = {
            "type": "response.create",
            "model": "gpt-5.5",
            "store": False,
            "stream": True,
            "input": [{"role": "user", "content": "[[WAIT:200ms]]"}],
        }
        await ws.send(json.dumps(body))
        await ws.send(json.dumps(body))
        frame = json.loads(await ws.recv())
        assert (frame["type"], frame["error"]["code"]) == ("error", "websocket_request_in_progress")
        assert c.sim.counters["violation.concurrent_turn"] == 1


async def test_acknowledgements_are_ignored_and_nonsense_is_an_error(client):
    async with client() as c, c.socket() as ws:
        await ws.send(json.dumps({"type": "response.processed", "response_id": "resp_1"}))
        await ws.send(json.dumps({"type": "session.update"}))
        assert json.loads(await ws.recv())["type"] == "error"
        await (await ws.ping())


async def test_a_socket_ends_when_its_lifetime_is_over(client):
    async with client(ws_lifetime_s=0.05) as c, c.socket() as ws:
        await asyncio.sleep(0.1)
        frames = await c.turn(ws)
        assert frames[-1]["error"]["code"] == "websocket_connection_limit_reached"
        with pytest.raises(websockets.ConnectionClosed):
            await ws.recv()


async def test_a_message_that_is_too_big_closes_with_1009(client):
    async with client(ws_message_limit=100_000) as c, c.socket() as ws:
        with pytest.raises(websockets.ConnectionClosed):
            await c.turn(ws, "x" * 200_000)
        assert ws.close_code == 1009


async def test_an_aborted_socket_stops_its_stream(client):
    async with client() as c:
        async with c.socket() as ws:
            await ws.send(
                json.dumps(
                    {
                        "type": "response.create",
                        "model": "gpt-5.5",
                        "store": False,
                        "input": [{"role": "user", "content": "[[STREAM:1000x20ms]]"}],
                    }
                )
            )
            await ws.recv()
        await asyncio.sleep(0.05)
        assert c.sim.counters["streams.aborted_by_client"] + c.sim.counters["streams.broken_off"] == 1


@pytest.mark.parametrize(
    ("variant", "status"),
    [("refuse_401", 401), ("refuse_403", 403), ("refuse_426", 426), ("refuse_429", 429), ("refuse_503", 503)],
)
async def test_f15_refuses_the_upgrade(client, variant, status):
    async with client() as c:
        c.sim.faults.add(Fault("F15", variant))
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with c.socket():
                pass
        assert refused.value.response.status_code == status
        async with c.socket() as ws:
            assert (await c.turn(ws))[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("variant", "code"), [("close_1000", 1000), ("close_1006", 1006), ("close_1011", 1011), ("close_1009", 1009)]
)
@pytest.mark.parametrize("after", ["start", "text"])
async def test_f15_closes_the_socket(client, variant, code, after):
    async with client() as c, c.socket() as ws:
        c.sim.faults.add(Fault("F15", variant, after=after))
        with pytest.raises(websockets.ConnectionClosed):
            await c.turn(ws)
        assert ws.close_code == code


async def test_f15_varies_the_error_frame(client):
    async with client() as c, c.socket() as ws:
        frames = {}
        for variant in ("status_code", "body_error", "top_level"):
            c.sim.faults.add(Fault("F15", variant))
            frames[variant] = (await c.turn(ws))[-1]
        assert frames["status_code"]["status_code"] == 429
        assert "status" not in frames["status_code"]
        assert frames["body_error"]["body"]["error"]["type"] == "usage_limit_reached"
        assert frames["top_level"]["code"] == "server_is_overloaded"
        c.sim.faults.add(Fault("F15", "binary"))
        with pytest.raises((TypeError, AssertionError, KeyError, asyncio.TimeoutError)):
            await asyncio.wait_for(_binary(c, ws), 1)


async def _binary(c, ws):
    await ws.send(
        json.dumps(
            {"type": "response.create", "model": "gpt-5.5", "store": False, "input": [{"role": "user", "content": "x"}]}
        )
    )
    frame = await ws.recv()
    assert isinstance(frame, str)


async def test_f15_reaches_the_connection_limit_at_the_start_and_in_the_middle(client):
    async with client() as c:
        for after in ("start", "text"):
            async with c.socket() as ws:
                c.sim.faults.add(Fault("F15", "limit", after=after))
                frames = await c.turn(ws)
                assert frames[-1]["error"]["code"] == "websocket_connection_limit_reached"
                assert any(frame["type"] == "response.output_text.delta" for frame in frames) == (after == "text")


async def test_f15_falls_silent_after_the_metadata_or_stops_to_pong(client):
    async with client() as c, c.socket() as ws:
        c.sim.faults.add(Fault("F15", "metadata_silence", seconds=0.1))
        assert (await c.turn(ws))[-1]["type"] == "response.completed"
        c.sim.faults.add(Fault("F15", "no_pong"))
        await c.turn(ws)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(await ws.ping(), 0.1)


async def test_stream_and_status_faults_bite_on_sockets_too(client):
    async with client() as c:
        async with c.socket() as ws:
            c.sim.faults.add(Fault("F1"))
            frame = (await c.turn(ws))[-1]
            assert (frame["status"], frame["error"]["type"]) == (429, "usage_limit_reached")
            assert frame["headers"]["x-codex-primary-used-percent"] == "100.0"
            c.sim.faults.add(Fault("F10", "server_error", after="text"))
            assert (await c.turn(ws))[-1]["type"] == "response.failed"
            c.sim.faults.add(Fault("F12", "rst", after="text", transport="websocket"))
            with pytest.raises(websockets.ConnectionClosed):
                await c.turn(ws)
        c.sim.faults.add(Fault("F1", transport="http"))
        async with c.socket() as ws:
            assert (await c.turn(ws))[-1]["type"] == "response.completed"


async def test_a_simulator_without_websockets_says_426(client):
    async with client(websockets=False) as c:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with c.socket():
                pass
        assert refused.value.response.status_code == 426
