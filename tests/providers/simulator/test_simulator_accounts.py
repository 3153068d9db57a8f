"""Accounts, models, usage, reset credits, files, feeds, the control interface and the command line."""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from pathlib import Path

import httpx
import pytest

from providers.simulator.server import Simulator, run_in_thread
from providers.simulator.tokens import mint_access_token

ROOT = Path(__file__).parents[3]


async def test_a_token_minted_elsewhere_registers_its_account_unless_the_registry_is_strict(client, say):
    async with client(accounts=0) as c:
        token = mint_access_token("11111111-2222-4333-8444-555555555555", plan="pro", now=c.sim.clock())
        reply = await c.http.post(
            f"{c.sim.codex_base_url}/codex/responses",
            json=say.call_body(),
            headers={"authorization": f"Bearer {token}"},
        )
        assert reply.headers["x-codex-plan-type"] == "pro"
        assert c.sim.received[-1].account_id == "11111111-2222-4333-8444-555555555555"
    async with client(strict_accounts=True) as c:
        headers = {"authorization": f"Bearer {token}"}
        assert (await c.http.get(f"{c.sim.codex_base_url}/wham/usage", headers=headers)).status_code == 401


async def test_a_missing_or_broken_token_is_told_apart(client):
    async with client() as c:
        url = f"{c.sim.codex_base_url}/wham/usage"
        assert (await c.http.get(url)).json() == {"detail": "Unauthorized"}
        broken = await c.http.get(url, headers={"authorization": "Bearer abc"})
        assert broken.json()["detail"].startswith("Could not parse your authentication token")


@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        ("expired", 401, "token_expired"),
        ("invalidated", 401, "token_invalidated"),
        ("deactivated", 401, "account_deactivated"),
        ("forbidden", 403, "suspended"),
        ("challenged", 403, "Just a moment"),
    ],
)
async def test_the_state_of_an_account_shows_on_every_call(client, say, state, status, word):
    async with client() as c:
        c.account.state = state
        for reply in (await c.post(say.call_body()), await c.get("/backend-api/wham/usage")):
            assert (reply.status_code, word in reply.text) == (status, True)


async def test_a_token_with_anothers_workspace_is_refused_and_counted(client, say):
    async with client() as c:
        reply = await c.post(say.call_body(), **{"chatgpt-account-id": "not-mine"})
        assert reply.status_code == 401
        assert c.sim.counters["violation.workspace_mismatch"] == 1


async def test_models_are_gated_by_client_version_and_plan(client):
    async with client() as c:
        path = "/backend-api/codex/models"
        missing = await c.get(path)
        assert (missing.status_code, "client_version" in missing.json()["error"]["message"]) == (400, True)
        low = await c.get(f"{path}?client_version=0.1.0")
        high = await c.get(f"{path}?client_version=999.0.0")
        assert low.json() == {"models": []}
        assert low.headers["etag"] != high.headers["etag"]
        slugs = [row["slug"] for row in high.json()["models"]]
        assert "gpt-5.5" in slugs
        assert "gpt-6.1-sol" in slugs
        assert len(high.content) > 250_000
        c.account.plan = "free"
        assert "gpt-5.4" not in (await c.get(f"{path}?client_version=1.0.0")).text.split('"upgrade"')[0]


async def test_usage_is_the_same_under_every_base(client):
    async with client() as c:
        c.account.primary.used_percent = 12
        bodies = [
            (await c.get(path)).json()
            for path in ("/backend-api/wham/usage", "/backend-api/codex/usage", "/api/codex/usage")
        ]
    assert bodies[0]["rate_limit"]["primary_window"]["used_percent"] == 12
    assert bodies[0]["rate_limit"]["primary_window"]["limit_window_seconds"] == 18_000
    assert bodies[0]["rate_limit"]["secondary_window"]["limit_window_seconds"] == 604_800
    assert [body["plan_type"] for body in bodies] == ["plus"] * 3


async def test_quota_fills_with_use_and_empties_when_its_window_is_over():
    now = 1_787_000_000.0
    sim = Simulator(accounts=[{"percent_per_request": 60}], clock=lambda: now)
    account = next(iter(sim.accounts))
    account.bucket.spend(60, now)
    account.bucket.spend(60, now)
    assert account.bucket.blocking(now) is account.primary
    now += 300 * 60 + 1
    assert account.bucket.blocking(now) is None
    assert account.primary.used_percent == 0
    assert account.secondary.used_percent == 20


