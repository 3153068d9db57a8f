"""The why record: small, bounded, and free while all goes well."""

from __future__ import annotations

import msgspec

from accounts.why import MAX_BYTES, MAX_LISTED, Decision, Passed, Try, Wait, Why, decode, note


def test_a_request_whose_first_choice_was_good_keeps_almost_nothing() -> None:
    decision = Decision()
    decision.look(3, 3, ())
    attempt = decision.attempt("a" * 16, "affinity", 0.0)
    attempt.status, attempt.took_ms = 200, 812
    stored = decision.encode()
    assert len(stored) < 100
    assert decode(stored) == Why(accounts=3, fit=3, tries=[Try("a" * 16, "affinity", 200, took_ms=812)])


def test_nothing_decided_is_nothing_stored() -> None:
    assert Decision().encode() == ""
    assert decode("") is None and decode("{broken") is None


def test_what_a_roster_left_out_is_told_with_what_was_passed_over_later() -> None:
    decision = Decision()
    decision.look(3, 2, (Passed("a", "unusable", "paused"), Passed("b", "plan", "free")))
    decision.pass_over("c", "resting", "usage limit reached", 1_800_000_000.7)
    decision.pass_over("c", "tried")
    why = decode(decision.encode())
    assert why is not None
    assert why.over == [Passed("c", "tried"), Passed("a", "unusable", "paused"), Passed("b", "plan", "free")]


def test_a_refusal_replaces_what_was_noted_on_the_way() -> None:
    decision = Decision()
    decision.look(1, 1, ())
    decision.pass_over("a", "full")
    decision.refuse([note("a", "unusable", "paused")])
    assert decision.passed() == [Passed("a", "unusable", "paused")]


def test_a_move_remembers_why_the_account_was_left() -> None:
    decision = Decision()
    decision.look(2, 1, (Passed("gone", "unusable", "banned"),))
    decision.move("gone")
    decision.move("other")
    assert decision.moved == Passed("gone", "unusable", "banned")
    busy = Decision()
    busy.move("b")
    assert busy.moved == Passed("b", "full")


def test_however_much_happened_it_fits_into_two_kilobytes() -> None:
    decision = Decision()
    decision.look(5000, 5000, [Passed(f"s{number:015}", "unusable", "needs_login") for number in range(2000)])
    for number in range(3000):
        decision.pass_over(f"{number:016x}", "resting", "很长的理由" * 100, 1_800_000_000)
    for number in range(60):
        attempt = decision.attempt(f"{number:016x}", "round_robin", 65.0)
        attempt.status, attempt.error, attempt.took_ms = 429, "e" * 40, 999_999
        attempt.action = "same account, without encrypted reasoning"
    for _ in range(60):
        decision.wait(29.9, 512, "too_long")
    decision.move("0" * 16)
    decision.lane = "openai-chat client, openai-responses upstream"
    stored = decision.encode()
    assert len(stored.encode()) <= MAX_BYTES
    why = decode(stored)
    assert why is not None
    assert len(why.over) == MAX_LISTED and why.more == {"resting": 2990, "unusable": 2000}
    assert (len(why.tries), why.untold, why.tries[-1].account) == (8, 52, f"{59:016x}")
    assert why.waits[0] == Wait(29_900, 512, "too_long")


def test_a_record_of_a_later_version_can_still_be_read() -> None:
    later = msgspec.json.encode({"accounts": 1, "fit": 1, "tries": [["a", "x", 200, "", "", 5, 0, "new"]], "new": {}})
    why = decode(later.decode())
    assert why is not None and why.tries[0].account == "a"
