"""Every shape a login comes in, and how what is no login is told. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accounts import importing
from accounts.importing import ImportDocument, parse_import
from accounts.tokens import read_tokens
from tests.factories import AUTH_CLAIM, PROFILE_CLAIM, access_jwt, jwt

JWT = access_jwt()


def tokens(document: ImportDocument) -> list[tuple[str | None, str | None, str]]:
    return [
        (
            entry.access_token.reveal() if entry.access_token else None,
            entry.refresh_token.reveal() if entry.refresh_token else None,
            entry.label,
        )
        for entry in document.entries
    ]


AUTH_JSON = {
    "auth_mode": "chatgpt",
    "OPENAI_API_KEY": None,
    "tokens": {"id_token": "i.d.t", "access_token": JWT, "refresh_token": "rt_1", "account_id": "w"},
    "last_refresh": "2026-08-28T10:00:00.000000Z",
}
SUB2API = {
    "type": "sub2api-data",
    "version": 1,
    "proxies": [],
    "accounts": [
        {
            "name": "mine",
            "platform": "openai",
            "type": "oauth",
            "credentials": {"access_token": JWT, "refresh_token": "rt_1"},
        },
        {"name": "other", "platform": "anthropic", "type": "oauth", "credentials": {"access_token": "x.y.z"}},
    ],
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(AUTH_JSON, (JWT, "rt_1", ""), id="auth.json of the CLI"),
        pytest.param({"token": JWT}, (JWT, None, ""), id="token"),
        pytest.param({"access_token": f"Bearer {JWT}"}, (JWT, None, ""), id="bearer prefix"),
        pytest.param({"accessToken": JWT, "refreshToken": "rt_1", "note": " n "}, (JWT, "rt_1", "n"), id="camel case"),
        pytest.param({"credentials": {"token": JWT}, "account_name": "a"}, (JWT, None, "a"), id="credentials"),
        pytest.param({"tokens": {"accessToken": JWT}}, (JWT, None, ""), id="nested camel case"),
        pytest.param(
            {"refresh_token": "oaistb_rt_9", "label": "x" * 80}, (None, "oaistb_rt_9", "x" * 64), id="label is cut"
        ),
        pytest.param({"token": "", "access_token": JWT}, (JWT, None, ""), id="first non-empty wins"),
        pytest.param(
            {"type": "codex", "access_token": JWT, "refresh_token": "rt_1", "email": "e"},
            (JWT, "rt_1", ""),
            id="cpa file",
        ),
        pytest.param({"accounts": [{"token": JWT, "label": "l"}]}, (JWT, None, "l"), id="accounts"),
        pytest.param([{"refreshToken": "rt_1"}], (None, "rt_1", ""), id="array"),
        pytest.param(SUB2API, (JWT, "rt_1", "mine"), id="sub2api"),
        pytest.param([JWT], (JWT, None, ""), id="array of texts"),
    ],
)
def test_it_finds_the_login_in(value: Any, expected: tuple[str | None, str | None, str]) -> None:
    assert tokens(parse_import(json.dumps(value))) == [expected]
    assert tokens(parse_import(json.dumps(value, indent=2))) == [expected]


def test_it_reads_a_token_per_line_and_skips_blanks_and_comments() -> None:
    text = (
        f"\ufeff# mine\n{JWT}\n\n  Bearer {JWT}  \nrt_1\noaistb_rt_2\n" + json.dumps({"refresh_token": "rt_3"}) + "\n"
    )
    assert tokens(parse_import(text)) == [
        (JWT, None, ""),
        (JWT, None, ""),
        (None, "rt_1", ""),
        (None, "oaistb_rt_2", ""),
        (None, "rt_3", ""),
    ]


def test_it_keeps_the_id_token() -> None:
    (entry,) = parse_import(json.dumps(AUTH_JSON)).entries
    assert entry.id_token is not None
    assert entry.id_token.reveal() == "i.d.t"


def test_it_tells_where_a_problem_is_and_never_quotes_it() -> None:
    document = parse_import(f"{JWT}\nhalf-a-secret\n{{broken json\n")
    assert len(document.entries) == 1
    assert [problem.place for problem in document.problems] == ["line 2", "line 3"]
    assert "half-a-secret" not in " ".join(str(problem) for problem in document.problems)


@pytest.mark.parametrize(
    "text", ["", "   ", "null", "42", "[]", '{"accounts": []}', "[1, null]", '{"a": 1}', "\x00", "[" * 50_000]
)
def test_it_never_fails_on_nonsense(text: str) -> None:
    assert parse_import(text).entries == ()


def test_it_names_entries_and_the_left_out_ones_of_other_platforms() -> None:
    (problem,) = parse_import(json.dumps(SUB2API)).problems
    assert problem.place == "account 2"


def test_it_says_that_an_api_key_is_not_a_login() -> None:
    (problem,) = parse_import(json.dumps({"OPENAI_API_KEY": "sk-secret-value"})).problems
    assert "API key" in problem.message
    assert "sk-secret" not in str(problem)


def test_it_shows_no_token_in_the_representation_of_what_it_found() -> None:
    assert JWT not in repr(parse_import(json.dumps(AUTH_JSON)))


def test_it_reads_identity_from_the_id_token_first_and_expiry_from_the_access_token() -> None:
    id_token = jwt({"exp": 1, "email": "id@example.com", AUTH_CLAIM: {"chatgpt_account_id": "w2", "user_id": "u2"}})
    access = jwt(
        {
            "exp": 2_000_000_000,
            AUTH_CLAIM: {"chatgpt_account_id": "w1", "chatgpt_plan_type": "HC", "chatgpt_account_is_fedramp": True},
            PROFILE_CLAIM: {"email": "access@example.com"},
        }
    )
    facts = read_tokens(access, id_token)
    assert (facts.account_id, facts.user_id, facts.email) == ("w2", "u2", "id@example.com")
    assert (facts.plan, facts.expires_at, facts.is_fedramp) == ("enterprise", 2_000_000_000, True)


@pytest.mark.parametrize("token", ["", "a.b", "a.!!.c", "a.e30.c", "a.W10.c", jwt({"exp": "x", AUTH_CLAIM: [1]})])
def test_it_reads_nothing_from_a_token_that_says_nothing(token: str) -> None:
    facts = read_tokens(token)
    assert (facts.account_id, facts.expires_at) == ("", None)


def test_it_reads_no_more_than_its_bounds_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_ENTRIES", 3)
    monkeypatch.setattr(importing, "MAX_PROBLEMS", 2)
    many = parse_import("\n".join(f"rt_{number}" for number in range(9)))
    assert (len(many.entries), [str(one) for one in many.problems]) == (
        3,
        ["the rest: There is more in it than is read at once; import it in parts."],
    )
    assert len(parse_import("\n".join(["nonsense here"] * 9)).problems) == 3
    monkeypatch.setattr(importing, "MAX_CHARS", 10)
    assert "longer than" in str(parse_import("rt_" + "x" * 20).problems[0])