async def test_a_reset_credit_is_redeemed_once_and_idempotently(client):
    async with client() as c:
        base = f"{c.sim.codex_base_url}/wham/rate-limit-reset-credits"
        listed = (await c.get("/backend-api/wham/rate-limit-reset-credits")).json()
        assert listed["available_count"] == 1
        assert listed["credits"][0]["granted_at"].endswith("Z")

        async def consume(key):
            body = {"redeem_request_id": key}
            return (await c.http.post(f"{base}/consume", json=body, headers=c.headers())).json()

        assert (await consume(str(uuid.uuid4())))["code"] == "nothing_to_reset"
        c.account.primary.used_percent = 100
        key = str(uuid.uuid4())
        assert await consume(key) == await consume(key)
        assert c.account.primary.used_percent == 0
        assert (await consume(str(uuid.uuid4())))["code"] == "no_credit"


async def test_files_images_feeds_and_the_workspace_check_answer(client):
    async with client() as c:
        base = c.sim.codex_base_url
        meta = {"file_name": "a.txt", "file_size": 2, "use_case": "codex"}
        made = (await c.http.post(f"{base}/files", json=meta, headers=c.headers())).json()
        done_url = f"{base}/files/{made['file_id']}/uploaded"
        assert (await c.http.post(done_url, json={}, headers=c.headers())).json()["status"] == "retry"
        await c.http.put(made["upload_url"], content=b"hi", headers={"x-ms-blob-type": "BlockBlob"})
        assert (await c.http.post(done_url, json={}, headers=c.headers())).json()["status"] == "success"
        image = await c.http.post(
            f"{base}/codex/images/generations", json={"prompt": "x", "size": "16x16"}, headers=c.headers()
        )
        assert image.json()["size"] == "16x16"
        assert "shortVersionString>26.800.1<" in (await c.http.get(f"{c.sim.origin}/appcast.xml")).text
        assert (await c.get("/@openai/codex/latest")).json()["version"] == "0.169.0"
        check = (await c.get("/backend-api/wham/accounts/check")).json()["accounts"][0]
        assert check["id"] == c.account.chatgpt_account_id
        assert (await c.get("/backend-api/ps/plugins/installed")).status_code == 404


async def test_everything_can_be_controlled_over_http(client, say):
    async with client() as c:
        control = f"{c.sim.origin}/__sim"
        await c.http.post(f"{control}/faults", json={"code": "F1", "times": 1, "account": "sim-1", "seconds": 9})
        assert (await c.post(say.call_body())).json()["error"]["resets_in_seconds"] == 9
        assert (await c.http.post(f"{control}/faults", json={"code": "F77"})).status_code == 400
        await c.http.post(f"{control}/faults", json=[{"code": "F9"}, {"code": "F2"}])
        await c.http.delete(f"{control}/faults")
        assert (await c.post(say.call_body())).status_code == 200
        received = (await c.http.get(f"{control}/received?route=responses")).json()["received"]
        assert [entry["status"] for entry in received] == [429, 200]
        accounts = (await c.http.get(f"{control}/accounts")).json()["accounts"]
        assert accounts[0]["auth_json"]["tokens"]["access_token"] == c.account.access_token
        await c.http.post(f"{control}/accounts", json={"id": "sim-1", "state": "forbidden"})
        assert (await c.post(say.call_body())).status_code == 403
        added = await c.http.post(
            f"{control}/accounts", json={"id": "extra", "plan": "pro", "primary_used_percent": 80}
        )
        assert (added.json()["plan"], added.json()["primary_used_percent"]) == ("pro", 80)
        assert (await c.http.get(f"{control}/counters")).json()["route.responses"] == 3


async def test_pipelined_requests_are_answered_in_order(client):
    async with client() as c:
        reader, writer = await asyncio.open_connection("127.0.0.1", c.sim.port)
        writer.write(b"GET /?format=json HTTP/1.1\r\nhost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}")
        assert b"404" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"nonsense\r\n\r\n")
        await reader.readuntil(b"400 Bad Request")
        writer.close()


def test_a_simulator_in_a_thread_serves_code_that_is_not_asynchronous():
    with run_in_thread(accounts=1) as sim:
        account = next(iter(sim.accounts))
        reply = httpx.get(
            f"{sim.codex_base_url}/wham/usage",
            trust_env=False,
            headers={"authorization": f"Bearer {account.access_token}"},
        )
        assert reply.status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(sim.base_url, trust_env=False)


async def test_the_command_line_says_when_it_listens_and_stops_at_once():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "providers.simulator",
        "--port",
        "0",
        "--reply",
        "PONG",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert line.startswith("simulated upstream on http://127.0.0.1:")
    async with httpx.AsyncClient(trust_env=False) as http:
        origin = line.split()[-1]
        account = (await http.get(f"{origin}/__sim/accounts")).json()["accounts"][0]
        body = {"model": "gpt-5.5", "input": [{"role": "user", "content": "hi"}], "store": False, "stream": True}
        reply = await http.post(
            f"{origin}/backend-api/codex/responses",
            json=body,
            headers={"authorization": f"Bearer {account['access_token']}"},
        )
        assert "PONG" in reply.text
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0
