"""One model call, whatever the transport: who asks, may he, what will be answered (wire.md §13.2).

`responses.py` and `websocket.py` share this, so the two cannot judge differently. No bytes are sent from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from providers.simulator import models
from providers.simulator.accounts import SimAccount
from providers.simulator.events import Script, Scriptwriter
from providers.simulator.failures import FAILURES, Failure, Refused, Scene, usage_limit
from providers.simulator.faults import Drawn
from providers.simulator.headers import quota_headers
from providers.simulator.http import Headers
from providers.simulator.mischief import Ladder, spoil
from providers.simulator.quota import Bucket
from providers.simulator.scenario import Director, Plan, Reasoning
from providers.simulator.sealed import is_owned_by, seal
from providers.simulator.tokens import decode_claims
from providers.simulator.validation import Surface, check_history, check_request

if TYPE_CHECKING:
    from providers.simulator.server import Simulator

_STATES = {
    "expired": ("F4", "token_expired"),
    "invalidated": ("F4", "token_invalidated"),
    "deactivated": ("F4", "account_deactivated"),
    "forbidden": ("F6", "ban"),
    "challenged": ("F6", "challenge"),
}
Lookup = Callable[[str], str | None]


def authenticate(sim: Simulator, header: Lookup) -> SimAccount:
    """Return whose token it is, or refuse the way the backend does."""
    scheme, _, token = (header("authorization") or "").partition(" ")
    account = sim.accounts.by_access_token(token.strip()) if scheme.lower() == "bearer" else None
    if account is None:
        is_token = scheme.lower() == "bearer" and bool(token)
        raise Refused(FAILURES["F4"]["unparsable" if is_token else "unauthorized"](Scene()))
    claims = decode_claims(token.strip()) or {}
    expiry = claims.get("exp")
    if token.strip() in account.dead_access_tokens or (isinstance(expiry, int | float) and expiry <= sim.clock()):
        raise Refused(FAILURES["F4"]["token_expired"](Scene()))
    if account.state in _STATES:
        code, variant = _STATES[account.state]
        raise Refused(FAILURES[code][variant](Scene()))
    workspace = header("chatgpt-account-id")
    if workspace is not None and workspace != account.chatgpt_account_id:
        sim.counters["violation.workspace_mismatch"] += 1
        raise Refused(FAILURES["F4"]["unauthorized"](Scene()))
    return account


def status_failure(sim: Simulator, faults: Drawn, account: SimAccount, body: Any) -> Failure | None:
    """Return the refusal that a fault of F1-F9 asks for."""
    for number in range(1, 10):
        fault = faults.get(f"F{number}")
        if fault is not None and fault.after == "start":
            model = body.get("model") if isinstance(body, dict) else None
            scene = Scene(str(model or "gpt-5.5"), account.plan, sim.clock(), fault.params)
            failure = FAILURES[fault.code][fault.variant or "both"](scene)
            if "retry_after" in fault.params:
                failure.headers.append(("retry-after", str(fault.params["retry_after"])))
            return failure
    return None


@dataclass
class Prepared:
    """A call that was accepted and is ready to be answered."""

    account: SimAccount
    model: models.Model
    served_model: str
    bucket: Bucket
    plan: Plan
    script: Script
    ladder: Ladder
    faults: Drawn
    headers: Headers


def prepare(
    sim: Simulator,
    account: SimAccount,
    body: dict[str, Any],
    faults: Drawn,
    *,
    surface: Surface,
    header: Lookup,
    history: list[Any] | None = None,
) -> Prepared:
    """Check a call and write its answer; `history` is the whole input when the body holds only its tail."""
    version = header("version")
    model = check_request(body, account, surface=surface, version=version)
    items = history if history is not None else body["input"]
    check_history(items, account)
    bucket = account.spark if model.is_spark else account.bucket
    window = bucket.blocking(sim.clock())
    if window is not None:
        scene = Scene(model.slug, account.plan, sim.clock(), {"seconds": window.seconds_left(sim.clock())})
        raise Refused(usage_limit(scene))
    full = {**body, "input": items}
    plan = Director(full, sim.options.reply, sim.options.pace_s).direct()
    if body.get("generate") is False:
        plan = Plan()
    _add_marker_fault(sim, plan, faults, "websocket" if surface == "websocket" else "responses")
    failure = status_failure(sim, faults, account, body)
    if failure is not None:
        raise Refused(failure)
    _reason_if_needed(plan, faults)
    tokens, cached = sim.cache.count(account.id, body, items)
    served = plan.served_model or model.slug
    script = Scriptwriter(
        body,
        plan,
        sim.ids,
        model=served,
        now=sim.clock(),
        seal=lambda blocks: seal(account.chatgpt_account_id, now=sim.clock(), nonce=sim.ids.number(), blocks=blocks),
        input_tokens=tokens,
        cached_tokens=cached,
        faults=faults,
    ).write()
    bucket.spend(account.percent_per_request, sim.clock())
    ladder = spoil(script.steps, faults, script.response)
    headers = [
        *quota_headers(account, bucket, sim.clock(), faults),
        ("x-models-etag", models_etag(account, version)),
        ("x-reasoning-included", "true"),
        ("openai-model", served),
    ]
    return Prepared(account, model, served, bucket, plan, script, ladder, faults, headers)


def models_etag(account: SimAccount, version: str | None) -> str:
    """Return the tag of the catalogue this account last saw with this client."""
    known = version or account.client_version
    return models.etag(account.chatgpt_account_id, account.plan, account.models, known)


def _add_marker_fault(sim: Simulator, plan: Plan, faults: Drawn, route: str) -> None:
    fault = plan.fault
    if fault is None or not fault.matches(route, (fault.account or "",)):
        return
    if plan.fault_times is not None:
        if sim.marker_uses[plan.fault_key] >= plan.fault_times:
            return
        sim.marker_uses[plan.fault_key] += 1
    faults[fault.code] = fault


def _reason_if_needed(plan: Plan, faults: Drawn) -> None:
    wanted = any(faults[code].after == "reasoning" for code in ("F10", "F12", "F13") if code in faults)
    if wanted and not plan.has_reasoning:
        plan.outputs.insert(0, Reasoning(["**Thinking** before it goes wrong."]))


def turn_state(sim: Simulator, account: SimAccount, given: str | None) -> str | None:
    """Return the turn state to hand out: one per turn, none to a caller that brings it back."""
    if given is None:
        return seal(account.chatgpt_account_id, now=sim.clock(), nonce=sim.ids.number())
    sim.counters["turn_state.echoed"] += 1
    if not is_owned_by(given, account.chatgpt_account_id):
        sim.counters["violation.turn_state_foreign"] += 1
    return None
