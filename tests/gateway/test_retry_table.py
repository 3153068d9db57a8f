"""The retry table, row by row."""

from __future__ import annotations

import pytest

from codexproxy.gateway.retry import Action, Budget, Spent, next_step
from translation import errors

ROWS = [
    (errors.RateLimited("x"), 1, Action.OTHER_ACCOUNT),
    (errors.RateLimited("x"), 40, Action.OTHER_ACCOUNT),
    (errors.ModelAtCapacity("x"), 3, Action.OTHER_ACCOUNT),
    (errors.ModelAtCapacity("x"), 4, Action.FAIL),
    (errors.UpstreamBusy("x"), 1, Action.OTHER_ACCOUNT),
    (errors.UpstreamBusy("x"), 4, Action.FAIL),
    (errors.UpstreamFailed("x"), 1, Action.OTHER_ACCOUNT),
    (errors.UpstreamFailed("x"), 2, Action.FAIL),
    (errors.UpstreamBlocked("x", reason="challenge"), 5, Action.OTHER_ACCOUNT),
    (errors.UpstreamUnreachable("x"), 1, Action.SAME_ACCOUNT),
    (errors.UpstreamUnreachable("x"), 2, Action.SAME_ACCOUNT),
    (errors.UpstreamUnreachable("x"), 3, Action.OTHER_ACCOUNT),
    (errors.UpstreamUnreachable("x"), 4, Action.FAIL),
    (errors.UpstreamDisconnected("x"), 1, Action.SAME_ACCOUNT),
    (errors.UpstreamDisconnected("x"), 2, Action.OTHER_ACCOUNT),
    (errors.UpstreamDisconnected("x"), 3, Action.FAIL),
    (errors.UpstreamTransient("x"), 1, Action.SAME_ACCOUNT),
    (errors.UpstreamTransient("x"), 2, Action.FAIL),
    (errors.EmptyResponse("x"), 2, Action.OTHER_ACCOUNT),
    (errors.EmptyResponse("x"), 3, Action.FAIL),
    (errors.ModelUnsupported("x"), 1, Action.OTHER_ACCOUNT),
    (errors.ModelUnsupported("x"), 2, Action.FAIL),
    (errors.ReasoningRejected("x"), 1, Action.WITHOUT_REASONING),
    (errors.ReasoningRejected("x"), 2, Action.FAIL),
    (errors.AccountRejected("x", reason="expired"), 1, Action.REFRESH),
    (errors.AccountRejected("x", reason="expired"), 2, Action.OTHER_ACCOUNT),
    (errors.AccountRejected("x", reason="banned"), 1, Action.OTHER_ACCOUNT),
    (errors.AccountRejected("x", reason="payment"), 1, Action.OTHER_ACCOUNT),
    (errors.UpstreamTimeout("x"), 1, Action.FAIL),
    (errors.UpstreamRefused("x"), 1, Action.FAIL),
    (errors.InvalidRequest("x"), 1, Action.FAIL),
    (errors.ContinuationLost("x"), 1, Action.FAIL),
    (errors.ContextTooLong("x"), 1, Action.FAIL),
    (errors.GatewayBug("x"), 1, Action.FAIL),
]


@pytest.mark.parametrize(("error", "seen", "action"), ROWS, ids=lambda value: getattr(type(value), "__name__", ""))
def test_each_row_says_what_follows(error: errors.GatewayError, seen: int, action: Action) -> None:
    assert next_step(error, seen=seen, is_committed=False, has_output=False).action is action


@pytest.mark.parametrize("error", [row[0] for row in ROWS], ids=lambda error: type(error).__name__)
def test_nothing_is_retried_after_output_was_sent(error: errors.GatewayError) -> None:
    assert next_step(error, seen=1, is_committed=True, has_output=True).action is Action.FAIL


def test_an_answer_cut_in_the_middle_is_not_tried_elsewhere_even_when_nothing_was_sent() -> None:
    step = next_step(errors.UpstreamDisconnected("x"), seen=1, is_committed=False, has_output=True)
    assert step.action is Action.FAIL


def test_repeated_capacity_failures_wait_longer_each_time() -> None:
    delays = [
        next_step(errors.ModelAtCapacity("x"), seen=seen, is_committed=False, has_output=False).delay_s
        for seen in (1, 2, 3)
    ]
    assert delays == sorted(delays) and delays[0] < delays[-1]


# ---- T15: the budget of one request ---------------------------------------------------------------------------------


def step_after(error: errors.GatewayError, failures: int, *, seconds_apart: float = 0.0) -> Action:
    """What follows the last of `failures` equal failures, each seen as if it were the first of its kind."""
    spent = Spent()
    for number in range(failures):
        spent.after(error, number + 1, number * seconds_apart)
    return next_step(error, seen=1, is_committed=False, has_output=False, spent=spent).action


def test_t15_failures_that_blame_no_account_are_tried_four_times_in_all_whatever_their_kinds() -> None:
    assert step_after(errors.UpstreamBusy("x"), 3) is Action.OTHER_ACCOUNT
    assert step_after(errors.UpstreamBusy("x"), 4) is Action.FAIL


def test_t15_failures_that_blame_the_account_walk_the_whole_pool() -> None:
    assert step_after(errors.RateLimited("x"), 59) is Action.OTHER_ACCOUNT
    assert step_after(errors.RateLimited("x"), Budget().attempts) is Action.FAIL


def test_t15_half_a_minute_after_the_first_failure_nothing_is_tried_any_more() -> None:
    assert step_after(errors.RateLimited("x"), 2, seconds_apart=29) is Action.OTHER_ACCOUNT
    assert step_after(errors.RateLimited("x"), 2, seconds_apart=30) is Action.FAIL
