"""What follows a failed attempt: one pure table over the error's type, how often it happened, and what was sent.

Nothing is ever replayed after the first byte of output reached the client (ADR-0010). `last_word` is which failure is
told when no account is left. Facts: spec/operations.md §2.7, spec/wire.md §6.2 and §6.6.
"""

from __future__ import annotations

import math
from enum import Enum

from msgspec import Struct

from translation import errors


class Action(Enum):
    """What the flow does next."""

    FAIL = "fail"
    SAME_ACCOUNT = "same account"
    OTHER_ACCOUNT = "other account"
    REFRESH = "refresh the token, then the same account"
    WITHOUT_REASONING = "same account, without encrypted reasoning"


class Step(Struct, frozen=True):
    """The next action and how long to wait before it."""

    action: Action
    delay_s: float = 0.0


FAIL = Step(Action.FAIL)


class Budget(Struct, frozen=True, kw_only=True):
    """What one request may spend on trying again: attempts in all, blameless failures, seconds since the first one."""

    attempts: int = 60
    blameless: int = 4
    seconds: float = 30.0


DEFAULT_BUDGET = Budget()


BLAMED = (errors.RateLimited, errors.AccountRejected, errors.UpstreamBlocked, errors.ModelUnsupported)
"""Failures that only say that this account will not do. They walk the pool as far as it goes; all others would happen
on the next account as well, and a pool of fifty must not turn one overload into fifty calls."""


class Spent(Struct, kw_only=True):
    """What one request has spent so far; `after` counts a failure. Times are of one monotonic clock."""

    attempts: int = 0
    blameless: int = 0
    seconds: float = 0.0
    first_failure_at: float | None = None

    def after(self, error: errors.GatewayError, attempts: int, now: float) -> Spent:
        """Count `error`, with which the `attempts`-th attempt ended at `now`."""
        self.first_failure_at = now if self.first_failure_at is None else self.first_failure_at
        self.attempts, self.seconds = attempts, now - self.first_failure_at
        self.blameless += not isinstance(error, BLAMED)
        return self

    def is_over(self, budget: Budget) -> bool:
        """Tell whether nothing is left to try with."""
        return self.attempts >= budget.attempts or self.blameless >= budget.blameless or self.seconds >= budget.seconds


class Rule(Struct, frozen=True):
    """`first` is taken up to `times` times for this error type, then `then`."""

    first: Action
    times: int
    then: Action = Action.FAIL
    delays_s: tuple[float, ...] = (0.0,)


MANY = 1000
"""As often as there are accounts; the flow's attempt budget is the real bound."""

RULES: dict[type[errors.GatewayError], Rule] = {
    errors.RateLimited: Rule(Action.OTHER_ACCOUNT, MANY),
    errors.ModelAtCapacity: Rule(Action.OTHER_ACCOUNT, 3, delays_s=(0.2, 1.0, 2.0)),
    errors.UpstreamBusy: Rule(Action.OTHER_ACCOUNT, 3, delays_s=(0.0, 0.5, 1.0)),
    errors.UpstreamFailed: Rule(Action.OTHER_ACCOUNT, 1),
    errors.UpstreamBlocked: Rule(Action.OTHER_ACCOUNT, MANY),
    errors.UpstreamUnreachable: Rule(Action.SAME_ACCOUNT, 2, then=Action.OTHER_ACCOUNT, delays_s=(0.1, 1.0)),
    errors.UpstreamDisconnected: Rule(Action.SAME_ACCOUNT, 1, then=Action.OTHER_ACCOUNT),
    errors.UpstreamTransient: Rule(Action.SAME_ACCOUNT, 1, delays_s=(0.2,)),
    errors.ProtocolViolation: Rule(Action.OTHER_ACCOUNT, 1),
    errors.EmptyResponse: Rule(Action.OTHER_ACCOUNT, 2),
    errors.ModelUnsupported: Rule(Action.OTHER_ACCOUNT, 1),
    errors.ReasoningRejected: Rule(Action.WITHOUT_REASONING, 1),
}
"""Types that are not here fail at once: the request's own fault, or no use in trying."""


def next_step(
    error: errors.GatewayError,
    *,
    seen: int,
    is_committed: bool,
    has_output: bool,
    spent: Spent | None = None,
    budget: Budget = DEFAULT_BUDGET,
) -> Step:
    """Return what to do after `error`, which happened for the `seen`-th time (1 the first) in this request.

    `is_committed`: output reached the client. `has_output`: the upstream had begun to answer (collected answers), so
    a cut is likely a cap that the next account would hit as well (spec/wire.md §6.6). `spent`: what the request has
    used up, this failure included.
    """
    if is_committed or (spent is not None and spent.is_over(budget)):
        return FAIL
    if isinstance(error, errors.AccountRejected):
        can_refresh = error.reason in ("expired", "invalidated") and seen == 1
        return Step(Action.REFRESH if can_refresh else Action.OTHER_ACCOUNT)
    if has_output and isinstance(error, errors.UpstreamDisconnected | errors.UpstreamUnreachable):
        return FAIL
    rule = RULES.get(type(error))
    if rule is None:
        return FAIL
    delay_s = rule.delays_s[min(seen, len(rule.delays_s)) - 1]
    if seen <= rule.times:
        return Step(rule.first, delay_s)
    if rule.then is Action.OTHER_ACCOUNT and seen <= rule.times + 1:
        return Step(rule.then, delay_s)
    return FAIL


def last_word(failure: errors.GatewayError | None, none_left: errors.NoCapacity, now: float) -> errors.GatewayError:
    """When no account is left, the last failure says more than "none left"; the wait is the pool's to know."""
    if failure is None:
        return none_left
    if isinstance(failure, errors.RateLimited):
        failure.message = f"All accounts exhausted ({none_left.tally}). {failure.message}"
        if none_left.retry_after_s is not None:
            wait_s = failure.retry_after_s = none_left.retry_after_s
            if failure.error_type == "usage_limit_reached":
                # What clients render is the soonest account's reset, not the last one's.
                failure.extra |= {"resets_at": int(now + wait_s), "resets_in_seconds": math.ceil(wait_s)}
    return failure
