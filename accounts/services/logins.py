"""Adding and importing upstream logins: deduplication and what a token must be. Rules: spec/operations.md §1.3 to §1.5.

Never refreshes (`accounts/refresh.py`) and never asks the upstream's model API. Next: `signin.py`, `upkeep.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from msgspec import Struct

from accounts import audit
from accounts.changes import bump_snapshot
from accounts.importing import MAX_LABEL_CHARS, ImportDocument, ImportEntry
from accounts.lifecycle import next_status
from accounts.models import Account, AccountStatus, PendingLogin
from accounts.services.errors import AccountsError, LoginServerFailed
from accounts.tokens import TokenFacts, decode_claims, read_tokens
from providers.contract import Secret
from providers.oauth.codex import refresh_flow
from providers.oauth.contract import OAuthError, Send, drive

MAX_EXCHANGES = 200
"""Refresh tokens spent by one import: each is a call to the log-in server, one after the other."""
EXCHANGE_CLAIM = timedelta(minutes=2)
"""Longer than any answer can take, so that a claim only lapses with its process."""


class AddedAccount(Struct, frozen=True, kw_only=True):
    """What adding came to: a new row, or one that was there already and got the new tokens."""

    account: Account
    is_new: bool


class ImportOutcome(Struct, frozen=True, kw_only=True):
    """What became of one entry of an import. `message` says why it was refused; `place` where it stood."""

    place: str
    result: Literal["added", "updated", "refused"]
    account: Account | None = None
    message: str = ""


class ImportReport(Struct, frozen=True, kw_only=True):
    """What an import came to, entry by entry; at most `importing.MAX_ENTRIES` and the problems found while reading."""

    outcomes: tuple[ImportOutcome, ...] = ()

    @property
    def added(self) -> tuple[Account, ...]:
        """Return the new accounts."""
        return tuple(one.account for one in self.outcomes if one.result == "added" and one.account is not None)

    @property
    def updated(self) -> tuple[Account, ...]:
        """Return the accounts that were there already."""
        return tuple(one.account for one in self.outcomes if one.result == "updated" and one.account is not None)

    @property
    def errors(self) -> tuple[str, ...]:
        """Return a sentence with its place for each entry that was refused."""
        refused = [one for one in self.outcomes if one.result == "refused"]
        return tuple(f"{one.place}: {one.message}" if one.place else one.message for one in refused)


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
    facts = check_login(entry)
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
    with _sole_use_of(entry.refresh_token):
        try:
            tokens = drive(refresh_flow(entry.refresh_token, settings.OPENAI_AUTH_URL), send)
        except OAuthError as error:
            raise LoginServerFailed(f"The refresh token could not be exchanged. {error}") from error
    if tokens.access_token is None:
        raise LoginServerFailed("The log-in server exchanged the refresh token without handing out an access token.")
    return ImportEntry(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,  # none returned: the old one is consumed all the same
        id_token=tokens.id_token,
        label=entry.label,
        place=entry.place,
    )


@contextmanager
def _sole_use_of(refresh_token: Secret) -> Iterator[None]:
    """Hold a claim on a single-use token across all processes. Raises: AccountsError when another one has it."""
    name = hashlib.sha256(refresh_token.reveal().encode()).hexdigest()
    now = timezone.now()
    PendingLogin.objects.filter(state=name, expires_at__lte=now).delete()
    try:
        with transaction.atomic():
            claim = PendingLogin.objects.create(
                kind=PendingLogin.Kind.EXCHANGE, state=name, actor="import", expires_at=now + EXCHANGE_CLAIM
            )
    except IntegrityError as error:
        raise AccountsError("This refresh token is being exchanged at this moment; it was not used twice.") from error
    try:
        yield
    finally:
        claim.delete()


def check_login(entry: ImportEntry) -> TokenFacts:
    """Return what the tokens of an entry say. Raises: AccountsError when they cannot work."""
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
    row.status, row.status_reason = AccountStatus(next_status(row.status, "logged_in")), ""
    row.status_changed_at = timezone.now()
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
    problems = [ImportOutcome(place=one.place, result="refused", message=one.message) for one in document.problems]
    exchanged: set[Secret] = set()
    outcomes = []
    for entry in document.entries:
        spends = entry.refresh_token if entry.access_token is None else None
        if spends is not None and spends in exchanged:
            outcomes.append(_refused(entry, "The same refresh token stands here twice; it was used once."))
            continue
        if spends is not None and len(exchanged) >= MAX_EXCHANGES:
            outcomes.append(_refused(entry, f"{MAX_EXCHANGES} refresh tokens were exchanged; import the rest again."))
            continue
        if spends is not None:
            exchanged.add(spends)
        try:
            stored = account_add(entry=entry, actor=actor, send=send)
        except AccountsError as error:
            outcomes.append(_refused(entry, str(error)))
        else:
            result: Literal["added", "updated"] = "added" if stored.is_new else "updated"
            outcomes.append(ImportOutcome(place=entry.place, result=result, account=stored.account))
    return ImportReport(outcomes=(*outcomes, *problems))


def _refused(entry: ImportEntry, message: str) -> ImportOutcome:
    return ImportOutcome(place=entry.place, result="refused", message=message)
