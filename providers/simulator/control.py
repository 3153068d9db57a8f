"""The control interface under `/__sim/`, for whoever runs the simulator in another process.

`POST/DELETE /__sim/faults`, `GET/DELETE /__sim/received`, `GET/POST /__sim/accounts`, `GET /__sim/counters`,
`POST /__sim/device`. Loopback only in spirit: the server binds there by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from providers.simulator.faults import VARIANTS, Fault
from providers.simulator.http import Exchange
from providers.simulator.recorder import ReceivedRequest

if TYPE_CHECKING:
    from providers.simulator.server import Simulator

_ACCOUNT_FIELDS = frozenset(
    {
        "id",
        "chatgpt_account_id",
        "user_id",
        "email",
        "plan",
        "state",
        "percent_per_request",
        "lifetime_s",
        "primary_used_percent",
        "secondary_used_percent",
        "reset_credits_available",
        "models",
    }
)


async def control(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Answer one control request."""
    name = exchange.path.removeprefix("/__sim/").strip("/")
    try:
        body: Any = orjson.loads(record.body) if record.body else {}
        answer = _answer(sim, exchange.method, name, body, exchange.params)
    except (ValueError, TypeError, KeyError) as problem:
        exchange.reply_json(400, {"detail": str(problem)})
        return
    if answer is None:
        exchange.reply_json(404, {"detail": f"No {exchange.method} {exchange.path}"})
        return
    exchange.reply_json(200, answer)


def _answer(sim: Simulator, method: str, name: str, body: Any, params: dict[str, str]) -> Any:
    if method == "GET":
        return _look(sim, name, params)
    match method, name:
        case "POST", "faults":
            wanted = body if isinstance(body, list) else [body]
            added = [sim.faults.add(Fault(entry.pop("code"), entry.pop("variant", None), **entry)) for entry in wanted]
            return {"faults": [_fault_json(fault) for fault in added]}
        case "DELETE", "faults":
            sim.faults.clear()
            return {"faults": []}
        case "DELETE", "received":
            sim.received.clear()
            return {"received": []}
        case "POST", "accounts":
            return _set_account(sim, body)
        case "POST", "device":
            return {"approved": sim.approve_device(body["user_code"], account=body.get("account"))}
        case _:
            return None


def _look(sim: Simulator, name: str, params: dict[str, str]) -> Any:
    match name:
        case "health":
            return {"ok": True}
        case "faults":
            listed = [_fault_json(fault) for fault in sim.faults.faults]
            return {"faults": listed, "fired": sim.faults.fired, "variants": VARIANTS}
        case "received":
            route = params.get("route")
            rows = [entry.summary() for entry in sim.received if route in (None, entry.route)]
            return {"received": rows[-int(params.get("last", "100")) :]}
        case "counters":
            return dict(sim.counters)
        case "accounts":
            return {"accounts": [account.summary() for account in sim.accounts]}
        case _:
            return None


def _set_account(sim: Simulator, body: dict[str, Any]) -> dict[str, Any]:
    """Add an account, or change the one that has this id already."""
    unknown = set(body) - _ACCOUNT_FIELDS - {"expire_access_token"}
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    if body.get("models") is not None:
        body["models"] = frozenset(body["models"])
    is_expired = body.pop("expire_access_token", False)
    account = sim.accounts.find(body["id"]) if body.get("id") else None
    if account is None:
        account = sim.add_account(**body)
    else:
        body.pop("id")
        for label, window in (("primary_used_percent", account.primary), ("secondary_used_percent", account.secondary)):
            if label in body:
                window.used_percent = float(body.pop(label))
        for field, value in body.items():
            setattr(account, field, value)
    if is_expired:
        account.expire_access_token()
    return account.summary()


def _fault_json(fault: Fault) -> dict[str, Any]:
    return {
        "code": fault.code,
        "variant": fault.variant,
        "times": fault.times,
        "account": fault.account,
        "route": fault.route,
        "after": fault.after,
        "probability": fault.probability,
        "transport": fault.transport,
        **fault.params,
    }
