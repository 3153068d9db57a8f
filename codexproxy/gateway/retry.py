"""What follows a failed attempt: one pure table over the error's type, how often it happened, and what was sent.

Nothing is ever replayed after the first byte of output reached the client (ADR-0010). Facts: spec/operations.md §2.7,
spec/wire.md §6.2 and §6.6.
"""

from __future__ import annotations

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
    errors.UpstreamDisconnected: Rule(Action.SAME_ACCOUNT, 1),
    errors.ProtocolViolation: Rule(Action.OTHER_ACCOUNT, 1),
    errors.EmptyResponse: Rule(Action.OTHER_ACCOUNT, 2),
    errors.ModelUnsupported: Rule(Action.OTHER_ACCOUNT, 1),
    errors.ReasoningRejected: Rule(Action.WITHOUT_REASONING, 1),
}
"""Types that are not here fail at once: the request's own fault, or no use in trying."""


def next_step(error: errors.GatewayError, *, seen: int, is_committed: bool, has_output: bool) -> Step:
    """Return what to do after `error`, which happened for the `seen`-th time (1 the first) in this request.

    `is_committed`: output reached the client. `has_output`: the upstream had begun to answer (collected answers), so
    a cut is likely a cap that the next account would hit as well (spec/wire.md §6.6).
    """
    if is_committed:
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
