"""What the Codex backend can be asked about an account besides answers: its usage, and its banked resets.

Builds requests and reads answers; who sends them is `providers/transport/control.py`. Facts: spec/wire.md §1.6, §1.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from providers.adapters.codex.limits import number, read_usage
from providers.contract import Credential, RateLimits, UpstreamRequest
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

USABLE = ("available", "granted")
MAX_RESET_CREDITS = 100


class ResetCredit(Struct, frozen=True, kw_only=True):
    """A banked reset. `status` is `available`, `redeemed`, `expired` or the upstream's own word in `raw_status`."""

    id: str
    status: str
    raw_status: str
    reset_type: str = ""
    granted_at: float | None = None
    expires_at: float | None = None
    redeemed_at: float | None = None

    @property
    def is_usable(self) -> bool:
        """Tell whether it can still be spent."""
        return self.status == "available"


def usage_request(base_url: str, credential: Credential, identity: tuple[tuple[str, str], ...]) -> UpstreamRequest:
    """Ask for all limits. `identity` are the headers that name the client, as in every other call."""
    return _request("GET", f"{base_url}/wham/usage", credential, identity)


def reset_credits_request(
    base_url: str, credential: Credential, identity: tuple[tuple[str, str], ...]
) -> UpstreamRequest:
    """Ask for the banked resets."""
    return _request("GET", f"{base_url}/wham/rate-limit-reset-credits", credential, identity)


def consume_request(
    base_url: str, credential: Credential, identity: tuple[tuple[str, str], ...], redeem_request_id: str, credit_id: str
) -> UpstreamRequest:
    """Spend one; the id makes a repetition harmless. An empty `credit_id` leaves the choice to the upstream."""
    wish = {"redeem_request_id": redeem_request_id, **({"credit_id": credit_id} if credit_id else {})}
    url = f"{base_url}/wham/rate-limit-reset-credits/consume"
    return _request("POST", url, credential, identity, msgspec.json.encode(wish))


def _request(
    method: str, url: str, credential: Credential, identity: tuple[tuple[str, str], ...], body: bytes = b""
) -> UpstreamRequest:
    headers = [
        ("accept", "application/json"),
        *([("content-type", "application/json")] if body else []),
        ("authorization", f"Bearer {credential.token.reveal()}"),
    ]
    if credential.upstream_account_id:
        headers.append(("chatgpt-account-id", credential.upstream_account_id))
    return UpstreamRequest(method=method, url=url, headers=(*headers, *identity), body=body)


def usage_from(body: bytes, now_s: float) -> RateLimits | None:
    """Return what an answer to `usage_request` says; None when it is something else (an HTML page, say)."""
    answer = parsed(body)
    return read_usage(answer, now_s) if is_object(answer) else None


def reset_credits_from(body: bytes, now_s: float) -> tuple[ResetCredit, ...] | None:
    """Return the banked resets; None when the answer is something else. A bare list is tolerated."""
    answer = parsed(body)
    entries = answer.get("credits") if is_object(answer) else answer
    return tuple(_credits(entries[:MAX_RESET_CREDITS], now_s)) if is_array(entries) else None


def consume_code_from(body: bytes) -> str:
    """Return `reset`, `nothing_to_reset`, `no_credit` or `already_redeemed`; empty when it is something else."""
    answer = parsed(body)
    code = answer.get("code") if is_object(answer) else None
    return code if isinstance(code, str) else ""


def _credits(entries: list[Any], now_s: float) -> Iterator[ResetCredit]:
    for entry in entries:
        if not is_object(entry) or not isinstance(entry.get("id"), str):
            continue
        raw = str(entry.get("status") or "")
        expires_at = _moment(entry, "expires_at")
        status = "available" if raw in USABLE else raw
        yield ResetCredit(
            id=entry["id"][:128],
            status="expired" if status == "available" and expires_at is not None and expires_at <= now_s else status,
            raw_status=raw[:32],
            reset_type=str(entry.get("reset_type") or "")[:64],
            granted_at=_moment(entry, "granted_at"),
            expires_at=expires_at,
            redeemed_at=_moment(entry, "redeemed_at"),
        )


def _moment(entry: Mapping[str, Any], name: str) -> float | None:
    """Return unix seconds from either spelling that has been seen: ISO-8601 or a number."""
    value = entry.get(name)
    if not isinstance(value, str):
        return number(value)
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return number(value)


def parsed(body: bytes) -> Any:
    """Return the JSON of an answer; None when it is none."""
    try:
        return jsonio.loads(body)
    except ValueError:
        return None
