"""Reasons that rows store are shown in the reader's language; the upstream's own words stay as they are."""

from __future__ import annotations

import pytest
from django.utils import translation

from accounts.reasons import KNOWN, reason_words
from accounts.refresh import INTERRUPTED
from accounts.reporting import _VERDICTS


def test_everything_the_gateway_stores_is_known() -> None:
    assert {words for _, words in _VERDICTS.values()} | {INTERRUPTED} <= KNOWN


def test_every_known_reason_has_chinese_words() -> None:
    with translation.override("zh-hans"):
        assert [reason for reason in KNOWN if reason_words(reason).isascii()] == []


@pytest.mark.parametrize(
    ("stored", "chinese"),
    [
        ("blocked at the edge (challenge)", "(challenge)"),
        ("The upstream has banned this account. It said: Bye.", "Bye."),
        ("", ""),
    ],
)
def test_what_others_said_is_kept(stored: str, chinese: str) -> None:
    with translation.override("zh-hans"):
        shown = reason_words(stored)
    assert chinese in shown and (not stored or not shown.isascii())


def test_unknown_reasons_stay_as_they_are() -> None:
    with translation.override("zh-hans"):
        assert reason_words("token_revoked: go away") == "token_revoked: go away"
