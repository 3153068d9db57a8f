"""What operators read of a decision, on the page and on the command line, in both languages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import load_command_class
from django.urls import reverse
from django.utils import timezone, translation

from accounts.why import Decision, Passed
from stats.explaining import explain
from stats.models import UsageRecord
from tests.factories import AccountFactory, ApiKeyFactory

pytestmark = pytest.mark.django_db

MAIN, BACKUP, OLD, TIRED = "a" * 16, "b" * 16, "c" * 16, "d" * 16


def record(decision: Decision, **fields: Any) -> UsageRecord:
    key = ApiKeyFactory(name="laptop", user__username="ann")
    asked = {
        "request_id": "req_1", "started_at": timezone.now(), "api_key": key, "user": key.user, "model": "gpt-5.5",
        "status": 200, "lane": "translate", "ttfb_ms": 640, "duration_ms": 3200, "input_tokens": 200,
        "cached_tokens": 150, "why": decision.encode(), **fields,
    }  # fmt: skip
    return UsageRecord.objects.create(**asked)


@pytest.fixture
def eventful() -> UsageRecord:
    for pk, label in ((MAIN, "main"), (BACKUP, "backup"), (OLD, "old")):
        AccountFactory(id=pk, label=label)
    decision = Decision()
    decision.look(4, 3, (Passed(OLD, "unusable", "paused"),))
    decision.pass_over(TIRED, "resting", "usage limit reached", 1_800_000_000)
    decision.move(OLD)
    decision.wait(0.42, 3, "served")
    first = decision.attempt(MAIN, "least_used", 0.0)
    first.status, first.error, first.action, first.took_ms = 429, "rate_limit_exceeded", "other account", 320
    second = decision.attempt(BACKUP, "least_used", 0.065)
    second.status, second.took_ms = 200, 2880
    decision.lane = "openai-chat client, openai-responses upstream"
    return record(decision)


def test_an_eventful_request_is_told_step_by_step(eventful: UsageRecord) -> None:
    told = explain(eventful)
    assert told[0] == "3 of 4 accounts could serve this request."
    assert told[1].startswith(f"Passed over: {TIRED} – resting until ") and told[1].endswith("(usage limit reached).")
    assert told[2:] == [
        "Passed over: old – paused.",
        "The conversation was on old before: paused.",
        "Waited 420 ms for a free slot, from place 3 in line; then a slot was free.",
        "Attempt 1 on main (the least used): 429 rate_limit_exceeded after 320 ms; another account was to be tried.",
        "Attempt 2 on backup (the least used): answered in 2.9 s. It was held back 65 ms, so that requests do not "
        "leave all at once.",
        "The answer was translated: openai-chat client, openai-responses upstream.",
        "75 % of the input came from the upstream's cache.",
        "The first byte came after 640 ms, all of it took 3.2 s.",
    ]


def test_it_is_told_in_chinese_without_a_word_left_in_english(eventful: UsageRecord) -> None:
    with translation.override("zh-hans"):
        told = " ".join(explain(eventful))
    for english in ("account", "Passed", "Waited", "Attempt", "conversation", "first byte", "cache", "paused"):
        assert english not in told.replace("openai-chat client", ""), told


def test_many_accounts_and_attempts_are_counted_not_listed() -> None:
    decision = Decision()
    decision.look(60, 60, [Passed(f"{number:016}", "pool") for number in range(50)])
    for number in range(12):
        decision.attempt(f"{number:016x}", "round_robin", 0.0)
    told = explain(record(decision, status=429, ttfb_ms=None))
    assert any(sentence.startswith("Passed over: 40 more – not in the pool") for sentence in told)
    assert "(4 more attempts like these.)" in told
    assert any(sentence.startswith("Attempt 12 on 000000000000000b (next in turn): it did not") for sentence in told)


def test_explaining_asks_the_database_once(eventful: UsageRecord, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        explain(eventful)


def test_the_page_of_a_request_tells_it_and_the_list_does_not_load_it(admin_client: Any, eventful: UsageRecord) -> None:
    page = admin_client.get(reverse("admin:stats_usagerecord_change", args=[eventful.pk])).content.decode()
    assert "Attempt 2 on backup (the least used): answered in 2.9 s." in page
    assert "Passed over: old – paused." in page


def test_a_request_from_before_there_were_records_has_none(admin_client: Any) -> None:
    row = record(Decision(), why="")
    assert explain(row) == []
    assert admin_client.get(reverse("admin:stats_usagerecord_change", args=[row.pk])).status_code == 200


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = 0
    try:
        load_command_class("codexproxy", "explain").run_from_argv(["codexproxy", "explain", *words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_tells_people(capsys: pytest.CaptureFixture[str], eventful: UsageRecord) -> None:
    code, out, _ = run(capsys, "req_1")
    assert code == 0
    assert "ann · laptop" in out and "gpt-5.5 · HTTP 200 · Answered" in out
    assert " 1. 3 of 4 accounts could serve this request." in out
    assert " 7. Attempt 2 on backup (the least used): answered in 2.9 s." in out


def test_the_command_tells_machines(capsys: pytest.CaptureFixture[str], eventful: UsageRecord) -> None:
    code, out, _ = run(capsys, "req_1", "--json")
    shown = json.loads(out)
    assert code == 0
    assert (shown["request_id"], shown["api_key"], shown["lane"]) == ("req_1", "laptop", "translate")
    assert shown["why"]["tries"][0] == {
        "account": MAIN, "how": "least_used", "status": 429, "error": "rate_limit_exceeded",
        "action": "other account", "took_ms": 320, "paced_ms": 0,
    }  # fmt: skip
    assert shown["why"]["moved"]["reason"] == "unusable"
    assert len(shown["explanation"]) == 10


def test_the_command_says_when_it_knows_no_such_request(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "req_none")
    assert (code, out) == (1, "") and "req_none" in err and "retention" in err
