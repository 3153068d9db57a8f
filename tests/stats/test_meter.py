"""The queue of usage records: nothing that was counted is lost, whatever happens behind it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stats.meter import UsageQueue, UsageRecord


def record(number: int, **fields: object) -> UsageRecord:
    values: dict[str, object] = {
        "request_id": f"req_{number}", "started_at": 600.0 + number, "api_key_id": 1, "account_id": "a",
        "upstream_model": "gpt-5.5", "input_tokens": 10, "cached_tokens": 4, "output_tokens": 3, "reasoning_tokens": 1,
    }  # fmt: skip
    return UsageRecord(**{**values, **fields})  # type: ignore[arg-type]


def totals(records: list[UsageRecord]) -> tuple[int, int, int, int, int]:
    return (
        sum(each.requests for each in records),
        sum(each.input_tokens for each in records),
        sum(each.cached_tokens for each in records),
        sum(each.output_tokens for each in records),
        sum(each.reasoning_tokens for each in records),
    )


def test_records_come_out_in_the_order_they_went_in() -> None:
    queue = UsageQueue()
    for number in range(5):
        queue.put(record(number))
    assert [each.request_id for each in queue.take(3)] == ["req_0", "req_1", "req_2"]
    assert [each.request_id for each in queue.take(9)] == ["req_3", "req_4"]
    assert len(queue) == 0 and queue.take(1) == []


def test_a_full_queue_folds_the_oldest_and_loses_no_token() -> None:
    queue = UsageQueue(max_queued=3)
    for number in range(10):
        queue.put(record(number))
    assert queue.folded == 7
    assert len(queue) == 4  # one minute's aggregate and the three newest in full
    taken = queue.take(100)
    assert totals(taken) == (10, 100, 40, 30, 10)
    assert [each.request_id for each in taken[1:]] == ["req_7", "req_8", "req_9"]


def test_folding_keeps_keys_accounts_models_outcomes_and_minutes_apart() -> None:
    queue = UsageQueue(max_queued=1)
    different = [
        record(0), record(1, api_key_id=2), record(2, account_id="b"), record(3, upstream_model="gpt-5.4"),
        record(4, outcome="rate_limited"), record(5, started_at=666.0), record(6),
    ]  # fmt: skip
    for each in different:
        queue.put(each)
    queue.put(record(7))
    aggregates = [each for each in queue.take(100) if each.started_at % 60 == 0]
    assert len(aggregates) == 6
    assert sorted(each.requests for each in aggregates) == [1, 1, 1, 1, 1, 2]
    assert {each.started_at for each in aggregates} == {600.0, 660.0}


def test_what_could_not_be_written_goes_back_in_front() -> None:
    queue = UsageQueue()
    for number in range(4):
        queue.put(record(number))
    failed = queue.take(2)
    queue.put_back(failed)
    assert [each.request_id for each in queue.take(10)] == ["req_0", "req_1", "req_2", "req_3"]


def test_putting_back_into_a_full_queue_folds_instead_of_growing() -> None:
    queue = UsageQueue(max_queued=2)
    for number in range(2):
        queue.put(record(number))
    failed = queue.take(2)
    for number in range(2, 4):
        queue.put(record(number))
    queue.put_back(failed)
    assert len(queue) == 3
    assert totals(queue.take(10))[0] == 4


def test_an_aggregate_that_could_not_be_written_still_counts_all_its_requests() -> None:
    queue = UsageQueue(max_queued=1)
    for number in range(6):
        queue.put(record(number))
    queue.put_back(queue.take(100))
    queue.put(record(6))
    assert totals(queue.take(100))[0] == 7


@given(st.lists(st.sampled_from(["put", "take", "fail"]), max_size=80), st.integers(1, 5))
def test_every_request_is_written_exactly_once_whatever_the_order_of_events(steps: list[str], bound: int) -> None:
    queue = UsageQueue(max_queued=bound)
    written: list[UsageRecord] = []
    made = 0
    for step in steps:
        if step == "put":
            queue.put(record(made, started_at=float(made * 20)))
            made += 1
        else:
            taken = queue.take(3)
            if step == "fail":
                queue.put_back(taken)
            else:
                written += taken
    written += queue.take(10_000)
    assert totals(written) == (made, made * 10, made * 4, made * 3, made)
