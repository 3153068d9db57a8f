"""A model call over SSE: the ladder of events, headers, usage, markers."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import time

import pytest
import zstandard

pytestmark = pytest.mark.asyncio
PROOF = {"reasoning": {"effort": "medium", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}


async def test_a_plain_prompt_gets_the_whole_ladder_in_order(client, say):
    async with client() as c:
        events = await c.events()
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert say.text_of(events) == "PONG-42 all done."
    final = events[-1]["response"]
    assert final["output"] == []
    assert final["usage"]["total_tokens"] == final["usage"]["input_tokens"] + final["usage"]["output_tokens"]
    assert all("obfuscation" in event for event in events if event["type"].endswith(".delta"))


async def test_reasoning_comes_first_and_its_final_proof_differs_from_the_first(client, say):
    async with client() as c:
        events = await c.events("[[REASON:Let me see.]] hi", **PROOF)
        silent = await c.events("[[REASON:Let me see.]] hi", reasoning={"effort": "low"})
        none = await c.events("[[REASON:x]] hi", reasoning={"effort": "none"})
    first = next(event["item"] for event in events if event["type"] == "response.output_item.added")
    final = say.items_of(events)[0]
    assert first["id"] == final["id"]
    assert first["encrypted_content"] != final["encrypted_content"]
    assert final["summary"] == [{"type": "summary_text", "text": "Let me see."}]
    assert events[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] > 0
    assert say.items_of(silent)[0]["summary"] == []
    assert not any("summary" in event["type"] for event in silent)
    assert [item["type"] for item in say.items_of(none)] == ["message"]


async def test_quota_routing_and_request_headers_are_those_of_the_backend(client):
    async with client() as c:
        c.account.primary.used_percent = 42.5
        reply = await c.post({**_body("hi")})
    headers = reply.headers
    assert headers["x-codex-primary-used-percent"] == "42.5"
    assert headers["x-codex-primary-window-minutes"] == "300"
    assert headers["x-codex-secondary-window-minutes"] == "10080"
    assert headers["x-codex-credits-has-credits"] == "False"
    assert headers["openai-model"] == "gpt-5.5"
    assert headers["x-models-etag"].startswith('W/"')
    assert headers["cf-ray"]
    assert headers["x-request-id"]
    assert len(headers["x-codex-turn-state"]) == 292


def _body(text, **fields):
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return {"model": "gpt-5.5", "instructions": "", "input": [message], "store": False, "stream": True, **fields}


async def test_a_turn_state_that_comes_back_is_not_issued_again_and_a_foreign_one_is_counted(client):
    async with client() as c:
        state = (await c.post(_body("hi"))).headers["x-codex-turn-state"]
        again = await c.post(_body("hi"), **{"x-codex-turn-state": state})
        assert "x-codex-turn-state" not in again.headers
        assert c.sim.counters["violation.turn_state_foreign"] == 0
        other = c.sim.accounts.find("sim-2")
        await c.post(_body("hi"), account=other, **{"x-codex-turn-state": state})
        assert c.sim.counters["violation.turn_state_foreign"] == 1


async def test_the_models_etag_of_a_call_is_that_of_the_catalogue(client):
    async with client() as c:
        listed = await c.get("/backend-api/codex/models?client_version=0.169.0")
        reply = await c.post(_body("hi"), version="0.169.0")
    assert listed.headers["etag"] == reply.headers["x-models-etag"]


async def test_spark_calls_use_their_own_bucket(client):
    async with client() as c:
        c.account.primary.used_percent = 100
        c.account.spark.primary.used_percent = 7
        reply = await c.post(_body("hi", model="gpt-5.3-codex-spark"))
        plain = await c.post(_body("hi"))
    assert reply.status_code == 200
    assert reply.headers["x-codex-bengalfox-primary-used-percent"] == "7"
    assert reply.headers["x-codex-active-limit"] == "codex_bengalfox"
    assert plain.status_code == 429
    assert plain.json()["error"]["type"] == "usage_limit_reached"
    assert plain.headers["x-codex-primary-used-percent"] == "100"


async def test_cached_tokens_follow_the_longest_common_prefix_per_account_and_key(client, say):
    async with client() as c:
        first = [say.user("word " * 400)]

        async def cached(items, account=None, **fields):
            reply = await c.post(say.call_body(items, **fields), account=account)
            return say.parse_sse(reply.text)[-1]["response"]["usage"]["input_tokens_details"]["cached_tokens"]

        assert await cached(first, prompt_cache_key="k") == 0
        assert await cached([*first, say.user("more")], prompt_cache_key="k") >= 500
        assert await cached([*first, say.user("other")], prompt_cache_key="k") >= 500
        assert await cached([say.user("changed"), *first], prompt_cache_key="k") < 20
        assert await cached(first, prompt_cache_key="other") == 0
        assert await cached(first, c.sim.accounts.find("sim-2"), prompt_cache_key="k") == 0


async def test_compressed_bodies_are_read_and_recorded_as_text(client):
    async with client() as c:
        raw = json.dumps(_body("[[SAY:squeezed]]")).encode()
        packed = {"gzip": gzip.compress(raw), "zstd": zstandard.ZstdCompressor(level=3).compress(raw)}
        for name, data in packed.items():
            headers = c.headers() | {"content-type": "application/json", "content-encoding": name, "X-Odd-Case": "1"}
            reply = await c.http.post(f"{c.sim.codex_base_url}/codex/responses", content=data, headers=headers)
            assert "squeezed" in reply.text
        last = c.sim.received[-1]
        assert last.json()["model"] == "gpt-5.5"
        assert ("X-Odd-Case", "1") in last.headers
        assert last.account_id == "sim-1"
        bad = await c.http.post(
            f"{c.sim.codex_base_url}/codex/responses",
            content=raw,
            headers=c.headers() | {"content-type": "application/json", "content-encoding": "br"},
        )
        assert bad.status_code == 415


async def test_markers_shape_the_answer(client, say):
    async with client() as c:
        assert say.text_of(await c.events("please [[SAY:exactly this]] now")) == "exactly this"
        refused = await c.events("[[REFUSE:No.]]")
        assert any(event["type"] == "response.refusal.done" and event["refusal"] == "No." for event in refused)
        cut = await c.events("[[SAY:half]] [[INCOMPLETE:content_filter]]")
        assert cut[-1]["type"] == "response.incomplete"
        assert cut[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}
        counted = await c.events("[[USAGE:5000,7]]")
        assert counted[-1]["response"]["usage"]["total_tokens"] == 5007
        stream = await c.events("[[STREAM:25x1ms]]")
        assert say.text_of(stream) == "".join(f" tok{n:05d}" for n in range(25))
        search = await c.events("[[SEARCH:weather]]")
        assert [item["type"] for item in say.items_of(search)] == ["web_search_call", "message"]
        rerouted = await c.post(_body("[[MODEL:gpt-5.4]]"))
        assert rerouted.headers["openai-model"] == "gpt-5.4"


async def test_stamped_deltas_carry_the_moment_they_were_sent(client, say):
    async with client() as c:
        text = say.text_of(await c.events("[[STREAM:5x2ms ts]]"))
    stamps = [int(part.split("@")[1]) for part in text.split()]
    assert stamps == sorted(stamps)
    assert 0 < stamps[-1] - stamps[0] < 5_000_000


async def test_an_image_is_a_real_picture_and_only_in_the_finished_item(client, say):
    async with client() as c:
        events = await c.events("[[IMAGE:32x16]]", tools=[{"type": "image_generation", "partial_images": 1}])
    item = say.items_of(events)[0]
    assert base64.b64decode(item["result"]).startswith(b"\x89PNG")
    assert item["size"] == "32x16"
    assert events[-1]["response"]["output"] == []
    assert events[-1]["response"]["tool_usage"]["image_gen"]["output_tokens"] > 0
    assert sum(event["type"].endswith("partial_image") for event in events) == 1


async def test_structured_output_satisfies_its_schema(client, say):
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "count", "kind", "tags", "when", "child"],
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer", "minimum": 3},
            "kind": {"enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "when": {"type": "string", "format": "date"},
            "child": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/leaf"}]},
        },
        "$defs": {
            "leaf": {
                "type": "object",
                "additionalProperties": False,
                "required": ["ok"],
                "properties": {"ok": {"type": "boolean"}},
            }
        },
    }
    form = {"type": "json_schema", "name": "x", "strict": True, "schema": schema}
    async with client() as c:
        answer = json.loads(say.text_of(await c.events("hi", text={"format": form})))
        loose = json.loads(say.text_of(await c.events("json please", text={"format": {"type": "json_object"}})))
    assert answer == {
        "name": "demo",
        "count": 3,
        "kind": "a",
        "tags": ["demo", "demo"],
        "when": "2026-01-01",
        "child": {"ok": False},
    }
    assert loose == {"reply": "PONG-42 all done."}


async def test_a_compaction_trigger_gets_exactly_one_compaction_item(client, say, capture):
    async with client() as c:
        body = capture("lite_compaction_trigger")
        for item in body["input"]:
            item.pop("encrypted_content", None)
        events = say.parse_sse((await c.post(body)).text)
    assert [item["type"] for item in say.items_of(events)] == ["compaction"]
    assert events[-1]["type"] == "response.completed"


async def test_compact_answers_one_json_document(client, say):
    async with client() as c:
        url = f"{c.sim.codex_base_url}/codex/responses/compact"
        body = {"model": "gpt-5.5", "instructions": "", "input": [say.user("long talk")]}
        reply = (await c.http.post(url, json=body, headers=c.headers())).json()
        assert reply["object"] == "response.compaction"
        assert reply["output"][-1]["type"] == "compaction"
        following = await c.post(say.call_body([*reply["output"], say.user("go on")]))
        assert following.status_code == 200
        assert (await c.http.post(url, json={**body, "stream": True}, headers=c.headers())).status_code == 400


async def test_unpaced_deltas_leave_fast(client):
    async with client() as c:
        await c.events("[[STREAM:100x0ms]]")
        reader, writer = await asyncio.open_connection("127.0.0.1", c.sim.port, limit=2**24)
        body = json.dumps(_body("[[STREAM:20000x0ms]]")).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in c.headers().items())
        writer.write(
            f"POST /backend-api/codex/responses HTTP/1.1\r\nhost: x\r\n{head}content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        began = time.perf_counter()
        await reader.readuntil(b"response.completed")
        elapsed = time.perf_counter() - began
        writer.close()
    # 30,000 a second is the goal on a quiet machine; the floor here only catches a change of magnitude.
    assert 20_000 / elapsed > 5_000


async def test_a_client_that_does_not_read_is_not_written_to_without_end(client):
    async with client() as c:
        sock = socket.create_connection(("127.0.0.1", c.sim.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps(_body("[[STREAM:60000x0ms]]")).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in c.headers().items())
        sock.sendall(
            f"POST /backend-api/codex/responses HTTP/1.1\r\nhost: x\r\n{head}content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await asyncio.sleep(0.5)
        connection = next(iter(c.sim._live))
        held = connection._transport.get_write_buffer_size()
        assert held < 512 * 1024
        assert c.sim.counters["streams.completed"] == 0
        sock.close()
        for _ in range(50):
            await asyncio.sleep(0.02)
            if c.sim.counters["streams.aborted_by_client"] or c.sim.counters["streams.broken_off"]:
                break
        else:
            raise AssertionError("the abort was not noticed")


async def test_too_many_calls_of_one_account_are_refused_when_a_cap_is_set(client):
    async with client(max_in_flight=1) as c:
        slow = asyncio.create_task(c.post(_body("[[WAIT:300ms]]")))
        await asyncio.sleep(0.1)
        assert (await c.post(_body("hi"))).status_code == 429
        assert (await slow).status_code == 200
        assert c.sim.counters["peak_in_flight.sim-1"] == 2
