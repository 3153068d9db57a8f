"""The auth server: authorize, token, revoke, device login (wire.md §7).

Authorization is approved without asking. Codes, verifiers and refresh tokens are single-use and checked; fault F19
spoils the token endpoint, F23 the lifetime of what it hands out.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import orjson

from providers.simulator.accounts import SimAccount, iso
from providers.simulator.failures import CHALLENGE_HTML, Failure, Refused, error
from providers.simulator.faults import Fault
from providers.simulator.headers import edge_headers
from providers.simulator.http import Exchange
from providers.simulator.recorder import ReceivedRequest
from providers.simulator.tokens import CLIENT_ID

if TYPE_CHECKING:
    from providers.simulator.server import Simulator

REDIRECTS = ("http://localhost:1455/auth/callback", "http://localhost:1457/auth/callback")
DEVICE_REDIRECT = "https://auth.openai.com/deviceauth/callback"
CODE_LIFETIME_S = 300
DEVICE_LIFETIME_S = 900
SCOPE = "openid profile email offline_access"

_PERMANENT = {
    "refresh_token_reused": (
        401,
        "Your refresh token has already been used to generate a new access token. Please try signing in again.",
    ),
    "refresh_token_expired": (401, "Your refresh token has expired. Please try signing in again."),
    "refresh_token_invalidated": (401, "Your refresh token has been invalidated. Please try signing in again."),
    "app_session_terminated": (401, "Your session has ended. Please try signing in again."),
    "account_deactivated": (401, "Your OpenAI account has been deactivated."),
}


@dataclass
class Grant:
    """A login under way: an authorization code, or a device waiting for its user."""

    account: SimAccount | None
    redirect_uri: str
    challenge: str
    expires_at: float
    verifier: str = ""
    user_code: str = ""
    polls: int = 0
    is_approved: bool = False


class LoginDesk:
    """Codes and device logins that are not used up yet."""

    def __init__(self) -> None:
        self.codes: dict[str, Grant] = {}
        self.devices: dict[str, Grant] = {}


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _fields(exchange: Exchange, record: ReceivedRequest) -> dict[str, str]:
    """Return the body's fields, JSON or form."""
    if (exchange.header("content-type") or "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(record.body.decode(), keep_blank_values=True))
    try:
        body = orjson.loads(record.body or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(Failure(400, {"error": "invalid_request", "error_description": "The body is not readable."}))
    return {name: value if isinstance(value, str) else str(value) for name, value in body.items()}


async def authorize(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Approve at once and redirect with a code."""
    params = exchange.params
    redirect = params.get("redirect_uri", "")
    scope = next((part for part in exchange.query.split("&") if part.startswith("scope=")), "")
    problem = None
    if params.get("client_id") != CLIENT_ID or params.get("response_type") != "code":
        problem = "invalid_client"
    elif "+" in scope:
        problem = "AuthApiFailure"
    elif sim.options.strict_redirect and redirect not in REDIRECTS:
        problem = "invalid_redirect_uri"
    elif params.get("code_challenge_method") != "S256" or not params.get("code_challenge"):
        problem = "invalid_request"
    if problem:
        page = f"<html><body><h1>Oops</h1><p>An error occurred: {problem}</p></body></html>"
        exchange.reply(400, page.encode(), [("content-type", "text/html"), *edge_headers(sim.ids, sim.clock())])
        return
    account = sim.accounts.find(params.get("login_hint", "")) or next(iter(sim.accounts), None) or sim.accounts.add()
    code = f"ac_{sim.ids.hex(40)}"
    sim.logins.codes[code] = Grant(account, redirect, params["code_challenge"], sim.clock() + CODE_LIFETIME_S)
    target = f"{redirect}?{urlencode({'code': code, 'scope': SCOPE, 'state': params.get('state', '')})}"
    exchange.reply(302, b"", [("location", target), *edge_headers(sim.ids, sim.clock())])


async def token(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Exchange a code, a refresh token or a device's code for tokens."""
    fields = _fields(exchange, record)
    kind = fields.get("grant_type")
    if kind == "refresh_token":
        await _refresh(sim, exchange, record, fields)
        return
    if kind != "authorization_code":
        raise Refused(Failure(400, {"error": "unsupported_grant_type", "error_description": f"Unknown grant {kind}"}))
    grant = sim.logins.codes.pop(fields.get("code", ""), None)
    if grant is None or grant.expires_at < sim.clock() or grant.account is None:
        raise Refused(_invalid_grant("The authorization code is invalid, expired or was used before."))
    redirects = {grant.redirect_uri}
    if grant.user_code:  # the official client builds it from the issuer it is configured with: here, that is us
        redirects.add(f"{sim.origin}/deviceauth/callback")
    if fields.get("redirect_uri") not in redirects or fields.get("client_id") != CLIENT_ID:
        raise Refused(_invalid_grant("redirect_uri or client_id do not match the authorization request."))
    if _challenge(fields.get("code_verifier", "")) != grant.challenge:
        raise Refused(_invalid_grant("The code verifier does not match the challenge."))
    sim.recorder.attribute(record, grant.account.id)
    grant.account.mint(_lifetime(sim, record, grant.account))
    grant.account.rotate_refresh_token()
    _hand_out(sim, exchange, grant.account, frozenset())


def _invalid_grant(text: str) -> Failure:
    return Failure(400, {"error": "invalid_grant", "error_description": text})


def _lifetime(sim: Simulator, record: ReceivedRequest, account: SimAccount) -> float | None:
    skew = sim.draw(record, account, only=frozenset({"F23"})).get("F23")
    return -float(skew.params.get("seconds", 5)) if skew is not None and skew.has("exp_past") else None


def _hand_out(sim: Simulator, exchange: Exchange, account: SimAccount, omit: frozenset[str]) -> None:
    body: dict[str, Any] = {
        "id_token": account.id_token,
        "access_token": account.access_token,
        "refresh_token": account.refresh_token,
        "token_type": "Bearer",
        "expires_in": int(account.lifetime_s),
        "scope": SCOPE,
    }
    kept = {name: value for name, value in body.items() if name not in omit}
    exchange.reply_json(200, kept, edge_headers(sim.ids, sim.clock()))


async def _refresh(sim: Simulator, exchange: Exchange, record: ReceivedRequest, fields: dict[str, str]) -> None:
    given = fields.get("refresh_token", "")
    if not given:
        raise Refused(
            error(
                "invalid_request",
                "Invalid 'refresh_token': empty string. Expected a string with minimum "
                "length 1, but got an empty string instead.",
                param="refresh_token",
            )
        )
    if fields.get("client_id") != CLIENT_ID:
        raise Refused(Failure(401, {"error": "invalid_client", "error_description": "Unknown client."}))
    account = sim.accounts.by_refresh_token(given)
    if account is None:
        raise Refused(_invalid_grant("The refresh token is not known."))
    sim.recorder.attribute(record, account.id)
    sim.counters["refresh.attempts"] += 1
    fault = sim.draw(record, account, only=frozenset({"F19"})).get("F19")
    if fault is not None and await _refused_by_fault(exchange, fault):
        return
    if _is_replay(sim, account, given):
        _hand_out(sim, exchange, account, sim.options.omit_from_refresh)
        return
    account.mint(_lifetime(sim, record, account))
    account.refreshes += 1
    if "refresh_token" not in sim.options.omit_from_refresh:
        account.rotate_refresh_token()
    if account.state == "expired":
        account.state = "ok"
    if fault is not None and fault.has("lost_reply"):
        # The token is spent, but the client never learns its successor.
        await asyncio.sleep(float(fault.params.get("seconds", 0)))
        exchange.connection.reset()
        return
    _hand_out(sim, exchange, account, sim.options.omit_from_refresh)


def _is_replay(sim: Simulator, account: SimAccount, given: str) -> bool:
    """Refuse a login that is over; return whether a spent token comes back within the grace period."""
    if account.state == "deactivated":
        raise Refused(_permanent("account_deactivated"))
    if account.state == "invalidated":
        raise Refused(_permanent("app_session_terminated"))
    spent_at = account.spent_refresh_tokens.get(given)
    if spent_at is not None and sim.clock() - spent_at > sim.options.refresh_grace_s:
        sim.counters["refresh.reused"] += 1
        raise Refused(_permanent("refresh_token_reused"))
    return spent_at is not None


def _permanent(code: str) -> Failure:
    status, text = _PERMANENT[code]
    return error(code, text, status=status)


async def _refused_by_fault(exchange: Exchange, fault: Fault) -> bool:
    """Refuse as F19 asks; return False when the refresh shall go on."""
    variant = fault.variant or ""
    if variant in _PERMANENT:
        raise Refused(_permanent(variant))
    match variant:
        case "500" | "503":
            raise Refused(error("server_error", "Something went wrong.", status=int(variant), kind="server_error"))
        case "429":
            raise Refused(error("rate_limit_exceeded", "Too many requests.", status=429))
        case "cloudflare":
            raise Refused(Failure(403, CHALLENGE_HTML, [("cf-mitigated", "challenge")]))
        case "invalid_grant":
            raise Refused(_invalid_grant("The refresh token is not valid."))
        case "rst":
            exchange.connection.reset()
            return True
        case "slow":
            await asyncio.sleep(float(fault.params.get("seconds", 5)))
    return False


async def revoke(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Kill a token."""
    given = _fields(exchange, record).get("token", "")
    for account in sim.accounts:
        if given == account.refresh_token:
            account.rotate_refresh_token()
            account.refresh_token = None
            account.expire_access_token()
        elif given == account.access_token:
            account.expire_access_token()
    exchange.reply_json(200, {}, edge_headers(sim.ids, sim.clock()))


async def device_start(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Begin a device login."""
    if _fields(exchange, record).get("client_id") != CLIENT_ID:
        raise Refused(Failure(404, {"detail": "Not Found"}))
    raw = sim.ids.hex(24).upper()
    user_code = f"{raw[:4]}-{raw[-5:]}"
    device_id = f"deviceauth_{sim.ids.hex(32)}"
    verifier = sim.ids.hex(64)
    until = sim.clock() + DEVICE_LIFETIME_S
    sim.logins.devices[device_id] = Grant(None, DEVICE_REDIRECT, _challenge(verifier), until, verifier, user_code)
    exchange.reply_json(
        200,
        {
            "device_auth_id": device_id,
            "user_code": user_code,
            "interval": sim.options.device_interval,
            "expires_at": iso(until),
        },
    )


async def device_poll(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Tell a device whether its user has approved: 403 means not yet."""
    fields = _fields(exchange, record)
    grant = sim.logins.devices.get(fields.get("device_auth_id", ""))
    if grant is None or grant.user_code != fields.get("user_code") or grant.expires_at < sim.clock():
        raise Refused(Failure(404, {"error": {"message": "Device code not found.", "code": "deviceauth_not_found"}}))
    grant.polls += 1
    limit = sim.options.device_approve_after
    if limit is not None and grant.polls > limit:
        grant.is_approved = True
    if not grant.is_approved:
        raise Refused(error("deviceauth_authorization_pending", "Device authorization is pending.", status=403))
    del sim.logins.devices[fields["device_auth_id"]]
    grant.account = grant.account or next(iter(sim.accounts), None) or sim.accounts.add()
    code = f"ac_{sim.ids.hex(40)}"
    sim.logins.codes[code] = grant
    exchange.reply_json(
        200, {"authorization_code": code, "code_challenge": grant.challenge, "code_verifier": grant.verifier}
    )


async def device_page(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Show the page where a user would type the code; `?code=` approves it."""
    code = exchange.params.get("code", "")
    said = "approved" if sim.approve_device(code) else "Enter the code your device shows as ?code=…"
    exchange.reply(
        200, f"<html><body><h1>Device login</h1><p>{said}</p></body></html>".encode(), [("content-type", "text/html")]
    )
