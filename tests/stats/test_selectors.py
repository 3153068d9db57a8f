"""The figures of the day, exact and cheap; pruning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stats.models import UsageRecord
from stats.selectors import HOURS, day_figures, last_failures
from stats.services import usage_prune

pytestmark = pytest.mark.django_db

NOW = datetime(2027, 1, 15, 12, 30, tzinfo=UTC)


def add(hours_ago: float, count: int = 1, **fields) -> None:
    UsageRecord.objects.bulk_create(
        UsageRecord(request_id=f"r{hours_ago}", started_at=NOW - timedelta(hours=hours_ago), **fields)
        for _ in range(count)
    )


def test_a_day_without_requests_has_quiet_figures() -> None:
    figures = day_figures(NOW)

    assert (figures.requests, figures.tokens, figures.errors) == (0, 0, 0)
    assert (figures.cached_share, figures.error_share, figures.ttfb_ms) == (0.0, 0.0, None)
    assert figures.ttfb_by_hour == (None,) * HOURS


def test_it_sums_tokens_and_shares_over_folded_records() -> None:
    add(1, requests=10, input_tokens=900, cached_tokens=300, output_tokens=100)
    add(2, input_tokens=100, cached_tokens=100)

    figures = day_figures(NOW)

    assert (figures.requests, figures.tokens) == (11, 1_100)
    assert figures.cached_share == pytest.approx(0.4)


def test_each_hour_has_its_place_and_the_window_has_sharp_ends() -> None:
    add(0, 1)
    add(1, 2)
    add(23.2, 4)
    add(23.9, 8)  # in the partial hour at the far end: counted, and drawn in the first place
    add(24.1, 100)
    add(-0.1, 100)

    figures = day_figures(NOW)

    assert figures.requests == 15
    assert figures.requests_by_hour[-2:] == (2, 1)
    assert figures.requests_by_hour[0] == 12
    assert sum(figures.requests_by_hour) == 15


def test_the_most_common_failure_is_named_and_a_client_that_hung_up_is_none() -> None:
    add(1, 6)
    add(1, 1, outcome="client_gone")
    add(1, 2, outcome="rate_limited", error_code="usage_limit_reached")
    add(1, 1, outcome="upstream_error", error_code="boom")

    figures = day_figures(NOW)

    assert (figures.errors, figures.error_share) == (3, 0.3)
    assert (figures.common_outcome, figures.common_error_code) == ("rate_limited", "usage_limit_reached")
    assert figures.errors_by_hour[-2] == 3


@pytest.mark.parametrize(("values", "median"), [([5], 5), ([1, 9], 1), ([9, 1, 5], 5), ([7, 7, 7, 100], 7)])
def test_the_median_is_the_value_in_the_middle(values: list[int], median: int) -> None:
    for value in values:
        add(1, ttfb_ms=value)
    add(1, 3, ttfb_ms=None)

    assert day_figures(NOW).ttfb_ms == median


def test_every_hour_has_its_own_median() -> None:
    for value in (10, 20, 30):
        add(0, ttfb_ms=value)
    for value in (100, 200, 300, 400):
        add(3, ttfb_ms=value)

    figures = day_figures(NOW)

    assert figures.ttfb_ms == 100
    assert figures.ttfb_by_hour[-1] == 20
    assert figures.ttfb_by_hour[-4] == 200
    assert figures.ttfb_by_hour[-2] is None


@pytest.mark.parametrize("count", [1, 300])
def test_the_number_of_queries_does_not_grow_with_the_records(count: int, django_assert_num_queries) -> None:
    add(1, count, ttfb_ms=3, outcome="upstream_error")

    with django_assert_num_queries(3):
        day_figures(NOW)
    with django_assert_num_queries(1):
        assert len(last_failures(5)) == min(count, 5)


def test_pruning_deletes_what_is_older_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stats.services.PRUNE_BATCH", 3)
    add(48, 8)
    add(2, 5)

    assert usage_prune(before=NOW - timedelta(days=1)) == 8

    assert UsageRecord.objects.count() == 5


def test_one_run_of_pruning_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stats.services.PRUNE_BATCH", 2)
    monkeypatch.setattr("stats.services.PRUNE_MOST_BATCHES", 3)
    add(48, 20)

    assert usage_prune(before=NOW) == 6
