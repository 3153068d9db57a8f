"""The request log: opens, stays cheap, filters, finds, and cannot be edited."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from stats import filters
from stats.models import UsageRecord
from tests.factories import ApiKeyFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/stats/usagerecord/"


def add(count: int, **fields) -> None:
    now = timezone.now()
    keys = [ApiKeyFactory() for _ in range(min(count, 5))]
    UsageRecord.objects.bulk_create(
        UsageRecord(
            request_id=f"req_{number}",
            started_at=now - timedelta(minutes=number),
            api_key=keys[number % len(keys)],
            user=keys[number % len(keys)].user,
            model="gpt-5.5",
            input_tokens=22_000,
            output_tokens=500,
            ttfb_ms=640,
            duration_ms=3_200,
            **fields,
        )
        for number in range(count)
    )


def test_figures_are_for_people_and_exact_values_are_in_the_title(admin_client) -> None:
    add(1)

    page = admin_client.get(LIST).content.decode()

    assert "22.5 K" in page
    assert 'title="in 22000 (0 cached), out 500"' in page
    assert "3.2 s" in page
    assert "Answered" in page


def test_the_number_of_queries_does_not_grow_with_the_rows(admin_client, django_assert_max_num_queries) -> None:
    add(50)

    with django_assert_max_num_queries(6):
        admin_client.get(LIST)


def test_counting_stops_at_its_cap(admin_client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "MOST_COUNTED", 60)
    add(75)

    answer = admin_client.get(LIST)

    assert answer.context_data["cl"].result_count == 60


@pytest.mark.parametrize(
    ("query", "count"), [("result=failed", 2), ("result=ok", 3), ("outcome__exact=no_capacity", 2)]
)
def test_failures_are_one_click_away(admin_client, query: str, count: int) -> None:
    add(3)
    add(2, outcome="no_capacity")

    assert admin_client.get(f"{LIST}?{query}").context_data["cl"].result_count == count


@pytest.mark.parametrize("term", ["req_4", "gpt-5", "person"])
def test_a_request_is_found_by_what_people_know_of_it(admin_client, term: str) -> None:
    add(6)

    assert admin_client.get(LIST, {"q": term}).context_data["cl"].result_count >= 1


def test_an_unknown_request_is_not_found(admin_client) -> None:
    add(2)

    assert admin_client.get(LIST, {"q": "nothing like it"}).context_data["cl"].result_count == 0


def test_the_detail_says_why(admin_client) -> None:
    add(1, outcome="upstream_error", error_code="upstream_disconnected", error_message="<b>It broke</b>")
    row = UsageRecord.objects.get()

    page = admin_client.get(reverse("admin:stats_usagerecord_change", args=(row.pk,))).content.decode()

    assert "upstream_disconnected · &lt;b&gt;It broke&lt;/b&gt;" in page
    assert "Upstream failed" in page


def test_nobody_edits_the_log(admin_client) -> None:
    add(1)
    row = UsageRecord.objects.get()

    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/change/", {"model": "x"}).status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert UsageRecord.objects.filter(model="gpt-5.5").exists()
