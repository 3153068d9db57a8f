"""Asks the upstream whether it accepts a login, by one usage call. Only when an operator asks for it.

Never called by itself after a refresh-token exchange: traffic right after one has had accounts deactivated
(spec/operations.md §15.7). Only a deactivation counts against the account; a limit or a network error does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from msgspec import Struct

from accounts.audit import redact
from accounts.models import Account
from providers.contract import Secret

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 20.0


class Verdict(Struct, frozen=True, kw_only=True):
    """What the upstream said; `is_accepted` None means that it could not be asked."""

    is_accepted: bool | None
    message: str
    is_deactivated: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the two fields under their public names."""
        return {"verified": self.is_accepted, "verify_message": self.message}


def verify_account(row: Account, transport: httpx.BaseTransport | None = None) -> Verdict:
    """Ask once about an account; changes nothing."""
    if not row.access_token:
        return Verdict(is_accepted=None, message="There is no readable access token to ask with.")
    return verify_login(row.access_token, row.chatgpt_account_id, transport)


def verify_login(access_token: Secret, account_id: str, transport: httpx.BaseTransport | None = None) -> Verdict:
    """Ask once about a login that need not be stored."""
    import httpx  # not in processes that never ask

    headers = {"authorization": f"Bearer {access_token.reveal()}", "accept": "application/json"}
    headers["chatgpt-account-id"] = account_id
    headers["originator"] = "codex_cli_rs"
    try:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False, transport=transport) as client:
            answer = client.get(f"{settings.CODEX_BASE_URL}/wham/usage", headers=headers)
    except httpx.HTTPError as error:
        return Verdict(is_accepted=None, message=f"The upstream could not be reached ({type(error).__name__}).")
    if answer.is_success:
        return Verdict(is_accepted=True, message="The upstream accepts this login.")
    said = redact(answer.text[:160]).replace("\n", " ")
    if "html" in answer.headers.get("content-type", "") or answer.status_code not in (401, 402, 403):
        return Verdict(is_accepted=None, message=f"The upstream answered {answer.status_code}; that says nothing yet.")
    words = f"The upstream refuses this login ({answer.status_code}): {said}"
    return Verdict(is_accepted=False, message=words, is_deactivated="deactivated" in answer.text[:2000].lower())
