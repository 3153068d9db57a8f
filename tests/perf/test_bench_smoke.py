"""The benchmark itself, in its quick form: it must run from end to end, and a few ratios must not be absurd.

Asserts only what holds on a busy machine too; figures worth quoting come from `make bench`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RUN_S = 240

pytestmark = [
    pytest.mark.perf,
    pytest.mark.timeout(RUN_S + 30),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc and pins processes"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    document = folder / "benchmark.md"
    document.write_text((ROOT / "docs" / "benchmark.md").read_text())
    found = folder / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.perf.bench", "--quick", "--write", str(document), "--json", str(found)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return {"text": done.stdout, "document": document.read_text(), **json.loads(found.read_text())}


def test_every_answer_of_every_row_is_complete_and_in_order(run: dict[str, Any]) -> None:
    assert run["tally"]["failures"] == {}
    assert run["tally"]["verified"] > 1500


def test_no_slow_stream_fails_in_either_lane(run: dict[str, Any]) -> None:
    failed = run["plain"]["slow_failed"]
    assert (failed["relay"], failed["translate"]) == (0, 0)


def test_translating_a_delta_costs_at_most_eight_times_relaying_it(run: dict[str, Any]) -> None:
    cost = run["plain"]["paced_cpu"]
    assert 0 < cost["translate"] <= 8 * cost["relay"]


def test_a_small_translated_request_costs_at_most_eight_relayed_ones(run: dict[str, Any]) -> None:
    rate = run["plain"]["small_requests"]
    assert rate["relay"] <= 8 * rate["translate"]


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_a_request_with_its_state_on_redis_costs_at_most_twice_as_much(run: dict[str, Any]) -> None:
    rate = run["redis"]["small_requests"]
    assert rate["translate"] <= 2 * rate["redis"]


def test_a_slow_stream_needs_less_than_a_megabyte(run: dict[str, Any]) -> None:
    assert max(run["plain"]["slow_memory"][lane] for lane in ("relay", "translate")) < 1024


def test_threads_do_not_grow_with_streams(run: dict[str, Any]) -> None:
    assert max(run["plain"]["slow_threads"][lane] for lane in ("relay", "translate")) < 32


def test_the_figures_replace_what_stood_between_the_marks_and_nothing_else(run: dict[str, Any]) -> None:
    before, after = (ROOT / "docs" / "benchmark.md").read_text(), run["document"]
    assert run["text"].strip() in after
    assert "No run has been recorded yet." not in after
    assert after.partition("## How to repeat it")[2] == before.partition("## How to repeat it")[2]
