"""Reads the auth server's answers: tokens out of a success, a typed error out of anything else. Pure.

The table of codes is spec/wire.md §7.4. The order of the questions matters: a challenge page (HTML) says nothing about
the account, whatever its status; a known code decides over the status; only then the status speaks.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec

from providers.contract import Secret
from providers.oauth.contract import OAuthError, OAuthResponse, Refused, TokenSet, Unavailable

Verdict = Literal["needs_login", "banned"]

_BANNED_CODES = ("account_deactivated", "account_suspended", "account_deleted")
_LOGIN_CODES = (
    "refresh_token_reused",
    "refresh_token_expired",
    "refresh_token_invalidated",
    "app_session_terminated",
    "account_session_expired",
    "token_expired",
    "token_invalidated",
    "invalid_grant",
    "invalid_token",
    "access_denied",
)
_BANNED_PHRASES = ("account has been deactivated", *_BANNED_CODES)
_LOGIN_PHRASES = (
    "refresh_token_reused",
    "refresh token has already been used",
    "refresh_token_expired",
    "invalid 'refresh_token'",
)
_VERDICTS: dict[str, Verdict] = {
    **dict.fromkeys(_LOGIN_CODES, "needs_login"),
    **dict.fromkeys(_BANNED_CODES, "banned"),
}
_WORDS = {
    "refresh_token_reused": "The refresh token was already used, here or by another program; log in again.",
    "refresh_token_expired": "The refresh token has expired; log in again.",
    "refresh_token_invalidated": "The refresh token was revoked; log in again.",
    "app_session_terminated": "The session was ended; log in again.",
    "account_session_expired": "The session has expired; log in again.",
    "account_deactivated": "The account has been deactivated by OpenAI.",
    "account_suspended": "The account has been suspended by OpenAI.",
    "account_deleted": "The account has been deleted.",
}
MAX_QUOTED_CHARS = 160


def parse_json(body: bytes) -> dict[str, Any]:
    """Return the object in a body, {} when there is none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def read_tokens(response: OAuthResponse) -> TokenSet:
    """Return the tokens of a 2xx answer; any of them may be missing. Raises: Unavailable, Refused."""
    if not 200 <= response.status < 300:
        raise classify(response)
    found = parse_json(response.body)
    return TokenSet(
        access_token=_secret(found.get("access_token")),
        refresh_token=_secret(found.get("refresh_token")),
        id_token=_secret(found.get("id_token")),
    )


def _secret(value: Any) -> Secret | None:
    return Secret(value) if isinstance(value, str) and value else None


_MESSAGE_NAMES = ("error_description", "message", "detail")


def _section(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def error_code(body: dict[str, Any]) -> str:
    """Return the server's code: `error.code`, else `error` as text, else `code` or `error_code`."""
    error = body.get("error")
    nested = _section(error)
    candidates = [nested.get("code"), nested.get("type"), error, body.get("code"), body.get("error_code")]
    return next((value for value in candidates if isinstance(value, str) and value), "")


def _error_message(body: dict[str, Any]) -> str:
    candidates = [_section(body.get("error")).get("message"), *(body.get(name) for name in _MESSAGE_NAMES)]
    return next((value for value in candidates if isinstance(value, str) and value), "")[:MAX_QUOTED_CHARS]


def is_page(response: OAuthResponse) -> bool:
    """Tell a web page (a challenge, a proxy's error) from an API's answer."""
    if "html" in response.headers.get("content-type", ""):
        return True
    return response.body.lstrip()[:1] == b"<"


def _verdict(code: str, text: str) -> Verdict | None:
    if any(phrase in text for phrase in _BANNED_PHRASES):
        return "banned"
    known = _VERDICTS.get(code)
    if known is None and any(phrase in text for phrase in _LOGIN_PHRASES):
        return "needs_login"
    return known


def classify(response: OAuthResponse) -> OAuthError:
    """Return the error of an answer that is no success."""
    if is_page(response):
        return Unavailable(f"The log-in server was not reached: a web page answered with {response.status}.")
    body = parse_json(response.body)
    code, message = error_code(body), _error_message(body)
    if response.status == 429 or response.status >= 500:
        return Unavailable(
            f"The log-in server answered {response.status}; it will be asked again.",
            retry_after_s=_retry_after(response),
        )
    verdict = _verdict(code, f"{code} {message}".lower())
    if verdict is None and response.status == 401:
        verdict = "needs_login"
    if verdict is None:
        said = f" ({code})" if code else ""
        return Unavailable(f"The log-in server answered {response.status}{said}; it will be asked again.")
    words = _WORDS.get(code) or f"The log-in server refused: {message or code or response.status}."
    return Refused(words, code=code or str(response.status), verdict=verdict)


def _retry_after(response: OAuthResponse) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
