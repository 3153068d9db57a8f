"""Template tags of the dashboard: sparklines drawn on the server, and figures for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.status import duration_words
from stats.figures import human_count, human_ms

register = template.Library()

BAR_WIDTH = 4
GAP = 1
HEIGHT = 28


@register.simple_tag
def sparkline(values: Sequence[int | None], label: str, unit: str = "") -> SafeString:
    """Return bars, one per value, oldest first, as an inline SVG that a screen reader can say.

    A value that is None, nothing measured, leaves a gap; zero keeps a stub, so that quiet hours show. `unit` is `ms`
    for durations and `%` for shares of a whole, whose bars are drawn against 100.
    """
    human = {"ms": human_ms, "%": _human_percent}.get(unit, human_count)
    highest = max((value for value in values if value is not None), default=0)
    tallest = 100 if unit == "%" else highest
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}" rx="1"{}><title>{}</title></rect>',
        (
            (
                position * (BAR_WIDTH + GAP),
                HEIGHT - _height(value, tallest),
                BAR_WIDTH,
                _height(value, tallest),
                format_html(' class="{}"', "cpx-stub") if not value else "",
                human(value),
            )
            for position, value in enumerate(values)
            if value is not None
        ),
    )
    words = _("%(label)s, hour by hour: highest %(highest)s, last %(last)s") % {
        "label": label,
        "highest": human(highest),
        "last": human(values[-1]) if values and values[-1] is not None else "–",
    }
    return format_html(
        '<svg class="cpx-sparkline" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>',
        words,
        len(values) * (BAR_WIDTH + GAP) - GAP,
        HEIGHT,
        bars,
    )


@register.filter
def span(start: datetime, end: datetime) -> str:
    """Return the time between two moments, in its two largest units."""
    return duration_words(end - start)


def _human_percent(value: int) -> str:
    return f"{value} %"


def _height(value: int | None, highest: int) -> int:
    if not value or not highest:
        return 2
    return max(3, round(HEIGHT * value / highest))
