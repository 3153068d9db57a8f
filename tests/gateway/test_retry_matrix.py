"""T14: the retry matrix of spec/operations.md §2.7, row by row, through the whole flow, in every dialect, both modes.

Each row says how one upstream answer ends when it comes once and when it never stops, and what it costs the account.
The pure table behind it is tested in `test_retry_table.py`; the same over real connections in `tests/faults`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.playbook import CREATED, HELLO, ITEM, NOW, Play, account, completed, event, failed, text

Scene = Callable[[Play], None]
MINUTE, HOUR = 60, 3600
SAME, OTHER = "a", "b"


@dataclass(frozen=True)
class Row:
    """`then`: the account that answers when the failure comes once, or the status that is told at once.

    `always`: the status when it never stops, and after how many calls. `costs`: how long the account rests, and what
    else it bears.
    """

    name: str
    happens: Scene
    then: str | int
    always: tuple[int, int]
    costs: tuple[float, str] | None = None
    refreshes: bool = False


def says(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> Scene:
    return lambda play: play.upstream.answers(status, body, headers) and None


def streams(*chunks: bytes, breaks: bool = False) -> Scene:
    def scene(play: Play) -> None:
        answer = play.upstream.answers()
        for chunk in chunks:
            answer.sends(chunk)
        if breaks:
            answer.breaks()

    return scene


def coded(code: str, message: str = "They said so.") -> dict[str, Any]:
    return {"error": {"code": code, "type": code, "message": message}}


LIMIT = {"error": {"type": "usage_limit_reached", "message": "Spent.", "resets_in_seconds": 2 * HOUR}}
CAPACITY = {"detail": "Selected model is at capacity. Please try a different model."}

MATRIX = [
    Row("400 model unsupported", says(400, {"detail": "The 'gpt-5.5' model is not supported."}), OTHER, (400, 2)),
    Row("400 of the request", says(400, {"detail": "Unsupported parameter: x"}), 400, (400, 1)),
    Row("400 context too long", says(400, coded("context_length_exceeded")), 400, (400, 1)),
    Row("400 policy", says(400, coded("cyber_policy")), 400, (400, 1)),
    Row("400 foreign reasoning, then left out", says(400, coded("invalid_encrypted_content")), SAME, (400, 2)),
    Row("401 token expired", says(401, coded("token_expired")), SAME, (503, 6), None, refreshes=True),
    Row("401 without a code", says(401, {"detail": "Unauthorized"}), SAME, (503, 6), None, refreshes=True),
    Row("401 deactivated", says(401, coded("account_deactivated")), OTHER, (503, 3), (MINUTE, "banned")),
    Row("402 payment", says(402, {"detail": {"code": "deactivated_workspace"}}), OTHER, (503, 3), (HOUR, "payment")),
    Row("403 challenge", says(403, b"<html>Just a moment...</html>"), OTHER, (502, 3), (10, "")),
    Row("403 firewall page", says(403, b"<html>Error 1020</html>"), OTHER, (502, 3), (10, "")),
    Row("403 region", says(403, coded("unsupported_country_region_territory")), OTHER, (502, 3), (10, "")),
    Row("403 ban", says(403, {"detail": "Account suspended"}), OTHER, (503, 3), (HOUR, "forbidden")),
    Row("404 path block", says(404, b""), OTHER, (502, 3), (10, "")),
    Row("404 of the request", says(404, {"detail": "Not Found"}), 404, (404, 1)),
    Row("408 in a moment", says(408), SAME, (503, 2)),
    Row("409 in a moment", says(409, {"detail": "conflict"}), SAME, (503, 2)),
    Row("413 too large", says(413, {"detail": "too large"}), 413, (413, 1)),
    Row("425 in a moment", says(425), SAME, (503, 2)),
    Row("429 usage limit", says(429, LIMIT), OTHER, (429, 3), (2 * HOUR, "codex")),
    Row("429 without a time", says(429, coded("usage_limit_reached")), OTHER, (429, 3), (MINUTE, "codex")),
    Row("429 plan without Codex", says(429, coded("usage_not_included")), OTHER, (429, 3), (HOUR, "codex")),
    Row("429 per minute", says(429, coded("rate_limit_exceeded", "try again in 11s")), OTHER, (429, 3), (11, "")),
    Row("429 capacity", says(429, CAPACITY), OTHER, (429, 3)),
    Row("500 server error", says(500, coded("server_error")), OTHER, (500, 2)),
    Row("502 edge", says(502, b"<html>"), SAME, (502, 4)),
    Row("503 overloaded", says(503, coded("server_is_overloaded")), OTHER, (503, 3)),
    Row("504 edge", says(504, b"<html>"), SAME, (502, 4)),
    Row("520 edge", says(520, b"<html>"), SAME, (502, 4)),
    Row("cannot be reached", lambda play: play.upstream.cannot_be_reached(), SAME, (502, 4)),
    Row("broken before output", streams(CREATED, breaks=True), SAME, (502, 4)),
    Row("closed before output", streams(CREATED), SAME, (504, 3)),
    Row("empty answer", streams(CREATED + completed()), OTHER, (502, 3)),
    Row("no event stream", streams(b'data: {"error": {"message": "what"}}\n\n'), OTHER, (502, 2)),
    Row("stream: usage limit", streams(CREATED + failed("usage_limit_reached", resets_in_seconds=2 * HOUR)),
        OTHER, (429, 3), (2 * HOUR, "codex")),
    Row("stream: per minute", streams(CREATED + failed("rate_limit_exceeded", "try again in 28ms")),
        OTHER, (429, 3), (0.028, "")),
    Row("stream: overloaded", streams(CREATED + failed("server_is_overloaded")), OTHER, (503, 3)),
    Row("stream: server error", streams(CREATED + failed("server_error")), OTHER, (500, 2)),
    Row("stream: token expired", streams(CREATED + failed("token_expired")), SAME, (503, 6), None, refreshes=True),
    Row("stream: banned", streams(CREATED + failed("account_deactivated")), OTHER, (503, 3), (MINUTE, "banned")),
    Row("stream: context too long", streams(CREATED + failed("context_length_exceeded")), 400, (400, 1)),
    Row("stream: model not found", streams(CREATED + failed("model_not_found")), 404, (404, 1)),
]  # fmt: skip

SAID_OTHERWISE = {(dialect, "400 model unsupported"): 404 for dialect in ("messages", "gemini")}
"""Where a vendor says the same with another status."""

DOCUMENT = Path(__file__).parents[2] / "docs" / "failover.md"
TABLE = re.compile(r"(?<=<!-- table -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)


def documented(row: Row) -> str:
    """One line of the table in `docs/failover.md`."""
    if isinstance(row.then, int):
        then = f"told as {row.then}"
    else:
        then = "another account" if row.then == OTHER else "the same account"
        then += ", with a new token" if row.refreshes else ""
    status, calls = row.always
    return f"| {row.name} | {then} | {_cost(row)} | {status} after {calls} call{'s' if calls > 1 else ''} |"


def _cost(row: Row) -> str:
    if row.costs is None:
        return "nothing"
    rest_s, bears = row.costs
    words = {"codex": "its limit is shut for", "": "rests for"}.get(bears, f"{bears}; rests for")
    long = f"{rest_s / HOUR:g} h" if rest_s >= HOUR else f"{rest_s:g} s"
    return f"{words} {long}"


def test_the_documented_table_is_this_one(pytestconfig: pytest.Config) -> None:
    head = ["| the upstream | once, before any output | what it costs the account | always, with three accounts |"]
    head.append("|---|---|---|---|")
    table = "\n".join([*head, *(documented(row) for row in MATRIX)])
    text = DOCUMENT.read_text(encoding="utf-8")
    if pytestconfig.getoption("--update-golden"):
        DOCUMENT.write_text(TABLE.sub(lambda _: table, text), encoding="utf-8")
        return
    found = TABLE.search(text)
    assert found is not None and found[0] == table, "run pytest tests/gateway/test_retry_matrix.py --update-golden"


each_row = pytest.mark.parametrize("row", MATRIX, ids=lambda row: row.name)
both_modes = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "collected"])


def renewed(play: Play) -> None:
    play.refresh = play.renew


@each_row
@both_modes
async def test_t14_a_failure_that_comes_once_ends_as_the_row_says(play: Play, row: Row, stream: bool) -> None:
    if row.refreshes:
        renewed(play)
    row.happens(play)
    play.upstream.answers().sends(HELLO)
    client = await play.ask(stream=stream)
    if isinstance(row.then, int):
        assert (client.status, len(play.upstream.requests)) == (row.then, 1)
    else:
        assert client.status == 200 and client.error is None
        assert play.upstream.tokens[-1] == ("renewed-a" if row.refreshes else f"token-{row.then}")
    assert play.refreshed == (["a"] if row.refreshes else [])
    assert_costs(play, row)


def assert_costs(play: Play, row: Row) -> None:
    if row.costs is None:
        assert play.penalties == []
        return
    [(name, penalty)] = play.penalties
    rest_s, bears = row.costs
    assert (name, penalty.cool_until - NOW) == ("a", pytest.approx(rest_s, abs=0.001))
    assert (penalty.rejection or penalty.bucket) == bears


@each_row
@both_modes
async def test_t14_a_failure_that_never_stops_is_told_after_so_many_calls(play: Play, row: Row, stream: bool) -> None:
    if row.refreshes:
        renewed(play)
    for _ in range(10):
        row.happens(play)
    client = await play.ask(stream=stream)
    status, calls = row.always
    expected = SAID_OTHERWISE.get((play.dialect, row.name), play.status(status))
    assert (client.status, len(play.upstream.requests)) == (expected, calls)
    assert client.error


@each_row
async def test_t18_nothing_is_replayed_after_the_first_byte(dialect: str, row: Row) -> None:
    play = Play(dialect)
    play.upstream.answers().sends(CREATED + ITEM + text("Hel")).sends(failed("server_error"))
    row.happens(play)
    client = await play.ask()
    assert (client.status, client.text, len(play.upstream.requests)) == (200, "Hel", 1)
    assert client.error


# ---- buckets, and what counts over several requests -----------------------------------------------------------------


async def test_t24_a_spark_limit_leaves_the_account_to_other_models(play: Play) -> None:
    for _ in "abc":
        play.upstream.answers(429, LIMIT)
    refused = await play.ask(model="gpt-5.3-codex-spark")
    assert refused.status == 429 and refused.headers["retry-after"] == str(2 * HOUR)
    play.upstream.answers().sends(HELLO)
    assert (await play.ask()).text == "Hello"
    assert (await play.ask(model="gpt-5.3-codex-spark")).status == 429
    assert len(play.upstream.requests) == 4  # the last one asked nobody


async def test_t20_an_answer_whose_headers_say_used_up_is_the_accounts_last(play: Play) -> None:
    full = {"x-codex-primary-used-percent": "100", "x-codex-primary-reset-at": str(int(NOW) + HOUR)}
    play.upstream.answers(headers=full).sends(HELLO)
    play.upstream.answers(headers=full).sends(HELLO)
    play.upstream.answers(headers=full).sends(HELLO)
    for _ in "abc":
        assert (await play.ask()).status == 200
    assert sorted(play.upstream.tokens) == ["token-a", "token-b", "token-c"]
    refused = await play.ask()
    assert (refused.status, refused.headers["retry-after"]) == (429, str(HOUR))


async def test_t20_headers_of_a_refusal_are_read_too(play: Play) -> None:
    full = {"x-codex-secondary-used-percent": "100", "x-codex-secondary-reset-at": str(int(NOW) + 50 * HOUR)}
    for _ in "abc":
        play.upstream.answers(429, {"error": {"type": "usage_limit_reached", "message": "x"}}, headers=full)
    client = await play.ask()
    assert (client.status, client.headers["retry-after"]) == (429, str(50 * HOUR))


@both_modes
async def test_t21_a_limits_event_in_the_stream_is_learned_and_kept_from_clients_that_do_not_know_it(
    play: Play, stream: bool
) -> None:
    window = {"used_percent": 100, "window_minutes": 300, "reset_at": NOW + HOUR}
    told = event("codex.rate_limits", rate_limits={"primary": window})
    play.upstream.answers().sends(CREATED + told + ITEM + text("Hi") + completed("Hi"))
    client = await play.ask(stream=stream)
    assert client.status == 200 and b"rate_limits" not in client.body
    [report] = [each.limits for each in play.reports if each.limits is not None]
    assert report.windows["codex"]["primary"].window_minutes == 300
    assert play.gateway.pool.quotas.exhausted_until(account("a"), "gpt-5.5", NOW) == NOW + HOUR


async def test_exhausted_accounts_are_used_when_the_operator_wants_them_used(dialect: str) -> None:
    play = Play(dialect, skip_exhausted=False)
    full = {"x-codex-primary-used-percent": "100", "x-codex-primary-reset-at": str(int(NOW) + HOUR)}
    for _ in range(4):
        play.upstream.answers(headers=full).sends(HELLO)
        assert (await play.ask()).status == 200


async def test_three_empty_404s_within_an_hour_switch_the_account_off_whatever_worked_between_them(
    dialect: str,
) -> None:
    play = Play(dialect, accounts=(account("a"),))
    for _ in range(3):
        play.upstream.answers().sends(HELLO)
        await play.ask()
        play.upstream.answers(404, b"")
        assert (await play.ask()).status == 502
        await play.state.warm("a")
    assert [penalty.rejection for _, penalty in play.penalties] == ["", "", "path_blocked"]


async def test_t16_an_empty_answer_is_never_asked_for_at_the_same_account_again(play: Play) -> None:
    for _ in "abc":
        play.upstream.answers().sends(CREATED + completed())
    assert (await play.ask(stream=False)).status == 502
    assert sorted(play.upstream.tokens) == ["token-a", "token-b", "token-c"]


@pytest.mark.parametrize("begun", [ITEM + text("Hel")])
async def test_t17_an_answer_cut_after_it_began_is_told_as_504_and_not_tried_again(play: Play, begun: bytes) -> None:
    play.upstream.answers().sends(CREATED + begun)
    client = await play.ask(stream=False)
    assert (client.status, len(play.upstream.requests)) == (504, 1)
