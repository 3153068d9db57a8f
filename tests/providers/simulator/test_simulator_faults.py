"""Every fault class bites where it says, as often as it says, for whom it says."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from providers.simulator.faults import VARIANTS, Fault, FaultBoard

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("code", "variant", "status", "words"),
    [
        ("F1", "both", 429, "resets_in_seconds"),
        ("F1", "none", 429, "usage_limit_reached"),
        ("F1", "past", 429, "resets_at"),
        ("F2", "ms", 429, "try again in 28ms"),
        ("F2", "seconds", 429, "try again in 20 seconds"),
        ("F3", "capacity", 429, "at capacity"),
        ("F3", "usage_not_included", 429, "usage_not_included"),
        ("F4", "token_expired", 401, "token_expired"),
        ("F4", "account_deactivated", 401, "account_deactivated"),
        ("F4", "unauthorized", 401, '{"detail":"Unauthorized"}'),
        ("F5", "detail", 402, "deactivated_workspace"),
        ("F6", "challenge", 403, "Just a moment"),
        ("F6", "ban", 403, "suspended"),
        ("F6", "region", 403, "unsupported_country_region_territory"),
        ("F7", "empty", 404, ""),
        ("F7", "json", 404, "Not Found"),
        ("F8", "context_length", 400, "context_length_exceeded"),
        ("F8", "model_unsupported", 400, "'gpt-5.5' model is not supported"),
        ("F9", "502", 502, "<html>"),
        ("F9", "503", 503, "server_is_overloaded"),
        ("F9", "520", 520, "520"),
    ],
)
async def test_status_faults_have_the_status_and_words_of_the_backend(client, say, code, variant, status, words):
    async with client() as c:
        c.sim.faults.add(Fault(code, variant))
        reply = await c.post(say.call_body())
        assert (reply.status_code, words in reply.text) == (status, True)
        assert ("cf-mitigated" in reply.headers) == (variant == "challenge")
        assert ("x-codex-primary-used-percent" in reply.headers) == (status == 429)
        assert (await c.post(say.call_body())).status_code == 200
        assert c.sim.received[0].faults == [f"{code}:{variant}"]


async def test_all_variants_of_the_status_faults_can_be_sent(client, say):
    async with client() as c:
        for number in range(1, 10):
            for variant in VARIANTS[f"F{number}"]:
                c.sim.faults.add(Fault(f"F{number}", variant))
                assert (await c.post(say.call_body())).status_code >= 400


async def test_the_reset_of_a_429_is_told_the_same_in_body_and_headers(client, say):
    async with client() as c:
        c.sim.faults.add(Fault("F1", seconds=120))
        reply = await c.post(say.call_body())
    told = reply.json()["error"]
    assert told["resets_in_seconds"] == 120
    assert str(told["resets_at"]) == reply.headers["x-codex-primary-reset-at"]
    assert float(reply.headers["x-codex-primary-used-percent"]) == 100


async def test_a_fault_counts_its_times_and_keeps_to_its_account(client, say):
    async with client() as c:
        other = c.sim.accounts.find("sim-2")
        c.sim.faults.add(Fault("F9", "500", times=2, account="sim-2"))
        c.sim.faults.add(Fault("F7", times=None, account=c.account.chatgpt_account_id, route="usage"))
        assert (await c.post(say.call_body())).status_code == 200
        statuses = [(await c.post(say.call_body(), account=other)).status_code for _ in range(3)]
        assert statuses == [500, 500, 200]
        assert (await c.get("/backend-api/wham/usage")).status_code == 404
        c.sim.faults.clear()
        assert (await c.get("/backend-api/wham/usage")).status_code == 200


async def test_only_one_fatal_fault_bites_a_call_and_probability_is_seeded():
    board = FaultBoard(seed=1)
    board.add(Fault("F1"))
    board.add(Fault("F12", after="text"))
    board.add(Fault("F14", "crlf"))
    assert board.draw("responses").names == ["F1:both", "F14:crlf"]
    assert board.draw("responses").names == ["F12:fin"]
    board.add(Fault("F1", times=None, probability=0.5))
    hits = sum(bool(board.draw("responses")) for _ in range(200))
    assert 70 < hits < 130


async def test_unknown_faults_are_refused():
    for wrong in (
        {"code": "F99"},
        {"code": "F1", "variant": "sideways"},
        {"code": "F12", "after": "lunch"},
        {"code": "F1", "after": "text"},
    ):
        with pytest.raises(ValueError):
            Fault(**wrong)


@pytest.mark.parametrize(
    ("after", "last"),
    [
        ("start", None),
        ("created", "response.in_progress"),
        ("reasoning", "response.output_item.done"),
        ("text", "response.output_text.delta"),
        ("item", "response.output_item.done"),
    ],
)
async def test_f10_fails_inside_the_stream_at_the_chosen_point(client, say, after, last):
    async with client() as c:
        c.sim.faults.add(Fault("F10", "server_is_overloaded", after=after))
        events = await c.events("hi", reasoning={"effort": "low", "summary": "auto"})
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["code"] == "server_is_overloaded"
    assert events[-1]["sequence_number"] == len(events) - 1
    assert (events[-2]["type"] if len(events) > 1 else None) == last


async def test_f10_can_be_an_error_event_in_both_forms(client):
    async with client() as c:
        c.sim.faults.add(Fault("F10", "slow_down", after="created", form="error"))
        assert (await c.events())[-1]["error"]["code"] == "slow_down"
        c.sim.faults.add(Fault("F10", "slow_down", after="created", form="flat"))
        assert (await c.events())[-1]["code"] == "slow_down"


async def test_f11_answers_200_without_a_stream(client, say):
    async with client() as c:
        c.sim.faults.add(Fault("F11", "json_body"))
        assert (await c.post(say.call_body())).json()["detail"]
        c.sim.faults.add(Fault("F11", "empty_body"))
        reply = await c.post(say.call_body())
        assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize(
    ("variant", "after", "seen", "unseen"),
    [
        ("fin", "start", b"", b"response"),
        ("rst", "start", b"", b"response"),
        ("fin", "created", b"response.in_progress", b"output_item"),
        ("rst", "created", b"response.in_progress", b"output_item"),
        ("fin", "reasoning", b'"type":"reasoning"', b"output_text"),
        ("rst", "text", b"output_text.delta", b"output_text.done"),
        ("fin", "item", b"response.output_item.done", b"response.completed"),
        ("mid_event", "text", b"output_text.delta", b"response.completed"),
    ],
)
async def test_f12_breaks_the_connection_at_the_chosen_point(client, variant, after, seen, unseen):
    async with client() as c:
        c.sim.faults.add(Fault("F12", variant, after=after))
        raw, problem = await c.broken("hi", reasoning={"effort": "low"})
        assert isinstance(problem, httpx.ReadError if variant == "rst" else httpx.RemoteProtocolError)
        assert seen in raw
        assert unseen not in raw
        assert (await c.events())[-1]["type"] == "response.completed"


async def test_f12_can_end_inside_a_character_or_end_cleanly_without_a_terminal_event(client, say):
    async with client() as c:
        c.sim.faults.add(Fault("F12", "mid_utf8", after="text"))
        raw, problem = await c.broken()
        assert isinstance(problem, httpx.RemoteProtocolError)
        with pytest.raises(UnicodeDecodeError):
            raw.decode()
        c.sim.faults.add(Fault("F12", "clean_end", after="text"))
        reply = await c.post(say.call_body())
        assert say.parse_sse(reply.text)[-1]["type"] == "response.output_text.delta"


async def test_f13_is_silent_for_as_long_as_it_is_told(client, say):
    async with client() as c:
        for variant, after in (("no_headers", "start"), ("silence", "start"), ("silence", "text")):
            c.sim.faults.add(Fault("F13", variant, after=after, seconds=0.2))
            began = time.monotonic()
            async with c.http.stream(
                "POST", f"{c.sim.codex_base_url}/codex/responses", json=say.call_body(), headers=c.headers()
            ) as reply:
                to_headers = time.monotonic() - began
                raw = (await reply.aread()).decode()
            assert (to_headers >= 0.2) == (variant == "no_headers")
            assert time.monotonic() - began >= 0.2
            assert say.parse_sse(raw)[-1]["type"] == "response.completed"


async def test_f13_drips_one_byte_at_a_time(client, say):
    async with client(reply="ok") as c:
        c.sim.faults.add(Fault("F13", "drip", tick=0.0))
        assert say.text_of(await c.events()) == "ok"


@pytest.mark.parametrize("variant", VARIANTS["F14"])
async def test_f14_makes_noise_that_a_tolerant_reader_survives(client, say, variant):
    async with client() as c:
        c.sim.faults.add(Fault("F14", variant, size_mb=1))
        raw, problem = await c.broken()
    assert problem is None
    assert say.text_of(say.parse_sse(raw.decode())) == "PONG-42 all done."
    expected = {
        "crlf": raw.count(b"\r\n\r\n") > 5,
        "comments": b"\n: ping\n" in raw,
        "keepalive": b'"type":"keepalive"' in raw,
        "multiline": b'created",\ndata: "sequence' in raw,
        "no_event_name": b"event:" not in raw,
        "unknown_event": b"response.hologram.delta" in raw,
        "huge": len(raw) > 1024 * 1024,
        "bytewise": True,
        "no_final_blank": not raw.endswith(b"\n"),
        "done_marker": raw.endswith(b"data: [DONE]\n\n"),
    }
    assert expected[variant]


async def test_f14_variants_can_be_joined(client):
    async with client() as c:
        c.sim.faults.add(Fault("F14", "crlf+comments+no_event_name"))
        raw, _ = await c.broken()
    assert b": ping\r\n" in raw
    assert b"event:" not in raw


async def test_f16_spoils_the_completed_event(client):
    async with client() as c:
        final = {}
        for variant in VARIANTS["F16"]:
            c.sim.faults.add(Fault("F16", variant))
            final[variant] = (await c.events())[-1]
    assert final["no_usage"]["response"]["usage"] is None
    assert final["null_details"]["response"]["usage"]["input_tokens_details"] is None
    assert final["non_empty_output"]["response"]["output"][0]["type"] == "message"
    assert final["incomplete"]["type"] == "response.incomplete"


async def test_f17_calls_tools_oddly(client, say):
    tool = {
        "type": "function",
        "name": "bash",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    }
    seen = {}
    async with client() as c:
        for variant in VARIANTS["F17"]:
            c.sim.faults.add(Fault("F17", variant))
            seen[variant] = await c.events("[[SH:ls]] [[PARALLEL:2]]", tools=[tool])
    assert not any("arguments" in event["type"] for event in seen["args_only_done"])
    assert say.items_of(seen["empty_args"])[0]["arguments"] == "{}"
    assert len(say.items_of(seen["duplicate_done"])) == 4
    kinds = [event["type"].rsplit(".", 1)[-1] + str(event.get("output_index")) for event in seen["interleaved"][2:-1]]
    assert kinds[:6] == ["added0", "added1", "delta0", "delta1", "delta0", "delta1"]
    for events in seen.values():
        assert [event["sequence_number"] for event in events] == list(range(len(events)))


async def test_f18_spoils_the_quota_headers(client, say):
    async with client() as c:
        got = {}
        for variant in VARIANTS["F18"]:
            c.sim.faults.add(Fault("F18", variant))
            got[variant] = (await c.post(say.call_body())).headers
    assert not any(name.startswith("x-codex-primary") for name in got["missing"])
    assert got["malformed"]["x-codex-primary-used-percent"] == "lots"
    assert got["nan"]["x-codex-primary-used-percent"] == "NaN"
    assert "x-codex-primary-used-percent" not in got["only_secondary"]
    assert "x-codex-secondary-used-percent" in got["only_secondary"]
    assert got["extra_family"]["x-codex-moonfish-primary-used-percent"] == "55.5"
    assert got["weekly_primary"]["x-codex-primary-window-minutes"] == "10080"
    assert "x-codex-secondary-window-minutes" not in got["weekly_primary"]


async def test_f20_spoils_the_usage_endpoint(client):
    async with client() as c:
        path = "/backend-api/wham/usage"
        c.sim.faults.add(Fault("F20", "401"))
        assert (await c.get(path)).status_code == 401
        c.sim.faults.add(Fault("F20", "html"))
        assert "<html>" in (await c.get(path)).text
        c.sim.faults.add(Fault("F20", "null_windows"))
        assert (await c.get(path)).json()["rate_limit"]["primary_window"] is None
        await c.get(path)
        c.account.primary.used_percent = 50
        c.sim.faults.add(Fault("F20", "stale"))
        assert (await c.get(path)).json()["rate_limit"]["primary_window"]["used_percent"] == 0
        assert (await c.get(path)).json()["rate_limit"]["primary_window"]["used_percent"] == 50
        c.sim.faults.add(Fault("F20", "numeric_times"))
        listed = (await c.get("/backend-api/wham/rate-limit-reset-credits")).json()
        assert isinstance(listed["credits"][0]["granted_at"], int)


async def test_f21_spoils_the_catalogue(client):
    async with client() as c:
        path = "/backend-api/codex/models?client_version=0.169.0"
        plain = await c.get(path)
        c.sim.faults.add(Fault("F21", "empty"))
        assert (await c.get(path)).json() == {"models": []}
        c.sim.faults.add(Fault("F21", "changed_etag"))
        assert (await c.get(path)).headers["etag"] != plain.headers["etag"]
        c.sim.faults.add(Fault("F21", "unknown_fields"))
        assert "hologram_support" in (await c.get(path)).json()["models"][0]
        c.sim.faults.add(Fault("F21", "model_removed", model="gpt-5.5"))
        assert "gpt-5.5" not in [row["slug"] for row in (await c.get(path)).json()["models"]]


async def test_f22_fails_as_a_proxy_fails(client):
    async with client() as c:
        proxied = httpx.AsyncClient(proxy=c.sim.base_url, trust_env=False)
        echo = f"{c.sim.base_url}/?format=json"
        async with proxied:
            assert (await proxied.get(echo)).json() == {"ip": "203.0.113.7"}
            c.sim.faults.add(Fault("F22", "407", route="connect"))
            assert (await proxied.get(echo)).status_code == 407
            c.sim.faults.add(Fault("F22", "refuse", route="connect"))
            with pytest.raises(httpx.HTTPError):
                await proxied.get(echo)
            c.sim.faults.add(Fault("F22", "tls_failure", route="connect"))
            with pytest.raises(httpx.HTTPError):
                await proxied.get("https://127.0.0.1:1/")
        c.sim.faults.add(Fault("F22", "ip_not_json", route="ip"))
        assert "<html>" in (await c.http.get(echo)).text


async def test_a_tunnel_reaches_loopback_and_nothing_else(client):
    async with client() as c:
        reader, writer = await asyncio.open_connection("127.0.0.1", c.sim.port)
        writer.write(f"CONNECT 127.0.0.1:{c.sim.port} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert b"200" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /?format=json HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", c.sim.port)
        writer.write(b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"403" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_f23_shifts_the_clock(client, say):
    async with client() as c:
        c.sim.faults.add(Fault("F23", "reset_far", route="responses"))
        far = int((await c.post(say.call_body())).headers["x-codex-primary-reset-at"])
        assert far - time.time() > 366 * 86_400


async def test_f24_sets_and_punishes_cookies(client, say):
    async with client() as c:
        path = "/backend-api/codex/models?client_version=0.169.0"
        plain = await c.get(path)
        assert "__cf_bm" in plain.cookies
        c.sim.faults.add(Fault("F24", "max_age_zero"))
        assert "Max-Age=0" in (await c.get(path)).headers["set-cookie"]
        c.sim.faults.add(Fault("F24", "cf_bm_replay", times=None))
        c.http.cookies.clear()
        assert (await c.post(say.call_body())).status_code == 200
        reply = await c.post(say.call_body(), cookie="__cf_bm=old")
        assert (reply.status_code, reply.content) == (404, b"")


async def test_a_marker_can_ask_for_a_fault_and_limit_it(client, say):
    async with client() as c:
        failed = await c.events("[[FAULT:F10 variant=server_error after=text]]")
        assert failed[-1]["response"]["error"]["code"] == "server_error"
        statuses = [(await c.post(say.call_body("[[FAULT:F9 variant=500 times=2]]"))).status_code for _ in range(3)]
        assert statuses == [500, 500, 200]
        assert (await c.post(say.call_body("[[FAULT:F1 variant=in seconds=7]]"))).json()["error"][
            "resets_in_seconds"
        ] == 7
