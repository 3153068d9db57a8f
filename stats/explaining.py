"""Turns the why record of a request into sentences: who could serve it, who was passed over, what was tried.

Shared by the request log's page and `codexproxy explain`. The record itself is `accounts/why.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import Account, AccountStatus
from accounts.why import Passed, Try, Wait, Why, decode
from stats.figures import human_ms, human_share
from stats.models import UsageRecord

_HOW: Mapping[str, Promise] = {
    "affinity": gettext_lazy("its conversation is there"),
    "least_used": gettext_lazy("the least used"),
    "round_robin": gettext_lazy("next in turn"),
    "sticky": gettext_lazy("staying on one account"),
    "quota_aware": gettext_lazy("most quota to use before it resets"),
}
_THEN: Mapping[str, Promise] = {
    "fail": gettext_lazy("the client was told"),
    "same account": gettext_lazy("the same account was tried again"),
    "other account": gettext_lazy("another account was to be tried"),
    "refresh the token, then the same account": gettext_lazy("its token was to be renewed"),
    "same account, without encrypted reasoning": gettext_lazy("it was tried again without encrypted reasoning"),
}
_PASSED: Mapping[str, Promise] = {
    "pool": gettext_lazy("not in the pool that the API key is restricted to"),
    "lacks_model": gettext_lazy("its plan turned out to lack the model"),
    "full": gettext_lazy("busy with as many requests as it may run at once"),
    "tried": gettext_lazy("tried already, and failed"),
}
_WAIT_ENDS: Mapping[str, Promise] = {
    "served": gettext_lazy("then a slot was free"),
    "too_long": gettext_lazy("then patience ended"),
    "hopeless": gettext_lazy("then none could become free any more"),
    "left": gettext_lazy("then the client hung up"),
}


def explain(row: UsageRecord) -> list[str]:
    """Return how the request was decided, one sentence per step; empty when nothing was kept of it."""
    why = decode(row.why)
    if why is None:
        return []
    return list(_Teller(why, _names(why)).tell(row))


class _Teller:
    """Tells one record; account ids become names."""

    def __init__(self, why: Why, names: Mapping[str, str]) -> None:
        self._why = why
        self._names = names

    def tell(self, row: UsageRecord) -> Iterator[str]:
        why = self._why
        yield ngettext(
            "%(fit)d of %(accounts)d account could serve this request.",
            "%(fit)d of %(accounts)d accounts could serve this request.",
            why.accounts,
        ) % {"fit": why.fit, "accounts": why.accounts}
        yield from self._passed_over(why.over)
        yield from (self._others(reason, count) for reason, count in why.more.items())
        if why.moved is not None:
            names = {"name": self._name(why.moved.account), "reason": self._reason(why.moved)}
            yield _("The conversation was on %(name)s before: %(reason)s.") % names
        yield from (self._wait(each) for each in why.waits)
        yield from self._tries(why)
        yield from _ending(row, why)

    def _passed_over(self, over: Sequence[Passed]) -> Iterator[str]:
        """One sentence per reason, however many accounts share it."""
        sharing: dict[str, list[str]] = {}
        for each in over:
            sharing.setdefault(self._reason(each), []).append(self._name(each.account))
        for reason, names in sharing.items():
            yield _("Passed over: %(names)s – %(reason)s.") % {"names": ", ".join(names), "reason": reason}

    def _others(self, reason: str, count: int) -> str:
        words = {"count": count, "reason": self._reason(Passed("", reason))}  # type: ignore[arg-type]
        return (
            ngettext("Passed over: %(count)d more – %(reason)s.", "Passed over: %(count)d more – %(reason)s.", count)
            % words
        )

    def _reason(self, passed: Passed) -> str:
        match passed.reason:
            case "unusable":
                return _status(passed.words)
            case "plan":
                return (
                    _("its plan (%(plan)s) lacks the model") % {"plan": passed.words}
                    if passed.words
                    else _("its plan lacks the model")
                )
            case "exhausted":
                return _("its quota is used up") + _until(passed.until)
            case "resting":
                said = f" ({passed.words})" if passed.words else ""
                return _("resting") + _until(passed.until) + said
            case _:
                return str(_PASSED.get(passed.reason, passed.reason))

    def _wait(self, wait: Wait) -> str:
        return _("Waited %(span)s for a free slot, from place %(place)d in line; %(end)s.") % {
            "span": human_ms(wait.took_ms), "place": wait.place, "end": str(_WAIT_ENDS.get(wait.end, wait.end))
        }  # fmt: skip

    def _tries(self, why: Why) -> Iterator[str]:
        gap = len(why.tries) // 2 if why.untold else -1
        number = 0
        for index, each in enumerate(why.tries):
            if index == gap:
                yield ngettext(
                    "(%(count)d more attempt like these.)", "(%(count)d more attempts like these.)", why.untold
                ) % {"count": why.untold}
                number += why.untold
            number += 1
            yield self._try(number, each)

    def _try(self, number: int, each: Try) -> str:
        words = {
            "number": number, "name": self._name(each.account), "how": str(_HOW.get(each.how, each.how)),
            "span": human_ms(each.took_ms), "status": each.status, "error": each.error,
            "then": str(_THEN.get(each.action, each.action)),
        }  # fmt: skip
        if each.error:
            said = _("Attempt %(number)d on %(name)s (%(how)s): %(status)d %(error)s after %(span)s; %(then)s.") % words
        elif each.status:
            said = _("Attempt %(number)d on %(name)s (%(how)s): answered in %(span)s.") % words
        else:
            said = _("Attempt %(number)d on %(name)s (%(how)s): it did not come to an end.") % words
        if each.paced_ms:
            said += " " + _("It was held back %(span)s, so that requests do not leave all at once.") % {
                "span": human_ms(each.paced_ms)
            }
        return said

    def _name(self, account: str) -> str:
        return self._names.get(account, account)


def _ending(row: UsageRecord, why: Why) -> Iterator[str]:
    if row.lane == UsageRecord.Lane.RELAY:
        yield _("The answer was passed through as the upstream wrote it.")
    elif row.lane == UsageRecord.Lane.TRANSLATE:
        yield _("The answer was translated: %(why)s.") % {"why": why.lane or _("the client speaks another protocol")}
    if row.cached_tokens and row.input_tokens:
        share = human_share(row.cached_tokens / row.input_tokens)
        yield _("%(share)s of the input came from the upstream's cache.") % {"share": share}
    spans = {"first": human_ms(row.ttfb_ms), "all": human_ms(row.duration_ms)}
    if row.ttfb_ms is None:
        yield _("All of it took %(all)s.") % spans
    else:
        yield _("The first byte came after %(first)s, all of it took %(all)s.") % spans


def _status(kind: str) -> str:
    try:
        return str(AccountStatus(kind).label).lower()
    except ValueError:
        return _("not usable")


def _until(moment: int) -> str:
    if not moment:
        return ""
    at = timezone.localtime(datetime.fromtimestamp(moment, UTC))
    return " " + _("until %(time)s") % {"time": date_format(at, "SHORT_DATETIME_FORMAT")}


def _names(why: Why) -> dict[str, str]:
    """Return the names that operators gave the accounts of a record; one query."""
    wanted = {each.account for each in (*why.over, *why.tries)}
    if why.moved is not None:
        wanted.add(why.moved.account)
    rows = Account.objects.filter(pk__in=wanted).only("id", "label", "email")
    return {row.pk: str(row) for row in rows}
