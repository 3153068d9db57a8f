"""What the backend says about an account: models, usage, reset credits, workspace check (wire.md §1.5-§1.7).

Faults F20 and F21 bite here, and the time shift of F23. Next: `quota.py` for the shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from providers.simulator import models
from providers.simulator.accounts import ResetCredit, SimAccount, iso
from providers.simulator.calls import authenticate, status_failure
from providers.simulator.failures import CHALLENGE_HTML, FAILURES, Failure, Refused, Scene, error
from providers.simulator.faults import Drawn, Fault
from providers.simulator.headers import FAR_FUTURE_S, cookie_headers, edge_headers
from providers.simulator.http import Exchange, Headers
from providers.simulator.recorder import ReceivedRequest

if TYPE_CHECKING:
    from providers.simulator.server import Simulator

CREDIT_LIFETIME_S = 30 * 86_400


def _admit(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> tuple[SimAccount, Drawn, Headers]:
    """Let a caller in; return the account, its faults and the headers every reply carries."""
    account = authenticate(sim, exchange.header)
    sim.recorder.attribute(record, account.id)
    faults = sim.draw(record, account)
    replayed = faults.get("F24")
    if replayed is not None and replayed.has("cf_bm_replay") and "__cf_bm" in (exchange.header("cookie") or ""):
        raise Refused(Failure(404, b""))
    failure = status_failure(sim, faults, account, None)
    if failure is not None:
        raise Refused(failure)
    cookies = cookie_headers(sim.ids, faults, is_secure=sim.options.tls is not None)
    return account, faults, [*edge_headers(sim.ids, sim.clock()), *cookies]


async def list_models(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """List the models this account and client version may see."""
    account, faults, headers = _admit(sim, exchange, record)
    version = exchange.params.get("client_version")
    if version is None:
        text = str([{"type": "missing", "loc": ("query", "client_version"), "msg": "Field required", "input": None}])
        raise Refused(error(None, text))
    if models.parse_version(version) is None:
        raise Refused(
            error(None, f"[{{'type': 'value_error', 'loc': ('query', 'client_version'), 'input': '{version}'}}]")
        )
    fault = faults.get("F21")
    if fault is not None and fault.has("500"):
        raise Refused(FAILURES["F9"]["500"](Scene()))
    account.client_version = version
    salt = sim.ids.hex(16) if fault is not None and fault.has("changed_etag") else ""
    tag = models.etag(account.chatgpt_account_id, account.plan, account.models, version, salt)
    body = models.catalogue(account.plan, account.models, version, fault)
    exchange.reply_json(200, body, [("etag", tag), *headers])


def usage_body(account: SimAccount, now: float, faults: Drawn) -> dict[str, Any]:
    """Return the quota snapshot."""
    main = account.bucket.rate_limit_json(now)
    fault = faults.get("F20")
    if fault is not None and fault.has("null_windows"):
        main |= {"primary_window": None, "secondary_window": None}
    if "F23" in faults and faults["F23"].has("reset_far"):
        for name in ("primary_window", "secondary_window"):
            main[name] = main[name] and {**main[name], "reset_at": int(now) + FAR_FUTURE_S}
    left = sum(credit.status == "available" for credit in account.reset_credits)
    return {
        "plan_type": account.plan,
        "rate_limit": main,
        "code_review_rate_limit": None,
        "additional_rate_limits": [
            {
                "limit_name": account.spark.name,
                "metered_feature": account.spark.limit_id,
                "rate_limit": account.spark.rate_limit_json(now),
            }
        ],
        "credits": account.credits.usage_json(),
        "spend_control": {"reached": False, "individual_limit": None},
        "rate_limit_reached_type": {"type": "rate_limit_reached", "details": None} if main["limit_reached"] else None,
        "rate_limit_reset_credits": {"available_count": left},
        "promo": None,
    }


def _spoil(fault: Fault | None) -> None:
    if fault is None:
        return
    if fault.has("401"):
        raise Refused(FAILURES["F4"]["unparsable"](Scene()))
    if fault.has("500"):
        raise Refused(FAILURES["F9"]["500"](Scene()))
    if fault.has("html"):
        raise Refused(Failure(200, CHALLENGE_HTML))


async def usage(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Report the quota."""
    account, faults, headers = _admit(sim, exchange, record)
    fault = faults.get("F20")
    _spoil(fault)
    fresh = usage_body(account, sim.clock(), faults)
    stale = sim.last_usage.get(account.id)
    body = stale if stale is not None and fault is not None and fault.has("stale") else fresh
    sim.last_usage[account.id] = body
    exchange.reply_json(200, body, headers)


