"""The report: medians of rounds, as Markdown tables, and the figures between two marks of a document. Pure but for
the one function that rewrites the document and the one that describes the machine.
"""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.perf import nginx
from tests.perf.load import Tally
from tests.perf.plan import Plan
from tests.perf.rows import Figures

BEGIN = "<!-- figures: begin; written by `make bench` -->"
END = "<!-- figures: end -->"
NOTHING = "–"
SHOWN_FAILURES = 10


@dataclass(frozen=True)
class Columns:
    """The columns of a table by target, with their titles. `reference` is what ratios are made to."""

    titles: dict[str, str]
    reference: str

    @property
    def base(self) -> str:
        """What times of the other columns are added to."""
        return next(iter(self.titles))


COLUMNS = Columns(
    {name: name for name in ("direct", "nginx", "relay", "translate", "messages", "gemini")}, reference="nginx"
)
HTTPS_COLUMNS = Columns({name: name for name in ("direct", "nginx", "relay", "translate")}, reference="nginx")
REDIS_COLUMNS = Columns(
    {"direct": "direct", "translate": "translate, state in memory", "redis": "translate, state on Redis"},
    reference="translate",
)


@dataclass(frozen=True)
class Row:
    """How a row is shown. `style` is "plain", "added" (to the first column) or "ratio" (to the reference)."""

    key: str
    title: str
    unit: str
    digits: int
    style: str = "plain"


HTTPS_ROWS = (
    Row("alone_p50", "time to first delta, 1 client, p50", "ms", 2, "added"),
    Row("crowd_p50", "time to first delta, {crowd} clients, p50", "ms", 2, "added"),
    Row("crowd_p99", "time to first delta, {crowd} clients, p99", "ms", 2, "added"),
    Row("paced_cpu", "CPU for 100,000 paced deltas", "s", 2, "ratio"),
)
ROWS = (
    *HTTPS_ROWS,
    Row("burst_deltas", "burst deltas per second of one core", "1/s", 0, "ratio"),
    Row("small_requests", "small streamed requests per second of one core", "1/s", 0, "ratio"),
    Row("slow_failed", "{slow} slow streams: failures", "", 0),
    Row("slow_delay_p50", "{slow} slow streams: one-way delay of a delta, p50", "ms", 2),
    Row("slow_delay_p99", "{slow} slow streams: one-way delay of a delta, p99", "ms", 2),
    Row("slow_jitter_p99", "{slow} slow streams: jitter of a delta, p99", "ms", 2),
    Row("slow_memory", "{slow} slow streams: memory of one stream", "KB", 1),
    Row("slow_threads", "{slow} slow streams: threads of the process", "", 0),
    Row("body_1mb", "request body of 1 MB: time to first delta", "ms", 1, "added"),
    Row("body_10mb", "request body of 10 MB: time to first delta", "ms", 1, "added"),
)
REDIS_ROWS = (
    *HTTPS_ROWS[:3],
    Row("small_requests", "small streamed requests per second of one core", "1/s", 0, "ratio"),
)
GATEWAY_ROWS = (
    Row("idle_memory", "memory of the gateway process, idle", "MB", 0),
    Row("start", "start to first answer", "s", 2),
)


def medians(rounds: Sequence[Figures]) -> Figures:
    """Return the median of every figure over the rounds that have it."""
    result: Figures = {}
    for row in dict.fromkeys(key for figures in rounds for key in figures):
        columns = dict.fromkeys(name for figures in rounds for name in figures.get(row, {}))
        for column in columns:
            values = [figures[row][column] for figures in rounds if column in figures.get(row, {})]
            known = [value for value in values if not math.isnan(value)]
            result.setdefault(row, {})[column] = statistics.median(known) if known else math.nan
    return result


def merge(into: Figures, figures: Figures) -> None:
    """Add `figures` to those of the same round."""
    for row, columns in figures.items():
        into.setdefault(row, {}).update(columns)


def render(plain: Figures, https: Figures, redis: Figures, tally: Tally, plan: Plan, notes: Sequence[str]) -> str:
    """Return the whole report."""
    parts = [_table(ROWS, plain, plan)]
    parts.append(_short_table(plain))
    if https:
        parts.append("The same with TLS and HTTP/2 between gateway and upstream:")
        parts.append(_table(HTTPS_ROWS, https, plan, HTTPS_COLUMNS))
    if redis:
        parts.append("What a shared state on Redis costs, with Redis on the same machine:")
        parts.append(_table(REDIS_ROWS, redis, plan, REDIS_COLUMNS))
    failures = tally.failures.total()
    parts.append(
        f"{tally.verified:,} answers verified, {failures} failed"
        + (
            "."
            if not failures
            else ":\n\n" + "\n".join(f"* {count} × {why}" for why, count in tally.failures.most_common(SHOWN_FAILURES))
        )
    )
    parts.append("\n".join(f"* {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], figures: Figures, plan: Plan, shown: Columns = COLUMNS) -> str:
    lines = [f"| | {' | '.join(shown.titles.values())} |", f"|---|{'---:|' * len(shown.titles)}"]
    for row in rows:
        columns = figures.get(row.key)
        if columns is None:
            continue
        title = row.title.format(crowd=plan.crowd_clients, slow=f"{plan.slow_streams:,}")
        lines.append(f"| {title} | " + " | ".join(_cell(row, columns, name, shown) for name in shown.titles) + " |")
    return "\n".join(lines)


def _short_table(figures: Figures) -> str:
    lines = ["| the gateway | |", "|---|---:|"]
    for row in GATEWAY_ROWS:
        if row.key in figures:
            lines.append(f"| {row.title} | {_number(figures[row.key]['gateway'], row)} |")
    return "\n".join(lines)


def _cell(row: Row, columns: dict[str, float], name: str, shown: Columns) -> str:
    value = columns.get(name)
    if value is None:
        return NOTHING
    text = _number(value, row)
    if math.isnan(value):
        return text
    if row.style == "added" and name != shown.base:
        return f"+{text}" if value >= 0 else text
    reference = columns.get(shown.reference, math.nan)
    if row.style == "ratio" and name != shown.reference and reference > 0:
        return f"{text} ({value / reference:.2f} ×)"
    return text


def _number(value: float, row: Row) -> str:
    if math.isnan(value):
        return "failed"
    return f"{value:,.{row.digits}f} {row.unit}".rstrip()


def machine() -> str:
    """Return one sentence about the machine and the programs."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return (
        f"{today}, {os.cpu_count()} processors ({model}), "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {nginx.version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def write_between_marks(document: Path, text: str) -> None:
    """Put `text` between the two marks of `document`. Raises: ValueError, OSError when that cannot be done."""
    before, after = around_marks(document)
    document.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def around_marks(document: Path) -> tuple[str, str]:
    """Return what stands before and after the marks. Raises: ValueError when they are not there, OSError."""
    before, found_begin, rest = document.read_text().partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found_begin or not found_end:
        raise ValueError(f"{document} lacks the marks {BEGIN!r} and {END!r}")
    return before, after
