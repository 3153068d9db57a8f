"""Figures for people: three digits, the right unit, no rounding into nonsense."""

from __future__ import annotations

import pytest

from stats.figures import human_count, human_ms, human_share


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1 K"),
        (1_234, "1.2 K"),
        (22_500, "22.5 K"),
        (123_456, "123 K"),
        (999_960, "1 M"),
        (1_900_000_000, "1.9 B"),
        (-2_500, "-2.5 K"),
    ],
)
def test_counts_read_at_a_glance(value: int, text: str) -> None:
    assert human_count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (640, "640 ms"),
        (3_200, "3.2 s"),
        (59_990, "1 min"),
        (245_000, "4 min 5 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
    ],
)
def test_durations_read_at_a_glance(value: int | None, text: str) -> None:
    assert human_ms(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (0.0004, "< 0.1 %"), (0.008, "0.8 %"), (0.95, "95 %"), (0.9995, "> 99.9 %"), (1, "100 %")],
)
def test_shares_are_never_rounded_to_nothing_or_everything(value: float, text: str) -> None:
    assert human_share(value) == text