def _credit_json(credit: ResetCredit, *, is_numeric: bool) -> dict[str, Any]:
    def when(moment: float | None) -> Any:
        return None if moment is None else int(moment) if is_numeric else iso(moment)

    return {
        "id": credit.id,
        "status": credit.status,
        "reset_type": "codex_rate_limits",
        "title": "Full reset (Weekly + 5 hr)",
        "description": "Resets your Codex rate limits.",
        "granted_at": when(credit.granted_at),
        "expires_at": when(credit.granted_at + CREDIT_LIFETIME_S),
        "redeem_started_at": when(credit.redeemed_at),
        "redeemed_at": when(credit.redeemed_at),
    }


async def list_credits(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """List the banked resets."""
    account, faults, headers = _admit(sim, exchange, record)
    fault = faults.get("F20")
    _spoil(fault)
    rows = [
        _credit_json(credit, is_numeric=fault is not None and fault.has("numeric_times"))
        for credit in account.reset_credits
    ]
    left = sum(row["status"] == "available" for row in rows)
    exchange.reply_json(200, {"available_count": left, "credits": rows}, headers)


async def consume(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Redeem a banked reset; the request id makes it idempotent."""
    account, faults, headers = _admit(sim, exchange, record)
    fault = faults.get("F20")
    _spoil(fault)
    try:
        body = orjson.loads(record.body)
        key = body["redeem_request_id"]
    except (ValueError, KeyError, TypeError):
        raise Refused(Failure(422, {"detail": [{"type": "missing", "loc": ["body", "redeem_request_id"]}]})) from None
    if (account.id, key) not in sim.redeemed:
        sim.redeemed[account.id, key] = _redeem(sim, account, body.get("credit_id"), fault)
    exchange.reply_json(200, sim.redeemed[account.id, key], headers)


def _redeem(sim: Simulator, account: SimAccount, credit_id: str | None, fault: Fault | None) -> dict[str, Any]:
    for code in ("nothing_to_reset", "no_credit", "already_redeemed"):
        if fault is not None and fault.has(code):
            return {"code": code, "credit": None, "windows_reset": 0}
    wanted = [credit for credit in account.reset_credits if credit_id in (None, credit.id)]
    credit = next((credit for credit in wanted if credit.status == "available"), None)
    if credit is None:
        return {"code": "already_redeemed" if wanted and credit_id else "no_credit", "credit": None, "windows_reset": 0}
    if not any(window.used_percent > 0 for window in account.bucket.windows):
        return {"code": "nothing_to_reset", "credit": None, "windows_reset": 0}
    credit.status, credit.redeemed_at = "redeemed", sim.clock()
    return {"code": "reset", "credit": {"id": credit.id, "status": "redeemed"}, "windows_reset": account.bucket.reset()}


async def accounts_check(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Say where the workspace lives; the CLI does not start a turn without it."""
    account, _, headers = _admit(sim, exchange, record)
    entry = {
        "id": account.chatgpt_account_id,
        "workspace_backend_origin": sim.origin,
        "account_routing_override": "NO_CONSTRAINT",
    }
    exchange.reply_json(200, {"accounts": [entry]}, headers)
