"""The parts of the benchmark that decide what counts: the check of answers, percentiles, medians, tables. Fast."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.perf.bodies import BODIES, body_of
from tests.perf.load import Answer, Endpoint, Tally, why_wrong
from tests.perf.plan import FULL
from tests.perf.report import BEGIN, END, medians, render, write_between_marks
from tests.perf.rows import percentile
from tests.perf.shape import Shape, find_shape
from tests.perf.upstream import prepared_deltas, whole_answer

SHAPE = Shape(3)


def _upstream_answer(body: bytes | None = None, status: int = 200) -> Answer:
    answer = Answer(started_at=1.0, status=status, first_delta_at=1.1)
    answer.pieces.append(whole_answer(SHAPE.deltas).partition(b"\r\n\r\n")[2] if body is None else body)
    return answer


def _chat_answer(numbers: list[int], end: bytes = b"data: [DONE]\n\n") -> Answer:
    events = b"".join(b'data: {"choices":[{"delta":{"content":" #%05d"}}]}\n\n' % number for number in numbers)
    text = events + end
    return _upstream_answer(b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text))


def test_a_whole_answer_of_the_fake_upstream_is_right() -> None:
    assert why_wrong(_upstream_answer(), SHAPE, "responses") == ""


def test_a_whole_chat_answer_is_right() -> None:
    assert why_wrong(_chat_answer([0, 1, 2]), SHAPE, "chat") == ""


@pytest.mark.parametrize("numbers", [[0, 1], [0, 2, 1], [0, 1, 1, 2], []], ids=["lost", "swapped", "doubled", "none"])
def test_lost_swapped_and_doubled_deltas_are_found(numbers: list[int]) -> None:
    assert "deltas" in why_wrong(_chat_answer(numbers), SHAPE, "chat")


def test_an_answer_without_its_end_mark_is_wrong() -> None:
    assert why_wrong(_chat_answer([0, 1, 2], end=b""), SHAPE, "chat") == "no end mark"


def test_an_error_is_wrong_even_when_its_body_looks_right() -> None:
    answer = _chat_answer([0, 1, 2])
    answer.status = 503
    assert why_wrong(answer, SHAPE, "chat").startswith("status 503")


def test_deltas_that_only_the_closing_events_repeat_do_not_count() -> None:
    body = whole_answer(SHAPE.deltas).partition(b"\r\n\r\n")[2]
    spoiled = body.replace(b'"delta":" #00001"', b'"delta":" -00001"')
    assert spoiled != body
    assert "deltas" in why_wrong(_upstream_answer(spoiled), SHAPE, "responses")


def test_a_prepared_delta_has_room_for_exactly_the_time_of_sending() -> None:
    before, after = prepared_deltas(2)[1]
    size, _, rest = (before + b"1" * 16 + after).partition(b"\r\n")
    assert rest[int(size, 16) :] == b"\r\n"
    assert before.endswith(b" #00001@")


@pytest.mark.parametrize("dialect", sorted(BODIES))
@pytest.mark.parametrize("size_bytes", [0, 300_000])
def test_a_request_names_its_shape_and_has_about_the_size_asked_for(dialect: str, size_bytes: int) -> None:
    shape = Shape(7, 5)
    request = Endpoint(1, "/x", dialect).request(shape, size_bytes)
    assert find_shape(request) == shape
    assert abs(len(request) - size_bytes) < 20_000


@pytest.mark.parametrize("dialect", sorted(BODIES))
def test_only_long_conversations_declare_the_tool_they_use(dialect: str) -> None:
    assert not body_of(dialect, "x", 0).get("tools")
    assert len(body_of(dialect, "x", 10_000)["tools"]) == 1


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert math.isnan(percentile([], 50))


def test_medians_leave_out_what_a_round_could_not_measure() -> None:
    rounds = [{"row": {"relay": 1.0}}, {"row": {"relay": math.nan, "nginx": 4.0}}, {"row": {"relay": 3.0}}]
    assert medians(rounds) == {"row": {"relay": 2.0, "nginx": 4.0}}


def test_the_report_shows_added_times_ratios_and_what_failed() -> None:
    tally = Tally(verified=5)
    tally.failures["/v1/responses: no end mark"] = 2
    figures = {
        "alone_p50": {"direct": 0.5, "nginx": 0.25, "relay": 1.0, "translate": math.nan},
        "paced_cpu": {"nginx": 2.0, "relay": 5.0, "translate": 6.0},
    }
    text = render(figures, {}, {}, tally, FULL, ["a note"])
    assert "| 0.50 ms | +0.25 ms | +1.00 ms | failed |" in text
    assert "| – | 2.00 s | 5.00 s (2.50 ×) | 6.00 s (3.00 ×) |" in text
    assert "2 failed:\n\n* 2 × /v1/responses: no end mark" in text
    assert text.endswith("* a note\n")


def test_without_nginx_its_column_is_empty_and_there_are_no_ratios() -> None:
    text = render({"paced_cpu": {"relay": 5.0, "translate": 6.0}}, {}, {}, Tally(), FULL, [])
    assert "| – | – | 5.00 s | 6.00 s |" in text


def test_the_state_on_redis_is_compared_with_the_state_in_memory() -> None:
    redis = {"small_requests": {"translate": 1000.0, "redis": 900.0}, "alone_p50": {"direct": 0.5, "redis": 2.0}}
    text = render({}, {}, redis, Tally(), FULL, [])
    assert "| | direct | translate, state in memory | translate, state on Redis |" in text
    assert "| – | 1,000 1/s | 900 1/s (0.90 ×) |" in text
    assert "| 0.50 ms | – | +2.00 ms |" in text


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "x.md"
    document.write_text(f"{END} {BEGIN}")
    with pytest.raises(ValueError, match="lacks the marks"):
        write_between_marks(document, "figures")
    assert document.read_text() == f"{END} {BEGIN}"
