"""The log-in flows: what they send, and what they make of every kind of answer. Pure, no network."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from providers.contract import Secret
from providers.oauth import codex
from providers.oauth.answers import classify
from providers.oauth.client import OAuthClient
from providers.oauth.contract import (
    MaybeSent,
    NotSent,
    OAuthError,
    OAuthRequest,
    OAuthResponse,
    Refused,
    Unavailable,
    drive,
)
from providers.oauth.pkce import challenge_of, make_pkce

AUTH = "https://auth.test"


def answer(body: Any, status: int = 200, **headers: str) -> OAuthResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return OAuthResponse(status=status, headers=headers, body=raw)


class Server:
    """Gives its answers one after the other and keeps the requests."""

    def __init__(self, *answers: OAuthResponse) -> None:
        self.answers = list(answers)
        self.requests: list[OAuthRequest] = []

    def __call__(self, request: OAuthRequest) -> OAuthResponse:
        self.requests.append(request)
        return self.answers.pop(0)


def test_it_sends_a_refresh_as_the_official_client_does_and_hides_it() -> None:
    server = Server(answer({"access_token": "a", "refresh_token": "r2"}))
    tokens = drive(codex.refresh_flow(Secret("rt_1"), AUTH), server)
    (request,) = server.requests
    assert (request.method, request.url) == ("POST", f"{AUTH}/oauth/token")
    assert json.loads(request.body) == {
        "client_id": codex.CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_token": "rt_1",
    }
    assert dict(request.headers)["content-type"] == "application/json"
    assert (tokens.access_token, tokens.refresh_token, tokens.id_token) == (Secret("a"), Secret("r2"), None)
    assert "rt_1" not in f"{request!r}{tokens!r}"


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (401, {"error": {"code": "refresh_token_reused", "message": "used"}}, "needs_login"),
        (400, {"error": {"code": "refresh_token_reused", "message": "used"}}, "needs_login"),
        (401, {"error": {"code": "refresh_token_expired"}}, "needs_login"),
        (401, {"error": {"code": "refresh_token_invalidated"}}, "needs_login"),
        (401, {"code": "app_session_terminated"}, "needs_login"),
        (401, {"error_code": "account_session_expired"}, "needs_login"),
        (400, {"error": "invalid_grant", "error_description": "no"}, "needs_login"),
        (403, {"error": "access_denied"}, "needs_login"),
        (401, {"error": "something new"}, "needs_login"),
        (401, b"", "needs_login"),
        (400, {"error": {"message": "Invalid 'refresh_token': empty string."}}, "needs_login"),
        (403, {"error": {"code": "account_deactivated"}}, "banned"),
        (401, {"error": {"message": "Your account has been deactivated."}}, "banned"),
        (400, {"error": "account_suspended"}, "banned"),
    ],
)
def test_it_takes_a_refusal_for_what_it_is(status: int, body: Any, verdict: str) -> None:
    error = classify(answer(body, status))
    assert isinstance(error, Refused)
    assert error.verdict == verdict


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (403, b"<!DOCTYPE html><title>Just a moment...</title>", {"content-type": "text/html"}),
        (401, b"  <html>", {}),
        (503, b"<html>", {}),
        (429, {"error": {"code": "rate_limit_exceeded"}}, {}),
        (500, {"error": "invalid_grant"}, {}),
        (502, b"", {}),
        (400, {"error": "unsupported_thing"}, {}),
        (302, b"", {"location": "https://elsewhere"}),
    ],
)
def test_it_learns_nothing_about_the_account_from(status: int, body: Any, headers: dict[str, str]) -> None:
    assert isinstance(classify(answer(body, status, **headers)), Unavailable)


def test_it_keeps_the_servers_wish_when_to_come_back() -> None:
    error = classify(answer({}, 429, **{"retry-after": "17"}))
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 17


@pytest.mark.parametrize("body", [{}, [], b"not json", {"access_token": 5}])
def test_it_calls_a_success_without_tokens_unavailable(body: Any) -> None:
    with pytest.raises(Unavailable):
        drive(codex.refresh_flow(Secret("rt_1"), AUTH), Server(answer(body)))


def test_it_writes_spaces_of_the_authorize_address_as_percent_20() -> None:
    url = codex.authorize_url(AUTH, challenge="c", state="s")
    assert "+" not in url
    assert "scope=openid%20profile%20email%20offline_access" in url
    query = parse_qs(urlsplit(url).query)
    assert query["redirect_uri"] == ["http://localhost:1455/auth/callback"]
    assert (query["state"], query["code_challenge"], query["code_challenge_method"]) == (["s"], ["c"], ["S256"])


def test_it_proves_possession_of_the_verifier() -> None:
    # The example of RFC 7636, appendix B.
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    pair = make_pkce(bytes(range(64)))
    assert pair.challenge == challenge_of(pair.verifier.reveal())
    with pytest.raises(ValueError, match="random"):
        make_pkce(b"short")


def test_it_exchanges_a_pasted_callback_as_a_form() -> None:
    callback = codex.parse_callback(" http://localhost:1455/auth/callback?code=abc&state=xyz.onboarding_entrypoint=a ")
    server = Server(answer({"access_token": "a", "refresh_token": "r", "id_token": "i"}))
    tokens = drive(codex.exchange_flow(callback.code, Secret("v"), AUTH), server)
    assert callback.state == "xyz"
    assert parse_qs(server.requests[0].body.decode()) == {
        "grant_type": ["authorization_code"],
        "code": ["abc"],
        "redirect_uri": ["http://localhost:1455/auth/callback"],
        "client_id": [codex.CLIENT_ID],
        "code_verifier": ["v"],
    }
    assert tokens.id_token == Secret("i")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://localhost:1455/auth/callback?code=a", "http://[", "x?error=denied"]
)
def test_it_explains_what_is_wrong_with_a_pasted_address(url: str) -> None:
    with pytest.raises(OAuthError):
        codex.parse_callback(url)


def test_it_walks_through_a_device_log_in() -> None:
    server = Server(
        answer({"device_auth_id": "deviceauth_1", "usercode": "ABCD-12345", "interval": "7"}),
        answer({}, 403),
        answer({"authorization_code": "c", "code_challenge": "x", "code_verifier": "v"}),
        answer({"access_token": "a"}),
    )
    device = drive(codex.device_start_flow(AUTH), server)
    assert (device.user_code, device.interval_s, device.lifetime_s) == ("ABCD-12345", 7.0, 900.0)
    assert drive(codex.device_poll_flow(device, AUTH), server) is None
    approval = drive(codex.device_poll_flow(device, AUTH), server)
    assert approval is not None
    drive(codex.device_exchange_flow(approval, AUTH), server)
    assert parse_qs(server.requests[-1].body.decode())["redirect_uri"] == [f"{AUTH}/deviceauth/callback"]


def test_it_says_that_device_log_in_is_not_enabled() -> None:
    with pytest.raises(Refused, match="not enabled"):
        drive(codex.device_start_flow(AUTH), Server(answer({}, 404)))


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (httpx.ConnectError("refused"), NotSent),
        (httpx.ConnectTimeout("slow"), NotSent),
        (httpx.ProxyError("407"), NotSent),
        (httpx.ReadTimeout("slow"), MaybeSent),
        (httpx.WriteError("reset"), MaybeSent),
        (httpx.RemoteProtocolError("cut"), MaybeSent),
    ],
)
def test_it_knows_whether_a_failed_request_may_have_arrived(failure: Exception, expected: type[OAuthError]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise failure

    with OAuthClient(transport=httpx.MockTransport(fail)) as send, pytest.raises(expected):
        drive(codex.refresh_flow(Secret("rt_1"), AUTH), send)


def test_it_does_not_follow_redirects_with_a_token_in_its_hand() -> None:
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(307, headers={"location": "https://elsewhere.test/"})

    with OAuthClient(transport=httpx.MockTransport(redirect)) as send, pytest.raises(Unavailable):
        drive(codex.refresh_flow(Secret("rt_1"), AUTH), send)
    assert asked == [f"{AUTH}/oauth/token"]
