"""What the overview shows, as small frozen values: figures, the pool, what needs a person, last failures.

Asks a constant number of questions, however many accounts and requests there are. The page is
templates/admin/overview.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Account, AccountStatus, ApiKey
from accounts.status import describe
from codexproxy.dashboard.quota import PoolQuota, pool_quota
from codexproxy.live_settings import load_settings
from codexproxy.serving.listener_probe import listener_state
from stats.figures import human_count, human_ms, human_share
from stats.models import UsageRecord
from stats.selectors import DayFigures, day_figures, has_any_request, last_failures

FAILURES_SHOWN = 8
NEEDS_SHOWN = 6
EXAMPLE_MODEL = "gpt-5.5"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One card: a number, what it is made of, and its last 24 hours. `link` leads to the rows behind it."""

    title: str
    value: str
    exact: str
    note: str
    series: tuple[int | None, ...]
    unit: str = ""
    link: str = ""
    is_loud: bool = False


@dataclass(frozen=True, kw_only=True)
class Pool:
    """How many accounts are in which state."""

    total: int
    ready: int
    cooling: int
    rest: int
    words: str


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something that a person has to do."""

    title: str
    reason: str
    link: str
    action: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class AccountChoice:
    """One of the ways to add an account."""

    title: str
    text: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Listener:
    """The listener for Ollama apps: its state in words, and what to do next; `command` may be empty."""

    address: str
    is_running: bool
    words: str
    advice: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The whole page."""

    figures: tuple[Figure, ...]
    pool: Pool
    quota: PoolQuota
    needs: tuple[Need, ...]
    needs_hidden: int
    failures: tuple[UsageRecord, ...]
    failures_link: str
    listener: Listener
    has_requests: bool
    has_keys: bool
    ways_to_add: tuple[AccountChoice, ...]
    example: str
    accounts_link: str
    add_account_link: str
    keys_link: str
    now: datetime


def overview(request: HttpRequest) -> Overview:
    """Return the overview as `request`'s reader should see it now."""
    now = timezone.now()
    address = request.build_absolute_uri("/").rstrip("/")
    pool = _pool(now)
    needs, needs_total = _needs(now)
    failures_link = _link("admin:stats_usagerecord_changelist", "?result=failed")
    return Overview(
        figures=_figures(day_figures(now), failures_link),
        pool=pool,
        quota=pool_quota(now),
        needs=needs,
        needs_hidden=needs_total - len(needs),
        failures=tuple(last_failures(FAILURES_SHOWN)),
        failures_link=failures_link,
        listener=_listener(),
        has_requests=has_any_request(),
        has_keys=ApiKey.objects.filter(revoked_at__isnull=True).exists(),
        ways_to_add=() if pool.total else _ways_to_add(),
        example=example_call(address),
        accounts_link=_link("admin:accounts_account_changelist"),
        add_account_link=_link("admin:accounts_account_add"),
        keys_link=_link("admin:accounts_apikey_changelist"),
        now=now,
    )


def example_call(address: str, key: str = "cpx-…") -> str:
    """Return a command line that streams an answer from the gateway at `address`."""
    body = f'{{"model": "{EXAMPLE_MODEL}", "stream": true, "messages": [{{"role": "user", "content": "Say hello"}}]}}'
    return (
        f"curl -N {address}/v1/chat/completions \\\n"
        f'  -H "Authorization: Bearer {key}" \\\n'
        f'  -H "Content-Type: application/json" \\\n'
        f"  -d '{body}'"
    )


def _figures(day: DayFigures, failures_link: str) -> tuple[Figure, ...]:
    requests_link = _link("admin:stats_usagerecord_changelist")
    reason = _outcome_words(day.common_outcome)
    return (
        Figure(
            title=_("Requests"),
            value=human_count(day.requests),
            exact=str(day.requests),
            note=_("in the last 24 hours"),
            series=day.requests_by_hour,
            link=requests_link,
        ),
        Figure(
            title=_("Tokens"),
            value=human_count(day.tokens),
            exact=str(day.tokens),
            note=_("%(share)s of input from cache") % {"share": human_share(day.cached_share)}
            if day.tokens
            else _("none in the last 24 hours"),
            series=day.tokens_by_hour,
            link=requests_link,
        ),
        Figure(
            title=_("Errors"),
            value=human_share(day.error_share),
            exact=_("%(errors)d of %(requests)d requests") % {"errors": day.errors, "requests": day.requests},
            note=_("most often: %(reason)s") % {"reason": reason} if reason else _("none in the last 24 hours"),
            series=day.errors_by_hour,
            link=failures_link,
            is_loud=day.error_share >= 0.05,
        ),
        Figure(
            title=_("Time to first byte"),
            value=human_ms(day.ttfb_ms),
            exact="" if day.ttfb_ms is None else f"{day.ttfb_ms} ms",
            note=_("half of all requests are faster") if day.ttfb_ms is not None else _("nothing measured yet"),
            series=day.ttfb_by_hour,
            unit="ms",
            link=requests_link,
        ),
    )


