"""Where a key may stand, and which keys open the door."""

from __future__ import annotations

import pytest

from accounts.keys import KEY_PREFIX, authenticate, digest, mint_key, presented_key
from accounts.values import ApiKeyView
from translation.errors import Unauthenticated

NOW = 1_800_000_000.0
KEY = "cpx-0123456789abcdef0123456789abcdef"


def keys(**fields: object) -> dict[bytes, ApiKeyView]:
    return {digest(KEY): ApiKeyView(id=1, user_id=2, name="laptop", prefix=KEY[:12], **fields)}  # type: ignore[arg-type]


def test_a_new_key_is_long_random_and_url_safe() -> None:
    first, second = mint_key(), mint_key()
    assert first != second
    assert first.startswith(KEY_PREFIX) and len(first) >= len(KEY_PREFIX) + 32
    assert first.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": f"Bearer {KEY}"}, {}),
        ({"authorization": f"bearer   {KEY} "}, {}),
        ({"x-api-key": KEY}, {}),
        ({"x-goog-api-key": KEY}, {}),
        ({}, {"key": KEY}),
        ({"authorization": "Basic dXNlcjpwYXNz", "x-api-key": KEY}, {}),
        ({"authorization": "Bearer ", "x-api-key": KEY}, {}),
    ],
)
def test_a_key_is_found_wherever_clients_put_it(headers: dict[str, str], query: dict[str, str]) -> None:
    assert presented_key(headers, query) == KEY


def test_no_key_anywhere_is_none() -> None:
    assert presented_key({"authorization": "Basic dXNlcjpwYXNz"}, {"other": "1"}) is None


def test_the_bearer_token_wins_over_the_other_places() -> None:
    assert presented_key({"authorization": "Bearer a", "x-api-key": "b"}, {"key": "c"}) == "a"


def test_a_known_key_gives_its_view() -> None:
    assert authenticate(keys(), KEY, NOW).name == "laptop"


@pytest.mark.parametrize("expires_at", [NOW + 1, None])
def test_a_key_works_until_it_expires(expires_at: float | None) -> None:
    assert authenticate(keys(expires_at=expires_at), KEY, NOW).id == 1


@pytest.mark.parametrize(
    ("known", "presented", "code"),
    [
        (keys(), None, "missing_api_key"),
        (keys(), "", "missing_api_key"),
        (keys(), "cpx-wrong", "invalid_api_key"),
        (keys(), KEY + " ", "invalid_api_key"),
        (keys(is_active=False, inactive_reason="revoked"), KEY, "invalid_api_key"),
        (keys(expires_at=NOW), KEY, "expired_api_key"),
        (keys(expires_at=NOW - 1), KEY, "expired_api_key"),
    ],
)
def test_each_bad_key_is_refused_with_its_code_and_never_echoed(
    known: dict[bytes, ApiKeyView], presented: str | None, code: str
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        authenticate(known, presented, NOW)
    assert (caught.value.status, caught.value.code) == (401, code)
    assert not presented or presented not in caught.value.message


def test_an_inactive_key_says_why() -> None:
    with pytest.raises(Unauthenticated, match="paused by the operator"):
        authenticate(keys(is_active=False, inactive_reason="paused by the operator"), KEY, NOW)


def test_our_key_beside_the_login_of_another_product_is_found() -> None:
    login = {"authorization": "Bearer eyJ.chatgpt.login"}
    assert presented_key({**login, "x-api-key": "cpx-ours"}, {}) == "cpx-ours"
    assert presented_key({**login, "x-api-key": "sk-theirs"}, {}) == "eyJ.chatgpt.login"
    assert presented_key(login, {"key": "cpx-ours"}) == "cpx-ours"
    assert presented_key({"authorization": "Bearer cpx-a", "x-api-key": "cpx-b"}, {}) == "cpx-a"
