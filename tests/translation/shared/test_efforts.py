"""Efforts: clamped to what a model knows, and `ultra`, which is the clients' word for max."""

from __future__ import annotations

import pytest

from translation.shared.efforts import ORDER, clamp

UP_TO_XHIGH = ("low", "medium", "high", "xhigh")


@pytest.mark.parametrize(
    ("effort", "known", "sent"),
    [
        ("ultra", (), "max"),
        ("ultra", (*UP_TO_XHIGH, "max"), "max"),
        ("ultra", UP_TO_XHIGH, "xhigh"),
        ("ultra", (*UP_TO_XHIGH, "max", "ultra"), "ultra"),
        ("max", UP_TO_XHIGH, "xhigh"),
        ("none", UP_TO_XHIGH, "low"),
        ("minimal", UP_TO_XHIGH, "low"),
        ("high", (), "high"),
        ("galactic", UP_TO_XHIGH, None),
        (None, UP_TO_XHIGH, None),
    ],
)
def test_an_effort_becomes_one_that_the_model_knows(effort: str | None, known: tuple[str, ...], sent: str | None):
    assert clamp(effort, known) == sent


def test_every_effort_ends_at_one_that_the_model_knows():
    assert all(clamp(effort, UP_TO_XHIGH) in UP_TO_XHIGH for effort in ORDER)