def _outcome_words(outcome: str) -> str:
    return str(dict(UsageRecord.Outcome.choices).get(outcome, outcome)).lower() if outcome else ""


def _pool(now: datetime) -> Pool:
    rows = Account.objects.all()
    total, ready, cooling = rows.count(), rows.ready(now).count(), rows.cooling(now).count()
    stuck = _stuck(now).count()
    off = total - ready - cooling - stuck
    words = [
        ngettext("%d account", "%d accounts", total) % total,
        ngettext("%d ready", "%d ready", ready) % ready,
    ]
    if cooling:
        words.append(ngettext("%d cooling down", "%d cooling down", cooling) % cooling)
    if stuck:
        words.append(ngettext("%d needs you", "%d need you", stuck) % stuck)
    if off > 0:
        words.append(ngettext("%d switched off", "%d switched off", off) % off)
    return Pool(total=total, ready=ready, cooling=cooling, rest=total - ready - cooling, words=" · ".join(words))


def _stuck(now: datetime) -> QuerySet[Account]:
    """Return accounts that only a person can help."""
    return Account.objects.all().needing_login(now) | Account.objects.filter(status=AccountStatus.BANNED)


def _needs(now: datetime) -> tuple[tuple[Need, ...], int]:
    rows = _stuck(now)
    return tuple(_need(row, now) for row in rows.order_by("-status_changed_at")[:NEEDS_SHOWN]), rows.count()


def _need(row: Account, now: datetime) -> Need:
    state = describe(row, now)
    return Need(
        title=str(row),
        reason=state.words,
        link=_link("admin:accounts_account_change", row.pk),
        action=_("Log in again") if state.kind == "needs_login" else _("Look"),
        since=row.status_changed_at,
    )


def _listener() -> Listener:
    state = listener_state(load_settings().ollama)
    words, advice, command = {
        "off": (
            _("Off"),
            _("Apps that only know Ollama can use this gateway through a second address on this machine."),
            "codexproxy settings set ollama.key cpx-…\ncodexproxy settings set ollama.enabled true",
        ),
        "running": (
            _("Running"),
            _("Point apps at this address, as if it were Ollama. They need no key; all of this machine may call."),
            f"OLLAMA_HOST={state.address} ollama list",
        ),
        "keyless": (
            _("Running, but every call is refused"),
            _("Say which API key stands for the apps that have none."),
            "codexproxy settings set ollama.key cpx-…",
        ),
        "taken": (
            _("Another program has the port"),
            _("It is probably Ollama itself. Stop it, or choose another port; the gateway tries again by itself."),
            "codexproxy settings set ollama.port 11435",
        ),
        "silent": (
            _("Not running"),
            _("Nothing answers there. The gateway's log says why; it tries again every few seconds."),
            "",
        ),
    }[state.kind]
    return Listener(
        address=state.address, is_running=state.kind == "running", words=words, advice=advice, command=command
    )


def _ways_to_add() -> tuple[AccountChoice, ...]:
    return (
        AccountChoice(
            title=_("From Codex on this machine"),
            text=_("You are already logged in with the Codex CLI: take its login along."),
            command="codexproxy account add --auth-json ~/.codex/auth.json",
        ),
        AccountChoice(
            title=_("With a refresh token"),
            text=_("The gateway fetches access tokens itself, from now on."),
            command="codexproxy account add --refresh-token rt_…",
        ),
        AccountChoice(
            title=_("With an access token"),
            text=_("Quick, for a try: it works until the token expires."),
            command="codexproxy account add --access-token eyJ…",
        ),
    )


def _link(name: str, more: str = "") -> str:
    """Return the address of an admin page; empty when this page does not exist here. `more` is a query or an id."""
    is_query = more.startswith("?")
    try:
        return reverse(name, args=() if is_query or not more else (more,)) + (more if is_query else "")
    except NoReverseMatch:
        return ""
