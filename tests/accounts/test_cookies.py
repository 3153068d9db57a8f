"""Cookies of accounts: what is kept, where it goes back to, how it is stored, and what never shows."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection

from accounts import cookie_rows, cookies
from accounts.cookie_board import CookieBoard, exit_of
from accounts.cookies import Cookie
from accounts.loader import load_accounts
from accounts.models import AccountCookie, AuditEntry
from accounts.reporting import accounts_report
from accounts.values import AccountReport, AccountView
from providers.contract import Secret
from providers.transport.pyreqwest_transport import PyreqwestStream
from tests.factories import AccountFactory
from tests.gateway.playbook import HELLO, NOW, Play, account

URL = "https://upstream.example/codex/responses"
HOST = "upstream.example"
PASS = "cf_clearance=canary-7f3a; Max-Age=1800; Path=/; Secure; HttpOnly"


def kept(line: str, *, host: str = HOST, now: float = NOW) -> list[Cookie]:
    return cookies.captured([line], host=host, egress="", now=now)


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_only_the_pass_of_a_challenge_is_kept() -> None:
    [cookie] = kept(PASS)
    assert (cookie.name, cookie.value.reveal(), cookie.expires_at) == ("cf_clearance", "canary-7f3a", NOW + 1800)
    for name in ("__cf_bm", "__cflb", "__oailb", "session", "__Secure-next-auth.session-token"):
        assert kept(f"{name}=x; Max-Age=1800") == []


@pytest.mark.parametrize(
    ("domain", "host", "is_kept"),
    [("", HOST, True), (".chatgpt.com", "chatgpt.com", True), ("chatgpt.com", "a.chatgpt.com", True),
     ("evil.com", "chatgpt.com", False), ("com", "chatgpt.com", False), ("a.chatgpt.com", "chatgpt.com", False),
     ("gpt.com", "chatgpt.com", False)],
)  # fmt: skip
def test_a_cookie_may_only_name_the_host_it_came_from(domain: str, host: str, is_kept: bool) -> None:
    assert bool(kept(f"cf_clearance=x; Domain={domain}", host=host)) is is_kept


def test_max_age_beats_expires_and_an_unreadable_end_says_nothing() -> None:
    expires = "Expires=Wed, 21 Oct 2099 07:28:00 GMT"
    assert kept(f"cf_clearance=x; {expires}; Max-Age=60")[0].expires_at == NOW + 60
    assert kept(f"cf_clearance=x; {expires}")[0].expires_at == 4_096_250_880
    assert kept("cf_clearance=x; Expires=soon; Max-Age=long")[0].expires_at is None
    assert not kept("cf_clearance=x; Max-Age=0")[0].value


@pytest.mark.parametrize("value", ["a b", 'a"b', "a\\b", "x" * 5000, "ü", "a,b"])
def test_a_value_that_does_not_fit_into_a_header_is_not_kept(value: str) -> None:
    assert kept(f"cf_clearance={value}") == []


def test_it_goes_back_to_its_host_through_its_exit_until_it_ends() -> None:
    [cookie] = cookies.captured([PASS], host=HOST, egress="e1", now=NOW)
    assert cookies.header_for([cookie], host=HOST, egress="e1", now=NOW) == "cf_clearance=canary-7f3a"
    assert cookies.header_for([cookie], host="other.example", egress="e1", now=NOW) == ""
    assert cookies.header_for([cookie], host=HOST, egress="e2", now=NOW) == ""
    assert cookies.header_for([cookie], host=HOST, egress="e1", now=NOW + 1801) == ""


def test_what_an_operator_types_has_no_list_of_names_and_goes_through_any_exit() -> None:
    found = cookies.typed("cf_clearance=a; _dd_s=b\nx=c=", host=HOST)
    assert cookies.header_for(found, host=HOST, egress="any", now=NOW) == "_dd_s=b; cf_clearance=a; x=c="
    for wrong in ("novalue", "=x", "a=b c", "a=" + "x" * 5000, ";".join(f"n{n}=1" for n in range(30))):
        with pytest.raises(ValueError, match="ookies"):
            cookies.typed(wrong, host=HOST)


def test_an_exit_is_named_without_its_password() -> None:
    assert exit_of(None) == "" and "pw" not in exit_of("http://user:pw@proxy:1") and len(exit_of("http://p")) == 16


# ---- through the flow -----------------------------------------------------------------------------------------------


def sent_cookies(play: Play) -> list[str | None]:
    return [dict(request.headers).get("cookie") for request in play.upstream.requests]


async def test_a_pass_is_captured_from_any_answer_and_goes_back_with_the_accounts_next_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    play = Play("chat", accounts=(account("a"),))
    play.upstream.answers(400, {"detail": "no"}, headers={"set-cookie": f"__cf_bm=b; Max-Age=9\n{PASS}"})
    play.upstream.answers().sends(HELLO)
    play.upstream.answers().sends(HELLO)
    clients = [await play.ask() for _ in range(3)]
    assert sent_cookies(play) == [None, "cf_clearance=canary-7f3a", "cf_clearance=canary-7f3a"]
    [report] = [each for each in play.reports if each.cookies]
    assert [cookie.name for cookie in report.cookies] == ["cf_clearance"]
    seen = repr(play.reports) + caplog.text + "".join(f"{c.headers}{c.body!r}" for c in clients)
    assert "canary" not in seen


async def test_another_account_does_not_get_it() -> None:
    play = Play("chat", accounts=(account("a"), account("b")))
    play.upstream.answers(headers={"set-cookie": PASS}).sends(HELLO)
    play.upstream.answers().sends(HELLO)
    await play.ask(prompt_cache_key="one")
    await play.ask(prompt_cache_key="two")
    assert sent_cookies(play) == [None, None] and play.upstream.tokens == ["token-a", "token-b"]


async def test_an_empty_404_drops_what_was_captured_and_keeps_what_an_operator_set() -> None:
    by_hand = Cookie(name="mine", value=Secret("1"), host=HOST, is_manual=True)
    play = Play("chat", accounts=(account("a", cookies=(by_hand,)),))
    play.upstream.answers(headers={"set-cookie": PASS}).sends(HELLO)
    await play.ask()
    play.upstream.answers(404, b"")
    await play.ask()
    await play.state.warm("a")
    play.upstream.answers().sends(HELLO)
    await play.ask()
    assert sent_cookies(play) == ["mine=1", "cf_clearance=canary-7f3a; mine=1", "mine=1"]
    assert any(report.forgets_cookies for report in play.reports)


def test_the_snapshot_wins_once_it_has_changed() -> None:
    board, before = CookieBoard(), account("a")
    assert board.learn(before, URL, PASS, NOW)
    assert board.learn(before, URL, PASS, NOW) == ()
    stored = Cookie(name="cf_clearance", value=Secret("newer"), host=HOST)
    assert board.header(account("a", cookies=(stored,)), URL, NOW) == "cf_clearance=newer"


def test_every_set_cookie_line_of_an_answer_is_seen() -> None:
    class Headers(list[tuple[str, str]]):
        def items(self) -> list[tuple[str, str]]:
            return self

        def getall(self, name: str) -> list[str]:
            return [value for key, value in self if key.lower() == name]

    class Response:
        body_reader = None
        status = 200
        headers = Headers([("Set-Cookie", "a=1"), ("x", "y"), ("set-cookie", "b=2")])

    assert PyreqwestStream(None, Response()).headers["set-cookie"] == "a=1\nb=2"


# ---- at rest --------------------------------------------------------------------------------------------------------


def view() -> AccountView:
    [found] = load_accounts()
    return found


@pytest.mark.django_db
def test_cookies_are_stored_encrypted_and_come_back_with_the_snapshot() -> None:
    row = AccountFactory()
    found = cookies.captured([PASS.replace("1800", "999999999")], host=HOST, egress="", now=NOW)
    accounts_report([AccountReport(account_id=row.pk, cookies=tuple(found))])
    assert view().cookies == (found[0],)
    with connection.cursor() as cursor:
        cursor.execute("select value from accounts_accountcookie")
        assert "canary" not in str(cursor.fetchall())
    accounts_report([AccountReport(account_id=row.pk, forgets_cookies=True)])
    assert view().cookies == ()


@pytest.mark.django_db
def test_an_account_keeps_a_bounded_number_and_what_was_typed_is_told_by_name_only() -> None:
    row = AccountFactory()
    many = [Cookie(name=f"n{n}", value=Secret("canary"), host=HOST) for n in range(50)]
    cookie_rows.keep(row.pk, many)
    assert AccountCookie.objects.count() == cookies.MAX_COOKIES
    cookie_rows.set_by_hand(row=row, cookies=cookies.typed("mine=canary", host=HOST), actor="olga")
    entry = AuditEntry.objects.get(action="account.cookies_set")
    assert entry.details["names"] == ["mine"] and "canary" not in str(entry.details)
    cookie_rows.clear(row=row, actor="olga")
    assert view().cookies == ()


def test_a_cookie_never_shows_its_value(caplog: Any) -> None:
    assert "canary" not in repr(kept(PASS)) + str(kept(PASS))
