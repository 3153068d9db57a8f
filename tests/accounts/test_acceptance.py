"""Rows T29 to T42 of the acceptance list (spec/operations.md §18): which tests prove each. A renamed test shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROWS: dict[str, dict[str, tuple[str, ...]]] = {
    "T29 schedule jitter bounds": {
        "test_refresh.py": (
            "test_it_spreads_refreshes_within_fifteen_percent_of_the_margin",
            "test_it_finds_what_is_due",
        ),
    },
    "T30 two permanent refusals": {
        "test_refresh.py": (
            "test_it_needs_two_refusals_in_a_row_before_it_believes_them",
            "test_it_forgets_one_stray_refusal_after_a_success",
        ),
    },
    "T31 a timeout in mid-flight is not sent again": {
        "test_refresh.py": (
            "test_it_does_not_send_a_token_again_that_may_have_arrived_while_the_access_token_works",
            "test_it_believes_at_once_that_a_token_is_used_up_which_may_have_arrived",
        ),
    },
    "T32 lease contention": {
        "test_refresh.py": (
            "test_it_lets_only_one_process_refresh_at_a_time",
            "test_it_spends_the_token_once_when_fifty_threads_want_it",
        ),
    },
    "T33 the stored token differs: adopt it": {
        "test_refresh.py": ("test_it_adopts_what_another_process_fetched_meanwhile",),
    },
    "T34 banned against expired": {
        "test_refresh.py": ("test_it_believes_the_first_refusal_when_a_person_asks",),
        "test_lifecycle.py": ("test_it_becomes_what_the_table_says",),
    },
    "T35 crash journal": {
        "test_refresh.py": ("test_it_detects_and_reports_a_crash_between_spending_and_committing",),
    },
    "T36 pair dedupe": {
        "test_services.py": ("test_it_keeps_colleagues_of_one_workspace_and_workspaces_of_one_person_apart",),
    },
    "T37 every import shape and text lines": {
        "test_importing.py": (
            "test_it_finds_the_login_in",
            "test_it_reads_a_token_per_line_and_skips_blanks_and_comments",
        ),
    },
    "T38 five exports round-trip": {
        "../api/test_management.py": ("test_five_exports_read_back_as_the_same_logins",),
        "test_admin_accounts.py": ("test_it_exports_after_the_password_and_writes_it_down",),
    },
    "T39 a refresh token already owned is not spent": {
        "test_signin.py": (
            "test_a_refresh_token_that_an_account_owns_is_not_spent",
            "test_the_same_refresh_token_twice_at_once_is_spent_once",
        ),
    },
    "T40 batches name what is not there": {
        "../api/test_management.py": ("test_batches_say_who_was_not_there",),
    },
    "T41 relay: twice, expired, error": {
        "test_signin.py": (
            "test_submitting_twice_is_a_success_twice_and_one_exchange",
            "test_an_expired_or_unknown_state_is_refused_and_nothing_is_sent",
            "test_a_refusal_in_the_browser_ends_the_log_in_and_says_so",
        ),
    },
    "T42 percent-encoding": {
        "test_signin.py": ("test_the_log_in_address_encodes_spaces_as_percent_20",),
    },
}


@pytest.mark.parametrize("row", ROWS)
def test_the_row_has_its_tests(row: str) -> None:
    for file, names in ROWS[row].items():
        defined = set(re.findall(r"^(?:async )?def (test_\w+)", (HERE / file).read_text(encoding="utf-8"), re.M))
        assert set(names) <= defined, f"{row}: {set(names) - defined} is not in {file}"
