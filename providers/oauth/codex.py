"""The ChatGPT log-in flows of Codex, as generators: refresh, authorization code with PKCE, device code. Pure.

Drive them with `contract.drive` and something that moves bytes (`client.py`). Facts: spec/wire.md §7, taken 2026-08.
Must never retry: whether a request may be repeated is the driver's caller's decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from msgspec import Struct

from providers.contract import Secret
from providers.oauth import pkce
from providers.oauth.answers import MAX_QUOTED_CHARS, classify, parse_json, read_tokens
from providers.oauth.contract import Flow, OAuthError, OAuthRequest, Refused, TokenSet, Unavailable

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
REDIRECT_URI = "http://localhost:1455/auth/callback"
SCOPE = "openid profile email offline_access"
ORIGINATOR = "codex_cli_rs"
DEVICE_LIFETIME_S = 900.0
MAX_CALLBACK_CHARS = 8_000
DEVICE_INTERVAL_S = 5.0
_JSON = (("content-type", "application/json"), ("accept", "application/json"))
_FORM = (("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json"))


def form_encode(fields: Mapping[str, str]) -> str:
    """Encode with `%20` for spaces: the authorize page refuses `+`."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in fields.items())


# ---- refresh -------------------------------------------------------------------------------------------------------


def refresh_flow(refresh_token: Secret, auth_url: str, headers: tuple[tuple[str, str], ...] = ()) -> Flow[TokenSet]:
    """Spend a refresh token. Raises: Refused, Unavailable (also for a success without an access token)."""
    body = {"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
    response = yield OAuthRequest(
        method="POST",
        url=f"{auth_url}/oauth/token",
        headers=(*_JSON, ("originator", ORIGINATOR), *headers),
        body=msgspec.json.encode(body),
    )
    tokens = read_tokens(response)
    if tokens.access_token is None and tokens.refresh_token is None:
        raise Unavailable("The log-in server answered without tokens; it will be asked again.")
    return tokens


# ---- authorization code --------------------------------------------------------------------------------------------


def authorize_url(auth_url: str, *, challenge: str, state: str) -> str:
    """Return the address a person opens in a browser to log in."""
    query = form_encode(
        {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "scope": SCOPE,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "id_token_add_organizations": "true",
            "codex_cli_simplified_flow": "true",
            "state": state,
            "originator": ORIGINATOR,
        }
    )
    return f"{auth_url}/oauth/authorize?{query}"


class LoginDenied(OAuthError):
    """The browser came back with a refusal; `state` says of which log-in."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class Callback(Struct, frozen=True, kw_only=True):
    """What the browser brought back."""

    code: Secret
    state: str


def parse_callback(url: str) -> Callback:
    """Read a pasted callback address. Raises: LoginDenied, OAuthError with words for the person who pasted it."""
    if len(url) > MAX_CALLBACK_CHARS:
        raise OAuthError("This is not the address of a callback page: it is too long.")
    try:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url.strip()).query, max_num_fields=50).items()}
    except ValueError as error:
        raise OAuthError("This is not the address of a callback page.") from error
    code, state = query.get("code", ""), query.get("state", "").split(".onboarding_entrypoint=")[0]
    if "error" in query:
        said = (query.get("error_description") or query["error"])[:MAX_QUOTED_CHARS].rstrip(".")
        raise LoginDenied(f"The log-in was refused: {said}.", state)
    if not code or not state:
        raise OAuthError("The address holds no code and state; copy it whole from the browser's address bar.")
    return Callback(code=Secret(code), state=state)


def challenge_of(verifier: Secret) -> str:
    """Return what the address carries of a verifier."""
    return pkce.challenge_of(verifier.reveal())


def exchange_flow(code: Secret, verifier: Secret, auth_url: str, redirect_uri: str = REDIRECT_URI) -> Flow[TokenSet]:
    """Exchange a code for tokens. Raises: Refused, Unavailable."""
    fields = {
        "grant_type": "authorization_code",
        "code": code.reveal(),
        "redirect_uri": redirect_uri,
        "client_id": CLIENT_ID,
        "code_verifier": verifier.reveal(),
    }
    response = yield OAuthRequest(
        method="POST", url=f"{auth_url}/oauth/token", headers=_FORM, body=form_encode(fields).encode()
    )
    tokens = read_tokens(response)
    if tokens.access_token is None:
        raise Unavailable("The log-in server answered without an access token; start the log-in again.")
    return tokens


# ---- device code ---------------------------------------------------------------------------------------------------


class DeviceCode(Struct, frozen=True, kw_only=True):
    """What a person types, where, and how often to ask. Durations in seconds."""

    device_auth_id: Secret
    user_code: str
    verification_url: str
    interval_s: float = DEVICE_INTERVAL_S
    lifetime_s: float = DEVICE_LIFETIME_S


class DeviceApproval(Struct, frozen=True, kw_only=True):
    """The person agreed; exchange this."""

    code: Secret
    verifier: Secret


def device_start_flow(auth_url: str) -> Flow[DeviceCode]:
    """Begin a device log-in. Raises: Refused when the account's settings forbid it, Unavailable."""
    response = yield OAuthRequest(
        method="POST",
        url=f"{auth_url}/api/accounts/deviceauth/usercode",
        headers=_JSON,
        body=msgspec.json.encode({"client_id": CLIENT_ID}),
    )
    if response.status == 404:
        raise Refused("Device log-in is not enabled there.", code="device_auth_disabled", verdict="needs_login")
    if not 200 <= response.status < 300:
        raise classify(response)
    found = parse_json(response.body)
    device_id, user_code = found.get("device_auth_id"), found.get("user_code") or found.get("usercode")
    if not isinstance(device_id, str) or not isinstance(user_code, str):
        raise Unavailable("The log-in server answered without a device code; try again.")
    return DeviceCode(
        device_auth_id=Secret(device_id),
        user_code=user_code,
        verification_url=f"{auth_url}/codex/device",
        interval_s=_seconds(found.get("interval"), DEVICE_INTERVAL_S),
        lifetime_s=_seconds(found.get("expires_in"), DEVICE_LIFETIME_S),
    )


def device_poll_flow(device: DeviceCode, auth_url: str) -> Flow[DeviceApproval | None]:
    """Ask once whether the person agreed; None while pending. Raises: Refused, Unavailable."""
    body = {"device_auth_id": device.device_auth_id.reveal(), "user_code": device.user_code}
    response = yield OAuthRequest(
        method="POST",
        url=f"{auth_url}/api/accounts/deviceauth/token",
        headers=_JSON,
        body=msgspec.json.encode(body),
    )
    if response.status in (403, 404):
        return None
    if not 200 <= response.status < 300:
        raise classify(response)
    found = parse_json(response.body)
    code, verifier = found.get("authorization_code"), found.get("code_verifier")
    if not isinstance(code, str) or not isinstance(verifier, str):
        raise Unavailable("The log-in server approved without a code; start again.")
    return DeviceApproval(code=Secret(code), verifier=Secret(verifier))


def device_exchange_flow(approval: DeviceApproval, auth_url: str) -> Flow[TokenSet]:
    """Exchange an approval for tokens. Raises: Refused, Unavailable."""
    return (yield from exchange_flow(approval.code, approval.verifier, auth_url, f"{auth_url}/deviceauth/callback"))


def _seconds(value: Any, default: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return default
    return seconds if seconds > 0 else default
