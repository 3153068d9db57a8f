"""The two JSON shapes of quota besides headers: the `codex.rate_limits` frame and the usage endpoint.

Numbers of acceptance rows: spec/operations.md §18.
"""

from __future__ import annotations

from typing import Any

import pytest

from providers.adapters.codex.limits import bucket_id, read_frame, read_usage
from providers.contract import QuotaWindow

NOW = 1_800_000_000.0
FRAME: dict[str, Any] = {
    "type": "codex.rate_limits", "plan_type": "plus",
    "rate_limits": {
        "allowed": True, "limit_reached": False,
        "primary": {"used_percent": 42.0, "window_minutes": 300, "reset_after_seconds": 9000, "reset_at": NOW + 9000},
        "secondary": {"used_percent": 18.0, "window_minutes": 10080, "reset_at": NOW + 300_000},
    },
    "code_review_rate_limits": None,
    "additional_rate_limits": {
        "Spark": {"primary": {"used_percent": 5, "window_minutes": 10080, "resets_at": NOW + 9}},
    },
    "credits": {"has_credits": False, "unlimited": False, "balance": "0"},
    "metered_limit_name": None, "limit_name": None, "promo": None,
}  # fmt: skip
USAGE: dict[str, Any] = {
    "plan_type": "plus",
    "rate_limit": {
        "allowed": True, "limit_reached": False,
        "primary_window": {"used_percent": 12, "limit_window_seconds": 18000, "reset_at": NOW + 9000},
        "secondary_window": None,
    },
    "code_review_rate_limit": {"allowed": False, "primary_window": {"used_percent": 100, "reset_after_seconds": 60}},
    "additional_rate_limits": [
        {"limit_name": "GPT-5.3-Codex-Spark", "metered_feature": "codex_bengalfox",
         "rate_limit": {"allowed": True, "primary_window": {"used_percent": 3, "limit_window_seconds": 18000}}},
    ],
    "credits": {"has_credits": True, "balance": "12.5"},
    "rate_limit_reset_credits": {"available_count": 2},
}  # fmt: skip


def test_t21_a_frame_counts_in_minutes_and_names_every_bucket() -> None:
    found = read_frame(FRAME, NOW)
    assert found is not None and found.plan == "plus" and not found.is_whole
    assert found.windows["codex"]["primary"] == QuotaWindow(used_percent=42, window_minutes=300, reset_at=NOW + 9000)
    assert found.windows["codex"]["secondary"].window_minutes == 10_080
    assert found.windows["codex_bengalfox"]["primary"].reset_at == NOW + 9
    assert (found.names["codex_bengalfox"], found.credits["balance"]) == ("Spark", "0")


@pytest.mark.parametrize(
    ("field", "name", "bucket"),
    [("limit_name", "codex", "codex"), ("metered_limit_name", "codex_bengalfox", "codex_bengalfox"),
     ("limit_name", "GPT-5.3-Codex-Spark", "codex_bengalfox"), ("limit_name", "codex_review", "code_review"),
     ("limit_id", "codex-code-review", "code_review"), ("metered_limit_name", "codex_other", "codex_other")],
)  # fmt: skip
def test_t21_a_frame_about_another_limit_goes_to_its_bucket(field: str, name: str, bucket: str) -> None:
    found = read_frame({"rate_limits": {"primary": {"used_percent": 7}}, field: name}, NOW)
    assert found is not None and list(found.windows) == [bucket]


@pytest.mark.parametrize("nothing", [{}, {"rate_limits": None}, {"rate_limits": []}, {"rate_limits": {"primary": 3}}])
def test_t21_a_frame_that_says_nothing_changes_nothing(nothing: dict[str, Any]) -> None:
    assert read_frame(nothing, NOW) is None


def test_the_usage_endpoint_counts_in_seconds_and_is_the_whole_truth() -> None:
    found = read_usage(USAGE, NOW)
    assert found is not None and found.is_whole
    assert found.windows["codex"] == {"primary": QuotaWindow(used_percent=12, window_minutes=300, reset_at=NOW + 9000)}
    assert found.windows["code_review"]["primary"].reset_at == NOW + 60
    assert (found.blocked, found.allowed) == (("code_review",), ("codex", "codex_bengalfox"))
    assert found.names == {"codex_bengalfox": "GPT-5.3-Codex-Spark"}
    assert (found.reset_credits, found.credits["balance"]) == (2, "12.5")


@pytest.mark.parametrize("rubbish", [{}, {"rate_limit": None}, {"detail": "Unauthorized"}, {"rate_limit": "no"}])
def test_an_answer_without_limits_is_no_usage(rubbish: dict[str, Any]) -> None:
    assert read_usage(rubbish, NOW) is None


def test_null_windows_and_odd_entries_are_passed_over() -> None:
    odd = {
        "rate_limit": {"allowed": True, "primary_window": None, "secondary_window": {"used_percent": "NaN"}},
        "additional_rate_limits": [3, {}, {"limit_name": 5, "rate_limit": {"primary_window": {"used_percent": 1}}}],
        "credits": "many", "rate_limit_reset_credits": {"available_count": "soon"}, "plan_type": 5,
    }  # fmt: skip
    found = read_usage(odd, NOW)
    assert found is not None
    assert (found.windows, found.allowed, found.credits, found.reset_credits) == ({}, ("codex",), {}, None)


def test_a_reset_more_than_a_year_away_is_a_broken_clock() -> None:
    found = read_frame({"rate_limits": {"primary": {"used_percent": 100, "reset_at": NOW + 400 * 86_400}}}, NOW)
    assert found is not None and found.windows["codex"]["primary"].reset_at is None


def test_names_that_people_write_become_one_id() -> None:
    assert {bucket_id(name) for name in ("", "codex", "Codex", " codex ")} == {"codex"}
    assert bucket_id("x" * 500) == "x" * 64
