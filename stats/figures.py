"""Figures as people think in them: 22.5 K, 3.2 s, 95 %. Pure; the exact value belongs beside them, in a title.

Three digits at most. Units are the same in every language; only words are translated, elsewhere.
"""

from __future__ import annotations

_STEPS = ((1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K"))


def human_count(value: int) -> str:
    """Return a count: 999, 1.2 K, 22.5 K, 1.9 B."""
    for size, unit in _STEPS:
        # 999 950 is shown as 1 M, not as 1000 K.
        if abs(value) >= size * 0.99995 and abs(value) >= 1_000:
            return f"{_three_digits(value / size)} {unit}"
    return str(value)


def human_ms(value: int | None) -> str:
    """Return a duration of `value` milliseconds: 640 ms, 3.2 s, 4 min 5 s, 2 h 5 min."""
    if value is None:
        return "–"
    if value < 1_000:
        return f"{value} ms"
    if value < 59_950:
        return f"{_three_digits(value / 1_000)} s"
    seconds = round(value / 1_000)
    if seconds < 3_600:
        return _two_units(seconds, 60, "min", "s")
    return _two_units(round(seconds / 60), 60, "h", "min")


def human_share(value: float) -> str:
    """Return a share of one: 0 %, 0.8 %, 95 %; never 0 % or 100 % for something in between."""
    percent = value * 100
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if (percent >= 10 and percent <= 99) or percent in {0, 100} else f"{percent:.1f} %"


def _two_units(value: int, per_unit: int, large: str, small: str) -> str:
    whole, rest = divmod(value, per_unit)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def _three_digits(value: float) -> str:
    text = f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}"
    return text.removesuffix(".0")
