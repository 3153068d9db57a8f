"""Everything that changes rows of this app on someone's behalf. Keyword-only, typed, transactional.

Each service that changes what the hot path sees bumps the snapshot in its own transaction, and each act leaves an
audit entry. Refreshing tokens is in `accounts/refresh.py`, facts from the hot path in `accounts/reporting.py`.
"""

from __future__ import annotations

from accounts.changes import bump_snapshot
from accounts.services.errors import AccountsError, LoginServerFailed, NotFound
from accounts.services.exports import account_export
from accounts.services.logins import (
    AddedAccount,
    ImportOutcome,
    ImportReport,
    account_add,
    account_import,
    check_login,
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
from accounts.services.signin import (
    StartedLogin,
    auth_url_of,
    browser_login_finish,
    browser_login_start,
    device_login_poll,
    device_login_start,
    get_login,
    login_cancel,
)
from accounts.services.upkeep import (
    BatchResult,
    account_edit,
    account_pools,
    account_reset_usage,
    accounts_remove,
    accounts_switch,
)

__all__ = [
    "AccountsError",
    "AddedAccount",
    "BatchResult",
    "ImportOutcome",
    "ImportReport",
    "IssuedKey",
    "LoginServerFailed",
    "NotFound",
    "StartedLogin",
    "account_add",
    "account_edit",
    "account_export",
    "account_import",
    "account_pools",
    "account_reset_usage",
    "accounts_remove",
    "accounts_switch",
    "api_key_create",
    "api_key_edit",
    "api_key_remove",
    "api_key_revoke",
    "auth_url_of",
    "browser_login_finish",
    "browser_login_start",
    "bump_snapshot",
    "check_login",
    "device_login_poll",
    "device_login_start",
    "get_login",
    "get_or_create_user",
    "login_cancel",
    "user_create",
    "user_remove",
    "user_save",
]
