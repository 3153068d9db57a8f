"""The auth server: PKCE, rotation of refresh tokens, device login, F19 and F23."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from providers.simulator.faults import VARIANTS, Fault
from providers.simulator.tokens import AUTH_CLAIM, CLIENT_ID, decode_claims, mint_access_token

pytestmark = pytest.mark.asyncio
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT = "http://localhost:1455/auth/callback"


def authorize_url(sim, **changes):
    fields = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT,
        "scope": "openid profile email offline_access",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "s1",
    } | changes
    return f"{sim.auth_url}/oauth/authorize?" + "&".join(
        f"{name}={quote(value, safe='')}" for name, value in fields.items()
    )


async def refresh(c, token, **kwargs):
    body = {"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": token}
    return await c.http.post(f"{c.sim.auth_url}/oauth/token", json=body, **kwargs)


async def test_a_login_goes_from_authorize_to_tokens_once(client):
    async with client() as c:
        reply = await c.http.get(authorize_url(c.sim))
        target = urlsplit(reply.headers["location"])
        given = parse_qs(target.query)
        assert given["state"] == ["s1"]
        form = {
            "grant_type": "authorization_code",
            "code": given["code"][0],
            "redirect_uri": REDIRECT,
            "client_id": CLIENT_ID,
            "code_verifier": VERIFIER,
        }
        tokens = (await c.http.post(f"{c.sim.auth_url}/oauth/token", data=form)).json()
        claims = decode_claims(tokens["access_token"])
        assert claims[AUTH_CLAIM]["chatgpt_account_id"] == c.account.chatgpt_account_id
        assert decode_claims(tokens["id_token"])["email"] == "sim-1@example.com"
        assert tokens["refresh_token"].startswith("rt_")
        again = await c.http.post(f"{c.sim.auth_url}/oauth/token", data=form)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_a_wrong_verifier_redirect_or_scope_encoding_is_refused(client):
    async with client() as c:
        assert (await c.http.get(authorize_url(c.sim, redirect_uri="http://localhost:9999/x"))).status_code == 400
        plus = authorize_url(c.sim).replace("openid%20profile", "openid+profile")
        assert "AuthApiFailure" in (await c.http.get(plus)).text
        code = parse_qs(urlsplit((await c.http.get(authorize_url(c.sim))).headers["location"]).query)["code"][0]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "client_id": CLIENT_ID,
            "code_verifier": "wrong",
        }
        assert (await c.http.post(f"{c.sim.auth_url}/oauth/token", data=form)).status_code == 400


async def test_refresh_tokens_rotate_and_are_good_once(client):
    async with client() as c:
        old = c.account.refresh_token
        old_access = c.account.access_token
        first = await refresh(c, old)
        assert first.status_code == 200
        assert first.json()["access_token"] != old_access
        assert first.json()["refresh_token"] != old
        second = await refresh(c, old)
        assert (second.status_code, second.json()["error"]["code"]) == (401, "refresh_token_reused")
        assert c.sim.counters["refresh.reused"] == 1
        form = {"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": c.account.refresh_token}
        assert (await c.http.post(f"{c.sim.auth_url}/oauth/token", data=form)).status_code == 200
        assert c.account.refreshes == 2


async def test_a_grace_period_and_left_out_fields_can_be_set(client):
    async with client(refresh_grace_s=60) as c:
        old = c.account.refresh_token
        first, second = await refresh(c, old), await refresh(c, old)
        assert first.json()["refresh_token"] == second.json()["refresh_token"]
    async with client(omit_from_refresh=frozenset({"refresh_token", "id_token"})) as c:
        old = c.account.refresh_token
        assert set((await refresh(c, old)).json()) == {"access_token", "token_type", "expires_in", "scope"}
        assert (await refresh(c, old)).status_code == 200


async def test_an_empty_or_unknown_refresh_token_is_refused(client):
    async with client(strict_accounts=True) as c:
        empty = await refresh(c, "")
        assert (empty.status_code, "empty string" in empty.text) == (400, True)
        assert (await refresh(c, "rt_nobody")).json()["error"] == "invalid_grant"
    async with client() as c:
        stranger = (await refresh(c, "rt_from_elsewhere")).json()
        assert decode_claims(stranger["access_token"])[AUTH_CLAIM]["chatgpt_account_id"]
        assert (await refresh(c, "rt_from_elsewhere")).json()["error"]["code"] == "refresh_token_reused"


async def test_an_imported_login_keeps_its_account_when_it_refreshes(client):
    async with client() as c:
        minted = mint_access_token("ws-import", user_id="user-i", now=c.sim.clock())
        reply = await c.http.get(f"{c.sim.codex_base_url}/wham/usage", headers={"authorization": f"Bearer {minted}"})
        assert reply.status_code == 200
        renewed = (await refresh(c, "rt_imported")).json()
        assert decode_claims(renewed["access_token"])[AUTH_CLAIM]["chatgpt_account_id"] == "ws-import"


async def test_a_device_login_is_pending_until_it_is_approved(client):
    async with client(device_approve_after=None) as c:
        base = f"{c.sim.auth_url}/api/accounts/deviceauth"
        start = (await c.http.post(f"{base}/usercode", json={"client_id": CLIENT_ID})).json()
        assert isinstance(start["interval"], str)
        poll = {"device_auth_id": start["device_auth_id"], "user_code": start["user_code"]}
        assert (await c.http.post(f"{base}/token", json=poll)).status_code == 403
        assert c.sim.approve_device(start["user_code"], account="sim-2")
        granted = (await c.http.post(f"{base}/token", json=poll)).json()
        form = {
            "grant_type": "authorization_code",
            "code": granted["authorization_code"],
            "client_id": CLIENT_ID,
            "redirect_uri": "https://auth.openai.com/deviceauth/callback",
            "code_verifier": granted["code_verifier"],
        }
        tokens = (await c.http.post(f"{c.sim.auth_url}/oauth/token", data=form)).json()
        assert decode_claims(tokens["id_token"])["email"] == "sim-2@example.com"
        assert (await c.http.post(f"{base}/token", json=poll)).status_code == 404


async def test_a_device_login_approves_itself_in_a_demo(client):
    async with client(device_approve_after=1) as c:
        base = f"{c.sim.auth_url}/api/accounts/deviceauth"
        start = (await c.http.post(f"{base}/usercode", json={"client_id": CLIENT_ID})).json()
        poll = {"device_auth_id": start["device_auth_id"], "user_code": start["user_code"]}
        statuses = [(await c.http.post(f"{base}/token", json=poll)).status_code for _ in range(2)]
        assert statuses == [403, 200]


@pytest.mark.parametrize(
    ("variant", "status", "word"),
    [
        ("500", 500, "server_error"),
        ("cloudflare", 403, "Just a moment"),
        ("invalid_grant", 400, "invalid_grant"),
        ("app_session_terminated", 401, "app_session_terminated"),
        ("refresh_token_expired", 401, "refresh_token_expired"),
        ("429", 429, "rate_limit_exceeded"),
    ],
)
async def test_f19_refuses_a_refresh_without_spending_the_token(client, variant, status, word):
    assert variant in VARIANTS["F19"]
    async with client() as c:
        c.sim.faults.add(Fault("F19", variant))
        reply = await refresh(c, c.account.refresh_token)
        assert (reply.status_code, word in reply.text) == (status, True)
        assert (await refresh(c, c.account.refresh_token)).status_code == 200


async def test_f19_can_spend_the_token_and_lose_the_reply(client):
    async with client() as c:
        old = c.account.refresh_token
        c.sim.faults.add(Fault("F19", "lost_reply"))
        with pytest.raises(httpx.HTTPError):
            await refresh(c, old)
        assert (await refresh(c, old)).json()["error"]["code"] == "refresh_token_reused"


async def test_f23_hands_out_tokens_that_are_over(client, say):
    async with client() as c:
        c.sim.faults.add(Fault("F23", "exp_past", route="token", seconds=3))
        await refresh(c, c.account.refresh_token)
        reply = await c.post(say.call_body())
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "token_expired")


async def test_an_expired_access_token_is_refused_until_it_is_refreshed(client, say):
    async with client() as c:
        c.account.expire_access_token()
        assert (await c.post(say.call_body())).json()["error"]["code"] == "token_expired"
        await refresh(c, c.account.refresh_token)
        assert (await c.post(say.call_body())).status_code == 200


async def test_a_revoked_login_is_over(client, say):
    async with client() as c:
        body = {"token": c.account.refresh_token, "token_type_hint": "refresh_token", "client_id": CLIENT_ID}
        assert (await c.http.post(f"{c.sim.auth_url}/oauth/revoke", json=body)).status_code == 200
        assert (await c.post(say.call_body())).status_code == 401
