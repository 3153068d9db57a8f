"""Adding, importing, changing and removing upstream logins. Rules: spec/operations.md §1.3 to §1.7.

Never refreshes (`accounts/refresh.py`) and never asks the upstream's model API. Read `errors.py` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from msgspec import Struct

from accounts import audit
from accounts.changes import bump_snapshot
from accounts.importing import MAX_LABEL_CHARS, ImportDocument, ImportEntry
from accounts.models import Account, AccountStatus
from accounts.services.errors import AccountsError
from accounts.services.pools import pool_labels
from accounts.tokens import TokenFacts, decode_claims, read_tokens
from providers.contract import Secret
from providers.oauth.codex import refresh_flow
from providers.oauth.contract import OAuthError, Send, drive


class AddedAccount(Struct, frozen=True, kw_only=True):
    """What adding came to: a new row, or one that was there already and got the new tokens."""

    account: Account
    is_new: bool


class ImportReport(Struct, frozen=True, kw_only=True):
    """What an import came to; `errors` are sentences with the place of each failure."""

    added: tuple[Account, ...] = ()
    updated: tuple[Account, ...] = ()
    errors: tuple[str, ...] = ()


def account_add(*, entry: ImportEntry, actor: str, send: Send | None = None) -> AddedAccount:
    """Store one login, or update the row of the same login.

    With a refresh token only, the token is exchanged first through `send`, unless a row owns it already.
    Raises: AccountsError.
    """
    if entry.access_token is None:
        owner = _owner_of_refresh_token(entry.refresh_token)
        if owner is not None:
            return AddedAccount(account=owner, is_new=False)
        entry = _exchange(entry, send)
    facts = _checked_facts(entry)
    try:
        return _store(entry, facts, actor)
    except IntegrityError:  # the same login was added by someone else a moment ago: now there is a row to update
        return _store(entry, facts, actor)


@transaction.atomic
def _store(entry: ImportEntry, facts: TokenFacts, actor: str) -> AddedAccount:
    row = _same_login(facts)
    is_new = row is None
    row = row or Account()
    _apply_login(row, entry, facts)
    row.save(force_insert=is_new)
    audit.record(actor=actor, action="account.added" if is_new else "account.updated", target=row.id, email=row.email)
    bump_snapshot()
    return AddedAccount(account=row, is_new=is_new)


def _owner_of_refresh_token(refresh_token: Secret | None) -> Account | None:
    """A refresh token that a row owns is never spent by adding it again."""
    rows = Account.objects.filter(refresh_token__isnull=False)
    return next((row for row in rows if row.refresh_token and row.refresh_token == refresh_token), None)


def _exchange(entry: ImportEntry, send: Send | None) -> ImportEntry:
    if entry.refresh_token is None:
        raise AccountsError("Neither an access token nor a refresh token was given.")
    if send is None:
        raise AccountsError("A refresh token alone must be exchanged first, which is not possible here.")
    try:
        tokens = drive(refresh_flow(entry.refresh_token, settings.OPENAI_AUTH_URL), send)
    except OAuthError as error:
        raise AccountsError(f"The refresh token could not be exchanged. {error}") from error
    if tokens.access_token is None:
        raise AccountsError("The log-in server exchanged the refresh token without handing out an access token.")
    return ImportEntry(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,  # none returned: the old one is consumed all the same
        id_token=tokens.id_token,
        label=entry.label,
        place=entry.place,
    )


def _checked_facts(entry: ImportEntry) -> TokenFacts:
    token = entry.access_token.reveal() if entry.access_token else ""
    if decode_claims(token) is None:
        raise AccountsError("This is not a ChatGPT access token: it does not have the form of one (three parts).")
    facts = read_tokens(token, entry.id_token.reveal() if entry.id_token else "")
    if not facts.account_id:
        raise AccountsError("This token names no ChatGPT account; use the access token of a ChatGPT log-in.")
    is_expired = facts.expires_at is not None and facts.expires_at <= timezone.now().timestamp()
    if is_expired and not entry.refresh_token:
        raise AccountsError("This access token has expired and there is no refresh token with it; log in again.")
    return facts


def _same_login(facts: TokenFacts) -> Account | None:
    """Identity is the pair of workspace and user: colleagues share a workspace (spec/operations.md §1.5)."""
    return (
        Account.objects.select_for_update()
        .filter(provider="codex", chatgpt_account_id=facts.account_id, chatgpt_user_id=facts.user_id)
        .first()
    )


def _apply_login(row: Account, entry: ImportEntry, facts: TokenFacts) -> None:
    """A fresh log-in revives any account; id, counters and an existing label stay."""
    row.access_token = entry.access_token
    row.refresh_token = entry.refresh_token or row.refresh_token
    row.id_token = entry.id_token or row.id_token
    row.label = row.label or entry.label[:MAX_LABEL_CHARS]
    row.chatgpt_account_id, row.chatgpt_user_id = facts.account_id, facts.user_id
    apply_facts(row, facts)
    row.status, row.status_reason, row.status_changed_at = AccountStatus.ACTIVE, "", timezone.now()
    row.refresh_failures = row.refresh_refusals = 0
    row.refresh_retry_at = row.refresh_spent_at = None


def apply_facts(row: Account, facts: TokenFacts) -> None:
    """Copy what new tokens say onto the row; absent facts keep the old ones."""
    row.email = facts.email or row.email
    row.plan = facts.plan or row.plan
    row.is_fedramp = facts.is_fedramp or row.is_fedramp
    row.token_expires_at = datetime.fromtimestamp(facts.expires_at, UTC) if facts.expires_at else None


def account_import(*, document: ImportDocument, actor: str, send: Send | None = None) -> ImportReport:
    """Store every login of a parsed text, one after the other; a bad one does not stop the rest."""
    added: list[Account] = []
    updated: list[Account] = []
    errors = [str(problem) for problem in document.problems]
    exchanged: set[Secret] = set()
    for entry in document.entries:
        if entry.access_token is None and entry.refresh_token is not None:
            if entry.refresh_token in exchanged:
                errors.append(f"{entry.place}: The same refresh token stands here twice; it was used once.")
                continue
            exchanged.add(entry.refresh_token)
        try:
            result = account_add(entry=entry, actor=actor, send=send)
        except AccountsError as error:
            errors.append(f"{entry.place}: {error}" if entry.place else str(error))
        else:
            (added if result.is_new else updated).append(result.account)
    return ImportReport(added=tuple(added), updated=tuple(updated), errors=tuple(errors))


@transaction.atomic
def account_set_status(*, account_id: str, status: AccountStatus, actor: str, reason: str = "") -> Account:
    """Change what an account is allowed to do. Raises: AccountsError."""
    row = Account.objects.select_for_update().filter(pk=account_id).first()
    if row is None:
        raise AccountsError("There is no such account.")
    before = row.status
    row.status, row.status_reason, row.status_changed_at = status, reason[:300], timezone.now()
    row.save(update_fields=["status", "status_reason", "status_changed_at", "updated_at"])
    audit.record(
        actor=actor, action="account.status", target=account_id, before=str(before), after=str(status), reason=reason
    )
    bump_snapshot()
    return row


@transaction.atomic
def account_edit(
    *, account_id: str, actor: str, label: str, max_concurrency: int | None, pools: Sequence[str] | None = None
) -> None:
    """Change an account's name, how many requests it takes at once, and (unless None) its pools.

    Raises: AccountsError.
    """
    if max_concurrency is not None and max_concurrency < 1:
        raise AccountsError("An account must be allowed at least one request at once; pause it instead.")
    changes: dict[str, Any] = {"label": label.strip()[:MAX_LABEL_CHARS], "max_concurrency": max_concurrency}
    if pools is not None:
        changes["pools"] = pool_labels(pools)
    if not Account.objects.filter(pk=account_id).update(**changes, updated_at=timezone.now()):
        raise AccountsError("There is no such account.")
    audit.record(actor=actor, action="account.edited", target=account_id, **changes)
    bump_snapshot()


@transaction.atomic
def account_pools(*, account_id: str, actor: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Account:
    """Put an account into pools and take it out of others. Raises: AccountsError."""
    row = Account.objects.select_for_update().filter(pk=account_id).first()
    if row is None:
        raise AccountsError("There is no such account.")
    gone = set(pool_labels(remove))
    row.pools = [label for label in pool_labels([*row.pools, *add]) if label not in gone]
    row.save(update_fields=["pools", "updated_at"])
    audit.record(actor=actor, action="account.edited", target=account_id, pools=row.pools)
    bump_snapshot()
    return row


@transaction.atomic
def account_remove(*, account_id: str, actor: str) -> None:
    """Forget an account and its tokens; usage records keep its id. Raises: AccountsError."""
    row = Account.objects.filter(pk=account_id).first()
    if row is None:
        raise AccountsError("There is no such account.")
    audit.record(actor=actor, action="account.removed", target=account_id, label=row.label, email=row.email)
    row.delete()
    bump_snapshot()
