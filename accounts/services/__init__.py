"""Everything that changes rows of this app on someone's behalf. Keyword-only, typed, transactional.

Each service that changes what the hot path sees bumps the snapshot in its own transaction, and each act leaves an
audit entry. Refreshing tokens is in `accounts/refresh.py`, facts from the hot path in `accounts/reporting.py`.
"""

from __future__ import annotations

from accounts.changes import bump_snapshot
from accounts.services.errors import AccountsError
from accounts.services.exports import account_export
from accounts.services.logins import (
    AddedAccount,
    ImportReport,
    account_add,
    account_edit,
    account_import,
    account_pools,
    account_remove,
    account_set_status,
)
from accounts.services.people import (
    IssuedKey,
    api_key_create,
    api_key_edit,
    api_key_remove,
    api_key_revoke,
    get_or_create_user,
    user_create,
    user_remove,
    user_save,
)

__all__ = [
    "AccountsError",
    "AddedAccount",
    "ImportReport",
    "IssuedKey",
    "account_add",
    "account_edit",
    "account_export",
    "account_import",
    "account_pools",
    "account_remove",
    "account_set_status",
    "api_key_create",
    "api_key_edit",
    "api_key_remove",
    "api_key_revoke",
    "bump_snapshot",
    "get_or_create_user",
    "user_create",
    "user_remove",
    "user_save",
]
