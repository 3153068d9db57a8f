"""What each failure costs the account it happened on."""

from __future__ import annotations

import pytest

from accounts.health import (
    BLOCK_COOL_S,
    MAX_COOL_S,
    PAYMENT_COOL_S,
    REJECTED_COOL_S,
    TRANSIENT_COOL_S,
    UNKNOWN_LIMIT_COOL_S,
    penalty,
)
from translation import errors

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("error", "rest_s"),
    [
        (errors.RateLimited("x", until=NOW + 5400), 5400),
        (errors.RateLimited("x"), UNKNOWN_LIMIT_COOL_S),
        (errors.RateLimited("x", until=NOW - 10), UNKNOWN_LIMIT_COOL_S),
        (errors.RateLimited("x", until=NOW + 10 * 366 * 86_400), MAX_COOL_S),
        (errors.RateLimited("x", retry_after_s=5400), 5400),
        (errors.RateLimited("x", retry_after_s=-5), UNKNOWN_LIMIT_COOL_S),
        (errors.RateLimited("x", retry_after_s=1e12), MAX_COOL_S),
        (errors.RateLimited("x", scope="transient", until=NOW + 11), 11),
        (errors.RateLimited("x", scope="transient", retry_after_s=11), 11),
        (errors.RateLimited("x", scope="transient"), TRANSIENT_COOL_S),
        (errors.AccountRejected("x", reason="expired"), REJECTED_COOL_S),
        (errors.AccountRejected("x", reason="banned"), REJECTED_COOL_S),
        (errors.AccountRejected("x", reason="payment"), PAYMENT_COOL_S),
    ],
)
def test_a_failure_of_the_account_lets_it_rest(error: errors.GatewayError, rest_s: float) -> None:
    found = penalty(error, now=NOW)
    assert found is not None
    assert found.cool_until - NOW == pytest.approx(rest_s)
    assert found.reason


@pytest.mark.parametrize(("blocks", "rest_s"), [(0, 10), (1, 10), (2, 30), (3, 90), (4, 120), (400, 120)])
def test_blocks_in_a_row_rest_longer_up_to_a_limit(blocks: int, rest_s: float) -> None:
    found = penalty(errors.UpstreamBlocked("x", reason="challenge"), now=NOW, blocks_in_a_row=blocks)
    assert found is not None
    assert found.cool_until - NOW == pytest.approx(rest_s)
    assert rest_s in BLOCK_COOL_S
    assert "challenge" in found.reason


@pytest.mark.parametrize("reason", ["expired", "invalidated", "banned", "payment", "forbidden"])
def test_only_a_rejection_of_the_login_asks_for_a_new_status(reason: str) -> None:
    rejected = penalty(errors.AccountRejected("x", reason=reason, detail="they said so"), now=NOW)
    limited = penalty(errors.RateLimited("x"), now=NOW)
    assert rejected is not None and limited is not None
    assert (rejected.rejection, rejected.reason) == (reason, "they said so")
    assert limited.rejection == ""


@pytest.mark.parametrize(
    "error",
    [
        errors.ModelAtCapacity("x"),
        errors.UpstreamBusy("x"),
        errors.UpstreamFailed("x"),
        errors.UpstreamUnreachable("x"),
        errors.UpstreamTimeout("x"),
        errors.UpstreamDisconnected("x"),
        errors.EmptyResponse("x"),
        errors.ModelUnsupported("x"),
        errors.ReasoningRejected("x"),
        errors.UpstreamRefused("x"),
        errors.ProtocolViolation("x"),
        errors.InvalidRequest("x"),
        errors.GatewayBug("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failures_of_the_network_the_model_or_the_request_cost_the_account_nothing(error: errors.GatewayError) -> None:
    assert penalty(error, now=NOW) is None
